//! Memory: what a run may take where it runs, and who may hold a page at a time.

use std::fs;

use tokio::sync::{Semaphore, SemaphorePermit};

/// What `--memory-limit` is where neither the user nor a container says less.
pub const DEFAULT_LIMIT_BYTES: u64 = 256 * 1024 * 1024;

/// Where control groups are mounted.
const GROUPS: &str = "/sys/fs/cgroup";

/// Half of what the container may take, at most [`DEFAULT_LIMIT_BYTES`].
pub fn default_limit_bytes() -> u64 {
    let own_groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    container_limit_bytes(&own_groups, |path| fs::read_to_string(path).ok())
        .map_or(DEFAULT_LIMIT_BYTES, |bytes| {
            (bytes / 2).min(DEFAULT_LIMIT_BYTES)
        })
}

/// A slice may take a quarter of the memory to tell its records apart: 24 bytes for each, at most.
const BYTES_PER_RECORD: u64 = 96;

/// What a run may hold at once, of one limit. Half is for what slices hold: rows that wait, and what
/// tells records apart. The other half is for pages or chunks, their columns and the row group that is
/// being written.
#[derive(Debug, Clone, Copy)]
pub struct MemoryShares {
    /// For the pages of all slices together, in bytes.
    pub page_bytes: u64,
    /// For what all slices hold beside their pages, in bytes.
    pub slices_bytes: u64,
    /// For the rows of one slice that wait, in bytes.
    pub buffer_bytes: usize,
    /// Answers above this are not fetched ahead, in bytes: one with its turn has a page; what is
    /// fetched ahead without a turn stays small.
    pub look_ahead_max_bytes: u64,
    /// A slice with more new records than this is given up.
    pub max_slice_records: u64,
    /// A page or chunk whose columns would take more is decoded in pieces, in bytes.
    pub max_batch_bytes: usize,
}

impl MemoryShares {
    /// The shares of so many bytes, for so many slices at once.
    pub fn of(limit_bytes: u64, parallel: usize) -> Self {
        let in_memory = |bytes: u64| usize::try_from(bytes).unwrap_or(usize::MAX);
        Self {
            page_bytes: limit_bytes / 2,
            slices_bytes: limit_bytes / 2,
            buffer_bytes: in_memory(limit_bytes / 2) / parallel,
            look_ahead_max_bytes: limit_bytes / 4 / parallel as u64,
            max_slice_records: limit_bytes / BYTES_PER_RECORD,
            max_batch_bytes: in_memory(limit_bytes / 8),
        }
    }
}

/// The least limit of the control groups of a process and of those above them, versions 1 and 2.
/// Inside of a container its own group may be mounted as the root.
fn container_limit_bytes(own_groups: &str, read: impl Fn(&str) -> Option<String>) -> Option<u64> {
    let mut least: Option<u64> = None;
    for line in own_groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, file) = if controllers.is_empty() {
            (GROUPS.to_owned(), "memory.max")
        } else if controllers
            .split(',')
            .any(|controller| controller == "memory")
        {
            (format!("{GROUPS}/memory"), "memory.limit_in_bytes")
        } else {
            continue;
        };
        let mut group = path.trim_end_matches('/');
        loop {
            // `max`, or a number near the largest there is, means no limit.
            let limit = read(&format!("{root}{group}/{file}"));
            if let Some(bytes) = limit.and_then(|text| text.trim().parse().ok()) {
                least = Some(least.map_or(bytes, |least| least.min(bytes)));
            }
            match group.rsplit_once('/') {
                Some((above, _)) => group = above,
                None => break,
            }
        }
    }
    least
}

/// What the largest page that the service usually answers with takes: 5,000 records of 4 KB; its
/// text, its columns, and what is on its way while it grows.
const PAGE_BYTES: u64 = 48 * 1024 * 1024;

/// Lets so many slices of a run hold a page as fit into the memory for pages; at least one.
#[derive(Debug)]
pub struct PageTurns(Semaphore);

impl PageTurns {
    /// Turns for so much memory for pages.
    pub fn new(bytes: u64) -> Self {
        let turns = usize::try_from(bytes / PAGE_BYTES).unwrap_or(usize::MAX);
        Self(Semaphore::new(turns.clamp(1, 1_024)))
    }

    /// Waits for a turn to fetch a page and to hold it until its rows are handed on.
    pub async fn wait(&self) -> SemaphorePermit<'_> {
        self.0.acquire().await.expect("it is never closed")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn the_least_limit_of_all_groups_counts_whatever_their_version() {
        let files = HashMap::from([
            (
                "/sys/fs/cgroup/memory/docker/x/memory.limit_in_bytes",
                "100663296\n",
            ),
            (
                "/sys/fs/cgroup/memory/memory.limit_in_bytes",
                "9223372036854771712\n",
            ),
            ("/sys/fs/cgroup/a/b/memory.max", "max\n"),
            ("/sys/fs/cgroup/a/memory.max", "50331648\n"),
            ("/sys/fs/cgroup/memory.max", "max\n"),
        ]);
        let limit = |groups: &str| {
            container_limit_bytes(groups, |path| files.get(path).map(|&text| text.to_owned()))
        };
        assert_eq!(
            limit("11:memory:/docker/x\n4:cpu,cpuacct:/docker/x"),
            Some(96 << 20)
        );
        // A container sees its own group as the root.
        assert_eq!(limit("0::/a/b"), Some(48 << 20));
        assert_eq!(limit("0::/"), None);
        assert_eq!(
            limit("5:memory:/elsewhere"),
            Some(9_223_372_036_854_771_712)
        );
        assert_eq!(limit(""), None);
        assert!((1..=DEFAULT_LIMIT_BYTES).contains(&default_limit_bytes()));
    }

    #[tokio::test]
    async fn as_many_hold_a_page_as_fit() {
        let turns = PageTurns::new(2 * PAGE_BYTES + 5);
        let first = turns.wait().await;
        let _second = turns.wait().await;
        assert!(turns.0.try_acquire().is_err());
        drop(first);
        drop(turns.wait().await);
        assert!(PageTurns::new(0).0.try_acquire().is_ok(), "at least one");
    }
}
