//! The core: bytes and time go in, an [`Outbox`] and one deadline come out.
//!
//! The only module that sees all tables. `clients` with its `crowds`, `broadcasts`, `peers`, `quotas` and `jobs` are
//! tables, each with an invariant of its own, and `resources` has what WHIP and WHEP clients made; `check` compares
//! what two of them must agree on. `admission` knows who is here, `media` is the path of datagrams, `framed` that of
//! those over TCP, `sources` finds publishers whose address changed, `signaling` what users say, `registration` who
//! they are, `people` whom a name would be taken for, `streaming` what they do with their audio, `listening` carries
//! out what a broadcast decides, `http` answers requests, `route` knows what they ask for and `problem` how they are
//! refused, `history` answers questions about the past, `proof` tells pages of the journal, `refusals` counts what is
//! refused often, `redirect` answers those at the door of plain HTTP, `whip` those of WHIP and WHEP clients, `tokens`
//! takes new keys and revocations, `devices` knows what is nobody's microphone, `sizes` counts rows, `journal` knows
//! whether entries can be written, `close` ends conns, `clock` tells the wall's time; this file is the surface, and the
//! way of a call.
//!
//! Invariant: after every call each peer, conn, registration, resource and broadcast that waits for time has a deadline armed.

mod admission;
mod broadcasts;
mod check;
mod clients;
mod clock;
mod close;
mod crowds;
mod devices;
mod framed;
mod history;
mod http;
mod jobs;
mod journal;
mod listening;
mod media;
mod peers;
mod people;
mod players;
mod problem;
mod proof;
mod quotas;
mod redirect;
mod refusals;
mod registration;
mod resources;
mod route;
mod signaling;
mod sizes;
mod sources;
mod streaming;
mod tokens;
mod whip;

use std::mem;
use std::time::{Duration, Instant, SystemTime};

use log::debug;
use rand_chacha::ChaCha20Rng;
use rand_core::{Rng, SeedableRng};
use slotmap::SlotMap;

use crate::audit::{Event, OffAir};
use crate::broadcast::Broadcast;
use crate::config::{Config, Settings};
use crate::conn::{Conn, ConnEvent, ConnTimeout, Unsent};
use crate::deadlines::Deadlines;
use crate::keys::{BroadcastKey, ConnKey, JobKey, PeerKey, ResourceKey};
use crate::outbox::{Datagram, JournalState, Outbox, Reply};
use crate::path::{Ends, Path};
use crate::peer::PeerEvent;
use crate::stats::Stats;
use crate::token::Verifier;
use crate::web;
use crate::wire::classify;
use crate::wire::http::Status;
use crate::wire::signaling::ServerMessage;
use crate::wire::websocket::WebsocketError;
use broadcasts::Broadcasts;
use clients::Clients;
use clock::Clock;
use close::CloseCode;
use devices::Persons;
use jobs::Jobs;
use journal::JournalWatch;
use peers::Peers;
use people::People;
use problem::{Problem, come_back_later};
use proof::Proofs;
use quotas::Quotas;
use refusals::Refusals;
use resources::{Ending, Resource};
pub use sizes::TableSizes;

/// The whole server, without a socket, clock, file or thread.
pub struct Server {
    settings: Settings,
    verifier: Verifier,
    chance: ChaCha20Rng,
    clock: Clock,
    /// The latest time that was told.
    now: Instant,
    /// By how many milliseconds the wall clock jumped since that was last written down.
    clock_jump_ms: i64,
    clients: Clients,
    /// How much each of them may.
    quotas: Quotas,
    /// Whose microphones are no device's.
    persons: Persons,
    /// What they may not, and asked for again and again.
    refusals: Refusals,
    peers: Peers,
    /// Sessions of WHIP and WHEP clients, and for a while those that are over.
    resources: SlotMap<ResourceKey, Resource>,
    people: People,
    /// Reused from call to call, for what leaves over TCP.
    leaving: Vec<Datagram>,
    broadcasts: Broadcasts,
    deadlines: Deadlines<Timer>,
    /// Conns that did not keep up in this turn.
    too_slow: Vec<ConnKey>,
    /// Reused from datagram to datagram.
    events: Vec<PeerEvent>,
    /// What is done elsewhere.
    jobs: Jobs,
    journal: JournalWatch,
    /// Whom the journal is proved to.
    proofs: Proofs,
    /// Unknown until the first WHIP or WHEP client comes.
    serves_programs: Option<bool>,
    next_notice_id: u64,
    is_draining: bool,
    /// Whether a table may have changed since all were compared: a packet to its listeners changes none.
    is_unchecked: bool,
    stats: Stats,
}

