//! One TCP client: what it sent so far, what it must be sent, and how long it may take.
//!
//! Speaks HTTP until an upgrade, then WebSocket; or ICE-TCP from its first byte on. Knows neither users nor sessions.
//! Invariant: what waits in either direction is bounded, and every state but a healthy WebSocket ends by itself.

mod answering;
mod encrypted;
mod event;
mod framed;
mod output;
mod state;
mod streaming;

use std::mem;
use std::time::{Duration, Instant};

use crate::config::{ConnLimits, UnsentLimits};
use crate::path::{Door, Ends};
use crate::rate::Bucket;
use crate::wire::http::{self, HttpError, Request, Response};
use crate::wire::sniff::{self, Protocol};
use crate::wire::websocket::{Incoming, Websocket};
pub use event::{ConnEvent, ConnTimeout};
pub use framed::Dropped;
use framed::Framed;
use output::Output;
use state::{Registration, State};

/// What any conn may have buffered for any time, in bytes.
const PASSING_BYTES: usize = 4096;

/// What the kernel may hold of what a client was sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unsent {
    /// All that it takes.
    Any,
    /// So much while more is written; what is left when the conn closes is not to arrive later.
    AtMost(UnsentLimits),
    /// Nothing: the client may not get any more what it was sent.
    Void,
}

/// One TCP client.
pub struct Conn {
    ends: Ends,
    state: State,
    out: Output,
    unsent: Unsent,
    /// The largest message since nothing waited, in bytes.
    largest: usize,
    /// HTTP responses since nothing waited.
    responses: usize,
    /// Whether requests wait until those are read.
    is_held: bool,
    /// How many bytes were buffered when this was asked last.
    reckoned: usize,
    /// Since when more is buffered than what passes through.
    waiting: Option<Instant>,
    heard: Instant,
    /// Whether the shell decrypts what comes and encrypts what goes.
    is_encrypted: bool,
    /// What TLS holds in the shell, half records and what the socket did not take, in bytes.
    tls_bytes: usize,
    ping_interval: Duration,
    /// How long it may be idle between two requests.
    keep_alive: Duration,
    /// When the first ping left that was not answered.
    pinged: Option<Instant>,
    rtt: Option<Duration>,
}

impl Conn {
    /// Returns a client that has just been accepted.
    pub fn new(now: Instant, ends: Ends, limits: &ConnLimits) -> Conn {
        Conn {
            ends,
            state: State::New { until: now + limits.head_timeout },
            out: Output::default(),
            unsent: Unsent::Any,
            largest: 0,
            responses: 0,
            is_held: false,
            reckoned: 0,
            waiting: None,
            heard: now,
            is_encrypted: false,
            tls_bytes: 0,
            ping_interval: limits.ping_interval,
            keep_alive: limits.keep_alive,
            pinged: None,
            rtt: None,
        }
    }

    /// Returns the two ends of its TCP connection.
    pub fn ends(&self) -> Ends {
        self.ends
    }

    /// Returns when the client was last heard.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Returns how long the last ping and its pong took, once there were such.
    pub fn rtt(&self) -> Option<Duration> {
        self.rtt
    }

    /// Takes bytes that the client sent.
    pub fn push(&mut self, now: Instant, bytes: &[u8], limits: &ConnLimits) {
        self.heard = now;
        if let (&State::New { until }, Some(&first_byte)) = (&self.state, bytes.first()) {
            self.state = match sniff::sniff(first_byte) {
                // What is encrypted already needs no more encryption inside.
                Protocol::Framed if !self.is_encrypted && self.ends.door == Door::Main => {
                    self.unsent = Unsent::AtMost(limits.unsent);
                    State::Framed(Framed::new(until))
                }
                Protocol::Framed | Protocol::Http | Protocol::Tls => State::Head { received: Vec::new(), until },
            };
        }
        match &mut self.state {
            State::New { .. } => {}
            State::Framed(framed) => framed.push(bytes),
            State::Head { received, until } => {
                if received.is_empty() {
                    *until = (*until).min(now + limits.head_timeout);
                }
                received.extend(bytes);
            }
            State::Body { received, .. }
            | State::Answering { received, .. }
            | State::Streaming { received, .. } => {
                received.extend(bytes);
            }
            State::Signaling { websocket, .. } => websocket.push(bytes),
            State::Closing { websocket: Some(websocket), .. } => websocket.push(bytes),
            State::Closing { websocket: None, .. } | State::Dead => {}
        }
    }

