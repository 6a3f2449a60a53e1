//! All pages with their sockets, on one thread: what they have to send goes out before anything is read.
//!
//! Invariant: nothing waits without a bound, and a page that the server complains to or closes ends the run.

use std::collections::VecDeque;
use std::io::{self, ErrorKind, IoSliceMut, Read, Write};
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use ecoute::deadlines::Deadlines;
use ecoute::token::{self, Claims, Rights, Scope};
use ecoute::words::Role;
use mio::net::{TcpStream, UdpSocket};
use mio::{Events, Interest, Poll, Token};
use nix::errno::Errno;
use nix::sys::socket::sockopt::{ReceiveTimestampns, RxqOvfl};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrIn, recvmsg, setsockopt};
use nix::sys::time::TimeSpec;
use serde_json::json;

use crate::support::WAIT;
use crate::tally::{LATE_ADVICE, Tally};
use stage::browser::{Browser, PACKET_INTERVAL};
use stage::link::Quality;

/// The longest time without a look at what else there is to do.
const POLL: Duration = Duration::from_millis(2);
const EVENTS: usize = 1024;
/// Tokens of the server are good for so long.
const TOKEN_S: u64 = 24 * 3600;
/// More than any datagram of the server.
const DATAGRAM_BYTES: usize = 4096;
const READ_BYTES: usize = 64 * 1024;

/// All pages, publishers first.
pub struct Fleet {
    server: SocketAddr,
    secret: Vec<u8>,
    poll: Poll,
    members: Vec<Member>,
    deadlines: Deadlines<usize>,
    /// Sockets that may have something to read.
    readable: VecDeque<Token>,
    buffer: Vec<u8>,
    control: Vec<u8>,
    connected: usize,
    hearing: usize,
    media_bytes: usize,
    pub tally: Tally,
}

/// One page and its sockets.
struct Member {
    page: Browser,
    stream: TcpStream,
    unwritten: Vec<u8>,
    socket: UdpSocket,
    opened: Instant,
    connected: Option<Instant>,
    /// What a listener wishes; nobody's else.
    wish: Option<Wish>,
    /// Datagrams with media that arrived, and packets in them that were good.
    media: u64,
    packets: u64,
    /// Datagrams that the kernel dropped because nobody read them.
    dropped: u32,
}

/// A listener's wish to hear a publisher.
struct Wish {
    publisher: usize,
    /// In the tally.
    listener: usize,
    since: Option<Instant>,
    heard: Option<Instant>,
}

impl Fleet {
    /// Returns a fleet without pages, whose tokens are signed with `secret`.
    pub fn new(server: SocketAddr, secret: &[u8]) -> Result<Fleet, String> {
        Ok(Fleet {
            server,
            secret: secret.to_vec(),
            poll: Poll::new().map_err(failed("poll"))?,
            members: Vec::new(),
            deadlines: Deadlines::new(),
            readable: VecDeque::new(),
            buffer: vec![0; READ_BYTES],
            control: nix::cmsg_space!(TimeSpec, u32),
            connected: 0,
            hearing: 0,
            media_bytes: 0,
            tally: Tally::default(),
        })
    }

    /// Opens a page that streams. All of them come before those that listen.
    pub fn open_publisher(&mut self) -> Result<(), String> {
        self.tally.add_publisher();
        self.open(Role::Commercial, None, |page, now| page.start_streaming(now))
    }

    /// Opens a page that could stream, and does not until [`Fleet::start_streaming`].
    pub fn open_off_air(&mut self) -> Result<(), String> {
        self.tally.add_publisher();
        self.open(Role::Commercial, None, |_, _| {})
    }

    pub fn start_streaming(&mut self, now: Instant, who: usize) -> Result<(), String> {
        self.members[who].page.start_streaming(now);
        self.advance(now, who, None)
    }

    /// Opens a page that may hear one publisher and nobody else: a supervisor of a team.
    pub fn open_listener(&mut self, publisher: usize) -> Result<(), String> {
        let listener = self.tally.add_listener(publisher);
        let wish = Wish { publisher, listener, since: None, heard: None };
        self.open(Role::Admin, Some(wish), |page, now| page.open_audio(now))
    }

