//! Drives the server with real sockets, clocks and signals, on one thread.
//!
//! Thin: what bytes mean is the core's. A turn is poll → signals → changed files → TCP → datagrams → time → flush; each source has
//! a budget, and one cut short by it goes on in the next turn, which then does not wait. Invariant: an audit entry
//! is logged before anything that follows it in the outbox leaves.

pub mod addresses;
pub mod logging;
mod notify;
pub mod rewrite;
pub mod secret;
pub mod self_signed;
mod shutdown;
mod stream;
mod tcp;
pub mod tls;
mod udp;
pub mod watch;

use std::io::{self, ErrorKind};
use std::mem;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant, SystemTime};

use mio::{Events, Interest, Poll, Token};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::Config;
use crate::outbox::{AuditEntry, Datagram, Item, Outbox};
use crate::server::Server;
use notify::Notify;
use shutdown::{Asked, Signals};
use tcp::Tcp;
use tls::Tls;
use udp::{Udp, UdpCounters};
use watch::{Purpose, Watch};

/// Tokens that are no keys of clients; those start at 2^32.
const UDP: Token = Token(0);
const TCP: Token = Token(1);
const SIGNALS: Token = Token(2);

const EVENTS_PER_TURN: usize = 1024;

/// How many datagrams are received in one turn.
const DATAGRAMS_PER_TURN: usize = 512;

/// Nothing more is received in a turn that has so much to do: one packet to all listeners at the most comes on top.
const OUTBOX_ITEMS_MAX: usize = 4096;

/// How long one turn reads from clients, and how long it writes to them: a request may cost as much as a signature,
/// and whoever listens waits meanwhile.
const TCP_TIME_PER_TURN: Duration = Duration::from_millis(2);

/// How often one turn looks again at the outbox, because writing and closing made new items.
const FLUSHES_PER_TURN: usize = 8;

/// How long clients have to take their leave after the first signal.
const DRAIN: Duration = Duration::from_millis(2500);

/// After so many turns in a row with a deadline that was already due, something is wrong with it.
const DUE_TURNS_MAX: u32 = 100_000;

/// How many files a process may open where nobody said otherwise.
const FILES_DEFAULT: usize = 1024;

/// How often another port is tried where the system chooses one and UDP has it in use.
const ANY_PORT_ATTEMPTS: usize = 16;

/// The open sockets, TCP and UDP on one port.
pub struct Sockets {
    tcp: std::net::TcpListener,
    udp: std::net::UdpSocket,
    address: SocketAddr,
}

/// What the loop runs with besides the core's configuration.
pub struct Setup {
    pub sockets: Sockets,
    pub watch: Watch,
    /// What clients may come encrypted with.
    pub tls: Option<Tls>,
}

