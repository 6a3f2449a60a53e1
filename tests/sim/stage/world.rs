//! The whole server and its clients in virtual time, with the laws checked at every step.

mod disk;
mod frames;
mod notes;
mod past;
pub mod programs;
mod tunnels;
mod witness;

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ecoute::audit::{Entry, Event};
use ecoute::config::{AdmissionLimits, Config, Encryption, Limits, RedirectTo, Settings, Trust};
use ecoute::keys::{ConnKey, JobKey};
use ecoute::outbox::{Item, Job, Outbox, Reply};
use ecoute::path::{Door, Ends, Path};
use ecoute::server::{Server, TableSizes};
use ecoute::token::{self, Claims, Devices, Revoked, Rights, Verifier};
use ecoute::words::Role;
use serde_json::Value;
use str0m::net::Protocol;

use crate::browser::{Browser, Heard};
use crate::link::{Link, Quality};
use disk::Answered;
pub use disk::Disk;
pub use notes::Notes;
pub use past::Past;
use programs::Program;
use tunnels::Tunnel;
use witness::{Packet, Witness};

pub const SECRET: &[u8] = b"a secret of at least 32 bytes...";
/// What clients are told; the server itself is reached at `LOCAL`, as behind 1:1 NAT.
pub const ADVERTISED: &str = "203.0.113.1:8080";
const LOCAL: &str = "192.0.2.1:8080";
/// How long what the server sent may be on its way.
const ON_THE_WAY: Duration = Duration::from_millis(200);
/// Turns without time moving that are taken for a busy loop.
const SPINS_MAX: u32 = 10_000;

/// Names a browser of the world.
pub type Who = usize;

#[derive(Clone)]
enum Delivery {
    ToServer {
        who: Who,
        bytes: Vec<u8>,
    },
    ToClient {
        who: Who,
        bytes: Vec<u8>,
    },
    /// Of the how-manieth TCP connection of this browser.
    StreamToServer {
        who: Who,
        connection: u32,
        bytes: Vec<u8>,
    },
    StreamToClient {
        who: Who,
        connection: u32,
        bytes: Vec<u8>,
    },
    Hangup {
        who: Who,
        connection: u32,
    },
    /// Of the how-manieth ICE-TCP connection.
    FramedToServer {
        who: Who,
        connection: u32,
        bytes: Vec<u8>,
    },
    FramedToClient {
        who: Who,
        connection: u32,
        bytes: Vec<u8>,
    },
    FramedAcknowledged {
        who: Who,
        connection: u32,
        bytes: usize,
    },
}

impl Delivery {
    fn is_to_server(&self) -> bool {
        match self {
            Delivery::ToServer { .. }
            | Delivery::StreamToServer { .. }
            | Delivery::FramedToServer { .. }
            | Delivery::Hangup { .. } => true,
            // Acknowledgements end in the kernel.
            Delivery::ToClient { .. }
            | Delivery::StreamToClient { .. }
            | Delivery::FramedToClient { .. }
            | Delivery::FramedAcknowledged { .. } => false,
        }
    }
}

pub struct World {
    pub now: Instant,
    start: Instant,
    seed: u64,
    pub server: Server,
    pub browsers: Vec<Browser>,
    /// Those browsers that are no pages.
    programs: BTreeMap<Who, Program>,
    /// What was written down, but for who came.
    pub audit: Vec<Entry>,
    /// Who came, and when.
    pub arrivals: Vec<Entry>,
    /// The network of browsers that are opened from now on.
    pub quality: Quality,
    pub limits: Limits,
    /// Where TCP connections of browsers come from, instead of each one's own address.
    pub office: Option<SocketAddr>,
    conns: BTreeMap<Who, ConnKey>,
    /// When the first connectivity check from each address arrived.
    pub first_check: BTreeMap<SocketAddr, Instant>,
    /// TCP clients that are no browsers, and what they came from.
    pub strangers: usize,
    /// Datagrams to addresses that are no browser's.
    pub sent_to_nobody: usize,
    /// How many bytes those had to such an address, and all questions among them.
    pub bytes_to: BTreeMap<SocketAddr, usize>,
    pub questions: Vec<Vec<u8>>,
    /// Datagrams with media that the server sent to each.
    media_sent: BTreeMap<Who, usize>,
    /// What each may do, and since when.
    rights: BTreeMap<Who, Vec<(Instant, Claims)>>,
    /// Whose tokens are refused, and since when.
    revoked: (Revoked, Instant),
    witness: Witness,
    /// The writer of the journal.
    pub disk: Disk,
    /// The reader of the journal.
    pub past: Past,
    /// The journal, as its reader finds it.
    pub notes: Notes,
    cut: BTreeSet<Who>,
    udp_blocked: BTreeSet<Who>,
    tunnels: BTreeMap<Who, Tunnel>,
    /// Those that the server has closed and whose kernel still sends.
    closed_tunnels: Vec<(Who, Tunnel)>,
    tunnels_opened: u32,
    /// Who reads late what was sent in time.
    slow_readers: BTreeSet<Who>,
    /// Where the network cuts streams.
    cuts: fastrand::Rng,
    muted: BTreeSet<Who>,
    /// What was sent to some browsers, which get nothing of it but answers to checks, and questions.
    deaf: BTreeMap<Who, Vec<Vec<u8>>>,
    /// What some browsers sent, whether it left or not.
    records: BTreeMap<Who, Vec<Vec<u8>>>,
    /// What waits for the server's process, while that is stopped.
    backlog: Option<Vec<Delivery>>,
    /// Files that are to be read, which scenarios answer.
    pub reads: Vec<(JobKey, String)>,
    clock_jump_s: i64,
    /// When the clock jumped last.
    jumped: Option<Instant>,
    link: Link<Delivery>,
    out: Outbox,
    /// How many packets of each listener were held against the laws.
    checked: BTreeMap<Who, usize>,
    /// How many servers began after another, and how many entries are lawfully not in the journal.
    starts: usize,
    missing: usize,
}

