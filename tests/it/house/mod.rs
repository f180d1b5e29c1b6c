//! What holds of the source and of its words.

mod layers; // imports between the rooms of src go one way
mod words; // the turns of phrase of help, errors and documents
