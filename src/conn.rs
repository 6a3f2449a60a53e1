//! One TCP client: what it sent so far, what it must be sent, and how long it may take.
//!
//! Speaks HTTP until an upgrade, then WebSocket; knows neither users nor paths. Invariant: what waits in either
//! direction is bounded, and every state but a healthy WebSocket ends by itself.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tungstenite::Utf8Bytes;

use crate::config::Limits;
use crate::wire::http::{self, HttpError, Request, Response, Status};
use crate::wire::websocket::{Incoming, Websocket, WebsocketError};

/// Where one TCP client is in its life.
enum State {
    /// Waiting for a full request head, until the deadline.
    Head { received: Vec<u8>, until: Instant },
    /// Upgraded; speaks the signaling protocol.
    Signaling { websocket: Box<Websocket>, next_ping: Instant, register_until: Option<Instant> },
    /// The last bytes are queued; waiting for the shell to write them, and a WebSocket's client to say goodbye.
    Closing { websocket: Option<Box<Websocket>>, until: Instant },
    /// To be closed at once.
    Dead,
}

/// What a client did.
#[derive(Debug)]
pub enum ConnEvent {
    Request(Request),
    /// A head that can't be served; the conn must be told and closed.
    BadRequest(HttpError),
    Text(Utf8Bytes),
    /// A pong, or a ping that was answered.
    Alive,
    WebsocketClosed,
    WebsocketBroken(WebsocketError),
    /// The client makes answers that it does not read.
    TooSlow,
}

/// Which time ran out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnTimeout {
    /// Half a request: to be told with 408.
    Head,
    /// Nothing at all since the last answer.
    Idle,
    /// Upgraded, but nobody registered.
    Register,
    /// A WebSocket whose client fell silent.
    Silence,
    /// A closing conn whose client does not read.
    Closing,
}

/// One TCP client.
pub struct Conn {
    remote: SocketAddr,
    state: State,
    out: Vec<u8>,
    /// How many bytes of `out` the shell has written.
    written: usize,
    heard: Instant,
    ping_interval: Duration,
}

impl Conn {
    /// Returns a client that has just been accepted.
    pub fn new(now: Instant, remote: SocketAddr, limits: &Limits) -> Conn {
        let state = State::Head { received: Vec::new(), until: now + limits.head_timeout };
        Conn { remote, state, out: Vec::new(), written: 0, heard: now, ping_interval: limits.ping_interval }
    }

    /// Returns the client's address.
    pub fn remote(&self) -> SocketAddr {
        self.remote
    }

    /// Returns when the client was last heard.
    pub fn heard(&self) -> Instant {
        self.heard
    }

    /// Takes bytes that the client sent.
    pub fn push(&mut self, now: Instant, bytes: &[u8], limits: &Limits) {
        self.heard = now;
        match &mut self.state {
            State::Head { received, until } => {
                if received.is_empty() {
                    *until = (*until).min(now + limits.head_timeout);
                }
                received.extend(bytes);
            }
            State::Signaling { websocket, .. } => websocket.push(bytes),
            State::Closing { websocket: Some(websocket), .. } => websocket.push(bytes),
            State::Closing { websocket: None, .. } | State::Dead => {}
        }
    }

    /// Returns the next thing that the client did, or `None` until more bytes come or go.
    pub fn poll(&mut self, limits: &Limits) -> Option<ConnEvent> {
        match &mut self.state {
            State::Head { received, .. } => {
                // A client that asks without reading the answers waits.
                if received.is_empty() || self.out.len() - self.written > limits.conn_queue_bytes_max / 2 {
                    if received.len() > 4 * limits.head_bytes_max {
                        self.state = State::Dead;
                    }
                    return None;
                }
                match http::parse_request(received, limits.head_bytes_max) {
                    Ok(None) => None,
                    Ok(Some((request, head_bytes))) => {
                        received.drain(..head_bytes);
                        Some(ConnEvent::Request(request))
                    }
                    Err(error) => Some(ConnEvent::BadRequest(error)),
                }
            }
            State::Signaling { websocket, .. } => {
                let polled = websocket.poll_message();
                websocket.take_output(&mut self.out);
                if self.out.len() - self.written > limits.conn_queue_bytes_max {
                    return Some(ConnEvent::TooSlow);
                }
                match polled {
                    Ok(None) => None,
                    Ok(Some(Incoming::Text(text))) => Some(ConnEvent::Text(text)),
                    Ok(Some(Incoming::Alive)) => Some(ConnEvent::Alive),
                    Ok(Some(Incoming::Closed)) => Some(ConnEvent::WebsocketClosed),
                    Err(error) => Some(ConnEvent::WebsocketBroken(error)),
                }
            }
            State::Closing { websocket: closing, .. } => {
                while let Some(websocket) = closing {
                    match websocket.poll_message() {
                        Ok(Some(Incoming::Text(_) | Incoming::Alive)) => {}
                        Ok(None) => break,
                        Ok(Some(Incoming::Closed)) | Err(_) => *closing = None,
                    }
                }
                None
            }
            State::Dead => None,
        }
    }

