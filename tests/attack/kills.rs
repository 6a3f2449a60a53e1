//! What a journal is after the server was killed again and again at any moment, with fifty salespeople on air.
//!
//! Their sessions never connect: many do much in little time here, and that what is heard is written down is another test's.
//! Everything that a client was answered until then is held against the journal that the next server finds. Invariant: what
//! a client saw was in its socket before the kill, and all of it is read.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ecoute::journal::{CHAIN_BEGIN, Hash, chained, leaf_of};
use nix::sys::signal::Signal;
use rusqlite::{Connection, OpenFlags};
use serde_json::{Value, json};
use stage::browser::Browser;
use stage::link::Quality;
use str0m::media::Direction;

use crate::journal::assert_good;
use crate::start;
use crate::support::Ecoute;
use crate::support::client::connect;

/// How often the server is killed.
const KILLS: usize = 200;
const SALESPEOPLE: usize = 50;
const SUPERVISORS: usize = 12;
/// How many of the salespeople never pause: a player of theirs is announced before it is answered.
const WITHOUT_PAUSE: usize = 10;
/// For how long a server lives at the most.
const LIFE_MAX: Duration = Duration::from_millis(250);
/// How often the whole journal is verified beside the server.
const VERIFIED_EACH: usize = 50;
/// How far two readings of one clock may be apart.
const ROUNDING_MS: u64 = 2;

/// A page over a real socket.
struct Page {
    browser: Browser,
    tcp: TcpStream,
}

/// Somebody who asks for the same over HTTP, again and again.
struct Asking {
    tcp: TcpStream,
    requests: Vec<String>,
    answers: Vec<u8>,
    asked: usize,
}

/// All clients of one server, from its start to its kill.
struct Life {
    salespeople: Vec<Page>,
    supervisors: Vec<Page>,
    /// Who reads others' history, and a program that listens.
    curious: Asking,
    player: Asking,
}

/// What clients bring: their tokens, and what they offer for sessions that never connect.
struct People {
    salespeople: Vec<(String, String)>,
    supervisors: Vec<(String, String)>,
    curious: String,
    player: String,
    sends: Value,
    hears: Value,
}

/// What clients saw until a kill.
#[derive(Default)]
struct Seen {
    /// The listenings that a page was told of, and of whom.
    announced: BTreeMap<String, String>,
    /// Whom each supervisor began to hear.
    started: BTreeSet<(String, String)>,
    registered: usize,
    on_air: usize,
    /// How many pieces of others' history were shown, and how many sessions of a player were answered.
    shown: usize,
    played: usize,
}

impl Page {
    fn open(ecoute: &Ecoute, (id, token): &(String, String)) -> Page {
        let tcp = connect(ecoute.address).into_inner();
        tcp.set_nonblocking(true).unwrap();
        let mut browser = Browser::new(0, id, tcp.local_addr().unwrap(), Quality::PERFECT);
        browser.register(token, id);
        Page { browser, tcp }
    }

    fn serve(&mut self, now: Instant) {
        read_all(&mut self.tcp, |bytes| self.browser.handle_bytes(now, bytes));
        // The server may be gone already.
        let _ = self.tcp.write_all(&self.browser.take_bytes());
    }

    /// Reads what came before the end.
    fn read_to_end(&mut self) {
        self.tcp.set_nonblocking(false).unwrap();
        read_all(&mut self.tcp, |bytes| self.browser.handle_bytes(Instant::now(), bytes));
    }
}

