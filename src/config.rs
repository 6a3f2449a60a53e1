//! Every limit of the server: what it bounds, its unit, its default, its range.
//!
//! Invariant: a [`Config`] that passed [`Config::check`] bounds every table, queue, buffer and wait of the core.
//!
//! # Memory
//! At all bounds at once the server takes 511 MiB, computed from sizes that were measured with glibc (what `mallinfo2`
//! says is in use falls by so much for each when the core is dropped):
//!
//! | what | so many | bytes each | MB |
//! |---|---|---|---|
//! | sessions of pages that stream; a program's is two of them | 4096 | 68,500 | 281 |
//! | their offers, kept for restarts, and what restarts add | 12 Mi + 4096 × 512 | 1 | 15 |
//! | their addresses, beyond the first | 4096 × 15 | 820 | 50 |
//! | conns with a user whose scope fills the token | 4096 | 8,500 | 35 |
//! | their TLS | 4096 | 8,860 | 36 |
//! | what all conns together have buffered | 24 Mi | 1 | 25 |
//! | datagrams of the unconnected | 4096 | 2,176 | 9 |
//! | wishes with the longest ids, names and reasons | 8192 | 1,000 | 8 |
//! | salespeople with the longest names and infos, and their lost pages | 1024 | 3,800 | 4 |
//! | people who have been here, with the longest ids and names | 1024 | 560 | 1 |
//! | revoked ids of 128 characters | 65,536 | 211 | 14 |
//! | public keys of an identity provider, of the longest | 256 | 1,300 | 0 |
//! | rows of who holds what, and of who did what | 21,504 | 250 | 5 |
//! | refusals that are counted | 256 | 1,000 | 0 |
//! | ids that are a person's | 8192 | 26 | 0 |
//! | URLs of WHIP and WHEP sessions, with the longest ids | 5120 | 740 | 4 |
//! | entries that wait to be written, with the longest names and reasons of one in three | 16,384 | 810 | 13 |
//! | answers of players that wait for their entries | 2048 | 2,000 | 4 |
//! | the journal's database: its cache, statements and a group of rows | 1 | 3 Mi | 3 |
//! | the same, opened to be read | 1 | 1 Mi | 1 |
//! | pieces of history that were read | 16 | 128 Ki | 2 |
//! | broadcasts and listenings that a report counts | 5000 | 600 | 3 |
//! | who was here lately, as it is read | 8192 | 250 | 2 |
//! | notes of pages that wait to be proved, of the longest | 4096 + 16 | 1,200 | 5 |
//! | requests whose answer is made elsewhere | 16 | 20,000 | 0 |
//! | log lines that wait for stderr | 256 Ki + 1024 × 64 | 1 | 0 |
//! | the program, its pages, one turn's outbox | 1 | 15,000,000 | 15 |
//!
//! A session that hears takes 42,300 bytes, and a program's 72,000, as its DTLS is OpenSSL's. Amid its handshake a page's takes
//! up to 56,400 and a program's up to 119,000, whatever its client sends: `tests/memory.rs` measures the dearest of each.
//! A supervisor who listens costs about 46 KB in all, so 512 MiB hold thousands as they are. What the kernel keeps for
//! sockets comes on top.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use ipnet::IpNet;

use crate::quota::Allowance;
use crate::rate::Rate;
use crate::token::{Devices, Issuer, Revoked};
use crate::wire::ice_server::IceServer;

/// How many addresses may be advertised as ICE candidates.
pub const ADVERTISED_MAX: usize = 8;

/// How many addresses the server may listen on.
pub const LISTENS_MAX: usize = 8;

/// How many STUN and TURN servers clients may be told of; browsers ask all of them at every connection.
pub const ICE_SERVERS_MAX: usize = 8;

/// How many streams of a publisher that were left are known for what they are if they come again.
pub const STREAMS_LEFT_MAX: usize = 4;

/// How many sessions the session of a page counts for.
pub const PLACES_OF_PAGE: usize = 1;

/// How many sessions the session of a WHIP or WHEP client counts for: what it takes of memory.
pub const PLACES_OF_PROGRAM: usize = 2;

