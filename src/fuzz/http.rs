//! A client's TCP stream: what it speaks, heads of requests, then the frames of a WebSocket.
//!
//! Invariant: what a client said does not depend on where the network cut it.

use std::time::Instant;

use super::bytes::{Choices, pieces};
use crate::config::ConnLimits;
use crate::conn::{Conn, ConnEvent};
use crate::path::{Door, Ends};
use crate::wire::frame::FrameError;
use crate::wire::http::{self, Request, Response, Status};
use crate::wire::sniff::{self, Protocol};
use crate::wire::websocket::{Incoming, Websocket, WebsocketError};

/// The longest head, in bytes: shorter than the server's, so that a fuzzer reaches it.
const HEAD_BYTES_MAX: usize = 512;
/// More at once may be more requests than a client may send without reading.
const LARGE_PIECE_BYTES: usize = 200;
/// The longest message of a WebSocket, in bytes, likewise.
const MESSAGE_BYTES_MAX: usize = 200;

/// A head is read once all of it has come, whatever follows; its parts can be written again; and a conn that answers
/// sees the same requests however they were cut.
pub fn http(now: Instant, stream: &[u8]) {
    let parsed = http::parse_request(stream, HEAD_BYTES_MAX);
    match &parsed {
        Ok(Some((request, head_bytes))) => {
            assert!(*head_bytes <= stream.len().min(HEAD_BYTES_MAX));
            assert_eq!(http::parse_request(&stream[..*head_bytes], HEAD_BYTES_MAX), parsed);
            for cut in 0..*head_bytes {
                assert_eq!(http::parse_request(&stream[..cut], HEAD_BYTES_MAX), Ok(None), "cut to {cut} bytes");
            }
            check_request(request);
        }
        Ok(None) => assert!(stream.len() <= HEAD_BYTES_MAX),
        Err(_) => {
            let more = [stream, b"\r\n\r\n"].concat();
            assert!(http::parse_request(&more, HEAD_BYTES_MAX).is_err(), "more bytes mend what was wrong");
        }
    }
    sniff(now, stream);
}

/// A conn speaks what its first byte says, to its end, and means the same however it is cut.
pub fn sniff(now: Instant, stream: &[u8]) {
    let said = converse(now, stream.chunks(LARGE_PIECE_BYTES));
    assert_eq!(converse(now, pieces(stream, stream.len() as u8)), said, "the cut is seen");
    let is_framed = stream.first().is_some_and(|&first_byte| sniff::sniff(first_byte) == Protocol::Framed);
    for said in said {
        assert_eq!(matches!(said, Said::Datagram(_) | Said::NoFrame(_)), is_framed, "{said:?}");
    }
}

/// No part of a request can end a line where it is written, and what is written is read as the same.
fn check_request(request: &Request) {
    let parts = [&request.host, &request.origin, &request.bearer, &request.if_none_match, &request.websocket_key];
    let texts = parts.into_iter().flatten().chain([&request.method, &request.path]);
    assert!(texts.clone().all(|text| !text.contains(['\r', '\n', '\0'])), "{request:?}");
    assert!(!request.path.contains(['?', ' ']));
    // Only a request of HTTP/1.0 names no host; a query ends a path that may be empty.
    let version = if request.host.is_some() { "1.1" } else { "1.0" };
    let query = if request.path == "*" { "" } else { "?" };
    let mut head = format!("{} {}{query} HTTP/{version}\r\n", request.method, request.path);
    for (name, value) in
        [("Host", &request.host), ("Origin", &request.origin), ("If-None-Match", &request.if_none_match)]
    {
        head.extend(value.iter().map(|value| format!("{name}: {value}\r\n")));
    }
    head.extend(request.bearer.iter().map(|token| format!("Authorization: Bearer {token}\r\n")));
    head.push_str("\r\n");
    let (again, head_bytes) = http::parse_request(head.as_bytes(), 2 * HEAD_BYTES_MAX).unwrap().unwrap();
    assert_eq!(head_bytes, head.len());
    let said = |request: &Request| {
        let Request { method, path, host, origin, bearer, if_none_match, .. } = request.clone();
        (method, path, [host, origin, bearer, if_none_match])
    };
    assert_eq!(said(&again), said(request));
}

/// What a client said before an upgrade.
#[derive(Debug, PartialEq)]
enum Said {
    Request(Box<Request>),
    /// Of several reasons the first one seen is told.
    Refused,
    Datagram(Vec<u8>),
    NoFrame(FrameError),
}

