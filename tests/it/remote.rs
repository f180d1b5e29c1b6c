//! The program on real object stores.