/// For how many days entries and history are kept: what is older says nothing that coaching needs, and much about people.
pub const ENTRIES_KEPT_DAYS: u64 = 183;

/// The least length of a token secret, in bytes (RFC 7518 §3.2: as long as the hash of HS256).
pub const SECRET_BYTES_MIN: usize = 32;

/// How many log lines may wait for stderr; the others are lost, and counted.
pub const LOG_LINES_MAX: usize = 1024;

/// What those lines may have together, in bytes.
pub const LOG_BYTES_MAX: usize = 256 * 1024;

/// What one server is told at its start.
#[derive(Clone)]
pub struct Config {
    pub trust: Trust,
    pub settings: Settings,
}

/// Whose tokens are good: what the verifier is made of.
#[derive(Clone)]
pub struct Trust {
    /// The key that signs tokens (HS256), at least [`SECRET_BYTES_MIN`] bytes.
    pub token_secret: Vec<u8>,
    /// Whose tokens are good besides; the keys in it may be replaced later.
    pub issuer: Option<Issuer>,
    /// Whose tokens are refused; the list may be replaced later.
    pub revoked: Revoked,
}

/// What the server goes by as long as it runs.
#[derive(Clone)]
pub struct Settings {
    /// The addresses that clients are told to send media to; the first of a family stands for all that is
    /// received on an address of that family which is not advertised itself (1:1 NAT).
    pub advertised: Vec<SocketAddr>,
    /// Proxies that are believed for whom they ask.
    pub trusted_proxies: Vec<IpNet>,
    /// Origins besides the server's own that may open a WebSocket, as browsers write them: `https://app.example`.
    pub allowed_origins: Vec<String>,
    /// STUN and TURN servers of others that clients are told of; the credentials in them may be replaced later.
    pub ice_servers: Vec<IceServer>,
    /// What streams and is nobody's microphone; the list may be replaced later.
    pub devices: Devices,
    pub encryption: Encryption,
    /// Tells whether the system's OpenSSL can serve WHIP and WHEP clients; asked once, when the first of them comes.
    pub can_serve_programs: fn(Instant) -> bool,
    /// Where clients are sent that come to the door of plain HTTP.
    pub redirect: Option<RedirectTo>,
    pub limits: Limits,
}

/// Where HTTPS is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedirectTo {
    /// The server's own address, without a slash at the end; otherwise HTTPS at the host that was asked for.
    pub base: Option<String>,
    /// The port of HTTPS there.
    pub port: u16,
}

/// What is asked of clients that speak HTTP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Encryption {
    /// Nothing: where they are encrypted, a proxy in front does it.
    Optional,
    /// To come encrypted; the others are sent there.
    Required,
    /// So, and that browsers keep to it; only with a certificate that they trust.
    Lasting,
}

/// The bounds of tables, queues, buffers and waits, each in the hands of its owner.
#[derive(Clone, Debug, Default)]
pub struct Limits {
    pub admission: AdmissionLimits,
    pub conn: ConnLimits,
    pub registration: RegistrationLimits,
    pub program: ProgramLimits,
    pub peer: PeerLimits,
    pub media: MediaLimits,
    pub listening: ListeningLimits,
    pub broadcast: BroadcastLimits,
    pub refusals: RefusalLimits,
    pub jobs: JobLimits,
}