    /// Closes a listener's page and opens it anew, without its wish: a new connection, and new audio. What it heard is not
    /// checked any more ([`Fleet::check`]).
    pub fn reopen(&mut self, who: usize) -> Result<(), String> {
        let member = &mut self.members[who];
        let old = member.wish.take().ok_or("who streams is not opened anew")?;
        self.connected -= usize::from(member.connected.is_some());
        self.hearing -= usize::from(old.heard.is_some());
        // A closed socket leaves the poll by itself.
        let wish = Wish { since: None, heard: None, ..old };
        let new = self.make(who, Role::Admin, Some(wish), |page, now| page.open_audio(now))?;
        let opened = new.opened;
        self.members[who] = new;
        self.advance(opened, who, None)
    }

    /// Whether a listener's page could hear, and did not say yet whom it wishes to.
    pub fn may_join(&self, who: usize) -> bool {
        let Member { connected, wish, .. } = &self.members[who];
        connected.is_some() && wish.as_ref().is_some_and(|wish| wish.since.is_none())
    }

    fn open(
        &mut self,
        role: Role,
        wish: Option<Wish>,
        begin: impl FnOnce(&mut Browser, Instant),
    ) -> Result<(), String> {
        let who = self.members.len();
        let member = self.make(who, role, wish, begin)?;
        let opened = member.opened;
        self.members.push(member);
        self.advance(opened, who, None)
    }

    /// Connects a page, registers it and lets it begin.
    fn make(
        &self,
        who: usize,
        role: Role,
        wish: Option<Wish>,
        begin: impl FnOnce(&mut Browser, Instant),
    ) -> Result<Member, String> {
        let opened = Instant::now();
        let stream = std::net::TcpStream::connect_timeout(&self.server, WAIT).map_err(failed("connect"))?;
        stream.set_nonblocking(true).and_then(|()| stream.set_nodelay(true)).map_err(failed("TCP"))?;
        let socket = std::net::UdpSocket::bind("127.0.0.1:0").map_err(failed("bind"))?;
        socket.set_nonblocking(true).map_err(failed("UDP"))?;
        setsockopt(&socket, ReceiveTimestampns, &true).map_err(failed("SO_TIMESTAMPNS"))?;
        setsockopt(&socket, RxqOvfl, &1).map_err(failed("SO_RXQ_OVFL"))?;
        let address = socket.local_addr().map_err(failed("UDP"))?;
        let (mut stream, mut socket) = (TcpStream::from_std(stream), UdpSocket::from_std(socket));
        let registry = self.poll.registry();
        registry.register(&mut socket, Token(2 * who), Interest::READABLE).map_err(failed("poll"))?;
        let both = Interest::READABLE | Interest::WRITABLE;
        registry.register(&mut stream, Token(2 * who + 1), both).map_err(failed("poll"))?;

        let mut page = Browser::new(who as u16, &id_of(role, who), address, Quality::PERFECT);
        page.register(&self.token(role, who, wish.as_ref()), "page");
        begin(&mut page, opened);
        Ok(Member {
            page,
            stream,
            unwritten: Vec::new(),
            socket,
            opened,
            connected: None,
            wish,
            media: 0,
            packets: 0,
            dropped: 0,
        })
    }

    /// Lets a listener's page say what it wishes.
    pub fn join(&mut self, now: Instant, who: usize) -> Result<(), String> {
        let member = &mut self.members[who];
        if let Some(wish) = &mut member.wish {
            wish.since = Some(now);
            let commercial_id = id_of(Role::Commercial, wish.publisher);
            member.page.say("join_commercial_stream", json!({ "commercial_id": commercial_id }));
        }
        self.advance(now, who, None)
    }

    /// Lets everything happen for a while.
    pub fn run_for(&mut self, duration: Duration) -> Result<(), String> {
        let end = Instant::now() + duration;
        while Instant::now() < end {
            self.turn(Instant::now())?;
        }
        Ok(())
    }

    /// Lets everything happen until `step` says that it is done.
    ///
    /// # Errors
    /// It was not within `limit`, in words that say how far it came.
    pub fn run_until(
        &mut self,
        limit: Duration,
        what: &str,
        mut step: impl FnMut(&mut Fleet, Instant) -> Result<bool, String>,
    ) -> Result<(), String> {
        let begin = Instant::now();
        while !step(self, Instant::now())? {
            if begin.elapsed() > limit {
                let (all, connected, hearing) = (self.len(), self.connected, self.hearing);
                return Err(format!(
                    "not all were {what} after {limit:?}: of {all} pages {connected} are connected, {hearing} hear"
                ));
            }
            self.turn(Instant::now())?;
        }
        Ok(())
    }

