//! `--metrics-file`: the metrics of a run in a file, for Prometheus' textfile collector.

use std::fs::{self, File, Permissions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use mdca_lake::cli::Command;
use mdca_lake::clock::{Clock, SystemClock};
use mdca_lake::config::RefusedRun;
use mdca_lake::error::{JobError, UsageError};
use mdca_lake::job::metrics::{BEGINNING, Labels, metrics};
use mdca_lake::store::Site;
use serde_json::Value;
use tempfile::NamedTempFile;

/// No file of metrics is longer.
const MAX_BYTES: u64 = 1024 * 1024;

/// Where the metrics of a run go.
#[derive(Debug, Clone)]
pub(crate) struct MetricsFile {
    path: PathBuf,
    labels: Labels,
}

impl MetricsFile {
    /// The file that a command is to write; none where it is not asked for one, or writes nothing.
    ///
    /// # Errors
    /// It cannot be written: that is said before the work begins.
    pub(crate) fn asked_for(command: &Command) -> Result<Option<Self>, UsageError> {
        let (command, path, lake, writes) = match command {
            Command::Scan(args) => {
                let path = &args.metrics.metrics_file;
                ("scan", path, &args.lake.lake, !args.window.dry_run)
            }
            Command::Check(args) => ("check", &args.metrics.metrics_file, &args.lake.lake, false),
            Command::Convert(args) => {
                let path = &args.metrics.metrics_file;
                ("convert", path, &args.lake.lake, !args.dry_run)
            }
            Command::Compact(args) => {
                let path = &args.metrics.metrics_file;
                ("compact", path, &args.lake.lake, !args.dry_run)
            }
            _ => return Ok(None),
        };
        let Some(path) = path else { return Ok(None) };
        let file = Self::of(command, lake, path);
        let refused = |error: io::Error| {
            UsageError::new(format!(
                "cannot write the metrics file {}: {error}",
                path.display()
            ))
        };
        file.check(writes).map_err(|error| {
            refused(error).advise("name a file in a folder that is there and can be written to with --metrics-file (MDCA_METRICS_FILE)")
        })?;
        file.check_content().map_err(|error| {
            refused(error).advise("name a new file, or one that an earlier run wrote, with --metrics-file (MDCA_METRICS_FILE)")
        })?;
        Ok(writes.then_some(file))
    }

    fn of(command: &'static str, lake: &str, path: &Path) -> Self {
        Self {
            // What a link leads to is written, and the link stays.
            path: fs::canonicalize(path).unwrap_or_else(|_| path.to_owned()),
            labels: Labels {
                command,
                lake: Site::name(lake),
            },
        }
    }

    /// The file that a command was to write whose command line is refused; none where it cannot be written.
    pub(crate) fn of_refused(run: RefusedRun) -> Option<Self> {
        let RefusedRun {
            command,
            lake,
            metrics_file,
        } = run;
        let file = Self::of(command, &lake, &metrics_file);
        let can_be_written = file.check(true).and_then(|()| file.check_content());
        can_be_written.is_ok().then_some(file)
    }

    /// Whether the file can be put there.
    fn check(&self, writes: bool) -> io::Result<()> {
        if self.path.is_dir() || self.path.file_name().is_none() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // A device or a pipe would be replaced by a file, or never be read to its end.
        if fs::symlink_metadata(&self.path).is_ok_and(|found| !found.is_file()) {
            return Err(io::Error::other("it is not a regular file"));
        }
        if !fs::metadata(self.folder())?.is_dir() {
            return Err(io::ErrorKind::NotADirectory.into());
        }
        if writes {
            self.beside()?;
        }
        Ok(())
    }

    /// Whether nothing but metrics is lost with what is there: a name that was mistyped may be that of an
    /// object of the lake, or of the file with the token.
    fn check_content(&self) -> io::Result<()> {
        let mut beginning = Vec::new();
        match File::open(&self.path) {
            Ok(file) => {
                let length = BEGINNING.len() as u64;
                file.take(length).read_to_end(&mut beginning)?;
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
        if beginning.is_empty() || beginning == BEGINNING.as_bytes() {
            return Ok(());
        }
        Err(io::Error::other(
            "it holds something else than metrics of this program",
        ))
    }

    fn folder(&self) -> &Path {
        match self.path.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        }
    }

    /// A file beside it that the collector does not read. What collects may run as another user.
    fn beside(&self) -> io::Result<NamedTempFile> {
        tempfile::Builder::new()
            .prefix(".mdca-lake-")
            .suffix(".tmp")
            .permissions(Permissions::from_mode(0o644))
            .tempfile_in(self.folder())
    }

    /// Puts the metrics of a run in the place of those of the run before it.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn write(&self, report: Option<&Value>, exit_code: u8) -> Result<(), JobError> {
        let ended_ms = SystemClock::new().now_ms();
        let before = self.read();
        let text = metrics(&self.labels, report, exit_code, ended_ms, &before);
        self.put(&text).map_err(|source| JobError::Metrics {
            path: self.path.display().to_string(),
            source,
        })
    }

    /// What the run before it left; nothing where that cannot be read.
    fn read(&self) -> String {
        let mut text = String::new();
        if let Ok(file) = File::open(&self.path) {
            // What is cut short or not a text has no such line.
            let _ = file.take(MAX_BYTES).read_to_string(&mut text);
        }
        text
    }

    fn put(&self, text: &str) -> io::Result<()> {
        let mut file = self.beside()?;
        file.write_all(text.as_bytes())?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}