/// Reads what there is now, or until the end where that is waited for.
fn read_all(tcp: &mut TcpStream, mut take: impl FnMut(&[u8])) {
    let mut buffer = [0; 4000];
    loop {
        match tcp.read(&mut buffer) {
            Ok(0) => break,
            Ok(length) => take(&buffer[..length]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            // There is no more, or the server was killed with something unread.
            Err(_) => break,
        }
    }
}

impl Asking {
    fn open(ecoute: &Ecoute, requests: Vec<String>) -> Asking {
        let tcp = connect(ecoute.address).into_inner();
        tcp.set_nonblocking(true).unwrap();
        Asking { tcp, requests, answers: Vec::new(), asked: 0 }
    }

    fn serve(&mut self) {
        read_all(&mut self.tcp, |bytes| self.answers.extend(bytes));
        if self.answered("") == self.asked {
            let request = &self.requests[self.asked % self.requests.len()];
            self.asked += 1;
            // The server may be gone already.
            let _ = self.tcp.write_all(request.as_bytes());
        }
    }

    /// Reads what came before the end; returns how many answers have a status.
    fn end(mut self, status: &str) -> usize {
        self.tcp.set_nonblocking(false).unwrap();
        read_all(&mut self.tcp, |bytes| self.answers.extend(bytes));
        self.answered(status)
    }

    fn answered(&self, status: &str) -> usize {
        let line = format!("HTTP/1.1 {status}");
        self.answers.windows(line.len()).filter(|bytes| *bytes == line.as_bytes()).count()
    }
}

impl People {
    fn new(ecoute: &Ecoute) -> People {
        let tokens = |role: &str, count: usize| {
            let named = |n: usize| format!("{role}{n}");
            (0..count).map(|n| (named(n), ecoute.token(role, &named(n), &named(n)))).collect()
        };
        let mut maker = Browser::new(0, "maker", "127.0.0.1:9".parse().unwrap(), Quality::PERFECT);
        People {
            salespeople: tokens("commercial", SALESPEOPLE),
            supervisors: tokens("admin", SUPERVISORS),
            curious: ecoute.token("admin", "curious", "Curious"),
            player: ecoute.token("admin", "player", "Player"),
            // Who counts nothing that was sent may not name its stream.
            sends: json!({ "sdp": without_source(&maker.make_offer(Instant::now(), Direction::SendOnly)) }),
            hears: json!({ "sdp": maker.make_offer(Instant::now(), Direction::RecvOnly) }),
        }
    }
}

fn without_source(offer: &str) -> String {
    offer.lines().filter(|line| !line.starts_with("a=ssrc")).map(|line| format!("{line}\r\n")).collect()
}

impl Life {
    fn begin(ecoute: &Ecoute, people: &People) -> Life {
        let ask = format!(
            "GET /api/history/broadcasts?limit=1 HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\r\n",
            people.curious
        );
        let offer = people.hears["sdp"].as_str().unwrap();
        let listen = |(id, _): &(String, String)| {
            format!(
                "POST /whep/{id} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {}\r\n\
                 Content-Type: application/sdp\r\nContent-Length: {}\r\n\r\n{offer}",
                people.player,
                offer.len()
            )
        };
        let open = |who: &(String, String)| Page::open(ecoute, who);
        let mut life = Life {
            salespeople: people.salespeople.iter().map(open).collect(),
            supervisors: people.supervisors.iter().map(open).collect(),
            curious: Asking::open(ecoute, vec![ask]),
            player: Asking::open(ecoute, people.salespeople[..WITHOUT_PAUSE].iter().map(listen).collect()),
        };
        life.salespeople.iter_mut().for_each(|page| page.browser.say("start_streaming", people.sends.clone()));
        life.supervisors.iter_mut().for_each(|page| page.browser.say("open_audio", people.hears.clone()));
        life
    }

    /// Lets something happen, now and then, until the server is killed.
    fn go_on(&mut self, people: &People, chance: &mut fastrand::Rng, end: Instant) {
        while Instant::now() < end {
            for _ in 0..4 {
                self.act(people, chance);
            }
            let now = Instant::now();
            self.salespeople.iter_mut().chain(&mut self.supervisors).for_each(|page| page.serve(now));
            self.curious.serve();
            self.player.serve();
            thread::sleep(Duration::from_millis(1));
        }
    }

    fn act(&mut self, people: &People, chance: &mut fastrand::Rng) {
        let (n, m) = (chance.usize(..SALESPEOPLE), chance.usize(..SUPERVISORS));
        let (lea, paul) = (&mut self.salespeople[n].browser, &mut self.supervisors[m].browser);
        let of_whom = json!({ "commercial_id": people.salespeople[chance.usize(..SALESPEOPLE)].0 });
        match chance.u8(..10) {
            0 => lea.say("stop_streaming", json!({})),
            1 => lea.say("start_streaming", people.sends.clone()),
            2 if n >= WITHOUT_PAUSE => lea.say("pause_streaming", json!({})),
            3 => lea.say("resume_streaming", json!({})),
            4 => paul.say("leave_commercial_stream", of_whom),
            _ => paul.say("join_commercial_stream", of_whom),
        }
    }

    /// Returns what all saw; the server is gone.
    fn end(mut self, people: &People) -> Seen {
        let mut seen = Seen::default();
        for (page, (id, _)) in self.salespeople.iter_mut().zip(&people.salespeople) {
            page.read_to_end();
            for message in &page.browser.messages {
                let data = &message["data"];
                match message["event"].as_str().unwrap() {
                    "user_registered" => seen.registered += 1,
                    "streaming_started" => seen.on_air += 1,
                    "listener_joined" => {
                        seen.announced.insert(text(&data["listening_id"]), id.clone());
                    }
                    _ => {}
                }
            }
        }
        for (page, (id, _)) in self.supervisors.iter_mut().zip(&people.supervisors) {
            page.read_to_end();
            for message in &page.browser.messages {
                match message["event"].as_str().unwrap() {
                    "user_registered" => seen.registered += 1,
                    "listening_started" => {
                        seen.started.insert((id.clone(), text(&message["data"]["commercial_id"])));
                    }
                    _ => {}
                }
            }
        }
        seen.shown = self.curious.end("200 ");
        seen.played = self.player.end("201 ");
        seen
    }
}

fn text(value: &Value) -> String {
    value.as_str().unwrap().to_owned()
}

fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis() as u64
}

