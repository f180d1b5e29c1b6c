//! The simulated tenant as a program of its own.
fn main() {}
