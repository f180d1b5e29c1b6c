//! What becomes of a lake whatever dies, loses or lies meanwhile.

mod compact; // small files of past days become large ones
mod conversions; // conversions that die, are interrupted or run at once
mod failpoints; // a run that dies, or meets an error, at every single call on the store
mod forged; // lakes into which somebody wrote, or out of which something was lost
mod losing; // another run commits a slice in the middle of a run
mod lost_objects; // what is left of a lake that has lost something is kept
mod power; // power cuts: what was not made durable is gone
mod simulation; // service, store and several runs at once, by seed
mod store; // what every store keeps to, be it memory, a disk or a server
mod table; // the Delta table, whatever becomes of its log
mod turns; // runs that leave each other their work
