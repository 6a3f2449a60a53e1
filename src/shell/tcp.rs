//! Accepts TCP clients and moves their bytes between sockets and the core.
//!
//! Knows nothing of HTTP or WebSocket, nor of TLS, and holds no bytes between turns: queues are the core's. Readiness is
//! edge-triggered, so it is remembered here until a call would block. Invariant: each key in `streams` is one that
//! the core gave out and that was not hung up yet.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, Read, Write};
use std::mem;
use std::net::{Shutdown, SocketAddr};
use std::time::{Duration, Instant};

use mio::event::Event;
use mio::net::{TcpListener, TcpStream};
use mio::{Interest, Registry, Token};
use slotmap::{Key, KeyData, SecondaryMap};
use socket2::{Domain, Socket, Type};

use super::stream::{Progress, Stream, Written};
use super::tls::Tls;
use super::{TCP_TIME_PER_TURN, Turn, monotonic, unsent};
use crate::conn::Unsent;
use crate::host::addresses::canonical;
use crate::keys::ConnKey;
use crate::outbox::Outbox;
use crate::path::{Door, Ends};
use crate::server::{NO_ROOM, Server};

/// How many clients may wait to be accepted; the kernel cuts it to net.core.somaxconn.
const BACKLOG: i32 = 1024;

/// How much the kernel takes for a client beyond what is on its way, in bytes: what waits there is in no bound of ours.
const UNSENT_BYTES: u32 = 4096;

/// How many clients are accepted in one turn.
const ACCEPTS_PER_TURN: usize = 64;

/// How many reads are done in one turn, over all clients.
const READS_PER_TURN: usize = 128;

/// How much one read takes, in bytes.
const READ_BYTES: usize = 16 * 1024;

/// How long accepting rests after an error, which is mostly a lack of file descriptors.
const ACCEPT_REST: Duration = Duration::from_millis(100);

/// Descriptors that are no client's: sockets of ours, the log, and files that are read while the server runs. Clients
/// that took the last one would keep a revocation from being read.
const RESERVED_FILES: usize = 32;

/// Clients that may come before those are closed that made room for them, where few files may be open.
const NEWER_PART: usize = 8;

/// How long a client is left alone of which the kernel holds as much as it may: no event says when it holds less.
const HELD_REST: Duration = Duration::from_millis(20);

/// How long a socket that we closed may take to read our last bytes.
const LINGER: Duration = Duration::from_secs(1);

/// How many such sockets are kept; the oldest is dropped.
const LINGERING_MAX: usize = 256;

/// How much a client may have sent that nobody wanted to read, in reads; more is answered with a reset.
const DISCARDED_READS_MAX: usize = 16;

/// The listeners and all clients.
pub(super) struct Tcp {
    /// All of them, and where each leads to.
    listeners: Vec<(TcpListener, Door)>,
    /// Who is asked first: one where always somebody waits must not keep the others waiting.
    first_listener: usize,
    registry: Registry,
    streams: SecondaryMap<ConnKey, Stream>,
    /// Clients that may have something to read; each stands in it at most once.
    readable: VecDeque<ConnKey>,
    /// Clients for which the core may have something; each stands in it at most once.
    unflushed: VecDeque<ConnKey>,
    /// Clients that sent their last byte in this turn.
    ended: Vec<ConnKey>,
    /// Clients of which the kernel holds as much as it may, and when to look again.
    held: Vec<ConnKey>,
    release: Option<Instant>,
    lingering: VecDeque<Lingering>,
    accepting: Accepting,
    /// What clients may come encrypted with.
    tls: Option<Tls>,
    /// Clients and lingering sockets at one time.
    sockets_max: usize,
    buffer: Box<[u8]>,
}

/// A socket that is closed but for its client's last bytes.
struct Lingering {
    until: Instant,
    socket: TcpStream,
    unsent: Unsent,
}

/// Whether to call accept.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Accepting {
    /// Nobody waits, until the next event.
    Idle,
    /// Somebody may wait.
    Ready,
    /// The last call failed; somebody may wait.
    Resting { until: Instant },
}

/// Returns how many clients and lingering sockets a process has room for that may open so many files.
fn sockets_max(files_max: usize) -> usize {
    files_max.saturating_sub(RESERVED_FILES).max(files_max / 2)
}

/// Returns how many clients the core may have there: who makes room for a newer one is closed a little later.
pub(super) fn conns_max(files_max: usize) -> usize {
    let sockets_max = sockets_max(files_max);
    sockets_max - (sockets_max / NEWER_PART).min(ACCEPTS_PER_TURN)
}

