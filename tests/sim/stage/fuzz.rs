//! What must hold whatever several clients and strangers do: the body of the fuzz target `server`.
//!
//! Bytes are a list of operations on a [`World`], which checks its laws at every step. Pages with valid tokens are of
//! two kinds: those with a real session say what pages say, those without one say anything. Programs beside them stream
//! over WHIP and listen over WHEP, with requests good and bad. Two bystanders, whom nobody may disturb, stream and
//! listen all the while.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use ecoute::config::Limits;
use ecoute::keys::ConnKey;
use ecoute::path::Door;
use ecoute::token::Scope;
use ecoute::words::Role;
use serde_json::json;

use crate::browser::Manners;
use crate::link::Quality;
use crate::world::programs::{Ask, Kind, fragment_of};
use crate::world::{Who, World};

/// Salespeople and supervisors who act; the bystanders are others.
const COMMERCIALS: [&str; 2] = ["lea", "tom"];
const ADMINS: [&str; 2] = ["paul", "ana"];
/// How much one input may do: it is to take milliseconds.
const OPERATIONS_MAX: usize = 64;
const PAGES_MAX: usize = 8;
const PROGRAMS_MAX: usize = 6;
/// The bystanders' tokens outlive all jumps of the clock.
const YEAR_S: u64 = 365 * 24 * 3600;
/// How often a microphone makes a packet: rarely, so that time passes cheaply.
const PACKET_INTERVAL: Duration = Duration::from_millis(25);
/// Room so scarce that a few clients fill it.
const ROOM: usize = 12;

const OFFER: &str = "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\ns=-\r\nt=0 0\r\na=group:BUNDLE 0\r\n\
    m=audio 9 UDP/TLS/RTP/SAVPF 111\r\nc=IN IP4 0.0.0.0\r\na=mid:0\r\na=ice-ufrag:abcd\r\n\
    a=ice-pwd:0123456789012345678901\r\na=fingerprint:sha-256 6B:8B:F0:65:5F:78:E2:51:3B:AC:6F:F3:3F:46:1B:35:\
    DC:B8:5F:64:1A:24:C2:43:F0:A1:58:D0:A1:2C:19:08\r\na=setup:actpass\r\na=sendrecv\r\na=rtcp-mux\r\n\
    a=rtpmap:111 opus/48000/2\r\na=ssrc:1 cname:x\r\n";

/// Laws 1, 3, 4, 5 and 6 hold over a list of operations.
pub fn server(bytes: &[u8]) {
    let mut limits = Limits::default();
    limits.admission.conns_max = 2 * ROOM;
    limits.media.peers_max = ROOM;
    limits.listening.broadcasts_max = 4;
    limits.media.unconnected_queue_max = 6;
    limits.media.unconnected_per_peer_max = 8;
    limits.media.unconnected_per_turn = 1;
    limits.media.addresses_per_peer_max = 3;
    limits.peer.addresses_life_max = 6;
    limits.listening.wishes_per_conn_max = 3;
    limits.registration.conns_per_admin_max = 2;
    limits.program.resources_max = 4;
    limits.jobs.reads_max = 2;
    let mut world = World::with_limits(1, Quality::PERFECT, limits);
    let exp = world.unix_s() + YEAR_S;
    let token = world.token(Role::Commercial, "bystander", |claims| claims.exp = exp);
    let speaker = world.open_with("bystander", &token);
    let token = world.token(Role::Admin, "hearer", |claims| claims.exp = exp);
    let hearer = world.open_with("hearer", &token);
    let now = world.now;
    world.browsers[speaker].packet_interval = PACKET_INTERVAL;
    world.browsers[speaker].start_streaming(now);
    world.browsers[hearer].open_audio(now);
    world.join(hearer, "bystander");
    world.run_ms(700);

    let bystanders = [speaker, hearer];
    let mut crowd = Crowd { world, pages: Vec::new(), programs: Vec::new(), strangers: Vec::new(), bystanders };
    let mut choices = Choices(bytes);
    for _ in 0..OPERATIONS_MAX {
        if choices.0.is_empty() {
            break;
        }
        let operation = choices.u8();
        crowd.act(operation, &mut choices);
        crowd.world.run_ms(u64::from(operation >> 6) * 7 + 1);
    }
    crowd.world.run_ms(100);
    crowd.check_bystanders();
    crowd.world.end();
}

