//! Real processes under the weather of a real machine.

mod clocks; // a wall clock that is wrong
mod compact_processes; // the same by real processes
mod crash; // kill -9 at random moments of a real process, and before every call on its disk
mod disks; // full, broken, read-only and hanging disks under a real process
mod memory; // records that are made to take much memory
mod networks; // proxies, authorities of a company, lines that break
mod processes; // several real processes over one lake
mod signals; // SIGTERM and SIGINT at any moment
