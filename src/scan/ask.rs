//! One question beside the scans of slices: a range's first page, of which nothing is kept.

use std::sync::Arc;

use super::client::{ActivityClient, Care, PageRequest};
use super::envelope::Total;
use super::error::ScanError;
use super::question::Question;
use super::request::ScanOptions;
use super::tries::SAFE_LIMIT;
use crate::window::Slice;

/// What the service answered to a question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The service's clock, in milliseconds since the epoch, to the second.
    pub date_ms: Option<i64>,
    /// The records, as the JSON array that came.
    pub records: String,
    /// How many there are in all, where the service says it.
    pub total: Option<u64>,
    /// Whether more is to come.
    pub has_next: bool,
}

impl ActivityClient {
    /// Asks for one record of a range, as a slice's first page would be asked for, with the same
    /// retries. A tenant that refuses so small a limit is asked with the one that every tenant takes
    /// (page "Investigate activities using the API"): what it says to that one counts.
    pub async fn ask(&self, range: Slice, options: &Arc<ScanOptions>) -> Result<Asked, ScanError> {
        self.ask_up_to(1, range, options).await
    }

    /// The same for so many records.
    pub async fn ask_up_to(
        &self,
        limit: u32,
        range: Slice,
        options: &Arc<ScanOptions>,
    ) -> Result<Asked, ScanError> {
        match self.ask_for(limit, range, options).await {
            Err(error) if error.is_bad_request() => self.ask_for(SAFE_LIMIT, range, options).await,
            answer => answer,
        }
    }

    /// Asks for so many records of a range, as its first page would be asked for.
    pub async fn ask_for(
        &self,
        limit: u32,
        range: Slice,
        options: &Arc<ScanOptions>,
    ) -> Result<Asked, ScanError> {
        let request = PageRequest {
            question: Question::FirstRecords(range),
            first: true,
            limit: Some(limit),
            care: Care::Full,
            filters: options.filters(range.window()),
            options: Arc::clone(options),
        };
        let answer = self.fetch(&request).await?;
        Ok(Asked {
            date_ms: answer.date_ms,
            total: answer.envelope.total.and_then(Total::records),
            has_next: answer.envelope.has_next,
            records: answer.text[answer.envelope.data].to_owned(),
        })
    }
}