/// Reads choices from a fuzzer's bytes; past their end every choice is zero.
struct Choices<'a>(&'a [u8]);

impl<'a> Choices<'a> {
    fn u8(&mut self) -> u8 {
        self.slice(1).first().copied().unwrap_or_default()
    }

    fn slice(&mut self, len: usize) -> &'a [u8] {
        let (taken, rest) = self.0.split_at(len.min(self.0.len()));
        self.0 = rest;
        taken
    }

    /// Reads a length and so many bytes.
    fn bytes(&mut self) -> &'a [u8] {
        let len = usize::from(self.u8());
        self.slice(len)
    }

    fn text(&mut self) -> String {
        String::from_utf8_lossy(self.bytes()).into_owned()
    }

    fn one_of<T: Copy>(&mut self, all: &[T]) -> T {
        all[usize::from(self.u8()) % all.len()]
    }
}

/// A page that acts.
#[derive(Clone, Copy)]
struct Page {
    who: Who,
    role: Role,
    /// Whether it has a real session, and says only what pages say.
    is_real: bool,
}

/// A program that acts.
#[derive(Clone, Copy)]
struct Program {
    who: Who,
    kind: Kind,
}

struct Crowd {
    world: World,
    pages: Vec<Page>,
    programs: Vec<Program>,
    /// TCP clients that are no page's, and whether they read what they are sent.
    strangers: Vec<(ConnKey, bool)>,
    bystanders: [Who; 2],
}

impl Crowd {
    fn act(&mut self, operation: u8, choices: &mut Choices<'_>) {
        let operation = operation & 0x3f;
        if self.pages.is_empty() || operation < 8 {
            return self.open(operation, choices);
        }
        let page = choices.one_of(&self.pages);
        let Page { who, role, .. } = page;
        let world = &mut self.world;
        match operation {
            8..=11 => world.join(who, choices.one_of(&COMMERCIALS)),
            12 => {
                let commercial_id = choices.one_of(&COMMERCIALS);
                world.browsers[who].say("leave_commercial_stream", json!({ "commercial_id": commercial_id }));
            }
            13 => world.browsers[who].say("stop_streaming", json!({})),
            14 => world.browsers[who].say("pause_streaming", json!({})),
            15 => world.browsers[who].say("resume_streaming", json!({})),
            16 => {
                let cause = choices.one_of(&["call", "locked", "network"]);
                world.browsers[who].say("stream_interrupted", json!({ "cause": cause }));
            }
            17 => world.browsers[who].manners = choices.one_of(&[Manners::Acknowledges, Manners::Ignores]),
            18 | 19 => self.acknowledge(who, choices),
            20 => world.drop_stream(who),
            21 => world.close(who),
            22 => world.unplug(who),
            23 => world.plug(who),
            24 => world.mute_stream(who),
            25 => world.unmute_stream(who),
            26..=28 => self.come_back(page, choices),
            29 => {
                let list = format!("{} {}\n", world.browsers[who].id, world.unix_s());
                world.take_revoked(list.as_bytes());
            }
            30 => world.jump_clock_s((i64::from(choices.u8()) - 128) * 28),
            31 => world.run_ms(u64::from(choices.u8()) * 50),
            32 => world.run_ms(u64::from(choices.u8())),
            33 => world.browsers[who].external = ([198, 18, 0, choices.u8()], 4000).into(),
            34 => {
                let bytes = choices.slice(8);
                world.browsers[who].send_raw(bytes);
            }
            35 | 36 if page.is_real && world.browsers[who].rtc_is_idle() => self.offer(page),
            37 if page.is_real => world.browsers[who].restart_ice(),
            35..=40 if !page.is_real => self.say_offer(who, role, choices),
            38 => self.open_program(choices),
            39..=43 if page.is_real => self.act_as_program(operation, choices),
            41..=44 if !page.is_real => {
                let text = choices.text();
                world.browsers[who].say_text(&text);
            }
            45 => {
                let place = json!({ "lat": choices.u8(), "lon": 2, "accuracy_m": 5, "at": 1 });
                world.browsers[who].say("gps_update", place);
            }
            46..=49 => self.repeat_check(who, choices),
            50..=53 => self.send_datagram(choices),
            54..=60 => self.act_as_stranger(operation, choices),
            61 if world.browsers[who].has_session() => {
                let forged = world.browsers[who].forge_packet(u16::from(choices.u8()));
                self.inject(choices, &forged, 1);
            }
            62 if page.is_real && world.browsers[who].rtc_is_idle() => {
                let now = world.now;
                world.browsers[who].test_connection(now);
            }
            62 if !page.is_real => self.change_disk(choices),
            63 => self.change_network(who, choices),
            _ => {}
        }
    }