    /// Returns the next thing that the client did, or `None` until more bytes come or go.
    pub fn poll(&mut self, now: Instant, limits: &ConnLimits) -> Option<ConnEvent> {
        match &mut self.state {
            State::New { .. } | State::Framed(_) => None,
            State::Head { received, .. } => {
                if received.is_empty() {
                    return None;
                }
                // A client that asks without reading the answers waits.
                let is_full = self.out.pending().len() > limits.queue_bytes_max / 2;
                if is_full || self.responses >= limits.pipelined_max {
                    if received.len() > 4 * limits.head_bytes_max {
                        return Some(ConnEvent::TooSlow);
                    }
                    return (!mem::replace(&mut self.is_held, true)).then_some(ConnEvent::Held);
                }
                match http::parse_request(received, limits.head_bytes_max) {
                    Ok(None) => None,
                    Ok(Some((request, head_bytes))) => {
                        take_front(received, head_bytes);
                        self.begin_body(now, request, limits)
                    }
                    Err(error) => Some(ConnEvent::BadRequest(error, None)),
                }
            }
            State::Body { .. } => self.end_body(now, limits),
            State::Answering { received, .. } | State::Streaming { received, .. } => {
                (received.len() > 4 * limits.head_bytes_max).then_some(ConnEvent::TooSlow)
            }
            State::Signaling { websocket, messages, .. } => {
                let polled = websocket.poll_message();
                websocket.take_output(self.out.end());
                let says = matches!(polled, Ok(Some(Incoming::Text(_) | Incoming::Alive | Incoming::Pong)));
                let says_too_much = says && !messages.take(now);
                if polled == Ok(Some(Incoming::Pong))
                    && let Some(pinged) = self.pinged.take()
                {
                    self.rtt = Some(now.saturating_duration_since(pinged));
                }
                if !self.keeps_up(limits) {
                    return Some(ConnEvent::TooSlow);
                }
                match polled {
                    Ok(None) => None,
                    Ok(Some(_)) if says_too_much => Some(ConnEvent::TooMany),
                    Ok(Some(Incoming::Text(text))) => Some(ConnEvent::Text(text)),
                    Ok(Some(Incoming::Alive | Incoming::Pong)) => Some(ConnEvent::Alive),
                    Ok(Some(Incoming::Closed { comes_back })) => Some(ConnEvent::WebsocketClosed { comes_back }),
                    Err(error) => Some(ConnEvent::WebsocketBroken(error)),
                }
            }
            State::Closing { websocket: closing, .. } => {
                while let Some(websocket) = closing {
                    match websocket.poll_message() {
                        Ok(Some(Incoming::Text(_) | Incoming::Alive | Incoming::Pong)) => {}
                        Ok(None) => break,
                        Ok(Some(Incoming::Closed { .. })) | Err(_) => *closing = None,
                    }
                }
                None
            }
            State::Dead => None,
        }
    }

    /// Waits for the body that a head announced, if there is one.
    fn begin_body(&mut self, now: Instant, mut request: Request, limits: &ConnLimits) -> Option<ConnEvent> {
        if self.ends.door == Door::Redirect {
            // Whatever is asked for there has one short answer, which is the last.
            request = Request { keep_alive: false, expects_continue: false, body_bytes: 0, ..request };
        }
        if request.body_bytes > limits.body_bytes_max {
            let error = HttpError::BodyTooLarge { bytes_max: limits.body_bytes_max };
            return Some(ConnEvent::BadRequest(error, Some(Box::new(request))));
        }
        let State::Head { received, .. } = &mut self.state else { return None };
        let received = mem::take(received);
        if request.expects_continue && received.len() < request.body_bytes {
            http::write_continue(self.out.end());
        }
        self.state = State::Body { request: Box::new(request), received, until: now + limits.body_timeout };
        self.end_body(now, limits)
    }

