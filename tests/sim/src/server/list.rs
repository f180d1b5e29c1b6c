//! One page of a list: cut it, let the faults at it, put the envelope round it.

use std::num::NonZero;
use std::thread;

use serde_json::{Map, Value};

use super::answer::{Answer, Compression, Delivery};
use super::handle::{replaced, replacement};
use super::log::RequestLog;
use super::options::{AboveCap, Total};
use super::state::{Changing, State};
use crate::faults::{Asked, At, Canned, Due, Moment, Row, What, mangle};
use crate::generator::DAY_MS;
use crate::protocol::filters::Filters;
use crate::protocol::paging::{Cut, Next, Question};
use crate::protocol::refusal::Refusal;
use crate::protocol::request::ListRequest;
use crate::tenant::Holdings;

/// The documented most of an answer outside scan mode.
const LIST_CAP: usize = 100;
/// Fewer rows than this are not worth another thread.
const MIN_SHARE: usize = 250;

/// Answers a list request.
pub(crate) fn answer(
    state: &State,
    changing: &mut Changing,
    request: &ListRequest,
    request_number: u64,
    log: &mut RequestLog,
) -> Answer {
    let now_ms = log.at_ms;
    let resolved = changing
        .continuations
        .resolve(request)
        .and_then(|(meant, continues)| Ok((Filters::parse(&meant, now_ms)?, meant, continues)));
    let (filters, meant, continues) = match resolved {
        Ok(resolved) => resolved,
        Err(refusal) => {
            return replaced(changing, request_number, None)
                .unwrap_or_else(|| Answer::refusal(&refusal));
        }
    };
    let asked = asked(changing, request, &filters, continues);
    log.page = Some(asked.page);
    log.first = asked.first;
    if let Some(answer) = replaced(changing, request_number, Some(&asked)) {
        return answer;
    }
    let limit = match limit(state, request) {
        Ok(limit) => limit,
        Err(answer) => return *answer,
    };
    let due = changing.plan.due(Moment {
        request: request_number,
        asked: Some(&asked),
    });
    let held = state.tenant.read();
    let mut page = Page {
        state,
        held: &held,
        request,
        asked: &asked,
        filters,
        meant,
        descending: request.descending,
        now_ms,
        limit,
        cut: Cut {
            entries: Vec::new(),
            next: Next::End,
        },
        same_place: false,
        used: Vec::new(),
    };
    page.cut(&due);
    let here: Vec<Due> = due.into_iter().filter(|due| page.is_at(due)).collect();
    if let Some((due, answer)) = here
        .iter()
        .find_map(|due| replacement(&due.what).map(|answer| (due, answer)))
    {
        changing.plan.use_up(due);
        return answer;
    }
    page.recut(&here);
    let rows = page.rows(&here, changing);
    log.records = rows.len();
    log.ids = rows.iter().filter_map(|row| row.id.clone()).collect();
    let envelope = page.envelope(&rows, &here, changing, log);
    let answer = page.deliver(envelope, &here);
    for due in &page.used {
        changing.plan.use_up(due);
    }
    answer
}

fn asked(
    changing: &mut Changing,
    request: &ListRequest,
    filters: &Filters,
    continues: bool,
) -> Asked {
    let question = format!(
        "{} {} {} {} {}",
        Value::Object(request.filters.clone()),
        request.sort_field,
        request.descending,
        request.is_scan,
        request.skip
    );
    let bounds = filters.bounds(request.sort_field);
    Asked {
        page: changing.page_number(question),
        first: !continues && request.skip == 0,
        clock: request.sort_field,
        from_ms: bounds.lowest,
        to_ms: bounds.highest,
        limit: request.limit,
        filters: Value::Object(request.filters.clone()),
    }
}

