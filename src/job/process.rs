//! Which process a run is, and whether another run's process of this machine is still there.

use std::fs;

use serde::{Deserialize, Serialize};

/// A process, told apart from all others that ever had its number. Two machines, or two containers,
/// never have the same host, start of the system and namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct ProcessId {
    /// The machine's name.
    host: String,
    /// The start of its system, an id.
    boot: String,
    /// The namespace in which the number counts.
    namespace: String,
    /// The process's number.
    pid: u32,
    /// When it started, in ticks of the system.
    started: u64,
}

/// What is known of another process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It runs on this machine.
    Lives,
    /// It ran on this machine, and does not any more.
    Dead,
    /// It is of another machine, or this one does not tell.
    Unknown,
}

/// The processes of this machine, as far as they can be seen.
#[derive(Debug, Clone, Default)]
pub struct Machine {
    own: Option<ProcessId>,
}

impl Machine {
    /// The machine that this process runs on. Where the system does not tell (no Linux, no `/proc`),
    /// every process is unknown.
    pub fn this() -> Self {
        Self {
            own: this_process(),
        }
    }

    /// A machine that tells nothing.
    pub fn untold() -> Self {
        Self::default()
    }

    /// This process.
    pub fn own(&self) -> Option<&ProcessId> {
        self.own.as_ref()
    }

    /// What has become of a process.
    pub fn fate(&self, other: &ProcessId) -> Fate {
        let is_here = self.own.as_ref().is_some_and(|own| {
            (&own.host, &own.boot, &own.namespace) == (&other.host, &other.boot, &other.namespace)
        });
        if !is_here {
            return Fate::Unknown;
        }
        match fs::read_to_string(format!("/proc/{}/stat", other.pid)) {
            Ok(stat) => match start_and_state(&stat) {
                Some((started, state)) if started == other.started && !"ZX".contains(state) => {
                    Fate::Lives
                }
                Some(_) => Fate::Dead,
                None => Fate::Unknown,
            },
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Fate::Dead,
            Err(_) => Fate::Unknown,
        }
    }
}

fn this_process() -> Option<ProcessId> {
    let line = |path: &str| Some(fs::read_to_string(path).ok()?.trim().to_owned());
    let (started, _) = start_and_state(&line("/proc/self/stat")?)?;
    let namespace = fs::read_link("/proc/self/ns/pid").ok()?;
    Some(ProcessId {
        host: line("/proc/sys/kernel/hostname")?,
        boot: line("/proc/sys/kernel/random/boot_id")?,
        namespace: namespace.to_str()?.to_owned(),
        pid: std::process::id(),
        started,
    })
}

/// Reads `/proc/<pid>/stat` (proc(5)): the name, which may hold anything, stands in brackets; the
/// state is the first word after it and the start the twentieth.
fn start_and_state(stat: &str) -> Option<(u64, char)> {
    let (_, rest) = stat.rsplit_once(") ")?;
    let mut words = rest.split(' ');
    let state = words.next()?.chars().next()?;
    Some((words.nth(18)?.parse().ok()?, state))
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn this_process_lives_and_one_that_had_its_number_before_does_not() {
        let machine = Machine::this();
        let own = machine.own().unwrap().clone();
        assert_eq!(machine.fate(&own), Fate::Lives);
        let before = ProcessId {
            started: own.started - 1,
            ..own.clone()
        };
        assert_eq!(machine.fate(&before), Fate::Dead);
        let elsewhere = ProcessId {
            boot: "another".to_owned(),
            ..own.clone()
        };
        assert_eq!(machine.fate(&elsewhere), Fate::Unknown);
        assert_eq!(Machine::untold().fate(&own), Fate::Unknown);
    }

    #[test]
    fn a_process_that_ended_is_dead_even_before_anybody_asked_how() {
        let machine = Machine::this();
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let stat = || fs::read_to_string(format!("/proc/{}/stat", child.id())).unwrap();
        let (started, mut state) = start_and_state(&stat()).unwrap();
        while state != 'Z' {
            std::thread::yield_now();
            (_, state) = start_and_state(&stat()).unwrap();
        }
        let ended = ProcessId {
            pid: child.id(),
            started,
            ..machine.own().unwrap().clone()
        };
        assert_eq!(machine.fate(&ended), Fate::Dead);
        child.wait().unwrap();
        assert_eq!(machine.fate(&ended), Fate::Dead);
    }

    #[test]
    fn a_name_with_brackets_is_no_obstacle() {
        let stat = "7 (a) b) (c) S 1 7 7 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4711 1 1";
        assert_eq!(start_and_state(stat), Some((4711, 'S')));
    }
}