    /// Queues a response. The conn closes after it, unless `request` lets it live.
    pub fn respond(&mut self, now: Instant, request: Option<&Request>, response: Response<'_>, limits: &Limits) {
        let keep_alive = request.is_some_and(|request| request.keep_alive && !request.has_body);
        let head_only = request.is_some_and(|request| request.method == "HEAD");
        response.write(&mut self.out, head_only, keep_alive);
        if keep_alive {
            if let State::Head { received, until } = &mut self.state {
                *until = now + if received.is_empty() { limits.keep_alive } else { limits.head_timeout };
            }
        } else {
            self.state = State::Closing { websocket: None, until: now + limits.closing_timeout };
        }
    }

    /// Turns the conn into a WebSocket; bytes that came behind the request are its first.
    pub fn upgrade(&mut self, now: Instant, websocket_key: &str, limits: &Limits) {
        let State::Head { received, .. } = &mut self.state else { return };
        let mut websocket = Box::new(Websocket::new(limits.message_bytes_max));
        websocket.push(received);
        http::write_upgrade(&mut self.out, websocket_key);
        let register_until = Some(now + limits.register_timeout);
        self.state = State::Signaling { websocket, next_ping: now + limits.ping_interval, register_until };
    }

    /// Takes it that the client is known: registering has no deadline any more.
    pub fn registered(&mut self) {
        if let State::Signaling { register_until, .. } = &mut self.state {
            *register_until = None;
        }
    }

    /// Queues a text message; tells whether the client still keeps up.
    pub fn send_text(&mut self, text: &str, limits: &Limits) -> bool {
        let State::Signaling { websocket, .. } = &mut self.state else { return true };
        websocket.send_text(text);
        websocket.take_output(&mut self.out);
        self.out.len() - self.written <= limits.conn_queue_bytes_max
    }

    /// Sets how often the client is pinged, from now on.
    pub fn set_ping_interval(&mut self, now: Instant, interval: Duration) {
        self.ping_interval = interval;
        if let State::Signaling { next_ping, .. } = &mut self.state {
            *next_ping = now + interval;
        }
    }

    /// Begins the closing handshake; a conn that is no WebSocket closes once its last answer is written.
    pub fn close(&mut self, now: Instant, code: u16, reason: &'static str, limits: &Limits) {
        match std::mem::replace(&mut self.state, State::Dead) {
            State::Signaling { mut websocket, .. } => {
                websocket.close(code, reason);
                websocket.take_output(&mut self.out);
                let until = now + limits.closing_timeout;
                self.state = State::Closing { websocket: Some(websocket), until };
            }
            State::Head { .. } => {
                self.state = State::Closing { websocket: None, until: now + limits.closing_timeout }
            }
            closing @ State::Closing { .. } => self.state = closing,
            State::Dead => {}
        }
    }

    /// The client said goodbye: what is queued goes out, then the conn closes.
    pub fn finish(&mut self, now: Instant, limits: &Limits) {
        if matches!(self.state, State::Dead) {
            return;
        }
        self.state = State::Closing { websocket: None, until: now + limits.closing_timeout };
    }

    /// Returns the bytes that the shell must write.
    pub fn pending_write(&self) -> &[u8] {
        &self.out[self.written..]
    }

    /// Takes it that the shell wrote so many bytes.
    pub fn handle_written(&mut self, bytes: usize) {
        self.written = (self.written + bytes).min(self.out.len());
        if self.written == self.out.len() {
            self.out.clear();
            self.written = 0;
            // A large answer must not keep its buffer for the rest of the conn's life.
            self.out.shrink_to(4096);
        }
    }

    /// Tells whether the shell must close the socket now.
    pub fn should_close(&self) -> bool {
        match &self.state {
            State::Head { .. } | State::Signaling { .. } => false,
            State::Closing { websocket, .. } => websocket.is_none() && self.pending_write().is_empty(),
            State::Dead => true,
        }
    }

    /// Tells whether the conn is a WebSocket that is not being closed.
    pub fn is_signaling(&self) -> bool {
        matches!(self.state, State::Signaling { .. })
    }

    /// Returns when [`Conn::handle_timeout`] must be called next.
    pub fn next_deadline(&self, limits: &Limits) -> Option<Instant> {
        match &self.state {
            State::Head { until, .. } | State::Closing { until, .. } => Some(*until),
            State::Signaling { next_ping, register_until, .. } => {
                let silence = self.heard + limits.conn_silence;
                [Some(*next_ping), *register_until, Some(silence)].into_iter().flatten().min()
            }
            State::Dead => None,
        }
    }