    /// Returns the request once its body is there.
    fn end_body(&mut self, now: Instant, limits: &ConnLimits) -> Option<ConnEvent> {
        match mem::replace(&mut self.state, State::Dead) {
            State::Body { mut request, mut received, .. } if received.len() >= request.body_bytes => {
                request.body = received.get(..request.body_bytes).unwrap_or_default().to_vec();
                take_front(&mut received, request.body_bytes);
                self.state = State::Head { received, until: now + limits.head_timeout };
                Some(ConnEvent::Request(request))
            }
            waiting => {
                self.state = waiting;
                None
            }
        }
    }

    /// Waits no more for a request that did not come whole, and returns its head, if that did; the conn must be told and
    /// closed.
    pub fn give_up_body(&mut self) -> Option<Box<Request>> {
        match mem::replace(&mut self.state, State::Dead) {
            State::Body { request, .. } => Some(request),
            other => {
                self.state = other;
                None
            }
        }
    }

    /// Queues a response. The conn closes after it, unless `request` lets it live.
    pub fn respond(
        &mut self,
        now: Instant,
        request: Option<&Request>,
        response: Response<'_>,
        limits: &ConnLimits,
    ) {
        let keep_alive = request.is_some_and(|request| request.keep_alive);
        let head_only = request.is_some_and(|request| request.method == "HEAD");
        response.write(self.out.end(), head_only, keep_alive);
        self.responses += 1;
        if keep_alive {
            if let State::Head { received, until } = &mut self.state {
                *until = now + if received.is_empty() { self.keep_alive } else { limits.head_timeout };
            }
        } else {
            self.state = State::Closing { websocket: None, until: now + limits.closing_timeout };
        }
    }

    /// Turns the conn into a WebSocket; bytes that came behind the request are its first.
    pub fn upgrade(&mut self, now: Instant, request: &Request, date: &str, limits: &ConnLimits) {
        let (State::Head { received, .. }, Some(key)) = (&mut self.state, &request.websocket_key) else { return };
        let mut websocket = Box::new(Websocket::new(limits.message_bytes_max));
        websocket.push(received);
        http::write_upgrade(self.out.end(), key, date);
        let registration = Registration::Awaited { until: now + limits.register_timeout };
        let messages = Bucket::new(now, limits.message_rate);
        let next_ping = now + limits.ping_interval;
        let user_agent = request.user_agent.clone().unwrap_or_default();
        self.state = State::Signaling { websocket, next_ping, registration, messages, answers: 0, user_agent };
    }