fn limit(state: &State, request: &ListRequest) -> Result<usize, Box<Answer>> {
    let wanted = request
        .limit
        .map(|limit| usize::try_from(limit).unwrap_or(usize::MAX));
    if !request.is_scan {
        return Ok(wanted.unwrap_or(LIST_CAP).min(LIST_CAP));
    }
    let limits = state.options.page_limits;
    let wanted = wanted.unwrap_or(limits.default);
    match limits.above {
        AboveCap::Refuse(status) if wanted > limits.cap => Err(Box::new(if status == 500 {
            Answer::canned(&Canned::html(500))
        } else {
            Answer::refusal(&Refusal {
                status,
                detail: format!("limit must be at most {}", limits.cap),
            })
        })),
        _ => Ok(wanted.min(limits.cap)),
    }
}

/// A page in the making.
struct Page<'a> {
    state: &'a State,
    held: &'a Holdings,
    request: &'a ListRequest,
    asked: &'a Asked,
    filters: Filters,
    /// The filters without the token.
    meant: Map<String, Value>,
    descending: bool,
    now_ms: i64,
    limit: usize,
    cut: Cut,
    /// The continuation goes on from where this page began.
    same_place: bool,
    /// Faults that had an effect.
    used: Vec<Due>,
}

impl Page<'_> {
    fn question(&self) -> Question<'_> {
        Question {
            filters: &self.filters,
            clock: self.request.sort_field,
            descending: self.descending,
            now_ms: self.now_ms,
            history_from_ms: self.state.options.history_days.map_or(i64::MIN, |days| {
                self.now_ms.saturating_sub(i64::from(days) * DAY_MS)
            }),
        }
    }

    /// Cuts the page as the faults that change the question say.
    fn cut(&mut self, due: &[Due]) {
        for due in due.iter().filter(|due| !due.is_at_record()) {
            match due.what {
                What::IgnoreFilters => {
                    self.meant = Map::new();
                    self.filters = Filters::default();
                    if !self.asked.first {
                        // The position is kept, which is all that is left of the filters.
                        self.filters = Filters::from_bound(
                            self.request.sort_field,
                            self.asked,
                            self.descending,
                        );
                    }
                }
                What::IgnoreOrder => self.descending = true,
                What::ShortPage { records } => self.limit = self.limit.min(records.max(1)),
                What::IgnoreLimit { records } => self.limit = records.max(1),
                _ => continue,
            }
            self.used.push(due.clone());
        }
        let question = self.question();
        self.cut = if self.request.is_scan {
            question.scan_page(self.held, self.limit, self.state.options.ties)
        } else {
            let skip = usize::try_from(self.request.skip).unwrap_or(usize::MAX);
            question.offset_page(self.held, skip, self.limit)
        };
    }

    /// Whether a fault that names a record finds it on this page; others are here anyway.
    fn is_at(&self, due: &Due) -> bool {
        match &due.at {
            At::Record(_) | At::RecordId(_) => self.place_of(due).is_some(),
            _ => true,
        }
    }

    fn place_of(&self, due: &Due) -> Option<u32> {
        let mut entries = self.cut.entries.iter().copied();
        match &due.at {
            At::Record(rank) => {
                let wanted = self.held.at_rank(*rank)?;
                entries.find(|at| *at == wanted)
            }
            At::RecordId(id) => {
                entries.find(|at| self.held.attributes(*at).id.as_ref() == Some(id))
            }
            _ => entries.next(),
        }
    }

    /// Replaces the records of the page as faults say that look at them.
    fn recut(&mut self, due: &[Due]) {
        for due in due {
            match due.what {
                What::EmptyPage => {
                    self.cut.entries.clear();
                    self.same_place = true;
                }
                What::OnlyOutside => self.cut = self.outside(),
                What::ExactBoundEmpty if self.asked.first && self.begins_on_bound() => {
                    self.cut = Cut {
                        entries: Vec::new(),
                        next: Next::End,
                    };
                }
                What::EndsEarly if self.cut.next != Next::End => self.cut.next = Next::End,
                _ => continue,
            }
            self.used.push(due.clone());
        }
    }

    fn begins_on_bound(&self) -> bool {
        let bound = self.asked.from_ms;
        let filters = self.filters.clone().only(self.request.sort_field, bound);
        Question {
            filters: &filters,
            ..self.question()
        }
        .matches(self.held)
        .next()
        .is_some()
    }

    fn outside(&self) -> Cut {
        let everything = Filters::default();
        let question = Question {
            filters: &everything,
            ..self.question()
        };
        let entries = question
            .matches(self.held)
            .filter(|at| !self.filters.match_clocks(self.held.entry(*at)))
            .take(self.limit)
            .collect();
        Cut {
            entries,
            next: Next::End,
        }
    }

    fn row(&self, entry: u32) -> Row {
        Row {
            entry,
            id: self.held.attributes(entry).id,
            bytes: self.held.text(entry).into_bytes(),
        }
    }

    /// The rows of the page as the tenant holds them, rendered by all processors: nothing else in an
    /// answer takes as long.
    fn rendered(&self) -> Vec<Row> {
        let entries = &self.cut.entries;
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let share = entries.len().div_ceil(processors).max(MIN_SHARE);
        thread::scope(|scope| {
            let workers: Vec<_> = entries
                .chunks(share)
                .map(|share| {
                    scope.spawn(|| share.iter().map(|at| self.row(*at)).collect::<Vec<_>>())
                })
                .collect();
            let rows = workers
                .into_iter()
                .map(|worker| worker.join().expect("rendering does not panic"));
            rows.flatten().collect()
        })
    }

    fn rows(&mut self, due: &[Due], changing: &mut Changing) -> Vec<Row> {
        let mut rows = self.rendered();
        let scan = (
            self.request.sort_field,
            if self.descending {
                self.asked.from_ms
            } else {
                self.asked.to_ms
            },
        );
        let before = changing
            .last_rows
            .get(&scan)
            .filter(|_| !self.asked.first)
            .cloned();
        if let Some(last) = rows.last() {
            changing.last_rows.insert(scan, last.clone());
        }
        for due in due {
            match &due.what {
                What::Record(change) => {
                    let wanted = self.place_of(due);
                    let Some(row) = rows.iter_mut().find(|row| Some(row.entry) == wanted) else {
                        continue;
                    };
                    row.change(change);
                }
                What::EveryRecord(change) => {
                    for row in &mut rows {
                        row.change(change);
                    }
                }
                What::Repeat(how) => {
                    let Some(row) = before.as_ref().or(rows.last()) else {
                        continue;
                    };
                    let row = row.repeated(*how);
                    rows.push(row);
                }
                What::Stray => {
                    let Some(entry) = self.outside().entries.first().copied() else {
                        continue;
                    };
                    rows.push(self.row(entry));
                }
                What::Shuffle => {
                    rows.sort_by_key(|row| {
                        crate::random::mix(u64::from(row.entry), self.asked.page)
                    });
                }
                _ => continue,
            }
            self.used.push(due.clone());
        }
        rows
    }

    fn envelope(
        &mut self,
        rows: &[Row],
        due: &[Due],
        changing: &mut Changing,
        log: &mut RequestLog,
    ) -> Vec<u8> {
        let mut data =
            Vec::with_capacity(rows.iter().map(|row| row.bytes.len() + 1).sum::<usize>() + 2);
        data.push(b'[');
        for (at, row) in rows.iter().enumerate() {
            if at > 0 {
                data.push(b',');
            }
            data.extend_from_slice(&row.bytes);
        }
        data.push(b']');
        let mut has_next = self.cut.next != Next::End || self.same_place;
        let mut next_filters = self.next_filters(changing);
        let mut members = vec![("data", data)];
        let mut has_next_text = None;
        for due in due {
            match &due.what {
                What::DataMissing => members.clear(),
                What::DataNull => members[0].1 = b"null".to_vec(),
                What::HasNextMissing => has_next_text = Some(None),
                What::HasNextText => has_next_text = Some(Some(format!("\"{has_next}\""))),
                What::NextFiltersMissing => {
                    has_next = true;
                    next_filters = None;
                }
                What::NextFiltersNull => {
                    has_next = true;
                    next_filters = Some(Value::Null);
                }
                What::Stuck { range_at_least_ms }
                    if self.asked.range_ms() >= *range_at_least_ms =>
                {
                    has_next = true;
                    next_filters = Some(Value::Object(self.request.filters.clone()));
                }
                What::NextFiltersOnLast if !has_next && !self.cut.entries.is_empty() => {
                    next_filters = self.filters_past_the_end(changing);
                }
                _ => continue,
            }
            self.used.push(due.clone());
        }
        log.has_next = Some(has_next);
        if !self.request.is_scan || self.state.options.scan_total != Total::Absent {
            members.insert(0, ("total", self.total().to_string().into_bytes()));
        }
        match has_next_text {
            None => members.push(("hasNext", has_next.to_string().into_bytes())),
            Some(None) => {}
            Some(Some(text)) => members.push(("hasNext", text.into_bytes())),
        }
        if let Some(filters) = next_filters {
            members.push(("nextQueryFilters", filters.to_string().into_bytes()));
        }
        object(&members)
    }

    fn next_filters(&self, changing: &mut Changing) -> Option<Value> {
        if !self.request.is_scan {
            return None;
        }
        let bound = match self.cut.next {
            _ if self.same_place => None,
            Next::End => return None,
            Next::Stuck => return Some(Value::Object(self.request.filters.clone())),
            Next::From(bound) => Some(bound),
        };
        Some(self.issue(changing, bound))
    }

    fn filters_past_the_end(&self, changing: &mut Changing) -> Option<Value> {
        let last = *self.cut.entries.last()?;
        let last = self.held.entry(last).clock(self.request.sort_field);
        let bound = if self.descending { last - 1 } else { last + 1 };
        Some(self.issue(changing, Some(bound)))
    }

    fn issue(&self, changing: &mut Changing, bound: Option<i64>) -> Value {
        changing.continuations.issue(
            self.request,
            &self.meant,
            self.descending,
            bound,
            self.state.options.continuation,
        )
    }

    fn total(&self) -> i64 {
        let count = i64::try_from(self.question().matches(self.held).count()).unwrap_or(i64::MAX);
        match self.state.options.scan_total {
            Total::OffBy(difference) if self.request.is_scan => count.saturating_add(difference),
            _ => count,
        }
    }

    fn deliver(&mut self, envelope: Vec<u8>, due: &[Due]) -> Answer {
        let mut answer = Answer::json(envelope);
        for due in due {
            match due.what {
                What::MalformedJson => mangle(&mut answer.body),
                What::TruncatedJson => answer.body.truncate(answer.body.len() / 2),
                What::CutBody { after } => answer.delivery = Delivery::Cut { after },
                What::SlowBody { piece, pause } => {
                    answer.delivery = Delivery::Slow { piece, pause }
                }
                What::PadTo { bytes } => answer.blanks = bytes.saturating_sub(answer.body.len()),
                What::GzipBomb { bytes } => {
                    answer.blanks = bytes.saturating_sub(answer.body.len());
                    answer.compression = Compression::Forced;
                }
                What::DateAhead { ms } => answer.date_ahead_ms = Some(ms),
                What::DateMissing => answer.date_ahead_ms = None,
                _ => continue,
            }
            self.used.push(due.clone());
        }
        answer
    }
}

fn object(members: &[(&str, Vec<u8>)]) -> Vec<u8> {
    let mut text = Vec::with_capacity(members.iter().map(|member| member.1.len() + 32).sum());
    for (at, (key, value)) in members.iter().enumerate() {
        text.push(if at == 0 { b'{' } else { b',' });
        text.push(b'"');
        text.extend_from_slice(key.as_bytes());
        text.extend_from_slice(b"\":");
        text.extend_from_slice(value);
    }
    if members.is_empty() {
        text.push(b'{');
    }
    text.push(b'}');
    text
}