/// Bounds who gets in, and how much one may ask for.
#[derive(Clone, Debug)]
pub struct AdmissionLimits {
    /// TCP clients at one time; fewer where the process may not open as many files.
    pub conns_max: usize,
    /// For how long a client without a user keeps its place after its last request when there is room for no other.
    pub stranger_grace: Duration,
    /// From how many conns without a user on the strangers of one network make room for others whatever their grace, when
    /// there is room for no other; more than the browsers of a home open. See `server::crowds` for what a network is.
    pub crowd_min: usize,
    /// Of how many who have opened a WebSocket and not registered yet the place is kept for as long as they may take.
    pub registering_kept: usize,
    /// What strangers of one address, or one IPv6 /64, may: conns that no user has registered on, and tokens that are
    /// refused. A conn that is idle after a whole answer counts for an eighth, and above, the address' own make room, those
    /// first that had their grace and asked for nothing whole. Loopback may have any number of conns, and a trusted proxy of
    /// idle ones.
    pub of_stranger: Allowance,
    /// What one user may: conns registered or waiting to take over, and offers of WebRTC sessions.
    pub of_user: Allowance,
    /// What one user may do that is written down, on all conns together: registering, beginning to stream or to listen,
    /// resuming, and saying why one can't be heard. What ends something is never held back.
    pub of_act: Allowance,
    /// How often one supervisor may begin to listen to the same salesperson, who is told each time.
    pub of_join: Allowance,
    /// How often one user's doubt of the journal's history is written down.
    pub of_doubt: Allowance,
    /// Offers of all users.
    pub offer_rate: Rate,
    /// What one user of WHIP and WHEP may: WHEP sessions at one time, and requests that change something.
    pub of_program: Allowance,
    /// Such requests of all users of one address or IPv6 /64. Loopback may make any number.
    pub of_programs_network: Allowance,
    /// What all TCP clients together have buffered, in bytes: half requests, half messages and what they have not
    /// read. Above, those are cut that have waited longest.
    pub buffered_bytes_max: usize,
}

impl Default for AdmissionLimits {
    fn default() -> AdmissionLimits {
        AdmissionLimits {
            conns_max: 4096,
            stranger_grace: Duration::from_secs(1),
            crowd_min: 16,
            registering_kept: 512,
            of_stranger: Allowance { held_max: 64, rate: Rate::per_minute(10, 10), rows_max: 8192 },
            of_user: Allowance { held_max: 16, rate: Rate::per_second(10, 10), rows_max: 6144 },
            // A restart brings 8 pages back, with up to 32 wishes each.
            of_act: Allowance { held_max: 0, rate: Rate::per_second(5, 300), rows_max: 1024 },
            of_join: Allowance { held_max: 0, rate: Rate::per_second(1, 40), rows_max: 1024 },
            of_doubt: Allowance { held_max: 0, rate: Rate::per_hour(1, 1), rows_max: 1024 },
            offer_rate: Rate::per_second(600, 600),
            of_program: Allowance { held_max: 16, rate: Rate::per_second(20, 60), rows_max: 2048 },
            of_programs_network: Allowance { held_max: 0, rate: Rate::per_second(200, 600), rows_max: 2048 },
            buffered_bytes_max: 24 * 1024 * 1024,
        }
    }
}

/// Bounds one TCP client.
#[derive(Clone, Debug)]
pub struct ConnLimits {
    /// A request's head, in bytes (431 above).
    pub head_bytes_max: usize,
    /// From accept to a full head (408 after).
    pub head_timeout: Duration,
    /// A request's body, in bytes (413 above).
    pub body_bytes_max: usize,
    /// From a full head to a full body (408 after).
    pub body_timeout: Duration,
    /// From a full request to an answer that is made elsewhere (503 after).
    pub answer_timeout: Duration,
    /// A piece of a long answer, from its being written to its having been read (closed after).
    pub piece_timeout: Duration,
    /// Answers of one conn that were not written yet; requests behind them wait.
    pub pipelined_max: usize,
    /// An HTTP conn between two requests.
    pub keep_alive: Duration,
    /// Such a conn of a trusted proxy: longer than proxies keep theirs, which is 60 s mostly. One that sends a request on a
    /// conn that we close at that moment answers 502.
    pub proxy_keep_alive: Duration,
    /// From the WebSocket's opening to `register_user`.
    pub register_timeout: Duration,
    /// How long a page that found another one open may wait to take over.
    pub takeover_timeout: Duration,
    /// One WebSocket message or frame, in bytes.
    pub message_bytes_max: usize,
    /// WebSocket messages of one conn.
    pub message_rate: Rate,
    /// Bytes that wait to be written to one TCP client, besides the largest message among them.
    pub queue_bytes_max: usize,
    /// How often a WebSocket is pinged.
    pub ping_interval: Duration,
    /// A WebSocket that was silent for so long is closed.
    pub silence: Duration,
    /// An ICE-TCP conn on which no check was answered for so long is closed; clients check every 5 s at the least.
    pub unchecked_timeout: Duration,
    /// How long a datagram may wait for a slow ICE-TCP conn; older ones are dropped.
    pub frame_age_max: Duration,
    /// How many datagrams may wait for one ICE-TCP conn; the oldest are dropped.
    pub frames_waiting_max: usize,
    /// What the kernel may hold of an ICE-TCP conn's datagrams.
    pub unsent: UnsentLimits,
    /// How long a closing conn may take to read what is left for it.
    pub closing_timeout: Duration,
}