/// The journal, read on from where the last server left it.
struct Witness {
    size: u64,
    chain: Hash,
    /// What is open: who is on air, and each listening, with when it began.
    on_air: BTreeMap<String, u64>,
    listenings: BTreeMap<String, u64>,
    announced: BTreeMap<String, String>,
    pairs: BTreeSet<(String, String)>,
    /// How often others' history was about to be shown, and a player to listen.
    shown: usize,
    played: usize,
    /// The moment of the newest entry, and how much was closed that a kill left open.
    newest_ms: u64,
    closed: usize,
    starts: usize,
}

impl Witness {
    fn new() -> Witness {
        Witness {
            size: 0,
            chain: CHAIN_BEGIN,
            on_air: BTreeMap::new(),
            listenings: BTreeMap::new(),
            announced: BTreeMap::new(),
            pairs: BTreeSet::new(),
            shown: 0,
            played: 0,
            newest_ms: 0,
            closed: 0,
            starts: 0,
        }
    }

    /// Reads what is new: each row is chained to the one before it, and each entry follows from those before.
    fn read_on(&mut self, ecoute: &Ecoute, killed_ms: u64) {
        let path = ecoute.data.path().join("journal.db");
        let connection = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let mut rows = connection
            .prepare("SELECT number, salt, entry, leaf, chain FROM entries WHERE number > ?1 ORDER BY number")
            .unwrap();
        let mut rows = rows.query([self.size]).unwrap();
        while let Some(row) = rows.next().unwrap() {
            let (number, salt): (u64, _) = (row.get(0).unwrap(), row.get(1).unwrap());
            let entry: String = row.get(2).unwrap();
            let (leaf, chain): (Hash, Hash) = (row.get(3).unwrap(), row.get(4).unwrap());
            assert_eq!(number, self.size + 1, "an entry is missing");
            assert_eq!(leaf, leaf_of(&salt, &entry), "entry {number}");
            assert_eq!(chain, chained(&self.chain, &leaf), "entry {number}");
            (self.size, self.chain) = (number, chain);
            self.take(&serde_json::from_str(&entry).unwrap(), killed_ms);
        }
    }

    fn take(&mut self, entry: &Value, killed_ms: u64) {
        let field = |name: &str| entry[name].as_str().unwrap_or_default().to_owned();
        let (at_ms, actor, commercial_id) =
            (entry["at_ms"].as_u64().unwrap(), field("actor"), field("commercial_id"));
        let (name, listening) = (field("event"), field("listening"));
        match name.as_str() {
            "server_started" => {
                self.starts += 1;
                let open = (&self.on_air, &self.listenings);
                assert_eq!(open, (&BTreeMap::new(), &BTreeMap::new()), "what was open is closed first");
            }
            "broadcast_started" => {
                self.on_air.insert(actor, at_ms);
            }
            "broadcast_stopped" => {
                let since_ms = self.on_air.remove(&actor).expect("they were on air");
                self.take_end(entry, at_ms, since_ms, killed_ms);
            }
            "listen_asked" => {
                self.listenings.insert(listening, at_ms);
            }
            "listen_announced" => {
                self.played += usize::from(actor == "player");
                self.announced.insert(listening, commercial_id.clone());
                self.pairs.insert((actor, commercial_id));
            }
            "listen_ended" => {
                let since_ms = self.listenings.remove(&listening).expect("it was asked for");
                self.take_end(entry, at_ms, since_ms, killed_ms);
            }
            "history_read" => self.shown += 1,
            _ => {}
        }
        self.newest_ms = self.newest_ms.max(at_ms);
    }