/// What a TCP client is told for which [`Server::handle_accept`] had no room; the only answer without a date. Whoever opens
/// a page reads what is so, and their browser asks again.
pub const NO_ROOM: &[u8] = concat!(
    "HTTP/1.1 503 Service Unavailable\r\nRetry-After: 10\r\nRefresh: 10\r\nCache-Control: no-store\r\n",
    "Content-Type: text/html; charset=utf-8\r\nConnection: close\r\nContent-Length: 245\r\n\r\n",
    "<!doctype html><html lang=\"fr\"><meta name=\"viewport\" content=\"width=device-width\"><title>écoute</title>",
    "<p>Trop de connexions en ce moment. La page se recharge dans 10 s.",
    "<p lang=\"en\">Too many connections at the moment. The page reloads in 10 s.\n",
)
.as_bytes();

/// What a deadline is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Timer {
    Conn(ConnKey),
    Peer(PeerKey),
    Broadcast(BroadcastKey),
    /// The token's expiry, and the silence of a page on air.
    Registration(ConnKey),
    /// The token's expiry, and then the end of the memory of it.
    Resource(ResourceKey),
    /// What was refused is written down as a number.
    Refusals,
    /// Who waits for an entry waits no more.
    Gates,
    /// Entries wait for too long, or it may be over that the journal fails.
    Journal,
}

impl Timer {
    fn name(self) -> &'static str {
        match self {
            Timer::Conn(_) => "conn",
            Timer::Peer(_) => "peer",
            Timer::Broadcast(_) => "broadcast",
            Timer::Registration(_) => "registration",
            Timer::Resource(_) => "resource",
            Timer::Refusals => "refusals",
            Timer::Gates => "gates",
            Timer::Journal => "journal",
        }
    }
}

/// A wall clock that moved by more than this against the monotonic one has jumped.
const CLOCK_JUMP: Duration = Duration::from_secs(1);

impl Server {
    /// Returns a server without clients. All its randomness but that of DTLS comes from `seed`.
    ///
    /// # Panics
    /// With a `config` that [`Config::check`] refuses.
    pub fn new(config: Config, seed: [u8; 32], now: Instant, unix: SystemTime) -> Server {
        config.check().expect("the configuration was checked");
        let Config { trust, settings } = config;
        // They are compressed once: now, not when somebody listens.
        web::all();
        Server {
            verifier: Verifier::new(&trust.token_secret, trust.issuer, trust.revoked),
            chance: ChaCha20Rng::from_seed(seed),
            clock: Clock { at: now, unix },
            now,
            clock_jump_ms: 0,
            clients: Clients::new(),
            quotas: Quotas::new(now, &settings.limits.admission),
            persons: Persons::new(),
            refusals: Refusals::new(),
            peers: Peers::new(&settings.advertised, &settings.limits.media),
            resources: SlotMap::with_key(),
            people: People::new(),
            leaving: Vec::new(),
            broadcasts: Broadcasts::new(),
            deadlines: Deadlines::new(),
            too_slow: Vec::new(),
            events: Vec::new(),
            jobs: Jobs::new(),
            journal: JournalWatch::default(),
            proofs: Proofs::new(),
            serves_programs: None,
            next_notice_id: 1,
            is_draining: false,
            is_unchecked: false,
            stats: Stats::default(),
            settings,
        }
    }

    /// Tells the wall clock's time, once a turn: tokens are judged by it, and it may jump.
    pub fn set_unix(&mut self, now: Instant, unix: SystemTime) {
        let expected = self.clock.system_time(now);
        self.clock = Clock { at: now, unix };
        let moved = unix.duration_since(expected).unwrap_or_else(|error| error.duration());
        if moved > CLOCK_JUMP {
            let ms = i64::try_from(moved.as_millis()).unwrap_or(i64::MAX);
            let by_ms = if unix < expected { -ms } else { ms };
            self.clock_jump_ms = self.clock_jump_ms.saturating_add(by_ms);
            let conns: Vec<ConnKey> = self.clients.registrations().map(|(conn, _)| conn).collect();
            for conn in conns {
                self.arm_registration(now, conn);
            }
            let resources: Vec<ResourceKey> = self.resources.keys().collect();
            for resource in resources {
                self.arm_resource(now, resource);
            }
        }
    }

    /// Takes a new TCP client; `None` when there is no room for it, and it is to be told [`NO_ROOM`].
    pub fn handle_accept(&mut self, now: Instant, ends: Ends, out: &mut Outbox) -> Option<ConnKey> {
        self.call(now, out, |server, out| server.on_accept(now, ends, out))
    }

