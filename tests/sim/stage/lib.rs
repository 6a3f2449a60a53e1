//! The stage of the simulation: the whole server and its clients in virtual time, on networks good and bad.
//!
//! What plays on it stands elsewhere: scenarios in `tests/sim`, and tests, benches and a fuzz target that need real
//! sessions without sockets. Invariant: nothing here waits, and one seed repeats a run.
#![allow(clippy::disallowed_methods, reason = "virtual time starts at some real moment")]

pub mod allocator;
pub mod browser;
pub mod check;
pub mod fuzz;
pub mod link;
pub mod scenario;
pub mod scene;
pub mod stranger;
pub mod world;
