//! Collects what one turn of the server produces, in the order in which it must take effect.
//!
//! Not a queue between turns: the shell empties it at the end of each. What datagrams contain is written one behind the other
//! into one buffer, where it is read from when it is sent. Invariant: what waits for a job's answer is not in it, and jobs
//! that write stand in it in the order in which they must be written.

use std::mem;
use std::ops::Range;

use str0m::net::Protocol;

use crate::audit::{Entry, HistoryDoubt};
use crate::history::{Piece, Question, Seen};
use crate::keys::{ConnKey, JobKey};
use crate::path::Path;
use crate::words::{JournalFault, Restoration};

/// How much room for what datagrams contain is kept from turn to turn, in bytes: a packet's to thousands.
const BYTES_KEPT: usize = 1 << 20;

/// One datagram to send from `path.local` to `path.remote`.
#[derive(Debug)]
pub struct Datagram {
    pub path: Path,
    at: Range<usize>,
}

impl Datagram {
    /// Returns what it contains, where `bytes` are those of the outbox that it was in.
    #[inline]
    pub fn contents<'a>(&self, bytes: &'a [u8]) -> &'a [u8] {
        &bytes[self.at.clone()]
    }
}

/// What may block, and so is done elsewhere; the answer comes through [`Server::handle_reply`](crate::server::Server::handle_reply).
#[derive(Debug)]
pub enum Job {
    /// Make this entry durable, after those that were to be written before.
    Write(Entry),
    /// Read the file with this plain name that a certificate authority asks for.
    ReadChallenge(String),
    /// Answer a question about the past.
    ReadHistory(Box<Question>),
    /// Say which salespeople were here since a moment, those of the last time first, and so many at the most.
    ReadSeen { since_ms: u64, people_max: usize },
    /// Read the newest note of the journal, and prove that the journal contains what this one says, which a page kept.
    ProveNote(Option<String>),
}

/// The answer to a [`Job`].
#[derive(Debug)]
pub enum Reply {
    Written(Result<(), NotWritten>),
    /// The contents of the file, where there is one.
    Challenge(Option<Vec<u8>>),
    /// The next piece of the answer; absent where it can't be read.
    History(Option<Piece>),
    /// Nobody where it can't be read.
    Seen(Vec<Seen>),
    /// Nothing where the journal can't be read for now.
    NoteProved(Option<Proved>),
}

/// What a page is told of the journal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proved {
    /// The newest note; none where the journal has no good one.
    pub newest: Option<String>,
    /// Of the note that the page kept, where it brought one.
    pub proof: Option<Proof>,
}

/// What the journal says of a note that somebody kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proof {
    /// The rows have the chain there after so many as the note says.
    Contained { chain: [u8; 32] },
    /// The note was signed here, and the rows say something else.
    Doubted(HistoryDoubt),
    /// Another key signed it, which anybody may have.
    OtherKey,
    /// It is no note, or its signature does not fit it.
    Unreadable,
}

/// What the journal's writer says of it, through [`Server::handle_journal`](crate::server::Server::handle_journal).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct JournalState {
    /// How many entries were ever written to it.
    pub entries: u64,
    /// What its files take.
    pub bytes: u64,
    /// What its disk has room for; absent where nobody can tell.
    pub free_bytes: Option<u64>,
    /// Why it can't be written.
    pub fault: Option<JournalFault>,
    /// The restoration that nobody has confirmed yet that they know of.
    pub restored: Option<Restoration>,
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

/// What one turn produces. Reused from turn to turn, so that its buffers are allocated once.
#[derive(Debug, Default)]
pub struct Outbox {
    items: Vec<Item>,
    /// What all datagrams contain.
    bytes: Vec<u8>,
    /// Nothing in `bytes` will be asked for any more.
    is_drained: bool,
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
    pub fn send(&mut self, path: Path, contents: &[u8]) {
        let at = self.reserve(contents.len());
        self.bytes[at.clone()].copy_from_slice(contents);
        self.push(Datagram { path, at });
    }

    /// Appends a datagram of so many bytes, zeros at first, that `write` writes in its place; without it where that fails.
    #[inline]
    pub fn fill(&mut self, path: Path, length: usize, write: impl FnOnce(&mut [u8]) -> Option<()>) -> Option<()> {
        let at = self.reserve(length);
        if write(&mut self.bytes[at.clone()]).is_none() {
            self.bytes.truncate(at.start);
            return None;
        }
        self.push(Datagram { path, at });
        Some(())
    }

    #[inline]
    fn reserve(&mut self, length: usize) -> Range<usize> {
        if mem::take(&mut self.is_drained) {
            self.bytes.clear();
            self.bytes.shrink_to(BYTES_KEPT);
        }
        let start = self.bytes.len();
        self.bytes.resize(start + length, 0);
        start..start + length
    }

    #[inline]
    fn push(&mut self, datagram: Datagram) {
        match datagram.path.proto {
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

    /// Moves the datagrams that leave over TCP to an empty list, in order; returns the bytes that they are in.
    pub fn take_framed(&mut self, taken: &mut Vec<Datagram>) -> &[u8] {
        mem::swap(&mut self.framed, taken);
        &self.bytes
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

    /// Removes and yields everything, in order; returns the bytes that its datagrams are in, too.
    pub fn drain(&mut self) -> (impl Iterator<Item = Item> + '_, &[u8]) {
        self.is_drained = self.framed.is_empty();
        (self.items.drain(..), &self.bytes)
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

#[cfg(test)]
mod tests {
    use std::net::SocketAddr;

    use super::*;

    fn path(proto: Protocol) -> Path {
        let [remote, local] = [1, 8080].map(|port| SocketAddr::from(([192, 0, 2, 1], port)));
        Path { proto, remote, local }
    }

    fn drained(out: &mut Outbox) -> Vec<Vec<u8>> {
        let (items, bytes) = out.drain();
        let contents = |item| match item {
            Item::Datagram(datagram) => Some(datagram.contents(bytes).to_vec()),
            Item::Conn(_) | Item::Job(..) => None,
        };
        items.filter_map(contents).collect()
    }

    #[test]
    fn datagrams_share_a_buffer_and_leave_nothing_in_it() {
        let (mut out, udp) = (Outbox::new(), path(Protocol::Udp));
        for turn in 0..3 {
            out.touch(ConnKey::default());
            out.send(udp, &[turn, 1]);
            assert_eq!(out.fill(udp, 5, |_| None), None);
            assert_eq!(
                out.fill(udp, 3, |to| {
                    to[1] = 7;
                    Some(())
                }),
                Some(())
            );
            out.send(udp, &[]);
            assert_eq!(drained(&mut out), [&[turn, 1][..], &[0, 7, 0], &[]]);
            assert!(out.bytes.len() <= 5, "what is drained is overwritten");
        }
        out.send(udp, &vec![1; 2 * BYTES_KEPT]);
        drained(&mut out);
        out.send(udp, &[2]);
        assert!(out.bytes.capacity() <= BYTES_KEPT);
    }

    #[test]
    fn what_leaves_over_tcp_is_there_until_it_is_taken() {
        let (mut out, mut taken) = (Outbox::new(), Vec::new());
        out.send(path(Protocol::Tcp), &[1, 2]);
        out.send(path(Protocol::Udp), &[3]);
        assert_eq!(drained(&mut out), [[3]]);
        out.send(path(Protocol::Udp), &[4, 5]);
        let bytes = out.take_framed(&mut taken);
        assert_eq!(taken[0].contents(bytes), [1, 2]);
        assert_eq!(drained(&mut out), [[4, 5]]);
    }
}