impl World {
    pub fn new(seed: u64, quality: Quality) -> World {
        World::with_limits(seed, quality, Limits::default())
    }

    pub fn with_limits(seed: u64, quality: Quality, limits: Limits) -> World {
        // What the library draws by itself is repeated too.
        fastrand::seed(seed);
        let start = Instant::now();
        World {
            now: start,
            start,
            seed,
            server: server(seed, start, unix(Duration::ZERO), &limits),
            browsers: Vec::new(),
            programs: BTreeMap::new(),
            audit: Vec::new(),
            arrivals: Vec::new(),
            quality,
            limits,
            office: None,
            conns: BTreeMap::new(),
            first_check: BTreeMap::new(),
            strangers: 0,
            sent_to_nobody: 0,
            bytes_to: BTreeMap::new(),
            questions: Vec::new(),
            media_sent: BTreeMap::new(),
            rights: BTreeMap::new(),
            revoked: (Revoked::default(), start),
            witness: Witness::default(),
            disk: Disk::new(seed),
            past: Past::default(),
            notes: Notes::default(),
            cut: BTreeSet::new(),
            udp_blocked: BTreeSet::new(),
            tunnels: BTreeMap::new(),
            closed_tunnels: Vec::new(),
            tunnels_opened: 0,
            slow_readers: BTreeSet::new(),
            cuts: fastrand::Rng::with_seed(seed),
            muted: BTreeSet::new(),
            deaf: BTreeMap::new(),
            records: BTreeMap::new(),
            backlog: None,
            reads: Vec::new(),
            clock_jump_s: 0,
            jumped: None,
            link: Link::new(seed),
            out: Outbox::new(),
            checked: BTreeMap::new(),
            starts: 0,
            missing: 0,
        }
    }

    pub fn token(&self, role: Role, id: &str, edit: impl FnOnce(&mut Claims)) -> String {
        let iat = self.unix_s();
        // As the program's own command does.
        let after_revocation = self.revoked.0.until_s(id).filter(|known_s| *known_s <= iat + token::SKEW_S);
        let mut claims = Claims {
            sub: id.to_owned(),
            role,
            name: Some(format!("{id} X.")),
            listen: None,
            device: false,
            rights: Rights::default(),
            exp: iat + 3600,
            iat,
            nbf: None,
            after_revocation,
        };
        edit(&mut claims);
        token::mint(SECRET, &claims)
    }

    /// Opens a page.
    pub fn open(&mut self, role: Role, id: &str) -> Who {
        let token = self.token(role, id, |_| {});
        self.open_with(id, &token)
    }

    pub fn open_with(&mut self, id: &str, token: &str) -> Who {
        let who = self.add(id);
        self.connect(who, token);
        who
    }

    /// Adds somebody who does nothing yet.
    pub fn add(&mut self, id: &str) -> Who {
        let who = self.browsers.len();
        let address =
            SocketAddr::from(([198, 51, 100 + (who / 200) as u8, 1 + (who % 200) as u8], 10_000 + who as u16));
        self.browsers.push(Browser::new(who as u16, id, address, self.quality));
        who
    }

    /// Opens a TCP connection of a browser, instead of one that it may have had.
    pub fn connect(&mut self, who: Who, token: &str) {
        let browser = &mut self.browsers[who];
        browser.register(token, &format!("page-{who}"));
        let remote = self.office.unwrap_or(browser.address);
        let conn = self.server.handle_accept(self.now, ends(remote), &mut self.out).expect("there is room");
        self.conns.insert(who, conn);
        self.cut.remove(&who);
    }

    /// Opens a page and its microphone.
    pub fn publisher(&mut self, id: &str) -> Who {
        let who = self.open(Role::Commercial, id);
        let now = self.now;
        self.browsers[who].start_streaming(now);
        who
    }

    /// Opens a page and its headphones.
    pub fn listener(&mut self, id: &str) -> Who {
        let who = self.open(Role::Admin, id);
        let now = self.now;
        self.browsers[who].open_audio(now);
        who
    }

    pub fn join(&mut self, who: Who, commercial_id: &str) {
        self.browsers[who].say("join_commercial_stream", serde_json::json!({ "commercial_id": commercial_id }));
    }

    /// Closes a page: its TCP connection ends, its media stops.
    pub fn close(&mut self, who: Who) {
        self.browsers[who].vanish();
        self.drop_stream(who);
        self.drop_tunnel(who);
    }