/// Returns what is said on a conn that gets these bytes; every request is answered.
fn converse<'a>(now: Instant, pieces: impl Iterator<Item = &'a [u8]>) -> Vec<Said> {
    let limits = ConnLimits { head_bytes_max: HEAD_BYTES_MAX, ..ConnLimits::default() };
    let mut conn = Conn::new(now, ends(), &limits);
    let mut said = Vec::new();
    for piece in pieces {
        conn.push(now, piece, &limits);
        while let Some(event) = conn.poll(now, &limits) {
            match event {
                ConnEvent::Request(request) => {
                    let response = Response::new(Status::Ok).body("text/plain", b"hello");
                    conn.respond(now, Some(&request), response, &limits);
                    said.push(Said::Request(request));
                }
                ConnEvent::BadRequest(error, _) => {
                    conn.respond(now, None, Response::new(error.status()), &limits);
                    said.push(Said::Refused);
                }
                event => panic!("{event:?} before an upgrade"),
            }
            conn.handle_written(now, conn.pending_write().len(), &limits);
        }
        loop {
            match conn.poll_datagram() {
                Ok(Some(datagram)) => said.push(Said::Datagram(datagram)),
                Ok(None) => break,
                Err(error) => said.push(Said::NoFrame(error)),
            }
        }
    }
    said
}

/// Some client's.
pub(super) fn ends() -> Ends {
    Ends { remote: ([192, 0, 2, 9], 4000).into(), local: ([192, 0, 2, 1], 8080).into(), door: Door::Main }
}

/// Frames mean the same however they are cut; what a client frames arrives as it was; what waits is bounded.
pub fn websocket(bytes: &[u8]) {
    let whole = listen(std::iter::once(bytes));
    assert_eq!(listen(pieces(bytes, bytes.len() as u8)), whole, "the cut is seen");

    let mut choices = Choices(bytes);
    let (mut stream, mut said) = (Vec::new(), Vec::new());
    while !choices.is_empty() {
        let (opcode, len, mask) = (choices.u8() % 3, usize::from(choices.u8()), choices.u8());
        let text = String::from_utf8_lossy(choices.slice(len.min(60))).into_owned();
        match opcode {
            0 => said.push(Ok(Incoming::Text(text.as_str().into()))),
            1 => said.push(Ok(Incoming::Alive)),
            _ => said.push(Ok(Incoming::Pong)),
        }
        let mut payload = text.into_bytes();
        // Control frames carry up to 125 bytes (RFC 6455 §5.5).
        payload.truncate(if opcode == 0 { MESSAGE_BYTES_MAX } else { 125 });
        frame([1, 9, 10][usize::from(opcode)], mask, &payload, &mut stream);
    }
    let (heard, written) = listen(std::iter::once(stream.as_slice()));
    assert_eq!(heard, said);
    assert!(written.len() <= stream.len(), "pings make more than they are");
}

/// Appends one masked frame (RFC 6455 §5.2).
fn frame(opcode: u8, mask: u8, payload: &[u8], out: &mut Vec<u8>) {
    out.push(0x80 | opcode);
    if payload.len() < 126 {
        out.push(0x80 | payload.len() as u8);
    } else {
        out.push(0x80 | 126);
        out.extend((payload.len() as u16).to_be_bytes());
    }
    out.extend([mask; 4]);
    out.extend(payload.iter().map(|byte| byte ^ mask));
}

/// Returns what a WebSocket that gets these bytes heard, up to its first error, and what it wrote.
fn listen<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> (Vec<Result<Incoming, WebsocketError>>, Vec<u8>) {
    let mut websocket = Websocket::new(MESSAGE_BYTES_MAX);
    let (mut heard, mut written) = (Vec::new(), Vec::new());
    for piece in pieces {
        websocket.push(piece);
        loop {
            let polled = websocket.poll_message();
            websocket.take_output(&mut written);
            let is_over = matches!(polled, Ok(Some(Incoming::Closed { .. })) | Err(_));
            match polled {
                Ok(None) => break,
                Ok(Some(incoming)) => {
                    if let Incoming::Text(text) = &incoming {
                        assert!(text.len() <= MESSAGE_BYTES_MAX);
                    }
                    heard.push(Ok(incoming));
                }
                Err(error) => heard.push(Err(error)),
            }
            if is_over {
                return (heard, written);
            }
        }
    }
    (heard, written)
}