impl Default for ConnLimits {
    fn default() -> ConnLimits {
        ConnLimits {
            head_bytes_max: 16 * 1024,
            head_timeout: Duration::from_secs(5),
            body_bytes_max: 64 * 1024,
            body_timeout: Duration::from_secs(10),
            answer_timeout: Duration::from_secs(10),
            piece_timeout: Duration::from_secs(30),
            pipelined_max: 16,
            keep_alive: Duration::from_secs(15),
            proxy_keep_alive: Duration::from_secs(75),
            register_timeout: Duration::from_secs(5),
            takeover_timeout: Duration::from_secs(300),
            message_bytes_max: 64 * 1024,
            message_rate: Rate::per_second(20, 60),
            queue_bytes_max: 256 * 1024,
            ping_interval: Duration::from_secs(15),
            silence: Duration::from_secs(40),
            unchecked_timeout: Duration::from_secs(30),
            frame_age_max: Duration::from_millis(500),
            frames_waiting_max: 128,
            unsent: UnsentLimits { bytes_max: 1500, bytes_per_s: 8000 },
            closing_timeout: Duration::from_secs(2),
        }
    }
}

/// Bounds what the kernel holds of datagrams that were written to a TCP conn: nothing drops there what is late, and nothing
/// takes it back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnsentLimits {
    /// So much may wait for its acknowledgement, beyond what is on its way during a round trip.
    pub bytes_max: usize,
    /// What audio takes, and so what is on its way in a second: a far client has not acknowledged more than a near one
    /// only because it is far.
    pub bytes_per_s: usize,
}

impl UnsentLimits {
    /// Returns how many bytes may wait where the way to the client and back takes so long at the least.
    pub fn allowed_bytes(self, round_trip: Duration) -> usize {
        self.bytes_max + (round_trip.as_millis() as usize).saturating_mul(self.bytes_per_s) / 1000
    }
}

/// Bounds what a registered user has, and how long their silence goes unnoticed.
#[derive(Clone, Debug)]
pub struct RegistrationLimits {
    /// WebSockets of one supervisor.
    pub conns_per_admin_max: usize,
    /// People whose names are remembered, to mark others that look like them.
    pub people_max: usize,
    /// For how long a salesperson who is away is shown.
    pub seen_within: Duration,
    /// How many of them are, of those whom a supervisor may see, and who were here last.
    pub absent_max: usize,
    /// Among how many these are looked for.
    pub absent_read_max: usize,
    /// How long before its token's end a user is told.
    pub expiry_warning: Duration,
    /// How often the page of a salesperson on air is pinged.
    pub page_ping_interval: Duration,
    /// A page on air that was silent for so long loses its acknowledgements.
    pub page_silence: Duration,
    /// Ids under which a person's page was here, and which therefore are no device's; the oldest are forgotten.
    pub persons_max: usize,
    /// Clients are asked to come back at a random moment of this span after a restart.
    pub reconnect_spread: Duration,
}

impl Default for RegistrationLimits {
    fn default() -> RegistrationLimits {
        RegistrationLimits {
            conns_per_admin_max: 8,
            people_max: 1024,
            seen_within: Duration::from_secs(30 * 86_400),
            absent_max: 500,
            absent_read_max: 8 * 1024,
            expiry_warning: Duration::from_secs(60),
            page_ping_interval: Duration::from_secs(3),
            page_silence: Duration::from_secs(10),
            persons_max: 8 * 1024,
            reconnect_spread: Duration::from_secs(2),
        }
    }
}

