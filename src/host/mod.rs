//! Asks the machine for what the server and its commands need before they run: files, addresses, chance, a log.
//!
//! Not the loop, which owns sockets and clocks. Invariant: what is made here, as a secret or a certificate, is kept, and
//! nobody but its owner can read it.

pub mod addresses;
pub mod journal;
pub mod logging;
pub mod owner;
pub mod rewrite;
pub mod secret;
pub mod self_signed;
pub mod threads;
pub mod watch;
pub mod webroot;
pub mod zone;