/// Opens a non-blocking listener on `address`; one on `[::]` takes IPv4 too.
///
/// # Errors
/// The system's.
pub(super) fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    // A restart must not wait for old conns to leave TIME_WAIT; Linux still refuses a second listener.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    // Accepted sockets inherit it.
    socket.set_tcp_notsent_lowat(UNSENT_BYTES)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// Returns the token of a client; never one below 2^32, because slotmap keeps a version above 0 in the high half.
fn token_of(conn: ConnKey) -> Token {
    const { assert!(size_of::<usize>() == size_of::<u64>(), "a key must fit into a token") };
    Token(conn.data().as_ffi() as usize)
}

/// Tells whether a token is a client's.
pub(super) fn is_of_client(token: Token) -> bool {
    token.0 > u32::MAX as usize
}

impl Tcp {
    /// Takes over listeners made by [`listen`] and registers them, with tokens from `token` on, in a process that may open
    /// so many files.
    pub(super) fn new(
        listeners: Vec<(std::net::TcpListener, Door)>,
        registry: &Registry,
        token: Token,
        files_max: usize,
        tls: Option<Tls>,
    ) -> io::Result<Tcp> {
        let take_over = |(listener, door)| (TcpListener::from_std(listener), door);
        let mut listeners: Vec<_> = listeners.into_iter().map(take_over).collect();
        for (index, (listener, _)) in listeners.iter_mut().enumerate() {
            registry.register(listener, Token(token.0 + index), Interest::READABLE)?;
        }
        Ok(Tcp {
            listeners,
            first_listener: 0,
            registry: registry.try_clone()?,
            streams: SecondaryMap::new(),
            readable: VecDeque::new(),
            unflushed: VecDeque::new(),
            ended: Vec::new(),
            held: Vec::new(),
            release: None,
            lingering: VecDeque::new(),
            accepting: Accepting::Idle,
            tls,
            sockets_max: sockets_max(files_max),
            buffer: vec![0; READ_BYTES].into(),
        })
    }

    /// Remembers that clients wait to be accepted.
    pub(super) fn on_listener_event(&mut self) {
        if self.accepting == Accepting::Idle {
            self.accepting = Accepting::Ready;
        }
    }

    /// Remembers what a client's event says; an event of a client that is gone says nothing.
    pub(super) fn on_stream_event(&mut self, event: &Event, out: &mut Outbox) {
        let conn = ConnKey::from(KeyData::from_ffi(event.token().0 as u64));
        let Some(stream) = self.streams.get_mut(conn) else { return };
        if event.is_readable() || event.is_read_closed() || event.is_error() {
            if !stream.is_queued {
                self.readable.push_back(conn);
            }
            stream.is_queued = true;
        }
        if event.is_writable() || event.is_write_closed() || event.is_error() {
            stream.is_writable = true;
            out.touch(conn);
        }
    }

    /// Takes what changed in the files of the certificate: who connects from now on gets the new one, if it is of use.
    pub(super) fn renew_certificate(&mut self, certificate: Option<Vec<u8>>, key: Option<Vec<u8>>) {
        let Some(tls) = &mut self.tls else { return };
        match tls.renew(certificate, key) {
            Ok(()) => log::info!("certificate renewed: sha256={}", tls.fingerprint()),
            Err(error) => log::error!("{error}; the one from before stays: sha256={}", tls.fingerprint()),
        }
    }

    /// Returns when there is something to do without an event.
    pub(super) fn next_deadline(&self, now: Instant) -> Option<Instant> {
        if !self.readable.is_empty() || !self.unflushed.is_empty() || !self.ended.is_empty() {
            return Some(now);
        }
        let accept = match self.accepting {
            Accepting::Idle => None,
            Accepting::Ready => Some(now),
            Accepting::Resting { until } => Some(until),
        };
        let lingering = self.lingering.front().map(|lingering| lingering.until);
        accept.into_iter().chain(lingering).chain(self.release).min()
    }

    /// Accepts who waits, as far as one turn goes.
    pub(super) fn accept(&mut self, turn: &mut Turn<'_>) {
        match self.accepting {
            Accepting::Idle => return,
            Accepting::Resting { until } if turn.now < until => return,
            Accepting::Ready | Accepting::Resting { .. } => {}
        }
        let mut accepts_left = ACCEPTS_PER_TURN;
        for step in 0..self.listeners.len() {
            let index = (self.first_listener + step) % self.listeners.len();
            loop {
                if accepts_left == 0 {
                    self.first_listener = index + 1;
                    return;
                }
                accepts_left -= 1;
                if !self.has_room() {
                    self.accepting = Accepting::Ready;
                    return;
                }
                let (listener, door) = &self.listeners[index];
                let door = *door;
                match listener.accept() {
                    Ok((socket, remote)) => {
                        self.accepting = Accepting::Ready;
                        // Fails only for a client that is gone already.
                        let Ok(local) = socket.local_addr() else { continue };
                        self.admit(turn, socket, Ends { remote: canonical(remote), local: canonical(local), door });
                    }
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(error) if matches!(error.kind(), ErrorKind::Interrupted | ErrorKind::ConnectionAborted) => {
                    }
                    Err(error) => return self.rest_from_accepting(turn.now, &error),
                }
            }
        }
        self.accepting = Accepting::Idle;
    }

