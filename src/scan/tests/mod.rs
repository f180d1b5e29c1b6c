//! The scan protocol against a scripted server, in simulated time.
//!
//! The server says what a test tells it to say, request by request; the simulated tenant, which
//! behaves like the service, is what the integration tests scan.

mod answers;
mod limits;
mod model;
mod paging;
mod retries;
mod server;
mod unreadable;
mod untrusted;

use std::collections::HashSet;
use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use self::server::{Asked, Reply, Server};
use super::{
    ActivityClient, ApiUrl, Budget, ClientOptions, ClockField, Page, PageSeen, Place, ScanCounters,
    ScanCounts, ScanError, ScanOptions, Scanned, SliceScan,
};
use crate::clock::Clock;
use crate::sign_in::{ApiToken, Authorize};
use crate::text::fingerprint::fingerprint;
use crate::window::Slice;

/// 2026-11-19T10:00:00Z, the start of [`slice()`].
const FROM_MS: i64 = 1_795_082_400_000;
/// The end of [`slice()`].
const UNTIL_MS: i64 = FROM_MS + 60_000;
/// Where the service is asked whether it is well: the last millisecond of [`newest()`], after the
/// slice's start.
const CONTROL_MS: i64 = 3_659_999;
const TOKEN: &str = "t0ken-of-the-tests=";

fn slice() -> Slice {
    "20261119T1000Z-20261119T1001Z".parse().unwrap()
}

/// The newest slice of the plan.
fn newest() -> Slice {
    "20261119T1100Z-20261119T1101Z".parse().unwrap()
}

/// A clock whose sleep returns at once, moves time on and is remembered.
#[derive(Clone, Default)]
struct TestClock(Arc<Mutex<(Duration, Vec<Duration>)>>);

impl TestClock {
    fn slept(&self) -> Vec<Duration> {
        self.0.lock().unwrap().1.clone()
    }
}

#[async_trait]
impl Clock for TestClock {
    fn now_ms(&self) -> i64 {
        UNTIL_MS + i64::try_from(self.elapsed().as_millis()).unwrap()
    }

    fn elapsed(&self) -> Duration {
        self.0.lock().unwrap().0
    }

    async fn sleep(&self, duration: Duration) {
        // Sleepers that began together wake together: their times do not add up.
        let until = self.elapsed() + duration;
        tokio::task::yield_now().await;
        let mut state = self.0.lock().unwrap();
        state.0 = state.0.max(until);
        state.1.push(duration);
    }
}

/// What a test may set before it begins.
struct Setup {
    page_limit: u32,
    max_page_bytes: u64,
    max_attempts: u32,
    read_timeout: Duration,
    answer_timeout: Duration,
    requests_per_minute: Option<NonZeroU32>,
    auth: Box<dyn Authorize>,
    clock: TestClock,
    from: ScanOptions,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            page_limit: 500,
            max_page_bytes: 1024 * 1024,
            max_attempts: 4,
            read_timeout: Duration::from_secs(30),
            answer_timeout: Duration::from_secs(30),
            requests_per_minute: None,
            auth: Box::new(ApiToken::try_new(&TOKEN.into()).unwrap()),
            clock: TestClock::default(),
            from: ScanOptions {
                clock: ClockField::Created,
                filters: Map::new(),
                look_ahead_max_bytes: u64::MAX,
                max_records: u64::MAX,
            },
        }
    }
}

impl Setup {
    /// Starts a server that answers every request as `answer` says.
    async fn serve(self, answer: impl FnMut(&Asked) -> Reply + Send + 'static) -> World {
        let server = Server::start(Box::new(answer)).await;
        let url = server.url().parse().unwrap();
        self.speak(server, url)
    }

    /// A client that speaks to this address.
    fn speak(self, server: Server, api_url: ApiUrl) -> World {
        let counters = Arc::new(ScanCounters::default());
        let clock: Arc<dyn Clock> = Arc::new(self.clock.clone());
        let budget = Budget::new(
            self.requests_per_minute,
            Arc::clone(&clock),
            Arc::clone(&counters),
        );
        let options = ClientOptions {
            api_url,
            page_limit: self.page_limit,
            max_page_bytes: self.max_page_bytes,
            max_attempts: self.max_attempts,
            connect_timeout: Duration::from_secs(30),
            read_timeout: self.read_timeout,
            answer_timeout: self.answer_timeout,
        };
        let client =
            ActivityClient::new(options, self.auth, budget, clock, Arc::clone(&counters)).unwrap();
        World {
            server,
            clock: self.clock,
            counters,
            client: Arc::new(client),
            options: Arc::new(self.from),
        }
    }