/// Bounds what is remembered of programs, which speak WHIP and WHEP.
#[derive(Clone, Debug)]
pub struct ProgramLimits {
    /// URLs of sessions above which those that ended are not remembered; those that did not have sessions.
    pub resources_max: usize,
    /// For how long the URL of a session that ended by itself still takes a `DELETE`.
    pub resource_memory: Duration,
}

impl Default for ProgramLimits {
    fn default() -> ProgramLimits {
        ProgramLimits { resources_max: 1024, resource_memory: Duration::from_secs(30) }
    }
}

/// Bounds what is counted instead of written down each time.
#[derive(Clone, Debug)]
pub struct RefusalLimits {
    /// For how long equal refusals are counted before an entry says how many they were.
    pub window: Duration,
    /// Salespeople for whom the refusals of one user are counted apart; those for all others are counted together.
    pub per_user_max: usize,
    /// Kinds of refusals that are counted apart; above, each is written down.
    pub rows_max: usize,
}

impl Default for RefusalLimits {
    fn default() -> RefusalLimits {
        RefusalLimits { window: Duration::from_secs(30), per_user_max: 8, rows_max: 256 }
    }
}

/// Bounds what is done elsewhere and not answered yet.
#[derive(Clone, Debug)]
pub struct JobLimits {
    /// Listenings and questions that wait for their entries, above which no other one begins.
    pub gates_max: usize,
    /// Entries of any kind that wait to be written, above which no listening begins either: the rest up to `entries_max` is kept
    /// for the end of all wishes and broadcasts. All who come back after a restart are fewer, with what they wish in a second.
    pub busy_max: usize,
    /// How long a listening waits for its entry; then it is refused.
    pub gate_timeout: Duration,
    /// Entries that wait to be written, above which others are lost: all that a turn can bring while gates are open.
    pub entries_max: usize,
    /// Files that are being read for clients; who asks for another one is told to come back.
    pub reads_max: usize,
    /// Questions about the past that are being answered; who asks another one is told to come back, and an answer that has
    /// begun waits.
    pub questions_max: usize,
    /// Reports that are being counted; who asks for another one is told to come back.
    pub reports_max: usize,
    /// Broadcasts and listenings that are counted for one; who asks for more is refused.
    pub report_rows_max: usize,
    /// For how long the journal must have been written before users hear that it is again, and the shortest time between
    /// two causes that they are told.
    pub fault_settled: Duration,
    /// Notes that are being proved to pages; others wait.
    pub proofs_max: usize,
    /// Notes that wait for that, one of each page; above, a page is told nothing of the journal.
    pub proofs_waiting_max: usize,
}

impl Default for JobLimits {
    fn default() -> JobLimits {
        JobLimits {
            gates_max: 2048,
            busy_max: 6 * 1024,
            gate_timeout: Duration::from_secs(1),
            entries_max: 16 * 1024,
            reads_max: 16,
            questions_max: 16,
            reports_max: 1,
            report_rows_max: 5000,
            fault_settled: Duration::from_secs(2),
            proofs_max: 16,
            proofs_waiting_max: 4096,
        }
    }
}

/// Bounds one WebRTC session.
#[derive(Clone, Debug)]
pub struct PeerLimits {
    /// The audio of a WebRTC offer, in bytes; browsers write about 2000. It is kept as long as its session.
    pub offer_bytes_max: usize,
    /// Remote addresses of one WebRTC session in its life; checks from more are not answered.
    pub addresses_life_max: usize,
    /// Streams of one publisher in its life, one after the other: packets of more are not heard. A client takes another
    /// synchronization source where two have the same (RFC 3550 §8.2), or for another device.
    pub streams_life_max: usize,
    /// A stream that was left is followed again where nothing came of the other one for so long.
    pub stream_silence: Duration,
    /// Authenticated RTP packets of one publisher: browsers send 50 a second, or 100 of 10 ms; the burst is a network's
    /// that woke up.
    pub packet_rate: Rate,
    /// DTLS and RTCP of one connected session, signed or not: reports come twice a second at most, and what strangers
    /// crowd out here is missed by nobody.
    pub control_rate: Rate,
    /// Somebody on air of whom nothing came for so long may have another address: where packets come from that may be theirs
    /// is asked, so often at most.
    pub moved_after: Duration,
    /// From a session's offer to its connection.
    pub handshake_timeout: Duration,
    /// For how long a client may test its connection with one session.
    pub test_lifetime: Duration,
    /// A program that sends no checks any more, and nothing else, for so long has vanished.
    pub program_silence: Duration,
}

