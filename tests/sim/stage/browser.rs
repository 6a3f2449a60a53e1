//! A page in virtual time: a WebSocket client and a str0m client, with the manners of the real page.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use ecoute::wire::signaling::{self, ClientMessage};
use serde_json::{Value, json};
use str0m::change::{SdpAnswer, SdpPendingOffer};
use str0m::config::CryptoProvider;
use str0m::media::{Direction, MediaKind, Mid};
use str0m::net::{Protocol, Receive};
use str0m::rtp::rtcp::SenderInfo;
use str0m::rtp::{ExtensionValues, RtpWrite};
use str0m::{Candidate, Event, IceConnectionState, Input, Output, Rtc};
use tungstenite::protocol::{CloseFrame, Role as Side};
use tungstenite::{Message, WebSocket};

use crate::check;
use crate::link::Quality;

/// How often a microphone makes a packet.
pub const PACKET_INTERVAL: Duration = Duration::from_millis(20);

/// A packet that a listener got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    pub at: Instant,
    /// The how-manieth session of this page: each numbers its own stream.
    pub session: u32,
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    /// Which browser's microphone, and its how-manieth packet.
    pub source: u16,
    pub counter: u32,
    /// The stream as the server numbers it.
    pub ssrc: u32,
}

/// What a page does with notices of listeners.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manners {
    /// Acknowledges at once, as our page does.
    Acknowledges,
    /// Never does: a locked phone.
    Ignores,
    /// Says that it is hidden.
    Hides,
}

/// A page, its WebSocket and its WebRTC session.
pub struct Browser {
    pub index: u16,
    pub id: String,
    pub address: SocketAddr,
    /// The address that the server sees: changes when a NAT forgets.
    pub external: SocketAddr,
    pub manners: Manners,
    /// The network between this browser and the server.
    pub quality: Quality,
    pub messages: Vec<Value>,
    pub heard: Vec<Heard>,
    /// The notices that it acknowledged on this connection.
    told: Vec<u64>,
    /// The note of the journal that it registers with.
    pub journal_note: Option<String>,
    /// Whether a session has connected of which the acknowledgements have not said how much was sent.
    is_to_acknowledge: bool,
    /// How many packets of its session its statistics do not know of, since they began anew.
    pub forgets_sent: u64,
    /// How many acknowledgements it sent by itself.
    pub acknowledged: usize,
    /// The last connectivity check that was sent, as somebody on the way could keep it.
    pub last_check: Vec<u8>,
    /// For how long somebody on the way holds back each packet of its media.
    pub held_back: Duration,
    /// What the server reported last of what it sends.
    pub reported: Option<SenderInfo>,
    /// How often the microphone makes a packet.
    pub packet_interval: Duration,
    /// How loud the microphone is, in dBov, if the packets say so.
    pub level: Option<i8>,
    /// The close code, once the server closed the WebSocket.
    pub closed: Option<u16>,
    pub connected: bool,
    /// The how-manieth TCP connection this is.
    pub connection: u32,
    /// Tokens that were sent and that the world has not looked at.
    pub tokens: Vec<String>,
    upgraded: bool,
    head: Vec<u8>,
    websocket: WebSocket<Pipe>,
    /// Another cryptography than the library's own.
    pub crypto: Option<Arc<CryptoProvider>>,
    /// Whether it checks its connection no more, as some programs do once they are connected.
    pub checks_no_more: bool,
    /// Whether it nominates no more once it is connected, as Firefox does.
    pub nominates_once: bool,
    /// Whether it answers no checks of the server's.
    pub answers_nothing: bool,
    /// Whether the microphone makes nothing.
    pub is_mute: bool,
    /// Whether the server is asked to begin the DTLS handshake (RFC 8842 §5.2 forbids it; some devices do).
    pub waits_for_dtls: bool,
    /// Whether what is heard may be anything.
    pub is_lenient: bool,
    /// How many packets the microphone has made.
    pub made: u32,
    /// The number and the time of its next one.
    pub sequence: u64,
    pub timestamp: u32,
    rtc: Option<Session>,
    /// What signs checks: the password in the server's last answer.
    pub password: String,
    /// What names it in checks, and signs its answers: both are in its last offer.
    pub own_ufrag: String,
    pub own_password: String,
    sessions: u32,
    /// When the microphone makes its next packet.
    pub next_packet: Option<Instant>,
    /// What was to be sent when something arrived.
    unsent: Vec<(SocketAddr, Vec<u8>)>,
}