    /// Returns once what the client's program calls itself.
    pub fn take_user_agent(&mut self) -> String {
        match &mut self.state {
            State::Signaling { user_agent, .. } => mem::take(user_agent),
            State::New { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Answering { .. }
            | State::Streaming { .. }
            | State::Framed(_)
            | State::Closing { .. }
            | State::Dead => String::new(),
        }
    }

    /// Takes it that the client is known: registering has no deadline any more.
    pub fn registered(&mut self) {
        if let State::Signaling { registration, .. } = &mut self.state {
            *registration = Registration::Done;
        }
    }

    /// Takes it that the client was asked for so many answers, which do not count among what it says by itself.
    pub fn ask_answers(&mut self, count: usize) {
        if let State::Signaling { answers, .. } = &mut self.state {
            *answers = answers.saturating_add(count as u32);
        }
    }

    /// Takes it that the last message was an answer; more of them than were asked for count like all else.
    pub fn forgive_answer(&mut self) {
        if let State::Signaling { messages, answers, .. } = &mut self.state
            && *answers > 0
        {
            *answers -= 1;
            messages.give_back();
        }
    }

    /// Takes it that another page of the same person is open: this one may ask to take over, for a while.
    pub fn await_takeover(&mut self, now: Instant, limits: &ConnLimits) {
        if let State::Signaling { registration, .. } = &mut self.state {
            *registration = Registration::Refused { until: now + limits.takeover_timeout };
        }
    }

    /// Queues a text message, unless the client does not keep up; tells whether it does.
    pub fn send_text(&mut self, text: &str, limits: &ConnLimits) -> bool {
        let keeps_up = self.keeps_up(limits);
        if let State::Signaling { websocket, .. } = &mut self.state
            && keeps_up
        {
            websocket.send_text(text);
            websocket.take_output(self.out.end());
            self.largest = self.largest.max(text.len());
        }
        keeps_up
    }

    /// Tells whether what waits is within the bound, which the largest message in it does not count against.
    fn keeps_up(&self, limits: &ConnLimits) -> bool {
        self.pending_write().len() <= limits.queue_bytes_max + self.largest
    }

    /// Sets how often the client is pinged, from now on.
    pub fn set_ping_interval(&mut self, now: Instant, interval: Duration) {
        self.ping_interval = interval;
        if let State::Signaling { next_ping, .. } = &mut self.state {
            *next_ping = now + interval;
        }
    }

    /// Sets how long the client may be idle between two requests, from the next answer on.
    pub fn set_keep_alive(&mut self, keep_alive: Duration) {
        self.keep_alive = keep_alive;
    }

    /// Begins the closing handshake; a conn that is no WebSocket closes once its last answer is written.
    pub fn close(&mut self, now: Instant, code: u16, reason: &'static str, limits: &ConnLimits) {
        match mem::replace(&mut self.state, State::Dead) {
            State::Signaling { mut websocket, .. } => {
                websocket.close(code, reason);
                websocket.take_output(self.out.end());
                let until = now + limits.closing_timeout;
                self.state = State::Closing { websocket: Some(websocket), until };
            }
            State::New { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Answering { .. }
            | State::Streaming { .. } => {
                self.state = State::Closing { websocket: None, until: now + limits.closing_timeout }
            }
            framed @ State::Framed(_) => {
                self.state = framed;
                self.finish(now, limits);
            }
            closing @ State::Closing { .. } => self.state = closing,
            State::Dead => {}
        }
    }

    /// There is no more to say: what is queued goes out, then the conn closes.
    pub fn finish(&mut self, now: Instant, limits: &ConnLimits) {
        match mem::replace(&mut self.state, State::Dead) {
            State::Dead => return,
            State::Framed(framed) => framed.finish(self.out.end()),
            State::New { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Answering { .. }
            | State::Streaming { .. }
            | State::Signaling { .. }
            | State::Closing { .. } => {}
        }
        self.state = State::Closing { websocket: None, until: now + limits.closing_timeout };
    }

    /// Returns what the kernel may hold of what the client was sent.
    pub fn unsent(&self) -> Unsent {
        self.unsent
    }

    /// Returns the bytes that the shell must write.
    pub fn pending_write(&self) -> &[u8] {
        self.out.pending()
    }

    /// Takes it that the shell wrote so many bytes; returns what waited for that in vain.
    pub fn handle_written(&mut self, now: Instant, bytes: usize, limits: &ConnLimits) -> Dropped {
        if self.out.handle_written(bytes) {
            self.largest = 0;
            self.responses = 0;
            self.is_held = false;
        }
        if let State::Framed(framed) = &mut self.state
            && self.out.pending().is_empty()
        {
            return framed.fill(now, self.out.end(), limits);
        }
        Dropped::default()
    }

    /// Returns how many bytes are buffered beyond what every conn keeps: as this was asked last, and now.
    pub fn reckon(&mut self, now: Instant) -> (usize, usize) {
        let input = match &self.state {
            State::Head { received, .. } | State::Body { received, .. } => received.capacity(),
            State::Answering { received, request, .. } | State::Streaming { received, request, .. } => {
                received.capacity() + request.held_bytes()
            }
            State::Signaling { websocket, .. } | State::Closing { websocket: Some(websocket), .. } => {
                websocket.held_bytes()
            }
            State::Framed(framed) => framed.held_bytes(),
            State::New { .. } | State::Closing { websocket: None, .. } | State::Dead => 0,
        };
        let buffered = self.out.held_bytes() + input + self.tls_bytes;
        let before = mem::replace(&mut self.reckoned, buffered);
        self.waiting = (buffered > PASSING_BYTES).then(|| self.waiting.unwrap_or(now));
        (before, buffered)
    }

    /// Returns how many bytes were buffered when that was asked last.
    pub fn reckoned(&self) -> usize {
        self.reckoned
    }

    /// Returns since when more is buffered than what passes through.
    pub fn waiting(&self) -> Option<Instant> {
        self.waiting
    }

    /// Tells whether the client is idle after a whole answer: nothing of a request has come since, and as far as was asked
    /// last no more waits to be read than what passes through.
    pub fn rests(&self) -> bool {
        matches!(&self.state, State::Head { received, .. } if received.is_empty()) && self.waiting.is_none()
    }

    /// Drops all that is buffered; the shell closes the socket at once.
    pub fn abandon(&mut self) {
        self.state = State::Dead;
        self.out = Output::default();
        self.tls_bytes = 0;
    }

    /// Tells whether the shell must close the socket now.
    pub fn should_close(&self) -> bool {
        match &self.state {
            State::New { .. }
            | State::Head { .. }
            | State::Body { .. }
            | State::Answering { .. }
            | State::Streaming { .. }
            | State::Signaling { .. }
            | State::Framed(_) => false,
            State::Closing { websocket, .. } => websocket.is_none() && self.pending_write().is_empty(),
            State::Dead => true,
        }
    }

    /// Returns when [`Conn::handle_timeout`] must be called next.
    pub fn next_deadline(&self, limits: &ConnLimits) -> Option<Instant> {
        match &self.state {
            State::New { until }
            | State::Head { until, .. }
            | State::Body { until, .. }
            | State::Answering { until, .. }
            | State::Streaming { until, .. }
            | State::Framed(Framed { until, .. })
            | State::Closing { until, .. } => Some(*until),
            State::Signaling { next_ping, registration, .. } => {
                let next = (*next_ping).min(self.heard + limits.silence);
                match registration {
                    Registration::Awaited { until } | Registration::Refused { until } => Some(next.min(*until)),
                    Registration::Done => Some(next),
                }
            }
            State::Dead => None,
        }
    }

    /// Lets time pass: pings, and returns which time ran out. A conn whose client is beyond telling is dead then.
    pub fn handle_timeout(&mut self, now: Instant, limits: &ConnLimits) -> Option<ConnTimeout> {
        match &mut self.state {
            State::New { until } if *until <= now => {
                self.state = State::Dead;
                Some(ConnTimeout::Idle)
            }
            State::Framed(framed) if framed.until <= now => {
                self.state = State::Dead;
                Some(ConnTimeout::Unchecked)
            }
            State::Head { received, until } if *until <= now => {
                if received.is_empty() {
                    self.state = State::Dead;
                    return Some(ConnTimeout::Idle);
                }
                Some(ConnTimeout::Request)
            }
            State::Body { until, .. } if *until <= now => Some(ConnTimeout::Request),
            State::Answering { until, .. } if *until <= now => Some(ConnTimeout::Answer),
            State::Streaming { until, .. } if *until <= now => {
                self.state = State::Dead;
                Some(ConnTimeout::Piece)
            }
            State::Signaling { registration: Registration::Awaited { until }, .. } if *until <= now => {
                Some(ConnTimeout::Register)
            }
            State::Signaling { registration: Registration::Refused { until }, .. } if *until <= now => {
                Some(ConnTimeout::Takeover)
            }
            State::Signaling { .. } if self.heard + limits.silence <= now => Some(ConnTimeout::Silence),
            State::Signaling { websocket, next_ping, .. } => {
                if *next_ping <= now {
                    *next_ping = now + self.ping_interval;
                    self.pinged.get_or_insert(now);
                    websocket.send_ping();
                    websocket.take_output(self.out.end());
                }
                None
            }
            State::Closing { until, .. } if *until <= now => {
                self.state = State::Dead;
                Some(ConnTimeout::Closing)
            }
            State::New { .. }
            | State::Framed(_)
            | State::Head { .. }
            | State::Body { .. }
            | State::Answering { .. }
            | State::Streaming { .. }
            | State::Closing { .. }
            | State::Dead => None,
        }
    }
}

/// Drops what was read, and the room that it took.
fn take_front(received: &mut Vec<u8>, bytes: usize) {
    received.drain(..bytes);
    received.shrink_to_fit();
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use super::*;
    use crate::wire::http::Status;

    const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    struct Client {
        conn: Conn,
        now: Instant,
        limits: ConnLimits,
    }

    impl Client {
        fn new() -> Client {
            let (now, limits) = (Instant::now(), ConnLimits::default());
            let remote = "192.0.2.9:4000".parse().unwrap();
            let ends = Ends { remote, local: "192.0.2.1:8080".parse().unwrap(), door: Door::Main };
            Client { conn: Conn::new(now, ends, &limits), now, limits }
        }

        fn upgraded() -> Client {
            let mut client = Client::new();
            let Some(ConnEvent::Request(request)) = client.send(UPGRADE) else { panic!("no request") };
            client.conn.upgrade(client.now, &request, "", &client.limits);
            client.read();
            client
        }

        fn send(&mut self, bytes: &[u8]) -> Option<ConnEvent> {
            self.conn.push(self.now, bytes, &self.limits);
            self.conn.poll(self.now, &self.limits)
        }

        fn read(&mut self) -> Vec<u8> {
            let bytes = self.conn.pending_write().to_vec();
            self.conn.handle_written(self.now, bytes.len(), &self.limits);
            bytes
        }

        fn respond(&mut self, request: &Request, body: &[u8]) {
            let response = Response::new(Status::Ok).body("text/plain", body);
            self.conn.respond(self.now, Some(request), response, &self.limits);
        }

        fn wait(&mut self, by: Duration) -> Option<ConnTimeout> {
            self.now += by;
            self.conn.handle_timeout(self.now, &self.limits)
        }
    }

    #[test]
    fn requests_come_one_by_one_however_they_are_cut() {
        let mut client = Client::new();
        let both = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\nGET /b HTTP/1.1\r\nHost: a\r\n\r\n";
        for byte in &both[..27] {
            assert!(client.send(&[*byte]).is_none());
        }
        let Some(ConnEvent::Request(first)) = client.send(&both[27..]) else { panic!("no request") };
        client.respond(&first, b"1");
        let Some(ConnEvent::Request(second)) = client.conn.poll(client.now, &client.limits) else {
            panic!("no request")
        };
        assert_eq!((first.path.as_str(), second.path.as_str()), ("/a", "/b"));
    }

    #[test]
    fn half_a_head_is_told_and_nothing_is_just_closed() {
        let mut client = Client::new();
        client.send(b"GET / HT");
        assert_eq!(client.wait(client.limits.head_timeout - Duration::from_millis(1)), None);
        client.send(b"TP");
        assert_eq!(
            client.wait(Duration::from_millis(1)),
            Some(ConnTimeout::Request),
            "more bytes are no more time"
        );
        let mut client = Client::new();
        assert_eq!(client.wait(client.limits.head_timeout), Some(ConnTimeout::Idle));
        assert!(client.conn.should_close());
    }

    #[test]
    fn a_client_that_asks_and_does_not_read_waits_and_then_is_cut() {
        let mut client = Client::new();
        let ask = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        let Some(ConnEvent::Request(request)) = client.send(ask) else { panic!("no request") };
        client.respond(&request, &vec![0; client.limits.queue_bytes_max]);
        assert!(matches!(client.send(ask), Some(ConnEvent::Held)), "the answers before it fill the queue");
        client.read();
        assert!(matches!(client.conn.poll(client.now, &client.limits), Some(ConnEvent::Request(_))));
        client.respond(&request, &vec![0; client.limits.queue_bytes_max]);
        assert!(matches!(client.send(ask), Some(ConnEvent::Held)));
        let sent = (0..10_000).take_while(|_| client.send(ask).is_none()).count();
        assert!(sent * ask.len() <= 4 * client.limits.head_bytes_max, "{sent}");
        assert!(matches!(client.conn.poll(client.now, &client.limits), Some(ConnEvent::TooSlow)));
    }

    #[test]
    fn a_body_comes_whole_in_time_or_not_at_all() {
        let post = |length: usize| format!("POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
        let mut client = Client::new();
        let most = client.limits.body_bytes_max;
        assert!(client.send(post(most).as_bytes()).is_none());
        assert!(client.send(&vec![b'x'; most - 1]).is_none());
        assert_eq!(client.wait(client.limits.body_timeout - Duration::from_millis(1)), None);
        assert!(matches!(client.send(b"xGET /b HTTP/1.1\r\nHost: a\r\n\r\n"), Some(ConnEvent::Request(_))));
        let Some(ConnEvent::Request(next)) = client.conn.poll(client.now, &client.limits) else {
            panic!("no request")
        };
        assert_eq!(next.path, "/b", "what follows a body is the next request");
        let mut client = Client::new();
        assert!(client.send(post(2).as_bytes()).is_none());
        assert_eq!(client.wait(client.limits.body_timeout), Some(ConnTimeout::Request));
        let mut client = Client::new();
        let too_large = HttpError::BodyTooLarge { bytes_max: most };
        assert!(
            matches!(client.send(post(most + 1).as_bytes()), Some(ConnEvent::BadRequest(error, Some(_))) if error == too_large)
        );
    }

    #[test]
    fn who_asks_whether_to_send_a_body_is_told() {
        let mut client = Client::new();
        let head = b"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n";
        assert!(client.send(head).is_none());
        assert_eq!(client.read(), b"HTTP/1.1 100 Continue\r\n\r\n");
        assert!(matches!(client.send(b"xx"), Some(ConnEvent::Request(_))));
    }

    #[test]
    fn requests_wait_until_the_answers_before_them_are_read() {
        let mut client = Client::new();
        let ask = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n";
        let max = client.limits.pipelined_max;
        client.conn.push(client.now, &ask.repeat(max + 1), &client.limits);
        for _ in 0..max {
            let Some(ConnEvent::Request(request)) = client.conn.poll(client.now, &client.limits) else {
                panic!("no request")
            };
            client.respond(&request, b"1");
        }
        assert!(matches!(client.conn.poll(client.now, &client.limits), Some(ConnEvent::Held)));
        assert!(client.conn.poll(client.now, &client.limits).is_none());
        client.read();
        assert!(matches!(client.conn.poll(client.now, &client.limits), Some(ConnEvent::Request(_))));
    }

    #[test]
    fn the_last_answer_is_written_before_the_conn_closes() {
        let mut client = Client::new();
        let Some(ConnEvent::Request(request)) = client.send(b"GET /a HTTP/1.0\r\n\r\n") else {
            panic!("no request")
        };
        client.respond(&request, b"bye");
        assert!(!client.conn.should_close());
        assert!(client.read().ends_with(b"bye"));
        assert!(client.conn.should_close());
    }

    #[test]
    fn a_websocket_registers_in_time_is_pinged_and_may_not_fall_silent() {
        let mut client = Client::upgraded();
        assert_eq!(client.wait(client.limits.register_timeout), Some(ConnTimeout::Register));
        let mut client = Client::upgraded();
        client.conn.registered();
        assert_eq!(client.wait(client.limits.ping_interval), None);
        assert_eq!(client.read(), [0x89, 0]);
        assert_eq!(client.wait(client.limits.silence), Some(ConnTimeout::Silence));
    }

    #[test]
    fn a_pong_that_comes_after_the_next_ping_took_as_long_as_it_took() {
        let mut client = Client::upgraded();
        client.conn.registered();
        client.wait(client.limits.ping_interval);
        client.wait(client.limits.ping_interval);
        client.now += Duration::from_millis(10);
        client.send(&[0x8a, 0x80, 0, 0, 0, 0]);
        assert_eq!(client.conn.rtt(), Some(client.limits.ping_interval + Duration::from_millis(10)));
    }

    #[test]
    fn a_websocket_that_does_not_read_is_noticed() {
        let mut client = Client::upgraded();
        let text = "x".repeat(1000);
        let kept_up = (0..1000).take_while(|_| client.conn.send_text(&text, &client.limits)).count();
        assert!((255..265).contains(&kept_up), "{kept_up}");
    }

    #[test]
    fn too_many_messages_are_noticed() {
        let mut client = Client::upgraded();
        let pings = [0x89, 0x80, 0, 0, 0, 0].repeat(1000);
        client.conn.push(client.now, &pings, &client.limits);
        let burst = client.limits.message_rate.burst as usize;
        for _ in 0..burst {
            assert!(matches!(client.conn.poll(client.now, &client.limits), Some(ConnEvent::Alive)));
        }
        assert!(matches!(client.conn.poll(client.now, &client.limits), Some(ConnEvent::TooMany)));
    }

    #[test]
    fn pings_without_reading_are_noticed() {
        let mut client = Client::upgraded();
        let ping = [&[0x89, 0x80 | 125, 0, 0, 0, 0], &[0; 125][..]].concat();
        for _ in 0..10_000 {
            client.now += client.limits.message_rate.interval;
            if matches!(client.send(&ping), Some(ConnEvent::TooSlow)) {
                assert!(client.conn.pending_write().len() < client.limits.queue_bytes_max + 200);
                return;
            }
        }
        panic!("{} bytes wait", client.conn.pending_write().len());
    }

    #[test]
    fn what_was_read_is_not_kept_for_what_was_not() {
        let mut client = Client::upgraded();
        let text = "x".repeat(60_000);
        for _ in 0..1000 {
            assert!(client.conn.send_text(&text, &client.limits));
            client.conn.handle_written(client.now, client.conn.pending_write().len() - 1, &client.limits);
        }
        assert_eq!(client.conn.pending_write().len(), 1);
        assert!(client.conn.out.held_bytes() < 300_000, "{}", client.conn.out.held_bytes());
    }

    #[test]
    fn one_large_message_is_no_fault_of_the_client() {
        let mut client = Client::upgraded();
        let text = "x".repeat(client.limits.queue_bytes_max * 4);
        assert!(client.conn.send_text(&text, &client.limits));
        assert!(client.conn.pending_write().len() > text.len());
        assert!(client.send(&[0x89, 0x80, 0, 0, 0, 0]).is_some_and(|event| matches!(event, ConnEvent::Alive)));
        let small = "x".repeat(1000);
        let kept_up = (0..1000).take_while(|_| client.conn.send_text(&small, &client.limits)).count();
        assert!((255..265).contains(&kept_up), "{kept_up}");
        client.read();
        assert!(client.conn.send_text("x", &client.limits));
    }

    #[test]
    fn a_page_that_may_take_over_waits_longer_but_not_for_ever() {
        let mut client = Client::upgraded();
        client.conn.await_takeover(client.now, &client.limits);
        assert_eq!(client.wait(client.limits.register_timeout), None);
        client.send(&[0x8a, 0x80, 0, 0, 0, 0]);
        client.now += client.limits.takeover_timeout;
        client.send(&[0x8a, 0x80, 0, 0, 0, 0]);
        assert_eq!(client.wait(Duration::ZERO), Some(ConnTimeout::Takeover));
    }

    #[test]
    fn closing_waits_for_the_client_but_not_for_ever() {
        let mut client = Client::upgraded();
        client.conn.close(client.now, 4401, "expired", &client.limits);
        client.read();
        assert!(!client.conn.should_close());
        client.send(&[0x88, 0x82, 0, 0, 0, 0, 0x11, 0x31]);
        assert!(client.conn.should_close(), "the client said goodbye too");
        let mut client = Client::upgraded();
        client.conn.close(client.now, 4401, "expired", &client.limits);
        assert_eq!(client.wait(client.limits.closing_timeout), Some(ConnTimeout::Closing));
        assert!(client.conn.should_close());
    }
}