    /// How many pages were opened.
    pub fn len(&self) -> usize {
        self.members.len()
    }

    /// How many pages have a session that is connected.
    pub fn connected(&self) -> usize {
        self.connected
    }

    /// How many pages have heard the one whom they wished for.
    pub fn hearing(&self) -> usize {
        self.hearing
    }

    /// The length of the last datagram with media.
    pub fn media_bytes(&self) -> usize {
        self.media_bytes
    }

    /// From each listener's first byte to its connected session.
    pub fn opened_us(&self) -> Vec<u64> {
        let listeners = self.members.iter().filter(|member| member.wish.is_some());
        listeners.filter_map(|member| Some((member.connected? - member.opened).as_micros() as u64)).collect()
    }

    /// From the wish of each of these to the first packet.
    pub fn joined_us(&self, who: Range<usize>) -> Vec<u64> {
        let wishes = self.members[who].iter().filter_map(|member| member.wish.as_ref());
        wishes.filter_map(|wish| Some((wish.heard? - wish.since?).as_micros() as u64)).collect()
    }

    /// Checks that all that arrived was read, and was good.
    pub fn check(&self) -> Result<(), String> {
        let dropped: u32 = self.members.iter().map(|member| member.dropped).sum();
        if dropped > 0 {
            return Err(format!(
                "the generator was late: {dropped} datagrams were dropped because it had not read those before; \
                 {LATE_ADVICE}"
            ));
        }
        let refused: u64 = self.members.iter().map(|member| member.media - member.packets).sum();
        if refused > 0 {
            return Err(format!("{refused} packets could not be decrypted, or came a second time"));
        }
        Ok(())
    }

    /// Closes all pages; returns the sockets of the first `count` that listened.
    pub fn hang_up(self, count: usize) -> Result<Vec<UdpSocket>, String> {
        let registry = self.poll.registry();
        let listeners = self.members.into_iter().filter(|member| member.wish.is_some());
        let unregister = |mut member: Member| {
            registry.deregister(&mut member.socket).map_err(failed("poll"))?;
            Ok(member.socket)
        };
        listeners.take(count).map(unregister).collect()
    }

    /// Serves one page whose time has come, or one socket, or waits for either.
    fn turn(&mut self, now: Instant) -> Result<(), String> {
        if let Some(who) = self.deadlines.pop_due(now) {
            return self.advance(now, who, None);
        }
        match self.readable.pop_front() {
            Some(Token(token)) if token % 2 == 0 => self.read_datagrams(token / 2),
            Some(Token(token)) => self.read_stream(now, token / 2),
            None => self.wait(now),
        }
    }

    fn wait(&mut self, now: Instant) -> Result<(), String> {
        let until = self.deadlines.first().map_or(now + POLL, |(at, _)| at.min(now + POLL));
        let mut events = Events::with_capacity(EVENTS);
        match self.poll.poll(&mut events, Some(until.saturating_duration_since(now))) {
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            polled => polled.map_err(failed("poll"))?,
        }
        self.readable.extend(events.iter().map(|event| event.token()));
        Ok(())
    }

    fn read_datagrams(&mut self, who: usize) -> Result<(), String> {
        loop {
            let now = Instant::now();
            let member = &mut self.members[who];
            let mut slices = [IoSliceMut::new(&mut self.buffer[..DATAGRAM_BYTES])];
            let control = Some(self.control.as_mut_slice());
            let received =
                recvmsg::<SockaddrIn>(member.socket.as_raw_fd(), &mut slices, control, MsgFlags::empty());
            let message = match received {
                Ok(message) => message,
                Err(Errno::EAGAIN) => return Ok(()),
                Err(error) => return Err(failed("receive")(error)),
            };
            // It has more than one address, and answers at each by itself.
            let from = message.address.map_or(self.server, |from| SocketAddr::V4(from.into()));
            let mut stamp_ns = None;
            for control in message.cmsgs().map_err(failed("receive"))? {
                match control {
                    ControlMessageOwned::ScmTimestampns(at) => {
                        stamp_ns = Some(at.tv_sec() as u64 * 1_000_000_000 + at.tv_nsec() as u64);
                    }
                    ControlMessageOwned::RxqOvfl(dropped) => member.dropped = dropped,
                    _ => {}
                }
            }
            let bytes = message.bytes;
            let datagram = &self.buffer[..bytes];
            // RTP, and neither STUN, DTLS nor RTCP (RFC 7983, RFC 5761 §4).
            if matches!(datagram, [128..=191, kind, ..] if !(64..96).contains(&(kind & 0x7f))) {
                member.media += 1;
                self.media_bytes = bytes;
            }
            member.page.handle_datagram(now, from, datagram);
            self.advance(now, who, stamp_ns)?;
        }
    }