struct Session {
    rtc: Rtc,
    /// The offer that waits for its answer; the first one makes the session wait too.
    pending: Option<SdpPendingOffer>,
    is_answered: bool,
    mid: Mid,
    timeout: Instant,
    is_sending: bool,
    /// How many packets it was given.
    sent: u64,
}

#[derive(Default)]
struct Pipe {
    input: VecDeque<u8>,
    output: Vec<u8>,
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.input.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            len => Ok(len),
        }
    }
}

impl Write for Pipe {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.output.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Browser {
    pub fn new(index: u16, id: &str, address: SocketAddr, quality: Quality) -> Browser {
        Browser {
            index,
            id: id.to_owned(),
            address,
            external: address,
            manners: Manners::Acknowledges,
            quality,
            messages: Vec::new(),
            heard: Vec::new(),
            told: Vec::new(),
            journal_note: None,
            is_to_acknowledge: false,
            forgets_sent: 0,
            acknowledged: 0,
            last_check: Vec::new(),
            held_back: Duration::ZERO,
            reported: None,
            packet_interval: PACKET_INTERVAL,
            level: Some(-30),
            closed: None,
            connected: false,
            connection: 0,
            tokens: Vec::new(),
            upgraded: false,
            head: Vec::new(),
            websocket: WebSocket::from_raw_socket(Pipe::default(), Side::Client, None),
            crypto: None,
            checks_no_more: false,
            nominates_once: false,
            answers_nothing: false,
            is_mute: false,
            waits_for_dtls: false,
            is_lenient: false,
            made: 0,
            sequence: u64::from(fastrand::u16(..)),
            timestamp: fastrand::u32(..),
            rtc: None,
            password: String::new(),
            own_ufrag: String::new(),
            own_password: String::new(),
            sessions: 0,
            next_packet: None,
            unsent: Vec::new(),
        }
    }

    /// Begins a TCP connection: the upgrade, and the first message behind it. The session, if there is one, goes on.
    pub fn register(&mut self, token: &str, page: &str) {
        self.connection += 1;
        self.closed = None;
        self.upgraded = false;
        self.told.clear();
        self.head.clear();
        self.websocket = WebSocket::from_raw_socket(Pipe::default(), Side::Client, None);
        let head = "GET /ws HTTP/1.1\r\nHost: ecoute\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
                    Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
        self.websocket.get_mut().output.extend(head.as_bytes());
        let mut data = json!({ "token": token, "page": page });
        if let Some(note) = &self.journal_note {
            data["journal_note"] = note.as_str().into();
        }
        self.say("register_user", data);
    }

    /// Sends bytes that no page would.
    pub fn send_raw(&mut self, bytes: &[u8]) {
        self.websocket.get_mut().output.extend(bytes);
    }

    /// Says something; what a page has sent is said by itself where our page would.
    pub fn say(&mut self, event: &str, mut data: Value) {
        match event {
            "register_user" => self.tokens.extend(data["token"].as_str().map(str::to_owned)),
            "listener_ack" => {
                data["told"] = "seen".into();
                self.count_sent(&mut data);
            }
            "resume_streaming" => self.count_sent(&mut data),
            _ => {}
        }
        let text = json!({ "event": event, "data": data }).to_string();
        let _ = self.websocket.send(Message::text(text));
    }

