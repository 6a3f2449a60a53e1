//! Drives the server with real sockets, clocks and signals, on one thread.
//!
//! Thin: what bytes mean is the core's, and what may block has threads of its own. A turn is poll → signals → TCP →
//! datagrams → replies → time → flush; each source has a budget, and one cut short by it goes on in the next turn, which
//! then does not wait. Invariant: jobs begin in the order in which the core had them done, and before anything that
//! follows them in the outbox leaves.

mod bind;
mod faults;
mod late;
mod media;
mod memory;
mod notify;
mod reader;
mod records;
mod shutdown;
mod stream;
mod tcp;
pub mod tls;
mod udp;
mod unsent;
mod writer;

pub use bind::{BindError, Sockets, bind, bind_redirect};
pub use shutdown::{hold_hangups, release_hangups};

use std::io::{self, ErrorKind};
use std::mem;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use mio::{Events, Poll, Token};
use nix::sys::resource::{Resource, getrlimit, setrlimit};

use crate::config::{Config, LISTENS_MAX};
use crate::host::journal::Journal;
use crate::host::watch::{Purpose, Watch};
use crate::outbox::{Item, Outbox};
use crate::path::Door;
use crate::server::Server;
use late::{Answer, Files, Late};
use media::Media;
use memory::Memory;
use notify::Notify;
use shutdown::{Asked, Signals};
use tcp::Tcp;
use tls::Tls;
use udp::UdpCounters;

/// Tokens that are no keys of clients; those start at 2^32.
const SIGNALS: Token = Token(0);
const ANSWERS: Token = Token(1);
/// The first socket's; the others' follow.
const UDP: Token = Token(100);
/// The first listener's; the others' follow.
const TCP: Token = Token(200);

const _: () = assert!(LISTENS_MAX <= TCP.0 - UDP.0);

const EVENTS_PER_TURN: usize = 1024;

/// How many datagrams are received in one turn.
const DATAGRAMS_PER_TURN: usize = 512;

/// How many late answers are taken in one turn.
const ANSWERS_PER_TURN: usize = 256;

/// Nothing more is received in a turn that has so much to do: one packet to all listeners at the most comes on top.
const OUTBOX_ITEMS_MAX: usize = 4096;

/// How long one turn reads from clients, and how long it writes to them: a request may cost as much as a signature,
/// and whoever listens waits meanwhile.
const TCP_TIME_PER_TURN: Duration = Duration::from_millis(2);

/// How often one turn looks again at the outbox, because writing and closing made new items.
const FLUSHES_PER_TURN: usize = 8;

/// How long clients have to take their leave after the first signal.
const DRAIN: Duration = Duration::from_millis(2500);

/// How long the end waits for what is still to be written down, where a disk is slow.
const LAST_WRITES: Duration = Duration::from_secs(5);
/// The same where somebody wants it to end at once.
const LAST_WRITES_AT_ONCE: Duration = Duration::from_millis(200);

/// After so many turns in a row with a deadline that was already due, something is wrong with it.
const DUE_TURNS_MAX: u32 = 100_000;

/// How many files a process may open where nobody said otherwise.
const FILES_DEFAULT: usize = 1024;

/// What the loop runs with besides the core's configuration.
pub struct Setup {
    pub sockets: Sockets,
    pub watch: Watch,
    /// Where entries become durable.
    pub journal: Journal,
    /// What the server was told at its start, for the journal: no secrets.
    pub options: Arc<str>,
    /// What clients may come encrypted with.
    pub tls: Option<Tls>,
    /// A port that sends clients to HTTPS, and the directory in which `.well-known/acme-challenge` is.
    pub redirect: Option<(std::net::TcpListener, PathBuf)>,
}