/// Why the sockets could not be opened, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum BindError {
    #[error("{protocol} port {port} is in use: stop the program that has it, or choose another with --listen")]
    InUse { protocol: &'static str, port: u16 },
    #[error(
        "{protocol} port {port} is not allowed: choose one above 1023 with --listen, or grant CAP_NET_BIND_SERVICE"
    )]
    NotAllowed { protocol: &'static str, port: u16 },
    #[error("{address} is no address of this machine: choose another with --listen")]
    NotHere { address: SocketAddr },
    #[error("can't listen on {protocol} {address}: {error}; choose another address with --listen")]
    Other { protocol: &'static str, address: SocketAddr, error: io::Error },
}

/// Why the loop ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the server stopped: {0}")]
pub struct RunError(#[from] io::Error);

/// Opens TCP and UDP on one port; port 0 is chosen by the system, and `[::]` becomes `0.0.0.0` without IPv6.
///
/// # Errors
/// What the system refused, as [`BindError`].
pub fn bind(listen: SocketAddr) -> Result<Sockets, BindError> {
    match bind_once(listen) {
        Err(BindError::NotHere { .. } | BindError::Other { .. }) if is_any_ipv6(listen) && !has_ipv6() => {
            log::warn!("no IPv6 on this machine, listening on IPv4 only");
            bind_once(SocketAddr::from((Ipv4Addr::UNSPECIFIED, listen.port())))
        }
        bound => bound,
    }
}

/// Serves until SIGTERM or SIGINT, then tells clients and returns within 3 s. Changes of the files that are watched take
/// effect while it runs.
///
/// # Errors
/// [`RunError`] where the system's poll fails.
pub fn run(setup: Setup, config: Config, seed: [u8; 32]) -> Result<(), RunError> {
    let files_max = raise_file_limit();
    let address = setup.sockets.address;
    let advertised = config.advertised.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    let mut shell = Shell::new(setup, Server::new(config, seed, monotonic(), wall()), files_max)?;
    log::info!("listening address={address} advertised={advertised}");
    shell.notify.on_ready();
    let mut events = Events::with_capacity(EVENTS_PER_TURN);
    while shell.phase != Phase::Ended {
        let timeout = shell.wait(monotonic());
        match shell.poll.poll(&mut events, timeout) {
            Err(error) if error.kind() == ErrorKind::Interrupted => events.clear(),
            polled => polled?,
        }
        shell.turn(monotonic(), wall(), &events);
    }
    let UdpCounters { sent, dropped_full, dropped_no_buffers, dropped_refused } = shell.udp.counters();
    log::info!(
        "stopped datagrams_sent={sent} dropped_full={dropped_full} dropped_no_buffers={dropped_no_buffers} \
         dropped_refused={dropped_refused}"
    );
    log::debug!("counted: {:?}", shell.server.stats());
    Ok(())
}

impl Sockets {
    /// Returns the bound address, with the real port.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// What every call of one turn into the core needs.
struct Turn<'a> {
    now: Instant,
    server: &'a mut Server,
    out: &'a mut Outbox,
}

/// Where the server is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Until the first signal.
    Serving,
    /// Clients were told; until all are gone, `until`, or a second signal.
    Draining { until: Instant },
    /// Nothing is read or sent any more.
    Ended,
}

struct Shell {
    poll: Poll,
    server: Server,
    udp: Udp,
    tcp: Tcp,
    signals: Signals,
    notify: Notify,
    watch: Watch,
    phase: Phase,
    outbox: Outbox,
    /// The outbox that is being emptied while `outbox` takes what that brings about.
    flushing: Outbox,
    /// Datagrams that follow one another in the outbox.
    batch: Vec<Datagram>,
    due_turns: u32,
}

impl Shell {
    fn new(setup: Setup, server: Server, files_max: usize) -> io::Result<Shell> {
        let Setup { sockets, watch, tls } = setup;
        let poll = Poll::new()?;
        let signals = Signals::new(poll.registry(), SIGNALS)?;
        let tcp = Tcp::new(sockets.tcp, poll.registry(), TCP, files_max, tls)?;
        let mut udp = Udp::new(sockets.udp)?;
        poll.registry().register(udp.source(), UDP, Interest::READABLE)?;
        Ok(Shell {
            poll,
            server,
            udp,
            tcp,
            signals,
            notify: Notify::new(monotonic()),
            watch,
            phase: Phase::Serving,
            outbox: Outbox::new(),
            flushing: Outbox::new(),
            batch: Vec::with_capacity(udp::SEND_BATCH),
            due_turns: 0,
        })
    }

    /// Returns how long to wait for events; `None` is until there is one.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        if self.udp.is_ready || !self.outbox.is_empty() {
            return Some(Duration::ZERO);
        }
        let of_core = self.server.next_deadline();
        self.watch_due(now, of_core);
        let of_phase = match self.phase {
            Phase::Serving => None,
            Phase::Draining { until } => Some(until),
            Phase::Ended => Some(now),
        };
        let deadlines = [
            of_core.map(|(at, _)| at),
            self.tcp.next_deadline(now),
            self.watch.next_deadline(now),
            self.notify.next_deadline(),
            of_phase,
        ];
        deadlines.into_iter().flatten().min().map(|at| at.saturating_duration_since(now))
    }

    /// Tells of a deadline that stays due whatever the core does about it: the loop would spin unseen.
    fn watch_due(&mut self, now: Instant, deadline: Option<(Instant, &'static str)>) {
        match deadline {
            Some((at, name)) if at <= now => {
                self.due_turns += 1;
                if self.due_turns == DUE_TURNS_MAX {
                    log::error!("a deadline is always due: name={name}");
                    self.due_turns = 0;
                }
            }
            Some(_) | None => self.due_turns = 0,
        }
    }

    fn turn(&mut self, now: Instant, unix: SystemTime, events: &Events) {
        self.server.set_unix(now, unix);
        let mut asked = Asked::default();
        for event in events {
            match event.token() {
                UDP => self.udp.is_ready = true,
                TCP => self.tcp.on_listener_event(),
                SIGNALS => self.signals.take(&mut asked),
                _ => self.tcp.on_stream_event(event, &mut self.outbox),
            }
        }
        self.on_signals(now, asked);
        self.on_changed_files(now);
        self.notify.handle_timeout(now);

        let mut turn = Turn { now, server: &mut self.server, out: &mut self.outbox };
        self.tcp.close_lingering(now);
        self.tcp.accept(&mut turn);
        self.tcp.read(&mut turn);
        for _ in 0..DATAGRAMS_PER_TURN {
            if self.outbox.len() >= OUTBOX_ITEMS_MAX {
                break;
            }
            let Some((path, bytes)) = self.udp.receive() else { break };
            self.server.handle_datagram(now, path, bytes, &mut self.outbox);
        }
        self.server.handle_timeout(now, &mut self.outbox);

        self.flush(now);
        self.end_when_drained(now);
    }

    fn on_signals(&mut self, now: Instant, asked: Asked) {
        if asked.reload {
            self.watch.look_again();
        }
        let mut signals = asked.ends;
        if signals > 0 && self.phase == Phase::Serving {
            log::info!("stopping, a second signal ends at once");
            self.notify.on_stopping();
            self.phase = Phase::Draining { until: now + DRAIN };
            self.server.handle_drain(now, &mut self.outbox);
            signals -= 1;
        }
        if signals > 0 {
            self.phase = Phase::Ended;
        }
    }

    fn on_changed_files(&mut self, now: Instant) {
        let (mut certificate, mut key) = (None, None);
        for (purpose, contents) in self.watch.poll(now) {
            match purpose {
                Purpose::PublicKeys => self.server.handle_public_keys(&contents),
                Purpose::Revoked => self.server.handle_revoked(now, &contents, &mut self.outbox),
                Purpose::Certificate => certificate = Some(contents),
                Purpose::CertificateKey => key = Some(contents),
            }
        }
        if certificate.is_some() || key.is_some() {
            self.tcp.renew_certificate(certificate, key);
        }
    }

    /// Does what the outbox says, and what follows from that: writes down what is to be written down, sends datagrams,
    /// and then writes to clients, as far as there is time.
    fn flush(&mut self, now: Instant) {
        let mut time = TCP_TIME_PER_TURN;
        for _ in 0..FLUSHES_PER_TURN {
            mem::swap(&mut self.outbox, &mut self.flushing);
            // A write takes all that waits for a client, so no entry may come later than any write.
            self.flushing.audit_entries().for_each(log_audit);
            for item in self.flushing.drain() {
                match item {
                    Item::Audit(_) => {}
                    Item::Conn(conn) => self.tcp.want_flush(conn),
                    Item::Datagram(datagram) => {
                        self.batch.push(datagram);
                        if self.batch.len() == udp::SEND_BATCH {
                            send_batch(now, &mut self.udp, &mut self.batch);
                        }
                    }
                }
            }
            send_batch(now, &mut self.udp, &mut self.batch);
            let mut turn = Turn { now, server: &mut self.server, out: &mut self.outbox };
            time = self.tcp.flush(&mut turn, time);
            self.tcp.hang_up_ended(&mut turn);
            if self.outbox.is_empty() {
                break;
            }
        }
    }

    fn end_when_drained(&mut self, now: Instant) {
        match self.phase {
            Phase::Draining { until } if now >= until || self.is_drained() => {
                self.phase = Phase::Ended;
            }
            Phase::Serving | Phase::Draining { .. } | Phase::Ended => {}
        }
    }

    fn is_drained(&self) -> bool {
        self.server.is_drained() && self.outbox.is_empty() && !self.tcp.has_unflushed()
    }
}