    /// Makes the writer of the journal slow, full, stuck or new.
    fn change_disk(&mut self, choices: &mut Choices<'_>) {
        let disk = &mut self.world.disk;
        match choices.u8() & 7 {
            0 | 1 => disk.delay = Duration::ZERO..Duration::from_millis(u64::from(choices.u8()) * 20),
            2 => disk.refused_per_mille = u32::from(choices.u8()) * 4,
            3 => disk.is_stuck = true,
            _ => disk.heal(),
        }
    }

    /// Begins a session of a program that there was not: an encoder, a device or a player, of some person.
    fn open_program(&mut self, choices: &mut Choices<'_>) {
        if self.programs.len() == PROGRAMS_MAX || !self.has_room() {
            return;
        }
        let world = &mut self.world;
        let (kind, role, id) = match choices.u8() & 3 {
            0 | 1 => (Kind::Whip, Role::Commercial, choices.one_of(&COMMERCIALS)),
            2 => (Kind::Whep, Role::Admin, choices.one_of(&ADMINS)),
            _ => (Kind::Whep, Role::Monitor, "mia"),
        };
        let token = match choices.u8() & 3 {
            0 => world.token(role, id, |claims| claims.device = role == Role::Commercial),
            _ => choose_token(world, role, id, choices),
        };
        let who = world.program(kind, id, &token);
        world.browsers[who].packet_interval = PACKET_INTERVAL;
        let program = Program { who, kind };
        self.programs.push(program);
        self.post(program, choices);
    }

    /// Begins a session, mostly where its token allows it.
    fn post(&mut self, Program { who, kind }: Program, choices: &mut Choices<'_>) {
        let own = self.world.browsers[who].id.clone();
        let target = choices.one_of(&COMMERCIALS);
        let target = if kind == Kind::Whip && choices.u8() < 0xe0 { &own } else { target };
        self.world.post(who, target);
    }

    /// Sends a request of a program's, good or bad, or breaks its media.
    fn act_as_program(&mut self, operation: u8, choices: &mut Choices<'_>) {
        if self.programs.is_empty() || !self.has_room() {
            return;
        }
        let program = choices.one_of(&self.programs);
        let other = choices.one_of(&self.programs).who;
        let who = program.who;
        let now = self.world.now;
        let etag = match choices.u8() & 7 {
            0 => "*".to_owned(),
            1 => self.world.etag(other),
            2 => "\"stale\"".to_owned(),
            3 => choices.text().chars().filter(|char| !char.is_control()).collect(),
            _ => self.world.etag(who),
        };
        let if_match = Some(etag.as_str()).filter(|etag| !etag.is_empty());
        match operation {
            39 => match choices.u8() & 3 {
                0 => self.post(program, choices),
                1 => self.post_any(program, choices),
                2 => self.world.browsers[who].hang_up(now),
                _ => self.world.browsers[who].vanish(),
            },
            40 => {
                let fragment = choices.text();
                self.world.patch(who, if_match, &fragment);
            }
            41 => {
                let Some(offer) = self.world.browsers[who].restart_offer() else { return };
                self.world.try_restart(who, if_match, &fragment_of(&offer));
            }
            42 => {
                let location = self.world.location(other);
                self.world.ask(who, |token, _| Ask::delete(&location, token).to_http());
            }
            _ => match choices.u8() & 7 {
                0 => self.world.unplug(who),
                1 => self.world.plug(who),
                2 => self.world.browsers[who].external = ([198, 18, 2, choices.u8()], 4000).into(),
                4 | 5 if self.world.browsers[who].is_sending() => {
                    self.world.browsers[who].change_stream(1 + u32::from(choices.u8()));
                }
                _ => {
                    let forged = self.world.browsers[who].last_check.clone();
                    self.inject(choices, &forged, 1);
                }
            },
        }
    }

