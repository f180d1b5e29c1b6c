//! Which records become rows, and where all the others go; which slice of a span gets which.

mod classifier;
mod known;
mod pairs;
mod rejects;
mod shares;

pub use classifier::{Classified, Classifier, Fingerprints, RecordText, SameBy};
pub use rejects::RejectsWriter;
pub(crate) use shares::{Shares, Unfit};
