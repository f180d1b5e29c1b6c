//! What each command does, says and leaves.

mod canary; // marked secrets, in everything that is said and kept
mod check; // whether a scan can run, question by question
mod cli; // the program as a user meets it: bad input, exit codes
mod connect; // what opens a lake's table in engines
mod convert; // saved files become a lake
mod damage; // what verify finds
mod deploy; // what is given to schedulers
mod docs; // what the documents tell people to run
mod exit_codes; // every exit code that is documented, by every command
mod footers; // Parquet that somebody else made, or changed
mod format; // what files are like, whoever reads them
mod hostile_lakes; // a lake in which somebody else has put things
mod installed; // what is installed beside the program
mod metrics; // what is left for a monitor
mod queries; // what people ask a lake, and seven engines answer
mod reports; // what commands say as JSON
mod schema; // what is derived from the schema
mod snapshots; // what people read, word by word
mod status; // what a lake holds, and how long it takes to say
mod terminal; // what a person sees of a scan at work