    /// Lets time pass: pings, and returns which time ran out. A conn whose client is beyond telling is dead then.
    pub fn handle_timeout(&mut self, now: Instant, limits: &Limits) -> Option<ConnTimeout> {
        match &mut self.state {
            State::Head { received, until } if *until <= now => {
                if received.is_empty() {
                    self.state = State::Dead;
                    return Some(ConnTimeout::Idle);
                }
                Some(ConnTimeout::Head)
            }
            State::Signaling { register_until: Some(until), .. } if *until <= now => Some(ConnTimeout::Register),
            State::Signaling { .. } if self.heard + limits.conn_silence <= now => Some(ConnTimeout::Silence),
            State::Signaling { websocket, next_ping, .. } => {
                if *next_ping <= now {
                    *next_ping = now + self.ping_interval;
                    websocket.send_ping();
                    websocket.take_output(&mut self.out);
                }
                None
            }
            State::Closing { until, .. } if *until <= now => {
                self.state = State::Dead;
                Some(ConnTimeout::Closing)
            }
            State::Head { .. } | State::Closing { .. } | State::Dead => None,
        }
    }
}

/// Returns the answer to a request that did not come whole in time.
pub fn timeout_response() -> Response<'static> {
    Response::new(Status::Timeout)
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "tests start at some real moment")]
mod tests {
    use super::*;

    const UPGRADE: &[u8] = b"GET /ws HTTP/1.1\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    struct Client {
        conn: Conn,
        now: Instant,
        limits: Limits,
    }

    impl Client {
        fn new() -> Client {
            let (now, limits) = (Instant::now(), Limits::default());
            Client { conn: Conn::new(now, "192.0.2.1:5000".parse().unwrap(), &limits), now, limits }
        }

        fn upgraded() -> Client {
            let mut client = Client::new();
            let Some(ConnEvent::Request(request)) = client.send(UPGRADE) else { panic!("no request") };
            client.conn.upgrade(client.now, &request.websocket_key.unwrap(), &client.limits);
            client.read();
            client
        }

        fn send(&mut self, bytes: &[u8]) -> Option<ConnEvent> {
            self.conn.push(self.now, bytes, &self.limits);
            self.conn.poll(&self.limits)
        }

        fn read(&mut self) -> Vec<u8> {
            let bytes = self.conn.pending_write().to_vec();
            self.conn.handle_written(bytes.len());
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
        let both = b"GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n";
        for byte in &both[..18] {
            assert!(client.send(&[*byte]).is_none());
        }
        let Some(ConnEvent::Request(first)) = client.send(&both[18..]) else { panic!("no request") };
        client.respond(&first, b"1");
        let Some(ConnEvent::Request(second)) = client.conn.poll(&client.limits) else { panic!("no request") };
        assert_eq!((first.path.as_str(), second.path.as_str()), ("/a", "/b"));
    }

    #[test]
    fn half_a_head_is_told_and_nothing_is_just_closed() {
        let mut client = Client::new();
        client.send(b"GET / HT");
        assert_eq!(client.wait(client.limits.head_timeout - Duration::from_millis(1)), None);
        client.send(b"TP");
        assert_eq!(client.wait(Duration::from_millis(1)), Some(ConnTimeout::Head), "more bytes are no more time");
        let mut client = Client::new();
        assert_eq!(client.wait(client.limits.head_timeout), Some(ConnTimeout::Idle));
        assert!(client.conn.should_close());
    }

    #[test]
    fn a_client_that_asks_and_does_not_read_waits_and_then_is_cut() {
        let mut client = Client::new();
        let ask = b"GET /a HTTP/1.1\r\n\r\n";
        let Some(ConnEvent::Request(request)) = client.send(ask) else { panic!("no request") };
        client.respond(&request, &vec![0; client.limits.conn_queue_bytes_max]);
        assert!(client.send(ask).is_none(), "the answers before it fill the queue");
        client.read();
        assert!(matches!(client.conn.poll(&client.limits), Some(ConnEvent::Request(_))));
        client.respond(&request, &vec![0; client.limits.conn_queue_bytes_max]);
        for _ in 0..=4 * client.limits.head_bytes_max / ask.len() {
            client.send(ask);
        }
        assert!(client.conn.should_close());
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
        assert_eq!(client.wait(client.limits.conn_silence), Some(ConnTimeout::Silence));
    }

    #[test]
    fn a_websocket_that_does_not_read_is_noticed() {
        let mut client = Client::upgraded();
        let text = "x".repeat(1000);
        let kept_up = (0..1000).take_while(|_| client.conn.send_text(&text, &client.limits)).count();
        assert!((255..265).contains(&kept_up), "{kept_up}");
    }

    #[test]
    fn a_flood_of_pings_without_reading_is_noticed() {
        let mut client = Client::upgraded();
        let pings = [0x89, 0x80, 0, 0, 0, 0].repeat(1000);
        for _ in 0..200 {
            client.conn.push(client.now, &pings, &client.limits);
            while let Some(event) = client.conn.poll(&client.limits) {
                if matches!(event, ConnEvent::TooSlow) {
                    assert!(client.conn.pending_write().len() < client.limits.conn_queue_bytes_max + 100);
                    return;
                }
            }
        }
        panic!("{} bytes wait", client.conn.pending_write().len());
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
