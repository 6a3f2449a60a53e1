//! One TCP client's socket, plain or with TLS on it.
//!
//! The core sees the same bytes either way. What it queued counts as written only once the socket took it, encrypted
//! or not, so all bounds and deadlines of a slow client are the core's. Invariant: TLS holds at most one chunk on its
//! way out, and on its way in so much as one record takes.

use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::time::Instant;

use mio::net::TcpStream;
use rustls::ServerConnection;

use super::records::Records;
use super::tls::Tls;
use super::{Turn, monotonic, unsent};
use crate::keys::ConnKey;
use crate::wire::sniff::{Protocol, sniff};

/// How much is written to one client before others have their turn, in bytes.
const WRITE_BYTES_PER_FLUSH: usize = 512 * 1024;

/// How much is encrypted at once, in bytes: it waits a second time, in TLS, until the socket takes it.
const CHUNK_BYTES: usize = 4096;

/// What TLS takes from the socket in one read, and keeps room for, in bytes.
const TLS_READ_BYTES: usize = 4096;

/// How much may come before there is something to read in it, in bytes: a record is of 16 KiB and some more at most
/// (RFC 8446 §5.2), and all that a client says in its handshake is shorter.
const UNDECRYPTED_BYTES_MAX: usize = 20 * 1024;

/// A client's socket and what is known of it.
pub(super) struct Stream {
    pub(super) socket: TcpStream,
    transport: Transport,
    /// Stands in the queue of those who may have something to read.
    pub(super) is_queued: bool,
    /// Stands in the queue of those who may have something to be written.
    pub(super) is_unflushed: bool,
    /// Stands in the list of those that are looked at again after a while.
    pub(super) is_held: bool,
    pub(super) is_writable: bool,
    /// The client sent its last byte; it is hung up once what it asked for is written.
    pub(super) has_ended: bool,
}

/// What carries a client's bytes.
enum Transport {
    /// Its first byte will tell.
    Unknown,
    Plain,
    Encrypted(Box<Encrypted>),
}

struct Encrypted {
    session: ServerConnection,
    is_established: bool,
    /// What came since there was something to read, in bytes.
    undecrypted_bytes: usize,
    records: Records,
    /// The most that waited since a record was complete and nothing else waited, in bytes: TLS gives room back no sooner.
    waited_bytes: usize,
    /// How much of what the core has queued is encrypted and waits for the socket, in bytes.
    taken: usize,
    /// What the core knows of [`Encrypted::held_bytes`].
    told_bytes: usize,
}

/// How a read went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Progress {
    /// There may be more to read.
    More,
    /// The client sent its last byte.
    Ended,
    /// What came is no TLS of ours; the client was told why.
    Broken,
}

/// How a write went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Written {
    /// The socket took all, or will say when it takes more.
    Enough,
    /// The kernel has as much as it may have, and will not say when it has less.
    Held,
}

impl Stream {
    /// Takes over the socket of a new client, which may want TLS where there is a certificate.
    pub(super) fn new(socket: TcpStream, has_tls: bool) -> Stream {
        let transport = if has_tls { Transport::Unknown } else { Transport::Plain };
        Stream {
            socket,
            transport,
            is_queued: false,
            is_unflushed: false,
            is_held: false,
            is_writable: true,
            has_ended: false,
        }
    }

    /// Reads once, and hands what it says to the core.
    ///
    /// # Errors
    /// The socket's; one that would block had nothing more.
    pub(super) fn read(
        &mut self,
        turn: &mut Turn<'_>,
        conn: ConnKey,
        buffer: &mut [u8],
        tls: Option<&Tls>,
    ) -> io::Result<Progress> {
        if let (Transport::Unknown, Some(tls)) = (&self.transport, tls) {
            let mut first = [0];
            if self.socket.peek(&mut first)? == 0 {
                return Ok(Progress::Ended);
            }
            self.transport = match sniff(first[0]) {
                Protocol::Tls => Transport::Encrypted(Box::new(Encrypted::new(tls))),
                Protocol::Http | Protocol::Framed => Transport::Plain,
            };
        }
        match &mut self.transport {
            Transport::Unknown | Transport::Plain => match self.socket.read(buffer)? {
                0 => Ok(Progress::Ended),
                length => {
                    turn.server.handle_bytes(turn.now, conn, &buffer[..length], turn.out);
                    Ok(Progress::More)
                }
            },
            Transport::Encrypted(encrypted) => encrypted.read(&mut self.socket, turn, conn, buffer),
        }
    }

    /// Writes what the core has for the client, until it would block or there was enough for now.
    ///
    /// # Errors
    /// The socket's, but not that it would block.
    pub(super) fn write_pending(
        &mut self,
        turn: &mut Turn<'_>,
        conn: ConnKey,
        until: Instant,
    ) -> io::Result<Written> {
        let result = self.write_until(turn, conn, until);
        if let Transport::Encrypted(encrypted) = &mut self.transport {
            encrypted.tell_held(turn, conn);
        }
        result
    }