    /// Tells whether a page has a TCP connection.
    pub fn is_open(&self, who: Who) -> bool {
        self.conns.contains_key(&who)
    }

    /// Ends the TCP connection of a page; its media goes on.
    pub fn drop_stream(&mut self, who: Who) {
        let Browser { quality, connection, .. } = self.browsers[who];
        self.link.stream(self.now, quality, Delivery::Hangup { who, connection });
    }

    /// Gives a browser that was unplugged its network back.
    pub fn plug(&mut self, who: Who) {
        self.cut.remove(&who);
        self.read_tunnel(who, 0);
        if let Some(&conn) = self.conns.get(&who).filter(|_| self.backlog.is_none()) {
            self.flush_stream(conn);
        }
    }

    /// The process ends without a word and another one begins.
    pub fn restart_server(&mut self) {
        let killed_ms = self.wall_ms();
        let (written, lost) = self.disk.kill();
        self.missing += lost;
        self.past.keep(&written.iter().collect::<Vec<_>>(), unix(self.now - self.start));
        self.past.reopen(unix(self.now - self.start));
        self.starts += 1;
        // One that was begun later does not have all.
        if let Some(entries) = self.past.entries().filter(|_| self.disk.is_in_order) {
            self.witness.check_killed(&entries, killed_ms);
            self.check_journal(&entries);
        }
        self.renew_server();
        self.conns.clear();
        self.tunnels.clear();
        self.closed_tunnels.clear();
        self.witness.on_restart();
        self.past.forget();
        self.notes.forget();
    }

    /// Keeps a real journal from the beginning, with a writer that does as the real one.
    pub fn keep_journal(&mut self) {
        self.past.begin();
        self.disk.is_in_order = true;
    }

    /// Law 8: what was asked to be written down is there, but for what waited when a server was killed, and for gates that
    /// were refused.
    fn check_journal(&self, entries: &[Value]) {
        let is_closing = |entry: &&Value| entry["detail"] == "server died";
        let closing = entries.iter().filter(is_closing).count();
        let asked = self.audit.len() + self.arrivals.len();
        let want = asked + self.starts + closing - self.missing - self.disk.waiting();
        assert_eq!(entries.len(), want, "law 8: entries are missing, or there are more");
    }

    /// The core alone is dropped, for another one; nobody notices.
    pub fn renew_server(&mut self) {
        // No two servers draw the same.
        let seed = self.seed ^ (self.starts as u64) << 32;
        self.server = server(seed, self.now, unix(self.now - self.start), &self.limits);
    }

    /// Begins to keep the datagrams that a browser sends.
    pub fn record(&mut self, who: Who) {
        self.records.insert(who, Vec::new());
    }

    /// Returns the datagrams that a browser sent since.
    pub fn take_record(&mut self, who: Who) -> Vec<Vec<u8>> {
        self.records.remove(&who).unwrap_or_default()
    }

    /// Takes a browser off the network without a word.
    pub fn unplug(&mut self, who: Who) {
        self.cut.insert(who);
    }

    /// Loses what is sent to a browser from now on, but for answers to its checks, and questions.
    pub fn deafen(&mut self, who: Who) {
        self.deaf.insert(who, Vec::new());
    }

    /// Returns what was sent to a deaf browser since.
    pub fn take_sent_to(&mut self, who: Who) -> Vec<Vec<u8>> {
        self.deaf.get_mut(&who).map(std::mem::take).unwrap_or_default()
    }

    /// Holds back what a page says over its WebSocket; its media goes on.
    pub fn mute_stream(&mut self, who: Who) {
        self.muted.insert(who);
    }

    pub fn unmute_stream(&mut self, who: Who) {
        self.muted.remove(&who);
    }

    /// Returns where the server gets a browser's datagrams from.
    pub fn path_of(&self, who: Who) -> Path {
        path(self.browsers[who].external)
    }

    /// Begins anew with a server that believes proxies of these networks.
    pub fn trust_proxies(&mut self, networks: &[&str]) {
        let mut config = config(&self.limits);
        config.settings.trusted_proxies = networks.iter().map(|network| network.parse().unwrap()).collect();
        self.server = Server::new(config, [0; 32], self.now, unix(self.now - self.start));
    }

    /// Begins anew with a server whose OpenSSL failed its rehearsal.
    pub fn refuse_programs(&mut self) {
        let mut config = config(&self.limits);
        config.settings.can_serve_programs = |_| false;
        self.server = Server::new(config, [0; 32], self.now, unix(self.now - self.start));
    }

    /// Opens a TCP connection that is no page's.
    pub fn knock(&mut self, remote: SocketAddr) -> Option<ConnKey> {
        self.knock_at(Door::Main, remote)
    }

    /// Opens one at a door of the server.
    pub fn knock_at(&mut self, door: Door, remote: SocketAddr) -> Option<ConnKey> {
        self.server.handle_accept(self.now, Ends { door, ..ends(remote) }, &mut self.out)
    }

    /// Answers what was to be read first.
    pub fn answer_read(&mut self, contents: Option<&[u8]>) {
        let (job, _) = self.reads.remove(0);
        let reply = Reply::Challenge(contents.map(<[u8]>::to_vec));
        self.server.handle_reply(self.now, job, reply, &mut self.out);
        self.flush();
    }