    /// Adds how much was sent of the present session, and, for the witness, which packet the microphone makes next.
    fn count_sent(&mut self, data: &mut Value) {
        data["next"] = json!([self.index, self.made]);
        let Some(session) = self.rtc.as_mut().filter(|session| session.is_sending) else { return };
        let mut api = session.rtc.direct_api();
        let Some(stream) = api.stream_tx_by_mid(session.mid, None) else { return };
        data["ssrc"] = (*stream.ssrc()).into();
        data["packets_sent"] = session.sent.saturating_sub(self.forgets_sent).into();
    }

    /// The page goes: it says goodbye, as browsers do when one is closed or loaded anew.
    pub fn say_goodbye(&mut self) {
        let _ = self.websocket.close(None);
    }

    /// The page closes its connection, and says that it will open another one.
    pub fn say_that_it_comes_back(&mut self) {
        let _ = self.websocket.close(Some(CloseFrame { code: 4000.into(), reason: "".into() }));
    }

    /// Says a text that no page may ever have said; a token in it is kept in mind.
    pub fn say_text(&mut self, text: &str) {
        if let Ok(ClientMessage::Register(register)) = signaling::parse(text) {
            self.tokens.push(register.token);
        }
        let _ = self.websocket.send(Message::text(text));
    }

    /// Makes an offer and says it: the microphone or the headphones are plugged in.
    pub fn start_streaming(&mut self, now: Instant) {
        self.offer(now, Direction::SendOnly, "start_streaming");
    }

    pub fn open_audio(&mut self, now: Instant) {
        self.offer(now, Direction::RecvOnly, "open_audio");
    }

    /// Tests the connection, with a session that takes the place of the one that there was.
    pub fn test_connection(&mut self, now: Instant) {
        self.offer(now, Direction::RecvOnly, "test_connection");
    }

    /// Makes an offer that restarts ICE of the session that there is; returns it unsaid.
    pub fn restart_offer(&mut self) -> Option<String> {
        let session = self.rtc.as_mut().filter(|session| session.pending.is_none())?;
        let mut api = session.rtc.sdp_api();
        api.ice_restart(true);
        let (offer, pending) = api.apply()?;
        session.pending = Some(pending);
        Some(offer.to_sdp_string())
    }

    /// Restarts ICE of the session that there is.
    pub fn restart_ice(&mut self) {
        if let Some(offer) = self.restart_offer() {
            self.say("restart_ice", json!({ "sdp": offer }));
        }
    }

    fn offer(&mut self, now: Instant, direction: Direction, event: &str) {
        let offer = self.make_offer(now, direction);
        self.say(event, json!({ "sdp": offer }));
    }

    /// Makes a session and its offer; returns that unsaid.
    pub fn make_offer(&mut self, now: Instant, direction: Direction) -> String {
        let mut config = Rtc::builder().set_rtp_mode(true);
        if let Some(crypto) = &self.crypto {
            config = config.set_crypto_provider(Arc::clone(crypto));
        }
        let mut rtc = config.build(now);
        rtc.add_local_candidate(Candidate::host(self.address, "udp").unwrap());
        let mut api = rtc.sdp_api();
        let mid = api.add_media(MediaKind::Audio, direction, None, None, None);
        let (offer, pending) = api.apply().unwrap();
        let is_sending = direction == Direction::SendOnly;
        self.rtc = Some(Session {
            rtc,
            pending: Some(pending),
            is_answered: false,
            mid,
            timeout: now,
            is_sending,
            sent: 0,
        });
        self.sessions += 1;
        self.connected = false;
        self.next_packet = None;
        // How often a number began again is counted by session (RFC 3711 §3.3.1).
        self.sequence &= 0xffff;
        let offer = offer.to_sdp_string();
        self.own_ufrag = attribute(&offer, "a=ice-ufrag:");
        self.own_password = attribute(&offer, "a=ice-pwd:");
        if self.waits_for_dtls { offer.replace("a=setup:actpass", "a=setup:passive") } else { offer }
    }

