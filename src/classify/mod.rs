//! Which records become rows, and where all the others go.

mod classifier;
mod rejects;

pub use classifier::{Classified, Classifier};
pub use rejects::RejectsWriter;