impl Default for PeerLimits {
    fn default() -> PeerLimits {
        PeerLimits {
            offer_bytes_max: 12 * 1024,
            addresses_life_max: 16,
            streams_life_max: 32,
            stream_silence: Duration::from_secs(1),
            packet_rate: Rate::per_second(200, 400),
            control_rate: Rate::per_second(50, 100),
            moved_after: Duration::from_millis(200),
            handshake_timeout: Duration::from_secs(10),
            test_lifetime: Duration::from_secs(20),
            program_silence: Duration::from_secs(15),
        }
    }
}

/// Bounds all WebRTC sessions together, and what of their datagrams one turn serves.
#[derive(Clone, Debug)]
pub struct MediaLimits {
    /// WebRTC sessions at one time, where one of a program counts for [`PLACES_OF_PROGRAM`].
    pub peers_max: usize,
    /// Offers of all WebRTC sessions, in bytes: as they are kept, of browsers about 2000 each.
    pub offers_bytes_max: usize,
    /// Remote addresses of one WebRTC session at one time; the oldest is forgotten.
    pub addresses_per_peer_max: usize,
    /// Addresses that were asked whether somebody on air moved there, and did not answer; the oldest is forgotten.
    pub asked_max: usize,
    /// Datagrams of one ICE-TCP conn that are served in one turn; one alone where many listen to it.
    pub frames_per_turn: usize,
    /// What one ICE-TCP conn may have sent that was not served yet, in bytes.
    pub frames_unread_bytes_max: usize,
    /// Datagrams of sessions that are not connected, waiting for their turn.
    pub unconnected_queue_max: usize,
    /// How many of those one session may have.
    pub unconnected_per_peer_max: usize,
    /// How many of those are served in one turn; a DTLS flight costs up to a millisecond.
    pub unconnected_per_turn: usize,
}

impl Default for MediaLimits {
    fn default() -> MediaLimits {
        MediaLimits {
            peers_max: 4096,
            offers_bytes_max: 12 * 1024 * 1024,
            addresses_per_peer_max: 8,
            asked_max: 64,
            frames_per_turn: 16,
            frames_unread_bytes_max: 64 * 1024,
            unconnected_queue_max: 4096,
            unconnected_per_peer_max: 16,
            unconnected_per_turn: 32,
        }
    }
}

/// Bounds who is listed, who wishes to hear whom, and how often supervisors are told.
#[derive(Clone, Debug)]
pub struct ListeningLimits {
    /// Salespeople known at one time: connected, on air or wished for.
    pub broadcasts_max: usize,
    /// How many of a salesperson's listeners are named in lists; the count is always whole.
    pub named_listeners_max: usize,
    /// Salespeople that one WebSocket of a supervisor may wish to hear.
    pub wishes_per_conn_max: usize,
    /// Wishes of all.
    pub wishes_max: usize,
    /// `commercial_info`, in bytes of JSON.
    pub commercial_info_bytes_max: usize,
    /// The shortest time between two `commercial_updated` of one salesperson.
    pub update_interval: Duration,
}

impl Default for ListeningLimits {
    fn default() -> ListeningLimits {
        ListeningLimits {
            broadcasts_max: 1024,
            named_listeners_max: 16,
            wishes_per_conn_max: 32,
            wishes_max: 8 * 1024,
            commercial_info_bytes_max: 1024,
            update_interval: Duration::from_millis(200),
        }
    }
}