fn send_batch(now: Instant, udp: &mut Udp, batch: &mut Vec<Datagram>) {
    if !batch.is_empty() {
        udp.send(now, batch);
        batch.clear();
    }
}

fn log_audit(entry: &AuditEntry) {
    let AuditEntry { at, event, actor, commercial_id, detail } = entry;
    let (name, at) = (event.name(), logging::timestamp(*at));
    log::info!(target: "audit", "{name} at={at} actor={actor} commercial_id={commercial_id} detail={detail:?}");
}

fn bind_once(listen: SocketAddr) -> Result<Sockets, BindError> {
    let mut attempts = if listen.port() == 0 { ANY_PORT_ATTEMPTS } else { 1 };
    loop {
        attempts -= 1;
        let failed = |protocol| move |error| BindError::new(protocol, listen, error);
        let tcp = tcp::listen(listen).map_err(failed("TCP"))?;
        let address = tcp.local_addr().map_err(failed("TCP"))?;
        match udp::bind(address) {
            Ok(udp) => return Ok(Sockets { tcp, udp, address }),
            Err(error) if error.kind() == ErrorKind::AddrInUse && attempts > 0 => {}
            Err(error) => return Err(BindError::new("UDP", address, error)),
        }
    }
}

impl BindError {
    fn new(protocol: &'static str, address: SocketAddr, error: io::Error) -> BindError {
        match error.kind() {
            ErrorKind::AddrInUse => BindError::InUse { protocol, port: address.port() },
            ErrorKind::PermissionDenied => BindError::NotAllowed { protocol, port: address.port() },
            ErrorKind::AddrNotAvailable => BindError::NotHere { address },
            _ => BindError::Other { protocol, address, error },
        }
    }
}