    /// Takes the answer to the offer that was made last.
    pub fn accept_answer(&mut self, now: Instant, answer: &str) {
        let Some(session) = self.rtc.as_mut().filter(|session| session.pending.is_some()) else { return };
        self.password = attribute(answer, "a=ice-pwd:");
        let answer = SdpAnswer::from_sdp_string(answer).expect("the answer is SDP");
        let pending = session.pending.take().expect("one answer per offer");
        session.rtc.sdp_api().accept_answer(pending, answer).expect("the answer fits the offer");
        session.is_answered = true;
        session.timeout = now;
    }

    /// Gives up the offer that was made last, whose answer does not come.
    pub fn forget_offer(&mut self) {
        if let Some(session) = self.rtc.as_mut() {
            session.pending = None;
        }
    }

    /// Ends the session as the library does it, with a close alert.
    pub fn hang_up(&mut self, now: Instant) {
        let Some(session) = self.rtc.as_mut() else { return };
        let _ = session.rtc.close();
        self.next_packet = None;
        let mut sent = std::mem::take(&mut self.unsent);
        self.drain(now, &mut sent);
        self.unsent = sent;
    }

    /// The network under the page is gone: nothing is sent or heard any more.
    pub fn vanish(&mut self) {
        self.rtc = None;
        self.next_packet = None;
    }

    /// An RTP packet as somebody could forge it who knows all but the keys: the right section, another source.
    pub fn forge_packet(&self, sequence: u16) -> Vec<u8> {
        let mid = self.rtc.as_ref().expect("it has a session").mid;
        let mut extension = vec![4 << 4 | (mid.len() as u8 - 1)];
        extension.extend(mid.as_bytes());
        extension.resize(extension.len().next_multiple_of(4), 0);
        let mut packet = vec![0x90, 111];
        packet.extend(sequence.to_be_bytes());
        packet.extend([0, 0, 0, 1, 0xde, 0xad, 0xbe, 0xef, 0xbe, 0xde]);
        packet.extend((extension.len() as u16 / 4).to_be_bytes());
        packet.extend(extension);
        packet.extend([7; 80]);
        packet
    }

    /// The microphone's stream goes on under another synchronization source, with numbers of its own.
    pub fn change_stream(&mut self, ssrc: u32) {
        let session = self.rtc.as_mut().expect("it has a session");
        session.rtc.direct_api().reset_stream_tx(session.mid, None, ssrc.into(), Some((ssrc ^ 1).into()));
        session.sent = 0;
        self.sequence = u64::from(fastrand::u16(..));
        self.timestamp = fastrand::u32(..);
    }

    /// The page slept for so long, and made no sound meanwhile.
    pub fn wake(&mut self, slept: Duration) {
        self.next_packet = self.next_packet.map(|next| next + slept);
    }

    /// Tells whether it has a session with a microphone.
    pub fn is_sending(&self) -> bool {
        self.rtc.as_ref().is_some_and(|session| session.is_sending && session.is_answered)
    }

    pub fn has_session(&self) -> bool {
        self.rtc.is_some()
    }

    /// Tells whether this page has no session, or one that is connected.
    pub fn is_settled(&self) -> bool {
        self.rtc.is_none() || self.connected
    }

    /// Tells whether no offer of this page waits for its answer.
    pub fn rtc_is_idle(&self) -> bool {
        self.rtc.as_ref().is_none_or(|session| session.pending.is_none())
    }

    pub fn messages_of<'a>(&'a self, event: &'a str) -> impl Iterator<Item = &'a Value> {
        self.messages.iter().filter(move |message| message["event"] == event).map(|message| &message["data"])
    }

    pub fn has(&self, event: &str) -> bool {
        self.messages_of(event).next().is_some()
    }