/// Bounds how long one salesperson on air is waited for.
#[derive(Clone, Debug)]
pub struct BroadcastLimits {
    /// After so long without an acknowledgement the supervisor is told that the phone does not answer.
    pub ack_late: Duration,
    /// A salesperson on air of whom no packet came for so long is interrupted.
    pub interrupted_after: Duration,
    /// A salesperson of whom no packet came, or whose page was not connected, for so long is off air.
    pub off_air_after: Duration,
    /// An encoder of which no packet ever came for so long is off air.
    pub whip_silent_start: Duration,
    /// For how long an encoder that went off air paused comes back paused.
    pub pause_memory: Duration,
    /// Pages that others took over from and whose connection broke, and that come back to see; above, the one that is away
    /// for longest does not. How many see at one time is bounded by how many conns a user may have.
    pub lost_witnesses_max: usize,
    /// How often people are told how well a salesperson's audio arrives.
    pub quality_interval: Duration,
    /// The shortest time between two positions of one salesperson; more are not relayed.
    pub position_interval: Duration,
    pub speech: SpeechLimits,
}

impl Default for BroadcastLimits {
    fn default() -> BroadcastLimits {
        BroadcastLimits {
            ack_late: Duration::from_secs(3),
            interrupted_after: Duration::from_secs(2),
            off_air_after: Duration::from_secs(20),
            whip_silent_start: Duration::from_secs(10),
            pause_memory: Duration::from_secs(12 * 3600),
            lost_witnesses_max: 4,
            quality_interval: Duration::from_secs(2),
            position_interval: Duration::from_secs(1),
            speech: SpeechLimits::default(),
        }
    }
}

/// Bounds how often somebody begins and stops to speak.
#[derive(Clone, Debug)]
pub struct SpeechLimits {
    /// The shortest time between two turns of one person.
    pub interval: Duration,
    /// Who was not loud enough for so long does not speak any more; people pause between words, and for breath.
    pub hangover: Duration,
}

impl Default for SpeechLimits {
    fn default() -> SpeechLimits {
        SpeechLimits { interval: Duration::from_secs(1), hangover: Duration::from_millis(1500) }
    }
}

/// Why a configuration can't work.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    #[error("no address to advertise for media: give one with --public-address")]
    NothingAdvertised,
    #[error("{given} addresses to advertise, more than {ADVERTISED_MAX}: give fewer --public-address")]
    TooManyAdvertised { given: usize },
    #[error("{address} can't be advertised: it names no single host or no port")]
    NotAdvertisable { address: SocketAddr },
    #[error("{given} STUN and TURN servers, more than {ICE_SERVERS_MAX}: give fewer --ice-server")]
    TooManyIceServers { given: usize },
    #[error("the token secret has {given} bytes, fewer than {SECRET_BYTES_MIN}: make a longer one")]
    SecretTooShort { given: usize },
}