    /// Sends bytes over a TCP connection that is no page's; returns what is answered at once, and reads it.
    pub fn send_bytes(&mut self, conn: ConnKey, bytes: &[u8]) -> String {
        self.receive(conn, bytes);
        // What waits for a disk that takes no time is answered at once, too.
        if self.server.pending_write(conn).is_empty() {
            self.flush();
        }
        let answer = String::from_utf8_lossy(self.server.pending_write(conn)).into_owned();
        self.wrote(conn, answer.len());
        answer
    }

    pub fn hang_up(&mut self, conn: ConnKey) {
        self.witness.on_hangup(conn);
        self.server.handle_hangup(self.now, conn, &mut self.out);
    }

    /// The server takes bytes of a TCP client.
    fn receive(&mut self, conn: ConnKey, bytes: &[u8]) {
        self.witness.on_received(conn, bytes);
        self.server.handle_bytes(self.now, conn, bytes, &mut self.out);
    }

    /// The network took so many bytes of what waited for a TCP client.
    fn wrote(&mut self, conn: ConnKey, bytes: usize) {
        self.witness.on_pending(conn, self.server.pending_write(conn));
        self.server.handle_written(self.now, conn, bytes, &mut self.out);
        self.witness.on_written(conn, bytes);
    }

    /// Sends a datagram that no browser would, from any address.
    pub fn inject_from(&mut self, remote: SocketAddr, bytes: &[u8]) {
        let path = path(remote);
        self.server.handle_datagram(self.now, path, bytes, &mut self.out);
    }

    /// Sends a datagram that no browser would, from the address of one.
    pub fn inject(&mut self, who: Who, bytes: &[u8]) {
        let path = self.path_of(who);
        self.server.handle_datagram(self.now, path, bytes, &mut self.out);
    }

    /// Takes bytes of a TCP client that is no page.
    pub fn push(&mut self, conn: ConnKey, bytes: &[u8]) {
        self.receive(conn, bytes);
        self.flush();
    }

    /// Returns what such a client reads, as much of it as it wants.
    pub fn pull(&mut self, conn: ConnKey, bytes_max: usize) -> Vec<u8> {
        let pending = self.server.pending_write(conn);
        let bytes = pending[..pending.len().min(bytes_max)].to_vec();
        self.wrote(conn, bytes.len());
        self.flush();
        bytes
    }

    /// Stops the server's process: nothing is read, and no time passes for it.
    pub fn stop_process(&mut self) {
        self.backlog = Some(Vec::new());
    }

    /// Lets the process go on: it sees what the clocks show now, and what has arrived meanwhile.
    pub fn continue_process(&mut self) {
        let backlog = self.backlog.take().expect("it was stopped");
        self.tell_wall_clock();
        for delivery in backlog {
            self.deliver(delivery);
        }
    }

    /// Everybody sleeps for so long, server and clients: all clocks go on.
    pub fn sleep(&mut self, slept: Duration) {
        self.now += slept;
        for browser in &mut self.browsers {
            browser.wake(slept);
        }
    }

    /// Sets the wall clock forward or back.
    pub fn jump_clock_s(&mut self, by_s: i64) {
        self.clock_jump_s += by_s;
        self.jumped = Some(self.now);
    }

    /// Replaces the list of revoked users.
    pub fn take_revoked(&mut self, list: &[u8]) {
        self.server.handle_revoked(self.now, list, &mut self.out);
        // A list that can't be used leaves the old one.
        if let Ok(revoked) = Revoked::parse(list) {
            self.revoked = (revoked, self.now);
        }
    }

    /// Replaces the list of devices.
    pub fn take_devices(&mut self, list: &[u8]) {
        self.server.handle_devices(self.now, list, &mut self.out);
    }

    /// Returns how many datagrams with media the server sent to a browser, whether they arrived or not.
    pub fn media_sent_to(&self, who: Who) -> usize {
        self.media_sent.get(&who).copied().unwrap_or_default()
    }

    /// Returns what the server's wall clock shows, in whole seconds.
    pub fn unix_s(&self) -> u64 {
        unix(self.now - self.start).duration_since(UNIX_EPOCH).unwrap().as_secs()
    }

    /// What the server's clock shows.
    fn wall_ms(&self) -> u64 {
        let elapsed_ms = unix(self.now - self.start).duration_since(UNIX_EPOCH).unwrap().as_millis() as u64;
        elapsed_ms.checked_add_signed(self.clock_jump_s * 1000).unwrap()
    }

    pub fn drain(&mut self) {
        self.server.handle_drain(self.now, &mut self.out);
    }

    /// How long the world has lasted.
    pub fn elapsed_ms(&self) -> u64 {
        (self.now - self.start).as_millis() as u64
    }

    /// Lets all sessions connect, and some time pass.
    ///
    /// A network that lost their handshakes for 4 s loses nothing until the last one is through: the chance of the
    /// handshakes' cryptography is not ours, so no seed keeps a network from losing the same flight again and again.
    pub fn settle(&mut self) {
        self.run_ms(4000);
        self.link.is_kind = true;
        for _ in 0..200 {
            if self.is_settled() {
                break;
            }
            self.run_ms(100);
        }
        self.link.is_kind = false;
        let ids: Vec<&str> =
            self.browsers.iter().filter(|browser| !browser.is_settled()).map(|browser| &*browser.id).collect();
        assert!(self.is_settled(), "a session never connects: {ids:?} {:?}", self.server.stats());
        self.run_ms(500);
    }