    fn read_stream(&mut self, now: Instant, who: usize) -> Result<(), String> {
        loop {
            let member = &mut self.members[who];
            match member.stream.read(&mut self.buffer) {
                Ok(0) => return Err(format!("the server hung up on {}", member.page.id)),
                Ok(bytes) => member.page.handle_bytes(now, &self.buffer[..bytes]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(failed("read")(error)),
            }
        }
        self.advance(now, who, None)
    }

    /// Lets a page do what it has to do now, and looks at what became of it. `stamp_ns` is when the datagram arrived
    /// that it was just given, in Unix time.
    fn advance(&mut self, now: Instant, who: usize, stamp_ns: Option<u64>) -> Result<(), String> {
        let member = &mut self.members[who];
        let (due, made) = (member.page.next_packet, member.page.made);
        let datagrams = member.page.handle_timeout(now);
        for number in 0..member.page.made - made {
            let due = due.map_or(now, |due| due + PACKET_INTERVAL * number);
            self.tally.send(who, unix_ns(), now.saturating_duration_since(due))?;
        }
        for (to, datagram) in datagrams {
            member.socket.send_to(&datagram, to).map_err(failed("send"))?;
        }
        member.unwritten.extend(member.page.take_bytes());
        member.write()?;
        member.read_messages()?;
        if member.page.connected && member.connected.is_none() {
            member.connected = Some(now);
            self.connected += 1;
        }
        for heard in member.page.heard.drain(..) {
            member.packets += 1;
            let wish = member.wish.as_mut().ok_or("a page hears that wished for nothing")?;
            if wish.heard.is_none() {
                wish.heard = Some(now);
                self.hearing += 1;
            }
            let stamp_ns = stamp_ns.ok_or("the kernel stamps no datagrams")?;
            self.tally.hear(wish.listener, heard.source.into(), heard.counter as usize, stamp_ns)?;
        }
        if let Some(at) = member.page.next_deadline() {
            self.deadlines.arm(who, at);
        }
        Ok(())
    }

    fn token(&self, role: Role, who: usize, wish: Option<&Wish>) -> String {
        let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let (sub, exp) = (id_of(role, who), iat + TOKEN_S);
        let listen = wish.map(|wish| Scope::new([id_of(Role::Commercial, wish.publisher).as_str()]));
        let claims = Claims {
            sub,
            role,
            name: None,
            listen,
            device: false,
            rights: Rights::default(),
            exp,
            iat,
            nbf: None,
            after_revocation: None,
        };
        token::mint(&self.secret, &claims)
    }
}

impl Member {
    fn write(&mut self) -> Result<(), String> {
        while !self.unwritten.is_empty() {
            match self.stream.write(&self.unwritten) {
                Ok(bytes) => drop(self.unwritten.drain(..bytes)),
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) => return Err(failed("write")(error)),
            }
        }
        Ok(())
    }

    fn read_messages(&mut self) -> Result<(), String> {
        for message in self.page.messages.drain(..) {
            if message["event"] == "error" {
                return Err(format!("the server told {}: {message}", self.page.id));
            }
        }
        match self.page.closed {
            Some(code) => Err(format!("the server closed {} with {code}", self.page.id)),
            None => Ok(()),
        }
    }
}

fn id_of(role: Role, who: usize) -> String {
    format!("{role}{who}")
}

/// The time by the clock that stamps datagrams.
pub fn unix_ns() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64
}

/// Returns what says in words which call of the system failed.
fn failed<E: Into<io::Error>>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what} failed: {}", error.into())
}