impl Config {
    /// Checks what was given from outside.
    ///
    /// # Errors
    /// The first value that is out of its range.
    pub fn check(&self) -> Result<(), ConfigError> {
        let Settings { advertised, ice_servers, .. } = &self.settings;
        if advertised.is_empty() {
            return Err(ConfigError::NothingAdvertised);
        }
        if advertised.len() > ADVERTISED_MAX {
            return Err(ConfigError::TooManyAdvertised { given: advertised.len() });
        }
        for &address in advertised {
            let ip = address.ip();
            if ip.is_unspecified() || ip.is_multicast() || address.port() == 0 {
                return Err(ConfigError::NotAdvertisable { address });
            }
        }
        if ice_servers.len() > ICE_SERVERS_MAX {
            return Err(ConfigError::TooManyIceServers { given: ice_servers.len() });
        }
        let given = self.trust.token_secret.len();
        if given < SECRET_BYTES_MIN {
            return Err(ConfigError::SecretTooShort { given });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::token::{PUBLIC_KEYS_MAX, REVOKED_IDS_MAX};
    use crate::wire::classify::DATAGRAM_BYTES_MAX;

    /// The sizes are those of the table above.
    #[test]
    fn all_bounds_together_fit_into_512_mib() {
        let limits = Limits::default();
        let AdmissionLimits { of_stranger, of_user, of_act, of_join, of_program, of_programs_network, .. } =
            &limits.admission;
        let of_doubt = &limits.admission.of_doubt;
        let rows = [of_stranger, of_user, of_act, of_join, of_doubt, of_program, of_programs_network];
        let rows = rows.iter().map(|of| of.rows_max).sum::<usize>();
        let bytes = [
            limits.media.peers_max * 68_500,
            limits.media.offers_bytes_max + limits.media.peers_max * 512,
            limits.media.peers_max * (limits.peer.addresses_life_max - 1) * 820,
            limits.admission.conns_max * 8500,
            limits.admission.conns_max * 8860,
            limits.admission.buffered_bytes_max,
            limits.media.unconnected_queue_max * (DATAGRAM_BYTES_MAX + 128),
            limits.listening.wishes_max * 1000,
            limits.listening.broadcasts_max * 3800,
            limits.registration.people_max * 560,
            REVOKED_IDS_MAX * 211,
            PUBLIC_KEYS_MAX * 1300,
            rows * 250,
            limits.refusals.rows_max * 1000,
            limits.registration.persons_max * 26,
            (limits.media.peers_max + limits.program.resources_max) * 740,
            limits.jobs.entries_max * 810,
            limits.jobs.gates_max * 2000,
            3 << 20,
            1 << 20,
            limits.jobs.questions_max * (128 << 10),
            limits.jobs.reports_max * limits.jobs.report_rows_max * 600,
            limits.registration.absent_read_max * 250,
            (limits.jobs.proofs_waiting_max + limits.jobs.proofs_max) * 1200,
            limits.jobs.reads_max * 20_000,
            LOG_BYTES_MAX + LOG_LINES_MAX * 64,
            15_000_000,
        ];
        let mib = bytes.iter().sum::<usize>() / 1024 / 1024;
        assert_eq!(mib, 511, "the table says something else");
        assert!(mib < 512);
    }

    /// Where nothing is written any more, what is heard and on air by then still ends in the journal.
    #[test]
    fn what_ends_has_room_among_the_entries_that_wait() {
        let Limits { jobs, listening, admission, .. } = Limits::default();
        let kept = jobs.entries_max - jobs.busy_max;
        assert!(kept > listening.wishes_max + listening.broadcasts_max, "{kept}");
        assert!(jobs.busy_max > admission.conns_max + jobs.gates_max / 2, "all who come back, and some who ask");
    }

    #[test]
    fn check_refuses_what_is_out_of_range() {
        let advertised = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<Vec<_>>();
        let nine: Vec<SocketAddr> = (1..=9).map(|port| SocketAddr::from(([127, 0, 0, 1], port))).collect();
        let cases: &[(&str, Vec<SocketAddr>, usize, Result<(), ConfigError>)] = &[
            ("one address", advertised(&["192.0.2.1:8080"]), 32, Ok(())),
            ("eight addresses", nine[..8].to_vec(), 32, Ok(())),
            ("none", vec![], 32, Err(ConfigError::NothingAdvertised)),
            ("nine", nine.clone(), 32, Err(ConfigError::TooManyAdvertised { given: 9 })),
            (
                "unspecified",
                advertised(&["0.0.0.0:8080"]),
                32,
                Err(ConfigError::NotAdvertisable { address: "0.0.0.0:8080".parse().unwrap() }),
            ),
            (
                "no port",
                advertised(&["192.0.2.1:0"]),
                32,
                Err(ConfigError::NotAdvertisable { address: "192.0.2.1:0".parse().unwrap() }),
            ),
            ("short secret", advertised(&["192.0.2.1:1"]), 31, Err(ConfigError::SecretTooShort { given: 31 })),
        ];
        for (name, advertised, secret_bytes, want) in cases {
            let token_secret = vec![7; *secret_bytes];
            let trust = Trust { token_secret, issuer: None, revoked: Revoked::default() };
            let settings = Settings {
                advertised: advertised.clone(),
                trusted_proxies: vec![],
                allowed_origins: vec![],
                ice_servers: vec![],
                devices: Devices::default(),
                encryption: Encryption::Optional,
                can_serve_programs: |_| true,
                redirect: None,
                limits: Limits::default(),
            };
            let config = Config { trust, settings };
            assert_eq!(config.check(), *want, "{name}");
        }
    }
}
