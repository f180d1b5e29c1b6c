//! What the process asks of the system before a command runs: memory, core files, threads.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io;
use std::panic;
use std::time::Duration;

use mdca_lake::error::JobError;
use mdca_lake::text::fingerprint;
use tokio::runtime::Runtime;

use crate::logging::complain;

/// Threads that do what may block, at most.
const BLOCKING_THREADS: usize = 64;
/// A thread that has nothing to do stays for so long: for ever.
const KEEP_THREADS: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);

/// Sets what holds for the whole process, while it has only one thread.
pub(crate) fn prepare() {
    forbid_core_dumps();
    drop_variables();
    fingerprint::seed_with(RandomState::new().build_hasher().finish());
}

/// Where memory goes that is not needed for the moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FreeMemory {
    /// The system gets it back: every block of 128 KiB and more comes from it and goes back at once, and
    /// all others come from one arena, though threads wait for each other there. Left alone, glibc raises
    /// that bound to the size of a page of records, gives each thread an arena of its own, and keeps in
    /// each what pages leave behind: the peak is two to three times as high, and creeps up with the length
    /// of the window (`benches/scan.py`).
    GivenBack,
    /// The process keeps blocks below 2.25 MiB, which a page of a column may grow to, in two arenas, and up
    /// to 8 MiB at the end of each: `convert` takes a fifth less time and a tenth more memory. Other
    /// allocators (mimalloc, tcmalloc) gain no more, and take more than twice the memory in a scan with a
    /// limit of 48 MiB.
    Kept,
}

/// Sets that for the whole process, while it has only one thread. Where glibc is not the allocator there is
/// nothing to set.
pub(crate) fn set_free_memory(free: FreeMemory) {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    set_allocator(match free {
        FreeMemory::GivenBack => [
            (libc::M_MMAP_THRESHOLD, 128 * 1024),
            (libc::M_ARENA_MAX, 1),
            (libc::M_TRIM_THRESHOLD, 128 * 1024),
        ],
        FreeMemory::Kept => [
            (libc::M_MMAP_THRESHOLD, 9 * 256 * 1024),
            (libc::M_ARENA_MAX, 2),
            (libc::M_TRIM_THRESHOLD, 8 * 1024 * 1024),
        ],
    });
    #[cfg(not(all(target_os = "linux", target_env = "gnu")))]
    let _ = free;
}

#[cfg(all(target_os = "linux", target_env = "gnu"))]
#[expect(unsafe_code, reason = "no safe function reaches these settings")]
fn set_allocator(settings: [(i32, i32); 3]) {
    for (setting, value) in settings {
        // SAFETY: sets a number inside the allocator; nothing runs beside this thread yet.
        let accepted = unsafe { libc::mallopt(setting, value) };
        debug_assert_eq!(accepted, 1, "glibc knows the setting and takes the value");
    }
}

/// A core file would hold the token, and records.
#[expect(unsafe_code, reason = "no safe function reaches this limit")]
fn forbid_core_dumps() {
    let none = libc::rlimit {
        rlim_cur: 0,
        rlim_max: 0,
    };
    // SAFETY: reads a struct that outlives the call. A limit can always be lowered.
    unsafe { libc::setrlimit(libc::RLIMIT_CORE, &raw const none) };
}

/// Variables of the network, which libraries read by themselves.
const OF_NETWORK: [&str; 10] = [
    "HTTPS_PROXY",
    "https_proxy",
    "HTTP_PROXY",
    "http_proxy",
    "ALL_PROXY",
    "all_proxy",
    "NO_PROXY",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
];
/// In its presence libraries take the program for one that a web server runs, and pass over every proxy.
const OF_WEB_SERVERS: &str = "REQUEST_METHOD";

/// Takes variables away that would switch off what others say: an empty one is one that is not set, and to
/// libraries it would hide the one in small letters, or be a file of authorities.
#[expect(unsafe_code, reason = "no safe function takes a variable away")]
#[expect(
    clippy::disallowed_methods,
    reason = "libraries read these, not this program"
)]
fn drop_variables() {
    let is_empty = |name: &&str| std::env::var_os(name).is_some_and(|value| value.is_empty());
    let empty = OF_NETWORK.into_iter().filter(is_empty);
    for name in empty.chain([OF_WEB_SERVERS]) {
        // SAFETY: nothing runs beside this thread yet.
        unsafe { std::env::remove_var(name) };
    }
}

/// Starts the runtime and the first of the threads that do what may block. Later ones are a gain, but
/// where the system gives no more, those that are there do all of it.
pub(crate) fn start_runtime() -> Result<Runtime, JobError> {
    let report_panic = panic::take_hook();
    // The runtime panics where it gets no thread, and its unwinding waits for those that it got.
    panic::set_hook(Box::new(|_| end_without_threads()));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .max_blocking_threads(BLOCKING_THREADS)
        .thread_keep_alive(KEEP_THREADS)
        .build();
    if let Ok(runtime) = &runtime {
        drop(runtime.spawn_blocking(|| ()));
    }
    panic::set_hook(report_panic);
    runtime.map_err(no_runtime)
}

fn no_runtime(source: io::Error) -> JobError {
    let doing = "start the runtime";
    JobError::System { doing, source }
}

#[expect(clippy::exit, reason = "nothing has begun yet")]
fn end_without_threads() {
    let error = no_runtime(io::Error::other("the system gives no more threads"));
    complain(&error);
    std::process::exit(i32::from(error.kind().exit_code()));
}