    /// Takes bytes that a TCP client sent.
    pub fn handle_bytes(&mut self, now: Instant, conn: ConnKey, bytes: &[u8], out: &mut Outbox) {
        self.call(now, out, |server, out| server.on_bytes(now, conn, bytes, out));
    }

    /// Takes it that the shell wrote so many bytes of [`Server::pending_write`].
    pub fn handle_written(&mut self, now: Instant, conn: ConnKey, bytes: usize, out: &mut Outbox) {
        self.call(now, out, |server, out| server.on_written(now, conn, bytes, out));
    }

    /// Takes it that a TCP client is gone, or that the shell closed it; its key names nothing from now on.
    pub fn handle_hangup(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        self.call(now, out, |server, out| server.on_hangup(now, conn, out));
    }

    /// Takes it that the shell decrypts what a TCP client sends, from its next byte on.
    pub fn handle_secured(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        self.call(now, out, |server, _| {
            if let Some(client) = server.clients.get_mut(conn) {
                client.secured(now, &server.settings.limits.conn);
            }
        });
    }

    /// Takes it that TLS holds so many bytes of a client in the shell, on their way in or out: they count like what the
    /// conn itself has buffered.
    pub fn handle_tls_bytes(&mut self, now: Instant, conn: ConnKey, bytes: usize, out: &mut Outbox) {
        self.call(now, out, |server, _| {
            if let Some(client) = server.clients.get_mut(conn) {
                client.set_tls_bytes(bytes);
            }
        });
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, path: Path, bytes: &[u8], out: &mut Outbox) {
        self.call(now, out, |server, out| server.take_datagram(now, path, classify::read(bytes), out));
    }

    /// Takes the answer to a job; one that nobody waits for any more changes nothing.
    pub fn handle_reply(&mut self, now: Instant, job: JobKey, reply: Reply, out: &mut Outbox) {
        self.call(now, out, |server, out| server.on_reply(now, job, reply, out));
    }

    /// Takes how the journal is, as its writer sees it.
    pub fn handle_journal(&mut self, now: Instant, state: JournalState, out: &mut Outbox) {
        self.call(now, out, |server, _| server.on_journal_state(now, state));
    }

    /// Takes the new contents of the list of revoked users, and ends the conns and the media of those whose token it
    /// refuses; a list that can't be used leaves the old one.
    pub fn handle_revoked(&mut self, now: Instant, contents: &[u8], out: &mut Outbox) {
        self.call(now, out, |server, out| server.on_revoked(now, contents, out));
    }

    /// Begins to end: clients are told when to come back, media is closed.
    pub fn handle_drain(&mut self, now: Instant, out: &mut Outbox) {
        self.call(now, out, |server, out| server.on_drain(now, out));
    }

    /// Lets time pass: serves sessions that are not connected, then all deadlines that are due. To be called at
    /// the end of every turn.
    pub fn handle_timeout(&mut self, now: Instant, out: &mut Outbox) {
        self.call(now, out, |server, out| server.on_time(now, out));
        if cfg!(debug_assertions) && mem::take(&mut self.is_unchecked) {
            self.check();
        }
    }

    /// Returns the bytes that wait to be written to a TCP client.
    pub fn pending_write(&self, conn: ConnKey) -> &[u8] {
        self.clients.get(conn).map_or(&[], Conn::pending_write)
    }

    /// Returns what the kernel may hold of what a TCP client was sent.
    pub fn unsent(&self, conn: ConnKey) -> Unsent {
        self.clients.get(conn).map_or(Unsent::Any, Conn::unsent)
    }

    /// Tells whether the shell must close a TCP client's socket and report the hangup; true for unknown keys.
    pub fn should_close(&self, conn: ConnKey) -> bool {
        self.clients.get(conn).is_none_or(Conn::should_close)
    }

    /// Tells whether an answer for a TCP client is made elsewhere: one that has sent its last byte still waits for it.
    pub fn is_answering(&self, conn: ConnKey) -> bool {
        self.clients.get(conn).is_some_and(Conn::is_answering)
    }

    /// Tells whether a drain is over: no client and no session is left, and what happened is written down.
    pub fn is_drained(&self) -> bool {
        self.is_draining && self.clients.len() == 0 && self.peers.len() == 0 && self.jobs.entries() == 0
    }

    /// Returns when [`Server::handle_timeout`] must be called next, and what for.
    pub fn next_deadline(&self) -> Option<(Instant, &'static str)> {
        if self.peers.unconnected_len() > 0 {
            return Some((self.now, "unconnected"));
        }
        if self.clients.ready_len() > 0 {
            return Some((self.now, "framed"));
        }
        let sweep = self.quotas.next_deadline().map(|at| (at, "sweep"));
        let timer = self.deadlines.first().map(|(at, timer)| (at, timer.name()));
        timer.into_iter().chain(sweep).min_by_key(|(at, _)| *at)
    }

