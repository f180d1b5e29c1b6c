//! Kinds of failure, by what the operator does next, and their exit codes.

use crate::clock::BothClocks;
use crate::commit::{CommitError, Damage};
use crate::convert::{InputError, InputFault};
use crate::decode::DecodeError;
use crate::partition::PartitionError;
use crate::read::ReadError;
use crate::scan::ScanError;
use crate::store::{StoreError, StoreErrorKind};
use crate::table::TableError;
use crate::window::{Slice, format_time};
use crate::write::WriteError;

/// What the operator does next.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// A bug of this program, or a system that cannot run it.
    Internal,
    /// A flag, a variable or a file given by the user.
    Usage,
    /// The service refused the credentials.
    SignIn,
    /// The service failed; a rerun resumes.
    Service,
    /// The data: rejects with `--on-reject fail`, or damage in the lake.
    Data,
    /// The lake's store.
    Storage,
    /// A signal; committed slices are kept.
    Interrupted,
}

impl ErrorKind {
    /// The process's exit code.
    pub fn exit_code(self) -> u8 {
        match self {
            Self::Internal => 1,
            Self::Usage => 2,
            Self::SignIn => 3,
            Self::Service => 4,
            Self::Data => 5,
            Self::Storage => 6,
            Self::Interrupted => 130,
        }
    }

    /// The words of all kinds.
    #[cfg(test)]
    pub(crate) const WORDS: [&str; 7] = [
        Self::Internal.as_str(),
        Self::Usage.as_str(),
        Self::SignIn.as_str(),
        Self::Service.as_str(),
        Self::Data.as_str(),
        Self::Storage.as_str(),
        Self::Interrupted.as_str(),
    ];

    /// The word for reports.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Internal => "internal",
            Self::Usage => "usage",
            Self::SignIn => "sign-in",
            Self::Service => "service",
            Self::Data => "data",
            Self::Storage => "storage",
            Self::Interrupted => "interrupted",
        }
    }

    /// Which kind decides the exit code where several came together: the lowest rank.
    pub fn rank(self) -> u8 {
        match self {
            Self::Interrupted => 0,
            Self::SignIn => 1,
            Self::Storage => 2,
            Self::Service => 3,
            Self::Data => 4,
            Self::Usage => 5,
            Self::Internal => 6,
        }
    }

    /// The kind that decides the exit code.
    pub fn worst(kinds: impl IntoIterator<Item = Self>) -> Option<Self> {
        kinds.into_iter().min_by_key(|kind| kind.rank())
    }

    /// Whether scanning further slices is pointless.
    fn stops_the_run(self) -> bool {
        matches!(self, Self::SignIn | Self::Storage | Self::Interrupted)
    }
}

/// What to do where records are of another tenant than the lake's.
pub(crate) const OTHER_TENANT: &str =
    "check the token and --api-url, or use another --lake for this tenant";

/// A field that says whose a record is, and differs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// Its name.
    pub field: &'static str,
    /// What the lake's records say.
    pub lake: String,
    /// What the service's say.
    pub other: String,
}

/// A flag, a variable, a file or a lake that a command cannot use.
#[derive(Debug, thiserror::Error)]
#[error("{what}")]
pub struct UsageError {
    what: String,
    advice: Option<&'static str>,
}

impl UsageError {
    /// What cannot be used, and why.
    pub fn new(what: impl Into<String>) -> Self {
        Self {
            what: what.into(),
            advice: None,
        }
    }

    /// The same, with what to do about it.
    #[must_use]
    pub fn advise(self, advice: &'static str) -> Self {
        Self {
            advice: Some(advice),
            ..self
        }
    }
}

