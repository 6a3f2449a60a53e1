//! Collects what one turn of the server produces, in the order in which it must take effect.
//!
//! Not a queue between turns: the shell empties it at the end of each. Invariant: what waits for a job's answer is not in
//! it, and jobs that write stand in it in the order in which they must be written.

use std::mem;

use str0m::net::Protocol;

use crate::audit::Entry;
use crate::keys::{ConnKey, JobKey};
use crate::path::Path;

/// One datagram to send from `path.local` to `path.remote`.
#[derive(Debug)]
pub struct Datagram {
    pub path: Path,
    pub contents: Vec<u8>,
}

/// What may block, and so is done elsewhere; the answer comes through [`Server::handle_reply`](crate::server::Server::handle_reply).
#[derive(Debug)]
pub enum Job {
    /// Make this entry durable, after those that were to be written before.
    Write(Entry),
    /// Read the file with this plain name that a certificate authority asks for.
    ReadChallenge(String),
}

/// The answer to a [`Job`].
#[derive(Debug)]
pub enum Reply {
    Written(Result<(), NotWritten>),
    /// The contents of the file, where there is one.
    Challenge(Option<Vec<u8>>),
}

/// An entry is not durable, and will not be: whoever was to write it says why in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the entry could not be written down")]
pub struct NotWritten;

/// One thing for the shell to do.
#[derive(Debug)]
pub enum Item {
    /// Send this datagram.
    Datagram(Datagram),
    /// This conn has bytes to write, or must be closed: ask `pending_write` and `should_close`.
    Conn(ConnKey),
    /// Have this done elsewhere, and tell the answer under this name.
    Job(JobKey, Job),
}

/// What one turn produces. Reused from turn to turn, so that its buffer is allocated once.
#[derive(Debug, Default)]
pub struct Outbox {
    items: Vec<Item>,
    /// Datagrams that leave over TCP: the core queues them at their conns before its caller sees the outbox.
    framed: Vec<Datagram>,
    /// How many datagrams were to leave and did not, because nothing proves who is where they go to.
    withheld: u64,
}

impl Outbox {
    /// Returns an empty outbox.
    pub fn new() -> Outbox {
        Outbox::default()
    }

    /// Appends a datagram.
    pub fn send(&mut self, path: Path, contents: Vec<u8>) {
        let datagram = Datagram { path, contents };
        match path.proto {
            Protocol::Tcp => self.framed.push(datagram),
            Protocol::Udp | Protocol::SslTcp | Protocol::Tls => self.items.push(Item::Datagram(datagram)),
        }
    }

    /// Counts a datagram that does not leave, because nothing proves who is where it goes to.
    pub fn withhold(&mut self) {
        self.withheld += 1;
    }

    /// Returns how many did not leave since this was asked last.
    pub fn take_withheld(&mut self) -> u64 {
        mem::take(&mut self.withheld)
    }

    /// Moves the datagrams that leave over TCP to an empty list, in order.
    pub fn take_framed(&mut self, taken: &mut Vec<Datagram>) {
        mem::swap(&mut self.framed, taken);
    }

    /// Appends a job; its answer is expected under this name.
    pub fn job(&mut self, key: JobKey, job: Job) {
        self.items.push(Item::Job(key, job));
    }

    /// Names a conn that wants the shell's attention.
    pub fn touch(&mut self, conn: ConnKey) {
        if !matches!(self.items.last(), Some(Item::Conn(last)) if *last == conn) {
            self.items.push(Item::Conn(conn));
        }
    }

    /// Removes and yields everything, in order.
    pub fn drain(&mut self) -> impl Iterator<Item = Item> + '_ {
        self.items.drain(..)
    }

    /// Returns how many things there are to do.
    pub fn len(&self) -> usize {
        self.items.len() + self.framed.len()
    }

    /// Tells whether there is nothing to do.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}