    /// Starts a server that gives these answers, one after the other, and then refuses.
    async fn script(self, replies: impl IntoIterator<Item = Reply>) -> World {
        let mut replies = replies.into_iter().collect::<Vec<_>>().into_iter();
        let end = || Reply::status(418).json(r#"{"detail":"the script has ended"}"#);
        self.serve(move |_| replies.next().unwrap_or_else(end))
            .await
    }
}

/// A server, and a client that speaks to it.
struct World {
    server: Server,
    clock: TestClock,
    counters: Arc<ScanCounters>,
    client: Arc<ActivityClient>,
    options: Arc<ScanOptions>,
}

/// What came of a scan.
#[derive(Default)]
struct Story {
    /// Ids in the order in which they came, repeats left out.
    ids: Vec<String>,
    /// Ids of the neighbour's records.
    neighbours: Vec<String>,
    holes: Vec<HoleSeen>,
    pages: u32,
    error: Option<ScanError>,
}

/// A hole: milliseconds after the slice's start.
#[derive(Debug)]
struct HoleSeen {
    from_ms: i64,
    until_ms: i64,
    reason: String,
    body: Vec<u8>,
}

/// For tests that have no holes.
trait NextPage {
    /// The next page; `None` when the slice has been answered whole.
    async fn next_page(&mut self) -> Result<Option<Page>, ScanError>;
}

impl NextPage for SliceScan {
    async fn next_page(&mut self) -> Result<Option<Page>, ScanError> {
        Ok(match self.proceed().await? {
            Some(Scanned::Page(page)) => Some(page),
            Some(Scanned::Hole(hole)) => panic!("{hole:?}"),
            None => None,
        })
    }
}

impl World {
    fn begin(&self) -> SliceScan {
        let client = Arc::clone(&self.client);
        SliceScan::new(client, slice(), newest(), Arc::clone(&self.options))
    }

    /// Scans the slice as the job does.
    async fn scan(&self) -> Story {
        let mut story = Story::default();
        story.go_on(&mut self.begin()).await;
        story
    }

    /// Scans the slice to its error.
    async fn fail(&self) -> ScanError {
        self.scan().await.error.expect("the scan is to fail")
    }

    fn counts(&self) -> ScanCounts {
        self.counters.counts()
    }

    /// The bounds of every request: milliseconds after the slice's start, both inclusive.
    fn bounds(&self) -> Vec<(i64, i64)> {
        self.server.asked().iter().map(Asked::bounds).collect()
    }
}

impl Story {
    /// Takes a scan to its end, or to an error.
    async fn go_on(&mut self, scan: &mut SliceScan) {
        let (mut met, mut rows) = (HashSet::new(), HashSet::new());
        let result = async {
            while let Some(scanned) = scan.proceed().await? {
                let page = match scanned {
                    Scanned::Page(page) => page,
                    Scanned::Hole(hole) => {
                        self.holes.push(HoleSeen {
                            from_ms: hole.range.from_ms - FROM_MS,
                            until_ms: hole.range.until_ms - FROM_MS,
                            reason: hole.reason,
                            body: hole.body,
                        });
                        continue;
                    }
                };
                assert_eq!(page.index, self.pages, "indexes are consecutive");
                self.pages += 1;
                let records: Vec<Value> =
                    serde_json::from_str(&page.text[page.data.clone()]).unwrap();
                let mut seen = PageSeen {
                    records: records.len() as u64,
                    ..PageSeen::default()
                };
                for record in records {
                    let id = record["_id"].as_str().unwrap_or("no id").to_owned();
                    let clock_ms = record["created"].as_i64();
                    let place = page.place(clock_ms);
                    let text = fingerprint(&record.to_string());
                    let has_no_place = clock_ms.is_none() && place != Place::Inside;
                    let was_own = has_no_place && rows.contains(&text);
                    let is_new = if place == Place::Inside {
                        rows.insert(text)
                    } else {
                        met.insert(text) && !was_own
                    };
                    seen.new += u64::from(is_new);
                    seen.own += u64::from(place == Place::Inside);
                    seen.new_own += u64::from(is_new && place == Place::Inside);
                    seen.inside += u64::from(place != Place::Outside || clock_ms.is_none());
                    seen.unplaced += u64::from(has_no_place && !was_own);
                    if let (Place::Inside, Some(clock_ms)) = (place, clock_ms) {
                        seen.add_time(clock_ms);
                    }
                    match place {
                        Place::Inside if is_new => self.ids.push(id),
                        Place::Neighbour => self.neighbours.push(id),
                        _ => {}
                    }
                }
                scan.observe(seen)?;
            }
            Ok(())
        };
        self.error = result.await.err();
    }

    fn expect_ids(&self, ids: &[&str]) {
        assert!(self.error.is_none(), "{:?}", self.error);
        assert_eq!(self.ids, ids);
    }

    /// So many records, and no hole.
    fn expect_all(&self, records: usize) {
        assert!(self.error.is_none(), "{:?}", self.error);
        assert_eq!((self.ids.len(), self.holes.len()), (records, 0));
    }
}

/// A record that was saved so long after the slice's start.
fn record(id: &str, at_ms: i64) -> Value {
    json!({"_id": id, "created": FROM_MS + at_ms})
}

/// The last page of a range.
fn last(records: &[Value]) -> Reply {
    Reply::page(&json!({"data": records, "hasNext": false}))
}

/// A page after which there is more.
fn more(records: &[Value], next: &Value) -> Reply {
    Reply::page(&json!({"data": records, "hasNext": true, "nextQueryFilters": next}))
}
