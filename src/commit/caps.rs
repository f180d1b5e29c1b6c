//! The most bytes with which an object below `_mdca/` is read: someone who may write into a lake must not
//! decide how much memory its readers need. What is larger is damage, and is not read.

const MIB: u64 = 1024 * 1024;

/// `lake.json`: little but the filters, which are typed by hand.
pub const IDENTITY_BYTES: u64 = MIB;
/// A commit: some 400 bytes for each of its files, of which an hour has tens; here is room for
/// 160,000.
pub const COMMIT_BYTES: u64 = 64 * MIB;
/// An attempt: its commit, and a line around it.
pub const ATTEMPT_BYTES: u64 = COMMIT_BYTES + MIB;
/// A compaction: some 200 bytes for each file that it takes.
pub const COMPACTION_BYTES: u64 = 64 * MIB;
/// An attempt at one, and a line around it.
pub const COMPACTION_ATTEMPT_BYTES: u64 = COMPACTION_BYTES + MIB;
/// A marker of an unproven slice: an error's text, and a line around it.
pub const UNPROVEN_BYTES: u64 = MIB;
/// A run's report: some 300 bytes for each slice that failed, and the unknown fields.
pub const REPORT_BYTES: u64 = 16 * MIB;
/// What of a lake was changed: a line.
pub const CHANGE_BYTES: u64 = MIB;