    /// Posts an offer in which some line was replaced; nobody completes its session.
    fn post_any(&mut self, Program { who, kind }: Program, choices: &mut Choices<'_>) {
        let path = kind.path(choices.one_of(&COMMERCIALS));
        let offer = any_offer(choices);
        self.world.ask(who, |token, _| Ask::post(&path, token, &offer).to_http());
    }

    /// UDP is blocked or works again; what goes over TCP instead breaks, or is read slowly.
    fn change_network(&mut self, who: Who, choices: &mut Choices<'_>) {
        let world = &mut self.world;
        match choices.u8() % 5 {
            0 => world.block_udp(who),
            1 => world.unblock_udp(who),
            2 => world.drop_tunnel(who),
            3 if world.has_tunnel(who) => world.stop_reading_tunnel(who),
            4 if world.has_tunnel(who) => world.read_tunnel(who, 8 * usize::from(choices.u8())),
            _ => {}
        }
    }

    /// Opens a page: four kinds, each with and without a session.
    fn open(&mut self, operation: u8, choices: &mut Choices<'_>) {
        if self.pages.len() == PAGES_MAX || !self.has_room() {
            return;
        }
        let world = &mut self.world;
        let (role, id) = match operation & 3 {
            0 | 1 => (Role::Commercial, choices.one_of(&COMMERCIALS)),
            2 => (Role::Admin, choices.one_of(&ADMINS)),
            _ => (Role::Monitor, "mia"),
        };
        let token = choose_token(world, role, id, choices);
        let who = world.open_with(id, &token);
        world.browsers[who].packet_interval = PACKET_INTERVAL;
        let page = Page { who, role, is_real: operation & 4 == 0 };
        if page.is_real {
            self.offer(page);
        }
        self.pages.push(page);
    }

    fn has_room(&self) -> bool {
        self.world.server.table_sizes().conns < self.world.limits.admission.conns_max
    }

    fn offer(&mut self, page: Page) {
        let now = self.world.now;
        match page.role {
            Role::Commercial => self.world.browsers[page.who].start_streaming(now),
            Role::Admin | Role::Monitor => self.world.browsers[page.who].open_audio(now),
        }
    }

    /// Registers with a token of some kind, on a new connection or on the one there is.
    fn come_back(&mut self, page: Page, choices: &mut Choices<'_>) {
        let id = self.world.browsers[page.who].id.clone();
        let token = choose_token(&self.world, page.role, &id, choices);
        match choices.u8() & 3 {
            0 | 1 if self.has_room() => self.world.connect(page.who, &token),
            2 => {
                let takeover = json!({ "token": token, "page": "another", "takeover": true });
                self.world.browsers[page.who].say("register_user", takeover);
            }
            _ => {
                let again = json!({ "token": token, "page": format!("page-{}", page.who) });
                self.world.browsers[page.who].say("register_user", again);
            }
        }
    }

    /// Acknowledges one of the notices that a page ever got, or one that nobody got.
    fn acknowledge(&mut self, who: Who, choices: &mut Choices<'_>) {
        let notices: Vec<u64> = self.world.browsers[who]
            .messages_of("listener_joined")
            .filter_map(|notice| notice["notice_id"].as_u64())
            .chain([u64::MAX])
            .collect();
        let notice_id = choices.one_of(&notices);
        self.world.browsers[who].say("listener_ack", json!({ "notice_id": notice_id }));
    }

    /// Says an offer in which some line was replaced, as no library would write it.
    fn say_offer(&mut self, who: Who, role: Role, choices: &mut Choices<'_>) {
        let offer = any_offer(choices);
        let event = match (role, choices.u8() & 7) {
            (_, 0) => "restart_ice",
            (_, 1) => "test_connection",
            (Role::Commercial, _) => "start_streaming",
            (Role::Admin | Role::Monitor, _) => "open_audio",
        };
        let text = json!({ "event": event, "data": { "sdp": offer } }).to_string();
        self.world.browsers[who].say_text(&text);
    }