    /// The packets heard from one microphone.
    pub fn heard_of(&self, source: u16) -> impl Iterator<Item = &Heard> {
        self.heard.iter().filter(move |heard| heard.source == source)
    }

    /// Takes bytes of the TCP stream.
    pub fn handle_bytes(&mut self, now: Instant, bytes: &[u8]) {
        if self.upgraded {
            self.websocket.get_mut().input.extend(bytes);
        } else {
            self.head.extend(bytes);
            let Some(end) = self.head.windows(4).position(|four| four == b"\r\n\r\n") else { return };
            assert!(self.head.starts_with(b"HTTP/1.1 101 "), "{}", String::from_utf8_lossy(&self.head));
            self.upgraded = true;
            let rest = self.head.split_off(end + 4);
            self.websocket.get_mut().input.extend(rest);
        }
        loop {
            match self.websocket.read() {
                Ok(Message::Text(text)) => {
                    let message: Value = serde_json::from_str(&text).expect("the server sends JSON");
                    self.on_message(now, &message);
                    self.messages.push(message);
                }
                Ok(Message::Close(frame)) => self.closed = Some(frame.map_or(1005, |frame| frame.code.into())),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        let _ = self.websocket.flush();
    }

    fn on_message(&mut self, now: Instant, message: &Value) {
        let data = &message["data"];
        match message["event"].as_str().unwrap() {
            "streaming_started" | "audio_ready" | "ice_restarted" | "connection_test" => {
                self.accept_answer(now, data["sdp"].as_str().unwrap());
            }
            "listener_joined" if self.manners == Manners::Acknowledges => {
                self.told.extend(data["notice_id"].as_u64());
                self.say("listener_ack", json!({ "notice_id": data["notice_id"] }));
                self.acknowledged += 1;
            }
            "listener_joined" if self.manners == Manners::Hides => {
                self.say("listener_hidden", json!({ "notice_id": data["notice_id"] }));
            }
            "listener_left" => self.told.retain(|&notice| data["notice_id"] != notice),
            _ => {}
        }
    }

    /// Returns the bytes for the TCP stream.
    pub fn take_bytes(&mut self) -> Vec<u8> {
        if std::mem::take(&mut self.is_to_acknowledge) {
            for notice_id in self.told.clone() {
                self.say("listener_ack", json!({ "notice_id": notice_id }));
            }
        }
        std::mem::take(&mut self.websocket.get_mut().output)
    }

    /// Takes a datagram.
    pub fn handle_datagram(&mut self, now: Instant, from: SocketAddr, bytes: &[u8]) {
        let Some(session) = self.rtc.as_mut() else { return };
        if self.answers_nothing && bytes.starts_with(&[0, 1]) {
            return;
        }
        if let Ok(input) = Receive::new(Protocol::Udp, from, self.address, bytes) {
            let _ = session.rtc.handle_input(Input::Receive(now, input));
            session.timeout = now;
            // The library keeps one packet: what comes with it at the same moment would be lost.
            let mut sent = std::mem::take(&mut self.unsent);
            self.drain(now, &mut sent);
            self.unsent = sent;
        }
    }

    pub fn next_deadline(&self) -> Option<Instant> {
        let session = self.rtc.as_ref().filter(|session| session.is_answered)?;
        Some(self.next_packet.map_or(session.timeout, |next| next.min(session.timeout)))
    }

    /// Lets time pass; returns what goes out as datagrams.
    pub fn handle_timeout(&mut self, now: Instant) -> Vec<(SocketAddr, Vec<u8>)> {
        let mut sent = std::mem::take(&mut self.unsent);
        if self.rtc.as_ref().is_none_or(|session| !session.is_answered) {
            return sent;
        }
        while self.next_packet.is_some_and(|next| next <= now) {
            self.make_packet(now);
            self.drain(now, &mut sent);
        }
        if self.rtc.as_ref().is_some_and(|session| session.timeout <= now) {
            self.drain(now, &mut sent);
        }
        sent
    }

    fn make_packet(&mut self, now: Instant) {
        let Some(session) = self.rtc.as_mut() else { return };
        let pt = session.rtc.media(session.mid).unwrap().remote_pts()[0];
        let payload = payload(self.index, self.made);
        let sequence = self.sequence.into();
        let level =
            ExtensionValues { audio_level: self.level, voice_activity: Some(true), ..ExtensionValues::default() };
        let write = RtpWrite::new(pt, sequence, self.timestamp, now, payload);
        let write = write.marker(self.made == 0).ext_vals(level);
        session.rtc.direct_api().stream_tx_by_mid(session.mid, None).unwrap().write_rtp(write);
        session.sent += 1;
        self.made += 1;
        self.sequence += 1;
        self.timestamp = self.timestamp.wrapping_add(960);
        self.next_packet = self.next_packet.map(|next| next + self.packet_interval);
    }

    fn drain(&mut self, now: Instant, sent: &mut Vec<(SocketAddr, Vec<u8>)>) {
        let Some(session) = self.rtc.as_mut() else { return };
        let _ = session.rtc.handle_input(Input::Timeout(now));
        loop {
            let Ok(output) = session.rtc.poll_output() else {
                // Its handshake was never answered, as on a dead network.
                self.vanish();
                return;
            };
            match output {
                Output::Timeout(at) => {
                    // A library that is due at once is asked again a moment later, as a real loop would.
                    session.timeout = at.max(now + Duration::from_micros(100));
                    return;
                }
                Output::Transmit(transmit) => {
                    let mut contents = transmit.contents.to_vec();
                    if contents.starts_with(&[0, 1]) {
                        if self.nominates_once && self.connected {
                            contents = check::without_nomination(&contents, &self.password);
                        }
                        self.last_check = contents.clone();
                    }
                    sent.push((transmit.destination, contents));
                }
                Output::Event(Event::Connected) => {
                    self.connected = true;
                    self.is_to_acknowledge = session.is_sending;
                    let is_sending = session.is_sending && !self.is_mute;
                    self.next_packet = is_sending.then_some(now + PACKET_INTERVAL);
                }
                Output::Event(Event::IceConnectionStateChange(IceConnectionState::Disconnected)) => {
                    self.connected = false;
                }
                Output::Event(Event::RtpPacket(packet)) => {
                    if self.is_lenient {
                        self.made += 1;
                        continue;
                    }
                    self.reported = packet.last_sender_info;
                    let (source, counter) = parse_payload(&packet.payload);
                    self.heard.push(Heard {
                        at: now,
                        session: self.sessions,
                        sequence: *packet.seq_no,
                        timestamp: packet.header.timestamp,
                        marker: packet.header.marker,
                        source,
                        counter,
                        ssrc: *packet.header.ssrc,
                    });
                }
                Output::Event(_) => {}
            }
        }
    }
}

fn attribute(description: &str, name: &str) -> String {
    let value = description.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("a description has {name}")).to_owned()
}

/// A packet of 20 ms at 32 kbit/s that says where it comes from, with a filling that shows every changed byte.
fn payload(source: u16, counter: u32) -> Vec<u8> {
    let mut bytes = vec![31 << 3];
    bytes.extend(source.to_be_bytes());
    bytes.extend(counter.to_be_bytes());
    bytes.extend((0..73u32).map(|index| filling(source, counter, index)));
    bytes
}

fn parse_payload(bytes: &[u8]) -> (u16, u32) {
    let source = u16::from_be_bytes(bytes[1..3].try_into().unwrap());
    let counter = u32::from_be_bytes(bytes[3..7].try_into().unwrap());
    assert_eq!(bytes, payload(source, counter), "a payload was touched");
    (source, counter)
}

fn filling(source: u16, counter: u32, index: u32) -> u8 {
    (counter.wrapping_mul(31) ^ u32::from(source).wrapping_mul(7) ^ index) as u8
}