/// Why a command, or a slice of it, failed.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// The service.
    #[error(transparent)]
    Scan(#[from] ScanError),
    /// A page that could not be read.
    #[error(transparent)]
    Decode(#[from] DecodeError),
    /// A file that was to be converted.
    #[error(transparent)]
    Input(#[from] InputError),
    /// Rows without a day.
    #[error(transparent)]
    Partition(#[from] PartitionError),
    /// Files.
    #[error(transparent)]
    Write(#[from] WriteError),
    /// The lake's own objects.
    #[error(transparent)]
    Commit(#[from] CommitError),
    /// The Delta table.
    #[error(transparent)]
    Table(#[from] TableError),
    /// Committed files.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Columns that do not fit together.
    #[error("cannot pick the rows of a page")]
    Rows(#[from] arrow::error::ArrowError),
    /// The service's own clock says that the slice is not closed.
    #[error(
        "cannot commit slice {slice}: by the service's clock it was {} at its first answer, so the slice was not closed; {}",
        format_time(.clocks.service_ms), .clocks.difference()
    )]
    NotClosed {
        /// The slice.
        slice: Slice,
        /// The clocks at the service's first answer.
        clocks: BothClocks,
    },
    /// By one clock the service may have forgotten the slice's time, by the other it cannot have.
    #[error(
        "cannot commit slice {slice}: by the service's clock it is {} now, and {}; only by one of them the service may have forgotten what is older than 29 days",
        format_time(.clocks.service_ms), .clocks.difference()
    )]
    Disputed {
        /// The slice.
        slice: Slice,
        /// The clocks after the service's last answer.
        clocks: BothClocks,
    },
    /// The clocks differ so much that no lake is made by them.
    #[error(
        "cannot make the lake: by the service's clock it is {} now, and {}",
        format_time(.clocks.service_ms), .clocks.difference()
    )]
    ClocksDiffer {
        /// The clocks after the service's first answer.
        clocks: BothClocks,
    },
    /// The service answers for another tenant than the lake's.
    #[error(
        "cannot {}: {} records have {field} {other}, and the lake's have {lake}",
        .slice.map_or("change the lake's host".to_owned(), |slice| format!("commit slice {slice}")),
        if .slice.is_some() { "the service's" } else { "the host's" },
        field = .difference.field, other = .difference.other, lake = .difference.lake
    )]
    OtherTenant {
        /// The slice of such records; `None` where the host was to be changed.
        slice: Option<Slice>,
        /// What differs.
        difference: Box<Difference>,
    },
    /// The service refuses the first request of a new lake.
    #[error("cannot make the lake: the service refuses its first request")]
    FirstRefused(#[source] ScanError),
    /// The service no longer has the records of a slice, and an attempt published some of it lately.
    #[error(
        "cannot commit slice {slice}: the service no longer has its records, and a run that published some of its files may still be at work"
    )]
    Forgotten {
        /// The slice.
        slice: Slice,
    },
    /// The service's last answer had no date.
    #[error(
        "cannot commit slice {slice}: the service's last answer has no Date header that can be read, so nothing says that the slice is closed"
    )]
    NoDate {
        /// The slice.
        slice: Slice,
    },
    /// The control request fails like those of the slices.
    #[error("cannot scan the rest: the control request fails, too")]
    ServiceDown(#[source] ScanError),
    /// A slice is committed, except for what the service does not return.
    #[error(
        "cannot get all of slice {slice}: {count} ms of it could not be had, the first at {} ({reason})",
        format_time(*.first_ms)
    )]
    Holes {
        /// The slice.
        slice: Slice,
        /// Milliseconds.
        count: i64,
        /// The first, since the epoch.
        first_ms: i64,
        /// Why it cannot be had.
        reason: String,
    },
    /// No record of a slice can become a row.
    #[error(
        "cannot {} slice {slice}: none of its {rejects} records can become a row ({reasons}); their form may have changed",
        if *.committed { "make rows of" } else { "commit" },
    )]
    AllRejects {
        /// The slice.
        slice: Slice,
        /// How many.
        rejects: u64,
        /// Reasons and counts.
        reasons: String,
        /// Whether the slice is committed all the same, because the service is about to forget it.
        committed: bool,
    },
    /// Rejects, where the user wants none.
    #[error(
        "cannot commit slice {slice}: {rejects} of its records cannot become rows ({reasons}), and --on-reject is fail"
    )]
    Rejects {
        /// The slice.
        slice: Slice,
        /// How many.
        rejects: u64,
        /// Reasons and counts.
        reasons: String,
    },
    /// A live file of a day is not as it should be, so the day is left as it is.
    #[error("cannot compact {day}: {path} {is}")]
    NotLive {
        /// The day.
        day: String,
        /// The file, relative to the lake's root.
        path: String,
        /// What it is.
        is: &'static str,
    },
    /// The rows of a day were not the same after they were merged.
    #[error(
        "cannot compact {day}: {taken} rows are to go in, and the merged files have {left}, or others; nothing of it is published"
    )]
    NotEqual {
        /// The day.
        day: String,
        /// Rows of the inputs.
        taken: u64,
        /// Rows of the outputs.
        left: u64,
    },
    /// Nothing can be removed here, so what was compacted would be there twice for good.
    #[error("cannot compact {location}: an object cannot be removed")]
    CannotRemove {
        /// The lake.
        location: String,
        /// What the store said, where it said something.
        #[source]
        source: Option<StoreError>,
    },
    /// A signal during a scan.
    #[error("interrupted")]
    Interrupted,
    /// A signal during a command that writes nothing.
    #[error("interrupted")]
    ReadingInterrupted,
    /// Something the user gave.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// No lake is where one should be.
    #[error("cannot open the lake {location}: no lake is there")]
    NoLake {
        /// Where it should be.
        location: String,
    },
    /// The system refused what no run can do without.
    #[error("cannot {doing}")]
    System {
        /// What was asked of it, a verb first.
        doing: &'static str,
        /// What it said.
        #[source]
        source: std::io::Error,
    },
    /// The report cannot be written.
    #[error("cannot write to stdout")]
    Output(#[source] std::io::Error),
    /// The metrics cannot be written.
    #[error("cannot write the metrics file {path}")]
    Metrics {
        /// The file.
        path: String,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A task of this program died.
    #[error("cannot scan slice {slice}: its task died, which is a bug")]
    Died {
        /// The slice.
        slice: Slice,
        /// How.
        #[source]
        source: tokio::task::JoinError,
    },
}

/// What to do about a live file that is gone or changed. Where the lake has lost more, that comes first.
const RESTORE_FILE: &str = "run verify, and restore from a copy of the lake what it names: what _mdca lacks first, files then";

impl JobError {
    /// What the operator does next.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Input(error) => kind_of_input(&error.fault),
            Self::Scan(error) | Self::ServiceDown(error) if error.is_sign_in() => ErrorKind::SignIn,
            Self::Scan(ScanError::NoFileHandle { .. }) => ErrorKind::Internal,
            Self::Scan(_)
            | Self::ServiceDown(_)
            | Self::Holes { .. }
            | Self::Decode(_)
            | Self::NotClosed { .. }
            | Self::Disputed { .. }
            | Self::Forgotten { .. }
            | Self::ClocksDiffer { .. }
            | Self::NoDate { .. } => ErrorKind::Service,
            Self::Write(WriteError::Store { .. }) => ErrorKind::Storage,
            Self::Commit(CommitError::Conservation { .. }) => ErrorKind::Internal,
            Self::Commit(
                CommitError::Orphaned { .. }
                | CommitError::Compacted { .. }
                | CommitError::Damaged {
                    damage: Damage::Unrecorded(_),
                    ..
                },
            ) => ErrorKind::Data,
            Self::Commit(error) if error.is_newer() => ErrorKind::Usage,
            Self::Table(TableError::Unsound(error)) if error.is_newer() => ErrorKind::Usage,
            Self::Table(
                TableError::Unsound(_)
                | TableError::CommitMissing { .. }
                | TableError::CompactionMissing { .. }
                | TableError::CompactionGone { .. }
                | TableError::Missing { .. },
            ) => ErrorKind::Data,
            Self::Store(error) if error.kind() == StoreErrorKind::NoLocation => ErrorKind::Usage,
            Self::Commit(_) | Self::Store(_) | Self::Table(_) => ErrorKind::Storage,
            Self::Write(_)
            | Self::Partition(_)
            | Self::Rows(_)
            | Self::System { .. }
            | Self::Died { .. } => ErrorKind::Internal,
            Self::Rejects { .. }
            | Self::AllRejects { .. }
            | Self::NotLive { .. }
            | Self::NotEqual { .. } => ErrorKind::Data,
            Self::CannotRemove { .. } => ErrorKind::Storage,
            Self::Read(ReadError::Output(_)) | Self::Output(_) | Self::Metrics { .. } => {
                ErrorKind::Internal
            }
            Self::Read(ReadError::Scratch(_) | ReadError::Store(_)) => ErrorKind::Storage,
            Self::Read(_) => ErrorKind::Data,
            Self::Interrupted | Self::ReadingInterrupted => ErrorKind::Interrupted,
            Self::Usage(_)
            | Self::NoLake { .. }
            | Self::FirstRefused(_)
            | Self::OtherTenant { .. } => ErrorKind::Usage,
        }
    }

    /// Whether scanning further slices is pointless.
    pub fn stops_the_run(&self) -> bool {
        let is_of_all = match self {
            Self::Scan(error) => error.is_of_all_requests(),
            Self::Disputed { .. } | Self::OtherTenant { .. } => true,
            _ => false,
        };
        is_of_all || self.kind().stops_the_run()
    }

    /// The store's own error, where it is one.
    pub fn store(&self) -> Option<&StoreError> {
        match self {
            Self::Store(error)
            | Self::Commit(
                CommitError::Store(error)
                | CommitError::Unknown {
                    last: Some(error), ..
                }
                | CommitError::CompactionUnknown {
                    last: Some(error), ..
                },
            ) => Some(error),
            Self::Write(WriteError::Store { source, .. }) => Some(source),
            Self::Table(error) => error.store(),
            Self::Read(ReadError::Store(error)) => Some(error),
            _ => None,
        }
    }

    /// What to do about it, on a line of its own; none where nothing is known to help.
    pub fn advice(&self) -> Option<&'static str> {
        if let Some(error) = self.store() {
            return Some(error.advice());
        }
        match self {
            Self::Scan(error) | Self::ServiceDown(error) => error.advice(),
            Self::Disputed { .. } | Self::NotClosed { .. } | Self::ClocksDiffer { .. } => Some(
                "set this machine's clock if it is wrong, else wait until the service's is right; then run again",
            ),
            Self::NoDate { .. } => Some(
                "check what stands between this machine and the service: a proxy may remove the header",
            ),
            Self::Holes { .. } => {
                Some("the rest of the slice is committed; status shows what is missing")
            }
            Self::Rejects { .. } => {
                Some("use --on-reject keep to store them under _mdca/rejects/ and commit the slice")
            }
            Self::Interrupted => Some("committed slices are kept; run again to continue"),
            Self::NotLive { .. } => Some(RESTORE_FILE),
            Self::CannotRemove { .. } => Some("allow deletes below the lake"),
            Self::Usage(error) => error.advice,
            Self::NoLake { .. } => Some("check --lake; the first scan or convert makes a lake"),
            Self::Forgotten { .. } => Some("run again in an hour"),
            Self::OtherTenant { slice: None, .. } => Some("use another --lake for this tenant"),
            Self::OtherTenant { .. } => Some(OTHER_TENANT),
            Self::FirstRefused(_) => {
                Some("check --filters, --service and --api-url; nothing was created")
            }
            Self::AllRejects { committed, .. } => Some(if *committed {
                "use the newest version of this program; the records' text is kept under _mdca/rejects/"
            } else {
                "use the newest version of this program; the slice is scanned again until it is 20 days old, then its text is kept"
            }),
            Self::Commit(error) => error.advice(),
            Self::Table(error) => error.advice(),
            Self::Input(error) => error.fault.advice(),
            Self::Read(ReadError::Scratch(error)) => Some(error.advice()),
            Self::Read(ReadError::Gone { .. } | ReadError::File { .. }) => Some(RESTORE_FILE),
            Self::Read(ReadError::Schema { .. }) => {
                Some("use the program that wrote the file, or a newer one")
            }
            Self::Output(_) | Self::Read(ReadError::Output(_)) => {
                Some("free space where stdout goes, or send it elsewhere")
            }
            Self::Metrics { .. } => Some(
                "free space there, or name another file with --metrics-file (MDCA_METRICS_FILE)",
            ),
            Self::System { .. } => {
                Some("raise the limit that this process has reached (ulimit -a)")
            }
            _ => None,
        }
    }
}

fn kind_of_input(fault: &InputFault) -> ErrorKind {
    match fault {
        InputFault::Missing
        | InputFault::NoMatch
        | InputFault::Pattern(_)
        | InputFault::NoFiles
        | InputFault::InLake
        | InputFault::Read(_) => ErrorKind::Usage,
        InputFault::Store(error)
            if matches!(
                error.kind(),
                StoreErrorKind::NoLocation | StoreErrorKind::Location
            ) =>
        {
            ErrorKind::Usage
        }
        InputFault::Store(_) | InputFault::Spool(_) => ErrorKind::Storage,
        InputFault::Died(_) => ErrorKind::Internal,
        InputFault::Changed
        | InputFault::Unreadable { .. }
        | InputFault::Cut { .. }
        | InputFault::Window(_)
        | InputFault::Foreign { .. }
        | InputFault::NotJson { .. }
        | InputFault::Mixed { .. }
        | InputFault::NotOneRecord { .. }
        | InputFault::RecordTooLarge { .. }
        | InputFault::TooManyRecords { .. }
        | InputFault::Decode { .. }
        | InputFault::AllRejects { .. }
        | InputFault::Rejects { .. } => ErrorKind::Data,
    }
}
