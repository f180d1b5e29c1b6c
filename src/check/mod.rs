//! `check`: whether a scan can run here, one line for each question, with what to do about it.
//!
//! At most seven requests go to the service: one record of the last day; a page of it; the oldest record
//! that can be had; how an answer travels; and one more where a token, or the page limit of either of the first two, is refused. In the
//! lake's store an object is made and removed again. What the documentation leaves open of the service
//! (API overview, "Investigate activities using the API") is answered by what this tenant does.

mod answer;
mod lake;
mod service;

use std::sync::Arc;

pub use answer::{Answer, Check, Verdict};

use futures::FutureExt;
use futures::future::BoxFuture;

use crate::clock::Clock;
use crate::error::JobError;
use crate::job::report::RunReport;
use crate::job::{JobOptions, Planned};
use crate::scan::{ActivityClient, ScanCounters};
use crate::store::Site;

/// What a check looks at.
pub struct Checked<'a> {
    /// What would be scanned.
    pub options: &'a JobOptions,
    /// Records in a page, as they would be asked for.
    pub page_limit: u32,
    /// As whom requests are sent.
    pub who: String,
    /// The service; its requests are tried once.
    pub client: &'a ActivityClient,
    /// What the client counts.
    pub counters: &'a ScanCounters,
    /// Where the lake is or will be.
    pub site: &'a Site,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

/// Asks all questions.
pub fn check(checked: Checked<'_>) -> BoxFuture<'_, Check> {
    ask_all(checked).boxed()
}

async fn ask_all(checked: Checked<'_>) -> Check {
    // Read once: the names of a lake of years take many requests.
    let (store, clock) = (checked.site.store(), checked.clock.as_ref());
    let plan = Planned::read(checked.options, store, clock).await;
    let mut answers = service::ask(&checked, plan.as_ref().ok()).await;
    answers.extend(lake::ask(&checked, &plan).await);
    Check::new(
        checked.options.wish.api_host.clone(),
        checked.site_name(),
        checked.counters.counts().requests,
        answers,
    )
}

impl Checked<'_> {
    fn site_name(&self) -> String {
        match (self.site.store(), self.site.folder()) {
            (Some(store), _) => store.location().to_owned(),
            (None, Some(folder)) => folder.display().to_string(),
            (None, None) => String::new(),
        }
    }
}

/// What a scan would begin with, or the report that it would end with at once.
type Plan = Result<Planned, Box<RunReport>>;

/// A failed answer by what would end a scan.
fn failed(question: &'static str, error: &JobError) -> Answer {
    Answer::fail(question, error)
}