    /// Ends a browser's session with an alert that no network loses: what is sent once is lost by the chance of the
    /// handshakes' cryptography, too.
    pub fn hang_up_heard(&mut self, who: Who) {
        self.browsers[who].hang_up(self.now);
        self.link.is_kind = true;
        self.run_ms(1);
        self.link.is_kind = false;
    }

    fn is_settled(&self) -> bool {
        self.browsers.iter().enumerate().all(|(who, browser)| browser.is_settled() || self.cut.contains(&who))
    }

    pub fn run_ms(&mut self, ms: u64) {
        let end = self.now + Duration::from_millis(ms);
        let mut spins = 0;
        loop {
            self.turn();
            let next = self.next_event().filter(|&at| at <= end);
            let Some(at) = next else { break };
            spins = if at > self.now { 0 } else { spins + 1 };
            assert!(spins < SPINS_MAX, "spins on {:?}", self.server.next_deadline());
            self.now = self.now.max(at);
        }
        self.now = end;
        self.turn();
    }

    fn next_event(&self) -> Option<Instant> {
        let server = self.server.next_deadline().filter(|_| self.backlog.is_none()).map(|(at, _)| at);
        let browsers = self.browsers.iter().filter_map(Browser::next_deadline);
        browsers.chain(server).chain(self.link.next()).chain(self.disk.next()).min()
    }

    fn turn(&mut self) {
        let now = self.now;
        self.tell_wall_clock();
        while let Some(delivery) = self.link.pop(now) {
            match &mut self.backlog {
                Some(backlog) if delivery.is_to_server() => backlog.push(delivery),
                Some(_) | None => self.deliver(delivery),
            }
        }
        for who in 0..self.browsers.len() {
            self.read_tokens(who);
            let (quality, held_back) = (self.browsers[who].quality, self.browsers[who].held_back);
            for (to, bytes) in self.browsers[who].handle_timeout(now) {
                assert_eq!(to, ADVERTISED.parse().unwrap(), "a browser sends to what was advertised");
                if let Some(record) = self.records.get_mut(&who) {
                    record.push(bytes.clone());
                }
                let is_check = bytes.starts_with(&[0, 1]);
                let is_unsent = self.cut.contains(&who) || (is_check && self.browsers[who].checks_no_more);
                match (is_unsent, self.udp_blocked.contains(&who)) {
                    (true, _) => {}
                    (false, true) => self.send_framed(who, &bytes),
                    (false, false) => {
                        let held_back = if is_media(&bytes) { held_back } else { Duration::ZERO };
                        let quality = Quality { delay: quality.delay + held_back, ..quality };
                        self.link.send(now, quality, Delivery::ToServer { who, bytes });
                    }
                }
            }
            if self.muted.contains(&who) {
                continue;
            }
            let bytes = self.browsers[who].take_bytes();
            if !bytes.is_empty() && !self.cut.contains(&who) {
                let connection = self.browsers[who].connection;
                self.link.stream(now, quality, Delivery::StreamToServer { who, connection, bytes });
            }
        }
        if self.backlog.is_none() {
            self.server.handle_timeout(now, &mut self.out);
            self.flush();
            self.check_laws();
        }
    }

    fn tell_wall_clock(&mut self) {
        let jump = Duration::from_secs(self.clock_jump_s.unsigned_abs());
        let wall = unix(self.now - self.start);
        let wall = if self.clock_jump_s < 0 { wall - jump } else { wall + jump };
        if self.backlog.is_none() {
            self.server.set_unix(self.now, wall);
        }
    }

    fn deliver(&mut self, delivery: Delivery) {
        let now = self.now;
        // What left before a page said something, or was gone, is judged by what was so before.
        if !matches!(delivery, Delivery::ToServer { .. } | Delivery::ToClient { .. }) && !self.out.is_empty() {
            self.flush();
        }
        match delivery {
            Delivery::ToServer { who, bytes } => {
                let remote = self.browsers[who].external;
                if bytes.starts_with(&[0, 1]) {
                    self.first_check.entry(remote).or_insert(now);
                }
                self.inject_from(remote, &bytes);
            }
            Delivery::ToClient { who, bytes } => {
                self.browsers[who].handle_datagram(now, ADVERTISED.parse().unwrap(), &bytes);
            }
            Delivery::StreamToServer { who, connection, .. }
            | Delivery::StreamToClient { who, connection, .. }
            | Delivery::Hangup { who, connection }
                if self.browsers[who].connection != connection => {}
            Delivery::StreamToServer { who, bytes, .. } => {
                if let Some(&conn) = self.conns.get(&who) {
                    self.receive(conn, &bytes);
                }
            }
            Delivery::FramedToServer { who, connection, bytes } => self.deliver_to_server(who, connection, &bytes),
            Delivery::FramedToClient { who, connection, bytes } => self.deliver_to_client(who, connection, &bytes),
            Delivery::FramedAcknowledged { who, connection, bytes } => self.acknowledge(who, connection, bytes),
            Delivery::StreamToClient { who, bytes, .. } => self.browsers[who].handle_bytes(now, &bytes),
            Delivery::Hangup { who, .. } => {
                if let Some(conn) = self.conns.remove(&who) {
                    self.hang_up(conn);
                }
            }
        }
    }