    /// Reads from clients, as far as one turn goes, each in its turn.
    pub(super) fn read(&mut self, turn: &mut Turn<'_>) {
        let until = monotonic() + TCP_TIME_PER_TURN;
        for count in 0..READS_PER_TURN {
            if count > 0 && monotonic() >= until {
                return;
            }
            let Some(conn) = self.readable.pop_front() else { return };
            let Some(stream) = self.streams.get_mut(conn) else { continue };
            match stream.read(turn, conn, &mut self.buffer, self.tls.as_ref()) {
                // Only a read that would block ends readiness: an end of stream may wait behind these bytes.
                Ok(Progress::More) => self.readable.push_back(conn),
                Ok(Progress::Ended) => {
                    stream.has_ended = true;
                    self.ended.push(conn);
                }
                Ok(Progress::Broken) => self.close(turn, conn),
                Err(error) if error.kind() == ErrorKind::WouldBlock => stream.is_queued = false,
                Err(error) if error.kind() == ErrorKind::Interrupted => self.readable.push_back(conn),
                Err(error) => {
                    log::debug!("client gone: {error}");
                    self.hang_up(turn, conn);
                }
            }
        }
    }

    /// Writes to those again that were held, if it is time.
    pub(super) fn release_held(&mut self, now: Instant) {
        if self.release.take_if(|at| *at <= now).is_none() {
            return;
        }
        for conn in mem::take(&mut self.held) {
            if let Some(stream) = self.streams.get_mut(conn) {
                stream.is_held = false;
                self.want_flush(conn);
            }
        }
    }

    /// Remembers that the core may have something for a client.
    pub(super) fn want_flush(&mut self, conn: ConnKey) {
        if let Some(stream) = self.streams.get_mut(conn)
            && !mem::replace(&mut stream.is_unflushed, true)
        {
            self.unflushed.push_back(conn);
        }
    }

    /// Tells whether something may wait to be written.
    pub(super) fn has_unflushed(&self) -> bool {
        !self.unflushed.is_empty()
    }

    /// Writes to clients, each in its turn, for so long; the rest is left to the next turn. Returns what is left of the
    /// time.
    pub(super) fn flush(&mut self, turn: &mut Turn<'_>, time: Duration) -> Duration {
        let until = monotonic() + time;
        // What one of them makes follow is the next round's.
        for _ in 0..self.unflushed.len() {
            if monotonic() >= until {
                break;
            }
            let Some(conn) = self.unflushed.pop_front() else { break };
            self.flush_one(turn, conn, until);
        }
        until.saturating_duration_since(monotonic())
    }

    /// Writes what the core has for a client, and closes it where the core says so.
    fn flush_one(&mut self, turn: &mut Turn<'_>, conn: ConnKey, until: Instant) {
        let Some(stream) = self.streams.get_mut(conn) else { return };
        stream.is_unflushed = false;
        if turn.server.unsent(conn) == Unsent::Void && unsent::unsent_bytes(&stream.socket) > 0 {
            return self.hang_up(turn, conn);
        }
        match stream.write_pending(turn, conn, until) {
            Ok(_) if turn.server.should_close(conn) => self.close(turn, conn),
            Ok(_) if stream.has_ended && !waits(turn.server, conn) => self.hang_up(turn, conn),
            Ok(Written::Held) => {
                if !mem::replace(&mut stream.is_held, true) {
                    self.held.push(conn);
                }
                self.release.get_or_insert(turn.now + HELD_REST);
            }
            Ok(Written::Enough) => {}
            Err(error) => {
                log::debug!("client gone: {error}");
                self.hang_up(turn, conn);
            }
        }
    }

    /// Hangs up clients that sent their last byte and wait for nothing; what they asked for must have been flushed
    /// before. The others are hung up once they have read it, or when the core gives up on them.
    pub(super) fn hang_up_ended(&mut self, turn: &mut Turn<'_>) {
        for conn in mem::take(&mut self.ended) {
            if !waits(turn.server, conn) {
                self.hang_up(turn, conn);
            }
        }
    }