    /// Returns how many entries are not known to be durable.
    pub fn entries_waiting(&self) -> usize {
        self.jobs.entries()
    }

    /// Returns the counters.
    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Does what one call of the shell brings, and settles once what that touched.
    fn call<R>(&mut self, now: Instant, out: &mut Outbox, act: impl FnOnce(&mut Server, &mut Outbox) -> R) -> R {
        self.now = now;
        let result = act(self, out);
        self.stats.datagrams_withheld += out.take_withheld();
        self.deliver_framed(now, out);
        self.settle(now, out);
        result
    }

    /// Settles the conns that were touched: arms their deadlines, and names those to the shell that it must look at.
    fn settle(&mut self, now: Instant, out: &mut Outbox) {
        while let Some(conn) = self.clients.take_touched(now) {
            self.is_unchecked = true;
            self.on_rest(now, conn, out);
            let Some(client) = self.clients.get(conn) else { continue };
            match client.next_deadline(&self.settings.limits.conn) {
                Some(at) => self.deadlines.arm(Timer::Conn(conn), at),
                None => self.deadlines.cancel(Timer::Conn(conn)),
            }
            if !client.pending_write().is_empty() || client.should_close() {
                out.touch(conn);
            }
        }
    }

    fn on_accept(&mut self, now: Instant, ends: Ends, out: &mut Outbox) -> Option<ConnKey> {
        let visitor = self.admit(now, ends.remote.ip(), out)?;
        if self.clients.len() >= self.settings.limits.admission.conns_max && !self.cut_stranger(now, out) {
            self.stats.conns_refused += 1;
            self.give_back(now, visitor);
            return None;
        }
        let conn = self.clients.insert(now, Conn::new(now, ends, &self.settings.limits.conn), visitor);
        debug!(target: "http", "accepted conn={conn:?} remote={}", ends.remote);
        Some(conn)
    }

    fn on_bytes(&mut self, now: Instant, conn: ConnKey, bytes: &[u8], out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        client.push(now, bytes, &self.settings.limits.conn);
        if client.is_framed() {
            return self.await_turn(conn);
        }
        self.on_page_heard(now, conn, out);
        self.poll_conn(now, conn, out);
    }

    fn on_written(&mut self, now: Instant, conn: ConnKey, bytes: usize, out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let dropped = client.handle_written(now, bytes, &self.settings.limits.conn);
        self.count_dropped(dropped);
        // Requests may have waited for the answers before them to go out.
        self.poll_conn(now, conn, out);
    }

    /// A TCP client is gone.
    fn on_hangup(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        self.end_registration(now, conn, out);
        if let Some((client, visitor)) = self.clients.remove(conn) {
            self.give_back(now, visitor);
            self.forget_framed(conn, client.ends().path());
        }
        self.deadlines.cancel(Timer::Conn(conn));
    }

    fn on_drain(&mut self, now: Instant, out: &mut Outbox) {
        self.is_draining = true;
        let spread_ms = self.settings.limits.registration.reconnect_spread.as_millis() as u64;
        let conns = self.clients.keys();
        for &conn in &conns {
            let reconnect_in_ms = self.chance.next_u64() % (spread_ms + 1);
            self.send(conn, &ServerMessage::ServerDraining { reconnect_in_ms });
        }
        for conn in conns {
            // Those that carry media end with it.
            if self.is_of_session(conn) {
                continue;
            }
            self.close_conn(now, conn, CloseCode::Restarting, out);
        }
        // Some may wait for their page, which comes back to another server.
        for key in self.broadcasts.keys_of(Broadcast::is_on_air) {
            self.go_off_air(now, key, OffAir::Restarting, out);
        }
        self.end_resources(now, |_, _| true, Ending::Restarting, out);
        self.end_refusals(now, out);
    }

    /// Has it written down once that the clock jumped.
    fn note_clock_jump(&mut self, now: Instant, out: &mut Outbox) {
        let by_ms = mem::take(&mut self.clock_jump_ms);
        if by_ms != 0 {
            self.note(now, Event::ClockJumped { by_ms }, out);
        }
    }