    /// Does what the shell does with an outbox.
    fn flush(&mut self) {
        let now = self.now;
        let mut touched = BTreeSet::new();
        loop {
            let (mut out, mut named) = (std::mem::take(&mut self.out), Vec::new());
            let (items, bytes) = out.drain();
            for item in items {
                match item {
                    Item::Job(job, Job::Write(entry)) => {
                        self.witness.on_entry(now, &entry);
                        self.disk.take(now, job, &entry);
                        self.notes.append(&entry);
                        match entry.event {
                            Event::Registered { .. } => self.arrivals.push(entry),
                            _ => self.audit.push(entry),
                        }
                    }
                    Item::Job(job, Job::ReadChallenge(name)) => self.reads.push((job, name)),
                    Item::Job(job, Job::ReadHistory(query)) => self.past.ask(job, query),
                    Item::Job(job, Job::ReadSeen { since_ms, people_max }) => {
                        self.past.ask_seen(job, since_ms, people_max);
                    }
                    Item::Job(job, Job::ProveNote(note)) => self.notes.take(job, note),
                    Item::Datagram(datagram) => {
                        let contents = datagram.contents(bytes);
                        assert_eq!(datagram.path.local, LOCAL.parse().unwrap(), "sent from where it was received");
                        let to = |browser: &Browser| browser.external == datagram.path.remote;
                        let who = self.browsers.iter().position(to);
                        if who.is_none() {
                            self.sent_to_nobody += 1;
                            *self.bytes_to.entry(datagram.path.remote).or_default() += contents.len();
                            if contents.starts_with(&[0, 1]) {
                                self.questions.push(contents.to_vec());
                            }
                        }
                        if let Some(who) = who.filter(|_| is_media(contents)) {
                            *self.media_sent.entry(who).or_default() += 1;
                            self.witness.on_media(who, contents);
                        }
                        if let Some(kept) = who.and_then(|who| self.deaf.get_mut(&who)) {
                            kept.push(contents.to_vec());
                            if !is_stun(contents) {
                                continue;
                            }
                        }
                        let is_through = |who: &Who| !self.cut.contains(who) && !self.udp_blocked.contains(who);
                        if let Some(who) = who.filter(is_through) {
                            let delivery = Delivery::ToClient { who, bytes: contents.to_vec() };
                            self.link.send(now, self.browsers[who].quality, delivery);
                        }
                    }
                    Item::Conn(conn) => named.push(conn),
                }
            }
            // What is queued was said when it was queued, whenever it is written.
            for conn in named {
                if !self.is_of_tunnel(conn) {
                    self.witness.on_pending(conn, self.server.pending_write(conn));
                }
                touched.insert(conn);
            }
            self.answer_jobs(now);
            let Some(conn) = touched.pop_first() else {
                if self.out.is_empty() {
                    break;
                }
                continue;
            };
            self.flush_tunnel(conn);
            self.flush_stream(conn);
            if self.server.should_close(conn) {
                self.conns.retain(|_, other| *other != conn);
                self.hang_up(conn);
            }
        }
    }

    /// Does what the writer does: whoever is refused is told why, and that it is over is said once all is written.
    fn answer_jobs(&mut self, now: Instant) {
        if self.disk.fault.is_some() {
            self.tell_journal(now);
        }
        let answered: Vec<Answered> = std::iter::from_fn(|| self.disk.pop(now)).collect();
        let durable: Vec<&Entry> =
            answered.iter().filter(|answered| answered.written.is_ok()).map(|answered| &answered.entry).collect();
        self.missing += answered.len() - durable.len();
        self.past.keep(&durable, unix(now - self.start));
        for Answered { job, entry, written } in answered {
            self.witness.on_answered(entry.id, written.is_ok());
            self.server.handle_reply(now, job, Reply::Written(written), &mut self.out);
        }
        while let Some((job, proved)) = self.notes.pop() {
            self.server.handle_reply(now, job, Reply::NoteProved(proved), &mut self.out);
        }
        while let Some((job, reply)) = self.past.pop(unix(self.now - self.start)) {
            self.server.handle_reply(now, job, reply, &mut self.out);
        }
        self.tell_journal(now);
    }

    fn tell_journal(&mut self, now: Instant) {
        if let Some(state) = self.disk.take_news() {
            self.server.handle_journal(now, state, &mut self.out);
        }
    }

    /// Sends what waits for a client that is on the network.
    fn flush_stream(&mut self, conn: ConnKey) {
        let bytes = self.server.pending_write(conn).to_vec();
        let who = self.conns.iter().find(|(_, other)| **other == conn).map(|(&who, _)| who);
        let Some(who) = who.filter(|who| !self.cut.contains(who)) else { return };
        if !bytes.is_empty() {
            let Browser { connection, quality, .. } = self.browsers[who];
            let delivery = Delivery::StreamToClient { who, connection, bytes: bytes.clone() };
            self.link.stream(self.now, quality, delivery);
        }
        self.wrote(conn, bytes.len());
    }