fn is_any_ipv6(address: SocketAddr) -> bool {
    address.is_ipv6() && address.ip().is_unspecified()
}

/// Tells whether IPv6 sockets can be opened and bound: a kernel may lack it, or have it switched off.
fn has_ipv6() -> bool {
    tcp::listen(SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, 0))).is_ok()
}

/// Asks for as many open files as are allowed: 1024, the usual default, is fewer than the clients we allow. Returns how
/// many it may be.
fn raise_file_limit() -> usize {
    let raised = getrlimit(Resource::RLIMIT_NOFILE)
        .and_then(|(soft, hard)| if soft < hard { setrlimit(Resource::RLIMIT_NOFILE, hard, hard) } else { Ok(()) });
    if let Err(error) = raised {
        log::warn!("the limit of open files stays as it is: {error}");
    }
    getrlimit(Resource::RLIMIT_NOFILE).map_or(FILES_DEFAULT, |(soft, _)| soft.try_into().unwrap_or(usize::MAX))
}

#[expect(clippy::disallowed_methods, reason = "the one place where the loop reads the clock")]
fn monotonic() -> Instant {
    Instant::now()
}

#[expect(clippy::disallowed_methods, reason = "the one place where the loop reads the clock")]
fn wall() -> SystemTime {
    SystemTime::now()
}