/// Why the loop ended by itself.
#[derive(Debug, thiserror::Error)]
#[error("the server stopped: {0}")]
pub struct RunError(#[from] io::Error);

/// Serves until SIGTERM or SIGINT, then tells clients and returns within 3 s; on a slow disk that takes up to 5 s more. Changes of the files that are watched take
/// effect while it runs.
///
/// # Errors
/// [`RunError`] where the system's poll fails.
pub fn run(setup: Setup, mut config: Config, seed: [u8; 32]) -> Result<(), RunError> {
    let files_max = raise_file_limit();
    let conns_max = &mut config.settings.limits.admission.conns_max;
    *conns_max = tcp::conns_max(files_max).min(*conns_max);
    let listed =
        |addresses: &[SocketAddr]| addresses.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    let (address, advertised) = (listed(&setup.sockets.addresses()), listed(&config.settings.advertised));
    let mut shell = Shell::new(setup, config, seed, files_max)?;
    memory::give_back();
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
    let within = if shell.is_hurried { LAST_WRITES_AT_ONCE } else { LAST_WRITES };
    shell.late.end(shell.server.entries_waiting(), within);
    let UdpCounters { sent, dropped_full, dropped_no_buffers, dropped_refused } = shell.media.counters();
    log::info!(
        "stopped datagrams_sent={sent} dropped_full={dropped_full} dropped_no_buffers={dropped_no_buffers} \
         dropped_refused={dropped_refused}"
    );
    log::debug!("counted: {:?}", shell.server.stats());
    Ok(())
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
    media: Media,
    tcp: Tcp,
    signals: Signals,
    notify: Notify,
    late: Late,
    memory: Memory,
    phase: Phase,
    /// Whether a second signal came.
    is_hurried: bool,
    outbox: Outbox,
    /// The outbox that is being emptied while `outbox` takes what that brings about.
    flushing: Outbox,
    due_turns: u32,
}

impl Shell {
    fn new(setup: Setup, config: Config, seed: [u8; 32], files_max: usize) -> io::Result<Shell> {
        let jobs = &config.settings.limits.jobs;
        let reads_max = jobs.reads_max + jobs.questions_max + 1 + jobs.proofs_max;
        let Setup { sockets, watch, journal, options, tls, redirect } = setup;
        let poll = Poll::new()?;
        let signals = Signals::new(poll.registry(), SIGNALS)?;
        let registry = poll.registry();
        let (redirect, webroot) = redirect.unzip();
        let listeners = sockets.tcp.into_iter().map(|listener| (listener, Door::Main));
        let listeners = listeners.chain(redirect.map(|listener| (listener, Door::Redirect))).collect();
        let tcp = Tcp::new(listeners, registry, TCP, files_max, tls)?;
        let media = Media::new(sockets.udp, registry, UDP)?;
        let late = Late::new(registry, ANSWERS, Files { watch, webroot, reads_max }, (journal, options))?;
        Ok(Shell {
            poll,
            server: Server::new(config, seed, monotonic(), wall()),
            media,
            tcp,
            signals,
            notify: Notify::new(monotonic()),
            late,
            memory: Memory::default(),
            phase: Phase::Serving,
            is_hurried: false,
            outbox: Outbox::new(),
            flushing: Outbox::new(),
            due_turns: 0,
        })
    }

    /// Returns how long to wait for events; `None` is until there is one.
    fn wait(&mut self, now: Instant) -> Option<Duration> {
        if self.media.is_ready() || self.late.is_ready() || !self.outbox.is_empty() {
            return Some(Duration::ZERO);
        }
        let of_core = self.server.next_deadline();
        self.watch_due(now, of_core);
        let of_phase = match self.phase {
            Phase::Serving => None,
            Phase::Draining { until } => Some(until),
            Phase::Ended => Some(now),
        };
        let deadlines =
            [of_core.map(|(at, _)| at), self.tcp.next_deadline(now), self.notify.next_deadline(), of_phase];
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
                SIGNALS => self.signals.take(&mut asked),
                ANSWERS => self.late.on_event(),
                token if token < TCP => self.media.on_event(token.0 - UDP.0),
                token if tcp::is_of_client(token) => self.tcp.on_stream_event(event, &mut self.outbox),
                _ => self.tcp.on_listener_event(),
            }
        }
        self.on_signals(now, asked);
        self.notify.handle_timeout(now);

        let mut turn = Turn { now, server: &mut self.server, out: &mut self.outbox };
        self.tcp.close_lingering(now);
        self.tcp.release_held(now);
        self.tcp.accept(&mut turn);
        self.tcp.read(&mut turn);
        for _ in 0..DATAGRAMS_PER_TURN {
            if self.outbox.len() >= OUTBOX_ITEMS_MAX {
                break;
            }
            let Some((path, bytes)) = self.media.receive() else { break };
            self.server.handle_datagram(now, path, bytes, &mut self.outbox);
        }
        for _ in 0..ANSWERS_PER_TURN {
            match self.late.next() {
                Some(Answer::Reply(job, reply)) => self.server.handle_reply(now, job, reply, &mut self.outbox),
                Some(Answer::Changed(files)) => self.on_changed_files(now, files),
                Some(Answer::Journal(state)) => self.server.handle_journal(now, state, &mut self.outbox),
                None => break,
            }
        }
        self.server.handle_timeout(now, &mut self.outbox);

        self.flush(now);
        self.memory.watch(self.server.clients_count());
        self.end_when_drained(now);
    }

    fn on_signals(&mut self, now: Instant, asked: Asked) {
        if asked.reload {
            self.late.look_again();
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
            self.is_hurried = true;
        }
    }

    fn on_changed_files(&mut self, now: Instant, files: Vec<(Purpose, Vec<u8>)>) {
        let (mut certificate, mut key) = (None, None);
        for (purpose, contents) in files {
            match purpose {
                Purpose::PublicKeys => self.server.handle_public_keys(&contents),
                Purpose::Revoked => self.server.handle_revoked(now, &contents, &mut self.outbox),
                Purpose::Devices => self.server.handle_devices(now, &contents, &mut self.outbox),
                Purpose::IceCredentials => self.server.handle_ice_credentials(&contents),
                Purpose::Certificate => certificate = Some(contents),
                Purpose::CertificateKey => key = Some(contents),
            }
        }
        if certificate.is_some() || key.is_some() {
            self.tcp.renew_certificate(certificate, key);
        }
    }

    /// Does what the outbox says, and what follows from that: begins jobs, sends datagrams, and then writes to clients, as
    /// far as there is time.
    fn flush(&mut self, now: Instant) {
        let mut time = TCP_TIME_PER_TURN;
        for _ in 0..FLUSHES_PER_TURN {
            mem::swap(&mut self.outbox, &mut self.flushing);
            let (items, bytes) = self.flushing.drain();
            for item in items {
                match item {
                    Item::Job(key, job) => {
                        if let Some(reply) = self.late.begin(key, job) {
                            self.server.handle_reply(now, key, reply, &mut self.outbox);
                        }
                    }
                    Item::Conn(conn) => self.tcp.want_flush(conn),
                    Item::Datagram(datagram) => self.media.send(now, datagram, bytes),
                }
            }
            self.media.flush(now, bytes);
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