    /// Sends a genuine check again, up to 16 times, changed in some bytes, from somewhere.
    fn repeat_check(&mut self, who: Who, choices: &mut Choices<'_>) {
        let mut check = self.world.browsers[who].last_check.clone();
        let choice = choices.u8();
        for _ in 0..choice & 3 {
            let (at, mask) = (usize::from(choices.u8()), choices.u8());
            if let Some(byte) = check.get_mut(at) {
                *byte ^= mask;
            }
        }
        self.inject(choices, &check, 1 + usize::from(choice >> 4));
    }

    fn send_datagram(&mut self, choices: &mut Choices<'_>) {
        let bytes = choices.bytes();
        self.inject(choices, bytes, 1);
    }

    /// Sends a datagram so many times from the address of a page or a bystander, or from one that is nobody's.
    fn inject(&mut self, choices: &mut Choices<'_>, bytes: &[u8], times: usize) {
        let from = usize::from(choices.u8());
        let page = self.pages.iter().map(|page| page.who).chain(self.bystanders).nth(from % (PAGES_MAX + 2));
        for _ in 0..times {
            match page {
                Some(who) => self.world.inject(who, bytes),
                None => self.world.inject_from(SocketAddr::from(([198, 18, 0, from as u8], 4000)), bytes),
            }
        }
    }

    /// Sends bytes on a TCP connection that no page has, or opens and closes such; some read what they are sent.
    fn act_as_stranger(&mut self, operation: u8, choices: &mut Choices<'_>) {
        let which = usize::from(choices.u8());
        if operation == 54 {
            let remote = SocketAddr::from(([198, 18, 1, which as u8 / 4], 4000));
            // Some come to the door of plain HTTP.
            let door = if which & 3 == 3 { Door::Redirect } else { Door::Main };
            let conn = self.world.knock_at(door, remote);
            return self.strangers.extend(conn.map(|conn| (conn, which % 2 == 0)));
        }
        let Some(&(conn, reads)) = self.strangers.get(which) else { return };
        match operation {
            55 => self.world.hang_up(conn),
            56 => {
                let upgrade = b"GET /ws HTTP/1.1\r\nHost: ecoute\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
                self.world.push(conn, upgrade);
            }
            57 => self.world.push(conn, b"GET /.well-known/acme-challenge/a HTTP/1.1\r\nHost: ecoute\r\n\r\n"),
            58 if !self.world.reads.is_empty() => self.world.answer_read(Some(choices.bytes())),
            _ => self.world.push(conn, choices.bytes()),
        }
        if reads {
            self.world.pull(conn, usize::MAX);
        }
    }

    /// Law 4: whoever had no part in it heard every packet, up to now.
    fn check_bystanders(&self) {
        let [speaker, hearer] = self.bystanders;
        let heard: BTreeSet<u32> =
            self.world.browsers[hearer].heard_of(speaker as u16).map(|heard| heard.counter).collect();
        let (Some(first), Some(last)) = (heard.first(), heard.last()) else { panic!("law 4: nothing heard") };
        assert_eq!(heard.len() as u32, last - first + 1, "law 4: a gap");
        let at = self.world.browsers[hearer].heard.last().map(|heard| heard.at);
        assert!(at.is_some_and(|at| self.world.now - at < 2 * PACKET_INTERVAL), "law 4: silence");
    }
}

/// Returns an offer in which some line was replaced.
fn any_offer(choices: &mut Choices<'_>) -> String {
    let (line, replacement) = (usize::from(choices.u8()), choices.text());
    let lines = OFFER.split_inclusive("\r\n").enumerate();
    lines.map(|(index, text)| if index == line { replacement.as_str() } else { text }).collect()
}

/// Returns a token: mostly a good one, else of a scope, short or worthless.
fn choose_token(world: &World, role: Role, id: &str, choices: &mut Choices<'_>) -> String {
    let choice = choices.u8();
    let iat = world.unix_s();
    match choice & 7 {
        0 => world.token(role, id, |claims| {
            claims.listen = Some(Scope::new([COMMERCIALS[usize::from(choice >> 3) & 1]]));
        }),
        1 => world.token(role, id, |claims| claims.exp = iat + u64::from(choice >> 3)),
        2 => world.token(role, id, |claims| claims.exp = iat + YEAR_S),
        3 if choice > 0x80 => "worthless".to_owned(),
        _ => world.token(role, id, |_| {}),
    }
}
