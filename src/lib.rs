//! Live listening for field sales: salespeople stream their microphone from a page, supervisors listen from theirs.
//!
//! ```text
//!                 one thread, one port (TCP and UDP)
//!   UDP ───────► shell ── bytes + now ──► server ── outbox + deadline ──► shell ───► UDP, TCP, log
//!   TCP ───────►   (sockets, clock, signals)   (tables, rules, no I/O)     └─────► threads for what may block
//! ```
//!
//! - [`server`] is the core: it sees all tables and holds the rules. It opens no socket and reads no clock, so the
//!   whole of it runs in a simulation with virtual time (`tests/sim`).
//! - [`conn`] is one TCP client, [`peer`] one WebRTC session, [`broadcast`] one salesperson and who listens,
//!   [`demux`] finds the session of a datagram, [`speech`] says whether somebody speaks, [`arrivals`] how well they are
//!   received, [`token`] who may.
//! - [`audit`] is what is written down, [`journal`] what binds that together, [`history`] what it comes to and how that is
//!   asked for; [`wire`] turns bytes into meaning, [`words`] are those that all share; [`config`], [`deadlines`], [`rate`],
//!   [`quota`], [`outbox`], [`path`], [`stats`] and [`keys`] serve all.
//! - [`web`] is what browsers get; [`shell`] is the loop and its sockets, TLS too; [`host`] is what the machine is asked
//!   for at the start and by commands.
//! - [`docs`] is the guide for those who run the server or build on it.
//!
//! What holds whatever clients do: nobody is heard before their page has acknowledged who listens; no input from
//! one client changes what another hears; everything is bounded, and everything ends.
//!
//! Deliberately absent: decoding or mixing of audio, threads that share state, async runtimes, a mode without tokens.

pub mod arrivals;
pub mod audit;
pub mod broadcast;
pub mod config;
pub mod conn;
pub mod deadlines;
pub mod demux;
pub mod docs;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod history;
pub mod host;
pub mod journal;
pub mod keys;
pub mod outbox;
pub mod path;
pub mod peer;
pub mod quota;
pub mod rate;
pub mod server;
pub mod shell;
pub mod speech;
pub mod stats;
pub mod token;
pub mod web;
pub mod wire;
pub mod words;
