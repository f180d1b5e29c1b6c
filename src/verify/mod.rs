//! Whether a lake holds what its commits say, whole, and nothing else.
//!
//! Runs may be at work meanwhile. What looks like nobody's is therefore looked at again before it is
//! called so, in an order that is safe: a file is published after its attempt is recorded, and the
//! attempt goes only after the commit is made.

mod asked;
mod deep;
mod finding;
mod flow;
mod lake;
mod names;
mod reading;
mod slice;
mod sound;
mod table;
mod unnamed;
mod verification;

pub use asked::{Depth, Sweep};
pub use finding::{Finding, FindingKind};
pub use flow::verify;
pub use verification::Verification;
