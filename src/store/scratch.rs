//! Where files go that only this process reads.

use std::fs::File;
use std::io;
use std::path::PathBuf;

use tokio::task::spawn_blocking;

/// A folder for files without a name.
#[derive(Debug, Clone)]
pub struct ScratchFolder {
    path: PathBuf,
    is_of_lake: bool,
}

/// A file in such a folder that cannot be made, written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use a temporary file in {}", .folder.path.display())]
pub struct ScratchError {
    folder: ScratchFolder,
    #[source]
    source: io::Error,
}

impl ScratchFolder {
    /// The folder of a lake on a disk: what has room for the lake's files has it for these.
    pub fn of_lake(path: PathBuf) -> Self {
        Self {
            path,
            is_of_lake: true,
        }
    }

    /// Where temporary files go: `TMPDIR`, else what the system has for them.
    pub fn of_system() -> Self {
        Self {
            path: std::env::temp_dir(),
            is_of_lake: false,
        }
    }

    /// Makes a file without a name in it. Blocks.
    ///
    /// # Errors
    /// What the system says.
    pub fn file(&self) -> io::Result<File> {
        tempfile::tempfile_in(&self.path)
    }

    /// Does what blocks with a file in it, on a thread for that.
    ///
    /// # Errors
    /// What the system says, with the folder.
    pub async fn blocking<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> io::Result<T> + Send + 'static,
    ) -> Result<T, ScratchError> {
        let done = match spawn_blocking(work).await {
            Ok(done) => done,
            Err(died) => Err(died.into()),
        };
        done.map_err(|source| self.failed(source))
    }

    /// The error of a file in it.
    pub fn failed(&self, source: io::Error) -> ScratchError {
        ScratchError {
            folder: self.clone(),
            source,
        }
    }
}

impl ScratchError {
    /// One sentence on what to do.
    pub fn advice(&self) -> &'static str {
        let is_out_of_reach = matches!(
            self.source.kind(),
            io::ErrorKind::NotFound
                | io::ErrorKind::NotADirectory
                | io::ErrorKind::PermissionDenied
                | io::ErrorKind::ReadOnlyFilesystem
        );
        match (self.folder.is_of_lake, is_out_of_reach) {
            (true, false) => "free space in the lake's folder",
            (true, true) => "let this user write to the lake's folder",
            (false, false) => "free space there, or set TMPDIR to a folder with more",
            (false, true) => "set TMPDIR to a folder that this user may write to",
        }
    }
}