    fn read_tokens(&mut self, who: Who) {
        let verifier = Verifier::new(SECRET, None, Revoked::default());
        for token in std::mem::take(&mut self.browsers[who].tokens) {
            if let Ok(claims) = verifier.verify(self.wall_ms() / 1000, &token) {
                self.rights.entry(who).or_default().push((self.now, claims));
            }
        }
    }

    /// Law 3: whoever is heard has a token that allows it, or had until what arrives now was on its way.
    fn check_right(&self, listener: &Browser, publisher: &Browser) {
        if self.jumped.is_some_and(|at| at + ON_THE_WAY > self.now) {
            return;
        }
        let rights = &self.rights[&usize::from(listener.index)];
        // What was sent in time may be read late, but not after the end of all rights.
        let reads_late = self.slow_readers.contains(&usize::from(listener.index));
        let until = |since: Instant| if reads_late { self.now } else { since + ON_THE_WAY };
        let until = rights.iter().skip(1).map(|(since, _)| until(*since)).chain([self.now]);
        let is_allowed = rights.iter().zip(until).any(|((_, claims), until)| {
            let is_alive = claims.exp * 1000 + ON_THE_WAY.as_millis() as u64 > self.wall_ms();
            let (revoked, since) = &self.revoked;
            let is_revoked = revoked.refuses(claims) && *since + ON_THE_WAY < self.now;
            until >= self.now && is_alive && !is_revoked && claims.may_hear(&publisher.id)
        });
        assert!(is_allowed, "law 3: {} hears {} without a right", listener.id, publisher.id);
    }

    /// Checks what must hold whatever the clients do.
    fn check_laws(&mut self) {
        self.witness.check_turn();
        let sizes = self.server.table_sizes();
        assert!(
            sizes.conns <= self.limits.admission.conns_max && sizes.registrations <= sizes.conns,
            "law 6: {sizes:?}"
        );
        assert!(sizes.peers <= self.limits.media.peers_max, "law 6: {sizes:?}");
        assert!(sizes.addresses <= sizes.peers * self.limits.media.addresses_per_peer_max, "law 6: {sizes:?}");
        assert!(sizes.sources <= sizes.peers.max(self.limits.media.asked_max), "law 6: {sizes:?}");
        assert!(sizes.broadcasts <= self.limits.listening.broadcasts_max, "law 6: {sizes:?}");
        assert!(sizes.wishes <= self.limits.listening.wishes_max, "law 6: {sizes:?}");
        assert!(sizes.buffered_bytes <= self.limits.admission.buffered_bytes_max, "law 6: {sizes:?}");
        let AdmissionLimits { of_stranger, of_user, of_program, of_programs_network, .. } = &self.limits.admission;
        let rows_max =
            [of_stranger, of_user, of_program, of_programs_network].iter().map(|of| of.rows_max).sum::<usize>();
        assert!(sizes.quotas <= rows_max, "law 6: {sizes:?}");
        // A restart may bring longer credentials.
        let offers_bytes_max = self.limits.media.offers_bytes_max + sizes.peers * 512;
        assert!(sizes.offers_bytes <= offers_bytes_max, "law 6: {sizes:?}");
        let resources_max = self.limits.media.peers_max + self.limits.program.resources_max;
        assert!(sizes.resources <= resources_max, "law 6: {sizes:?}");
        assert!(sizes.unconnected <= self.limits.media.unconnected_queue_max, "law 6: {sizes:?}");
        for who in 0..self.browsers.len() {
            let checked = self.checked.entry(who).or_default();
            let from = std::mem::replace(checked, self.browsers[who].heard.len());
            for index in from..self.browsers[who].heard.len() {
                self.check_heard(who, self.browsers[who].heard[index]);
            }
        }
    }

    /// Laws 1, 2, 3 and 8, of one packet that a listener got.
    fn check_heard(&mut self, who: Who, heard: Heard) {
        let (listener, publisher) = (&self.browsers[who], &self.browsers[usize::from(heard.source)]);
        self.check_right(listener, publisher);
        let needs_page = self.program_of(publisher).is_none_or(|program| !program.is_device);
        self.witness.check(&Packet {
            who,
            ssrc: heard.ssrc,
            sequence: heard.sequence,
            admin_id: &listener.id,
            commercial_id: &publisher.id,
            source: heard.source,
            counter: heard.counter,
            needs_page,
        });
    }

    fn program_of(&self, browser: &Browser) -> Option<&Program> {
        self.programs.get(&usize::from(browser.index))
    }

    /// Law 7: each packet at most once, and in the order of its numbers the order in which it was sent.
    pub fn check_faithful(&self) {
        for listener in &self.browsers {
            let mut heard = listener.heard.clone();
            heard.sort_by_key(|heard| (heard.session, heard.sequence));
            for pair in heard.windows(2) {
                let [before, after] = pair else { unreachable!() };
                let same_session = before.session == after.session;
                assert!(
                    !same_session || before.sequence < after.sequence,
                    "law 7: one number twice: {before:?} {after:?}"
                );
                if before.source == after.source {
                    assert!(before.counter < after.counter, "law 7: order: {before:?} {after:?}");
                }
            }
            let packets: BTreeSet<_> = heard.iter().map(|heard| (heard.source, heard.counter)).collect();
            assert_eq!(packets.len(), heard.len(), "law 7: a packet twice at {}", listener.id);
        }
    }