    fn write_until(&mut self, turn: &mut Turn<'_>, conn: ConnKey, until: Instant) -> io::Result<Written> {
        let mut written = 0;
        while self.is_writable {
            let step = match &mut self.transport {
                Transport::Encrypted(encrypted) => encrypted.write(&mut self.socket, turn, conn),
                Transport::Unknown | Transport::Plain => match turn.server.pending_write(conn) {
                    [] => Ok(0),
                    _ if !unsent::has_room(&self.socket, turn.server.unsent(conn)) => return Ok(Written::Held),
                    bytes => self.socket.write(bytes),
                },
            };
            match step {
                Ok(0) => return Ok(Written::Enough),
                Ok(length) => {
                    written += length;
                    turn.server.handle_written(turn.now, conn, length, turn.out);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => self.is_writable = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
            // The core serves what waited for this write, which may cost more than the write.
            if written >= WRITE_BYTES_PER_FLUSH || monotonic() >= until {
                turn.out.touch(conn);
                return Ok(Written::Enough);
            }
        }
        Ok(Written::Enough)
    }

    /// Tells the client, as far as the socket takes it at once, that nothing more follows (RFC 8446 §6.1).
    pub(super) fn say_goodbye(&mut self) {
        if let Transport::Encrypted(encrypted) = &mut self.transport {
            encrypted.session.send_close_notify();
            // Who is gone, or does not read, misses nothing.
            let _ = encrypted.flush(&mut self.socket);
        }
    }
}

impl Encrypted {
    fn new(tls: &Tls) -> Encrypted {
        let mut session = tls.accept();
        session.set_buffer_limit(Some(CHUNK_BYTES));
        Encrypted {
            session,
            is_established: false,
            undecrypted_bytes: 0,
            records: Records::default(),
            waited_bytes: 0,
            taken: 0,
            told_bytes: 0,
        }
    }

    fn read(
        &mut self,
        socket: &mut TcpStream,
        turn: &mut Turn<'_>,
        conn: ConnKey,
        buffer: &mut [u8],
    ) -> io::Result<Progress> {
        let mut chunk = [0; TLS_READ_BYTES];
        let length = socket.read(&mut chunk)?;
        if length == 0 {
            return Ok(Progress::Ended);
        }
        let mut came = &chunk[..length];
        self.undecrypted_bytes += length;
        self.waited_bytes =
            self.waited_bytes.max(self.undecrypted_bytes.max(self.records.pending_bytes() + length));
        self.records.push(came);
        let mut progress = Progress::More;
        while !came.is_empty() && progress == Progress::More {
            // Where a long record comes to its end there is room for a part of this only, until that is read.
            self.session.read_tls(&mut came)?;
            progress = self.take_in(turn, conn, buffer)?;
        }
        if self.undecrypted_bytes == 0 && self.records.pending_bytes() == 0 {
            self.waited_bytes = 0;
        }
        self.tell_held(turn, conn);
        if self.undecrypted_bytes > UNDECRYPTED_BYTES_MAX {
            log::debug!(target: "http", "too much that says nothing conn={conn:?}");
            return Ok(Progress::Broken);
        }
        Ok(progress)
    }

    /// Decrypts what came, and hands what it says to the core.
    fn take_in(&mut self, turn: &mut Turn<'_>, conn: ConnKey, buffer: &mut [u8]) -> io::Result<Progress> {
        if let Err(error) = self.session.process_new_packets() {
            log::debug!(target: "http", "no TLS of ours conn={conn:?} error={error}");
            return Ok(Progress::Broken);
        }
        if !self.is_established && !self.session.is_handshaking() {
            self.is_established = true;
            self.undecrypted_bytes = 0;
            turn.server.handle_secured(turn.now, conn, turn.out);
        }
        if self.session.wants_write() {
            turn.out.touch(conn);
        }
        loop {
            match self.session.reader().read(buffer) {
                Ok(0) => return Ok(Progress::Ended),
                Ok(length) => {
                    self.undecrypted_bytes = 0;
                    turn.server.handle_bytes(turn.now, conn, &buffer[..length], turn.out);
                }
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(Progress::More),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns what TLS holds beyond what it keeps for every client: its buffer doubles where it is too small.
    fn held_bytes(&self) -> usize {
        let outgoing = if self.taken > 0 { CHUNK_BYTES } else { 0 };
        (self.waited_bytes + TLS_READ_BYTES).next_power_of_two() - TLS_READ_BYTES + outgoing
    }

    fn tell_held(&mut self, turn: &mut Turn<'_>, conn: ConnKey) {
        let held = self.held_bytes();
        if mem::replace(&mut self.told_bytes, held) != held {
            turn.server.handle_tls_bytes(turn.now, conn, held, turn.out);
        }
    }

    /// Encrypts and writes one chunk; returns how much of what the core has queued is written by now, 0 when there is
    /// nothing to do.
    fn write(&mut self, socket: &mut TcpStream, turn: &mut Turn<'_>, conn: ConnKey) -> io::Result<usize> {
        self.flush(socket)?;
        if self.taken == 0 && self.is_established {
            let bytes = turn.server.pending_write(conn);
            self.taken = self.session.writer().write(&bytes[..bytes.len().min(CHUNK_BYTES)])?;
            self.flush(socket)?;
        }
        Ok(mem::take(&mut self.taken))
    }

    fn flush(&mut self, socket: &mut TcpStream) -> io::Result<()> {
        while self.session.wants_write() {
            if self.session.write_tls(socket)? == 0 {
                return Err(ErrorKind::WriteZero.into());
            }
        }
        Ok(())
    }
}