    /// What a kill closed is closed at the last sign of life: that of the newest entry, as nobody lived for half a minute.
    fn take_end(&mut self, entry: &Value, at_ms: u64, since_ms: u64, killed_ms: u64) {
        if entry["detail"] != "server died" {
            return;
        }
        self.closed += 1;
        assert!(at_ms >= self.newest_ms.max(since_ms), "{entry}: {} {since_ms}", self.newest_ms);
        assert!(at_ms <= killed_ms + ROUNDING_MS, "{entry}: killed at {killed_ms}");
    }

    /// Asserts that it tells what was seen before a kill, and how much was answered before all.
    fn assert_knows(&self, seen: &Seen, (shown, played): (usize, usize), place: &str) {
        for (listening, of_whom) in &seen.announced {
            let written = self.announced.get(listening);
            assert_eq!(written, Some(of_whom), "{listening} was announced, and nothing tells so: {place}");
        }
        for pair in &seen.started {
            assert!(self.pairs.contains(pair), "{pair:?} began, and nothing tells so: {place}");
        }
        assert!(
            self.shown >= shown,
            "history was shown {shown} times, and {} are written down: {place}",
            self.shown
        );
        assert!(
            self.played >= played,
            "{played} sessions were answered, {} are written down: {place}",
            self.played
        );
    }
}

/// No entry that let something happen is missing, and what was open is closed, whenever the server is killed.
#[test]
#[allow(clippy::disallowed_macros, reason = "a seed to repeat it by, and figures to be quoted")]
fn two_hundred_kills_lose_nothing_that_somebody_was_told() {
    let asked = std::env::var("ECOUTE_KILLS_SEED").ok().and_then(|seed| seed.parse().ok());
    let seed: u64 = asked.unwrap_or_else(|| fastrand::u64(..));
    println!("ECOUTE_KILLS_SEED={seed}");
    let mut chance = fastrand::Rng::with_seed(seed);
    let begin = Instant::now();
    let mut ecoute = start(&[]);
    let people = People::new(&ecoute);
    let mut witness = Witness::new();
    let (mut announced, mut registered, mut on_air, mut started) = (0, 0, 0, 0);
    let (mut shown, mut played) = (0, 0);
    for kill in 0..KILLS {
        let end = Instant::now() + LIFE_MAX.mul_f64(chance.f64());
        let mut life = Life::begin(&ecoute, &people);
        life.go_on(&people, &mut chance, end);
        ecoute.end(Signal::SIGKILL);
        let killed_ms = now_ms();
        let seen = life.end(&people);
        ecoute.start_again(&[]);
        (shown, played) = (shown + seen.shown, played + seen.played);
        witness.read_on(&ecoute, killed_ms);
        witness.assert_knows(&seen, (shown, played), &format!("ECOUTE_KILLS_SEED={seed}, kill {kill}"));
        if kill % VERIFIED_EACH == 0 {
            assert_good(ecoute.data.path());
        }
        (announced, registered) = (announced + seen.announced.len(), registered + seen.registered);
        (on_air, started) = (on_air + seen.on_air, started + seen.started.len());
    }
    ecoute.end(Signal::SIGTERM);
    witness.read_on(&ecoute, now_ms());
    assert_good(ecoute.data.path());
    println!(
        "{KILLS} kills in {:?}: {registered} registered, {on_air} on air, {announced} announced, {started} started, \
         {shown} shown, {played} played, {} closed, {} entries",
        begin.elapsed(),
        witness.closed,
        witness.size
    );
    assert!(witness.starts > KILLS / 2, "{} starts", witness.starts);
    // Where the machine has other things to do, less happens.
    assert!(announced > KILLS && started > KILLS && witness.closed > KILLS);
    assert!(shown > KILLS / 10 && played > KILLS / 10);
}