    fn on_time(&mut self, now: Instant, out: &mut Outbox) {
        self.note_clock_jump(now, out);
        self.serve_framed(now, out);
        self.serve_unconnected(now, out);
        // What is armed anew for this very moment waits for the next turn.
        let mut due = Vec::new();
        while let Some(timer) = self.deadlines.pop_due(now) {
            due.push(timer);
        }
        for timer in due {
            match timer {
                Timer::Conn(conn) => self.on_conn_deadline(now, conn, out),
                Timer::Peer(peer) => self.on_peer_deadline(now, peer, out),
                Timer::Broadcast(broadcast) => self.on_broadcast_deadline(now, broadcast, out),
                Timer::Registration(conn) => self.on_registration_deadline(now, conn, out),
                Timer::Resource(resource) => self.on_resource_deadline(now, resource, out),
                Timer::Refusals => self.end_refusals(now, out),
                Timer::Gates => self.on_gates_deadline(now, out),
                Timer::Journal => self.on_journal_deadline(now),
            }
        }
        self.quotas.handle_timeout(now);
        for conn in mem::take(&mut self.too_slow) {
            self.stats.conns_too_slow += 1;
            self.close_conn(now, conn, CloseCode::TooSlow, out);
        }
        self.make_room(now, out);
    }

    /// Dispatches all that a conn's bytes mean.
    fn poll_conn(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        while let Some(event) =
            self.clients.get_mut(conn).and_then(|client| client.poll(now, &self.settings.limits.conn))
        {
            match event {
                ConnEvent::Request(request) => self.on_request(now, conn, request, out),
                ConnEvent::BadRequest(error, request) => {
                    debug!(target: "http", "request refused conn={conn:?} error={error}");
                    self.stats.requests_malformed += 1;
                    self.turn_away(now, conn, request, &error.into());
                }
                ConnEvent::Held => self.stats.requests_held += 1,
                ConnEvent::Text(text) => self.on_message(now, conn, &text, out),
                ConnEvent::Alive => {}
                ConnEvent::WebsocketClosed { comes_back } => {
                    if !comes_back {
                        self.take_goodbye(conn);
                    }
                    self.end_registration(now, conn, out);
                    if let Some(client) = self.clients.get_mut(conn) {
                        client.finish(now, &self.settings.limits.conn);
                    }
                }
                ConnEvent::WebsocketBroken(error) => {
                    self.stats.requests_malformed += 1;
                    let code = match error {
                        WebsocketError::TooLarge => CloseCode::TooLarge,
                        WebsocketError::Malformed(why) => CloseCode::BadFrame(why),
                    };
                    self.close_conn(now, conn, code, out);
                }
                ConnEvent::TooMany => {
                    self.stats.conns_over_rate += 1;
                    self.refuse_rate(conn);
                    self.close_conn(now, conn, CloseCode::TooMany, out);
                }
                ConnEvent::TooSlow => {
                    self.stats.conns_too_slow += 1;
                    self.close_conn(now, conn, CloseCode::TooSlow, out);
                }
            }
        }
        self.pull(now, conn, out);
    }

    fn on_conn_deadline(&mut self, now: Instant, conn: ConnKey, out: &mut Outbox) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        let timeout = client.handle_timeout(now, &self.settings.limits.conn);
        if timeout.is_some() {
            self.stats.conns_timed_out += 1;
        }
        match timeout {
            Some(ConnTimeout::Request) => {
                let request = self.clients.get_mut(conn).and_then(Conn::give_up_body);
                let problem = Problem::new(Status::Timeout, "the request did not come whole in time");
                self.turn_away(now, conn, request, &problem);
            }
            Some(ConnTimeout::Answer) => {
                let problem = come_back_later("the answer does not come");
                self.turn_away(now, conn, None, &problem);
            }
            Some(ConnTimeout::Register) => self.close_conn(now, conn, CloseCode::NotRegistered, out),
            Some(ConnTimeout::Silence | ConnTimeout::Takeover) => {
                self.close_conn(now, conn, CloseCode::Silent, out);
            }
            Some(ConnTimeout::Idle | ConnTimeout::Piece | ConnTimeout::Unchecked | ConnTimeout::Closing) | None => {
            }
        }
    }

    /// Queues a message for a conn; one that does not keep up is cut at the end of the turn.
    fn send(&mut self, conn: ConnKey, message: &ServerMessage<'_>) {
        let text = message.to_json();
        self.send_text(conn, &text);
    }

    fn send_text(&mut self, conn: ConnKey, text: &str) {
        let Some(client) = self.clients.get_mut(conn) else { return };
        if !client.send_text(text, &self.settings.limits.conn) {
            self.too_slow.push(conn);
        }
    }

    fn unix_ms(&self, now: Instant) -> u64 {
        self.clock.unix(now).as_millis() as u64
    }

    fn unix_s(&self, now: Instant) -> u64 {
        self.clock.unix(now).as_secs()
    }
}