    /// Law 3: nobody is told of whom no token of theirs ever named. Finer is not possible here: what is told waits with
    /// a page's network.
    fn check_told(&self) {
        for (&who, rights) in &self.rights {
            let may_know = |id: &str| {
                let is_own = |claims: &Claims| claims.role == Role::Commercial && claims.sub == id;
                rights.iter().any(|(_, claims)| claims.may_hear(id) || is_own(claims))
            };
            for message in &self.browsers[who].messages {
                let stranger = told_of(message).into_iter().find(|id| !may_know(id));
                assert_eq!(stranger, None, "law 3: {} is told {message}", self.browsers[who].id);
                let is_heard = |row: &&Value| row["speaking"] != true || row["state"] == "on_air";
                assert!(rows_of(message).iter().all(is_heard), "law 2: somebody speaks unheard: {message}");
            }
        }
    }

    /// Law 5: everybody leaves, and nothing is left.
    pub fn end(mut self) {
        self.check_faithful();
        self.check_told();
        self.disk.heal();
        self.past.is_stuck = false;
        self.notes.heal();
        for who in 0..self.browsers.len() {
            self.close(who);
        }
        // Broadcasts wait for their pages, connections that nobody closed for a sign of life, and whoever was refused
        // for being believed again.
        self.run_ms(75_000);
        while !self.reads.is_empty() {
            self.answer_read(None);
        }
        // An encoder that was paused may come back.
        if self.server.table_sizes().broadcasts > 0 {
            self.run_ms(self.limits.broadcast.pause_memory.as_millis() as u64);
        }
        // Who doubts the journal is remembered for an hour.
        if self.server.stats().notes_doubted + self.server.stats().notes_of_other_key > 0 {
            self.run_ms(3_700_000);
        }
        let empty = TableSizes::default();
        assert_eq!(self.server.table_sizes(), empty, "law 5: {:?}", self.server.next_deadline());
        self.witness.check_closed();
        if let Some(entries) = self.past.entries().filter(|_| self.disk.is_in_order) {
            self.check_journal(&entries);
        }
    }
}

/// Returns of whom a message tells.
fn told_of(message: &Value) -> Vec<&str> {
    rows_of(message).into_iter().filter_map(id_of).collect()
}

/// Returns what a message tells of each person.
fn rows_of(message: &Value) -> Vec<&Value> {
    let data = &message["data"];
    match message["event"].as_str() {
        Some("available_streams") => data.as_array().into_iter().flatten().collect(),
        Some("commercial_updated" | "commercial_position" | "stream_quality" | "listening_started") => vec![data],
        _ => Vec::new(),
    }
}

fn id_of(commercial: &Value) -> Option<&str> {
    commercial["commercial_id"].as_str()
}

/// Tells whether a datagram is RTP: neither STUN, DTLS nor RTCP (RFC 7983, RFC 5761 §4).
pub fn is_media(contents: &[u8]) -> bool {
    matches!(contents, [128..=191, payload_type, ..] if !(64..96).contains(&(payload_type & 0x7f)))
}

/// Tells whether a datagram is STUN (RFC 7983 §7).
fn is_stun(contents: &[u8]) -> bool {
    matches!(contents, [0..=3, ..])
}

fn server(seed: u64, now: Instant, unix: SystemTime, limits: &Limits) -> Server {
    let mut seed_bytes = [0; 32];
    seed_bytes[..8].copy_from_slice(&seed.to_be_bytes());
    Server::new(config(limits), seed_bytes, now, unix)
}

fn config(limits: &Limits) -> Config {
    let trust = Trust { token_secret: SECRET.to_vec(), issuer: None, revoked: Revoked::default() };
    let settings = Settings {
        advertised: vec![ADVERTISED.parse().unwrap()],
        trusted_proxies: vec![],
        allowed_origins: vec![],
        ice_servers: vec![],
        devices: devices(),
        encryption: Encryption::Optional,
        can_serve_programs: |_| true,
        redirect: Some(RedirectTo { base: None, port: 443 }),
        limits: limits.clone(),
    };
    Config { trust, settings }
}

/// What may stream as a device, where no person's page uses the id.
fn devices() -> Devices {
    let ids =
        ["a&b=c+d@e.fr", "bell", "cam", "door", "hall", "ines", "lea", "other", "tom", "zoe"].map(str::to_owned);
    let ids = ids.into_iter().chain((0..50).map(|n| format!("device{n}")));
    let list: Vec<Value> = ids.map(|id| serde_json::json!({ "id": id, "place": id })).collect();
    Devices::parse(serde_json::json!(list).to_string().as_bytes()).expect("our own list")
}

fn ends(remote: SocketAddr) -> Ends {
    Ends { remote, local: LOCAL.parse().unwrap(), door: Door::Main }
}

fn path(remote: SocketAddr) -> Path {
    Path { proto: Protocol::Udp, remote, local: LOCAL.parse().unwrap() }
}

/// The wall clock of the world, so long after its start.
fn unix(elapsed: Duration) -> SystemTime {
    UNIX_EPOCH + Duration::from_secs(1_800_000_000) + elapsed
}