    /// Closes sockets that lingered long enough.
    pub(super) fn close_lingering(&mut self, now: Instant) {
        while let Some(mut lingering) = self.lingering.pop_front_if(|lingering| lingering.until <= now) {
            discard(&mut lingering.socket, &mut self.buffer);
            lingering.close();
        }
    }

    /// Tells whether there is a file for one more client, for whom a lingering socket may have to go. If there is none,
    /// those that the core cut for newer ones are closed before the next turn.
    fn has_room(&mut self) -> bool {
        if self.streams.len() + self.lingering.len() < self.sockets_max {
            return true;
        }
        self.lingering.pop_front().map(Lingering::close).is_some()
    }

    fn admit(&mut self, turn: &mut Turn<'_>, mut socket: TcpStream, ends: Ends) {
        let Some(conn) = turn.server.handle_accept(turn.now, ends, turn.out) else {
            // A fresh socket takes so few bytes, and who is gone already needs none.
            let _ = socket.write(NO_ROOM);
            return self.linger(turn.now, socket, Unsent::Any);
        };
        // Fails only for a client that is gone already, which the first read tells.
        let _ = socket.set_nodelay(true);
        let interest = Interest::READABLE | Interest::WRITABLE;
        if let Err(error) = self.registry.register(&mut socket, token_of(conn), interest) {
            log::warn!("client can't be watched: {error}");
            turn.server.handle_hangup(turn.now, conn, turn.out);
            return;
        }
        let has_tls = self.tls.is_some() && ends.door == Door::Main;
        self.streams.insert(conn, Stream::new(socket, has_tls));
    }

    fn rest_from_accepting(&mut self, now: Instant, error: &io::Error) {
        if self.accepting == Accepting::Ready {
            log::warn!("clients can't be accepted for now: {error} open={}", self.streams.len());
        }
        self.accepting = Accepting::Resting { until: now + ACCEPT_REST };
        self.lingering.drain(..).for_each(Lingering::close);
    }

    /// Closes a client's socket.
    fn hang_up(&mut self, turn: &mut Turn<'_>, conn: ConnKey) {
        if let Some((socket, unsent)) = self.take_out(turn, conn) {
            unsent::close(socket, unsent);
        }
    }

    /// Closes a client's socket once it could read why.
    fn close(&mut self, turn: &mut Turn<'_>, conn: ConnKey) {
        if let Some((socket, unsent)) = self.take_out(turn, conn) {
            self.linger(turn.now, socket, unsent);
        }
    }

    /// Tells the core that a client is gone, and returns its socket, and what the kernel may hold of it.
    fn take_out(&mut self, turn: &mut Turn<'_>, conn: ConnKey) -> Option<(TcpStream, Unsent)> {
        let mut stream = self.streams.remove(conn)?;
        stream.say_goodbye();
        // Closing removes it from the poll anyway; a lingering one shall cause no more events.
        let _ = self.registry.deregister(&mut stream.socket);
        let unsent = turn.server.unsent(conn);
        turn.server.handle_hangup(turn.now, conn, turn.out);
        Some((stream.socket, unsent))
    }

    /// Lets a client read our last bytes before its socket closes.
    ///
    /// Closing a socket with bytes that nobody read sends a reset, and on some systems a reset throws away what the
    /// client has not read yet: a close code, or the answer to a request that was too long.
    fn linger(&mut self, now: Instant, mut socket: TcpStream, unsent: Unsent) {
        if socket.shutdown(Shutdown::Write).is_err() || discard(&mut socket, &mut self.buffer) == Rest::None {
            return unsent::close(socket, unsent);
        }
        if self.lingering.len() >= LINGERING_MAX
            && let Some(oldest) = self.lingering.pop_front()
        {
            oldest.close();
        }
        self.lingering.push_back(Lingering { until: now + LINGER, socket, unsent });
    }
}

impl Lingering {
    fn close(self) {
        unsent::close(self.socket, self.unsent);
    }
}

/// Tells whether there is something for a client, or will be.
fn waits(server: &Server, conn: ConnKey) -> bool {
    !server.pending_write(conn).is_empty() || server.is_answering(conn)
}

/// What is left of a client's bytes.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Rest {
    /// The client sent its last byte, or is gone.
    None,
    /// More may come.
    Unknown,
}

fn discard(socket: &mut TcpStream, buffer: &mut [u8]) -> Rest {
    for _ in 0..DISCARDED_READS_MAX {
        match socket.read(buffer) {
            Ok(0) => return Rest::None,
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => return Rest::Unknown,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => return Rest::None,
        }
    }
    Rest::Unknown
}
