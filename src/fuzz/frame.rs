//! Datagrams over TCP, in both directions.
//!
//! Invariant: a client that reads slowly loses whole datagrams, the oldest first, and nothing else.

use std::time::{Duration, Instant};

use super::bytes::{Choices, pieces};
use super::http::ends;
use crate::config::ConnLimits;
use crate::conn::Conn;
use crate::wire::classify::DATAGRAM_BYTES_MAX;
use crate::wire::frame;

/// What is framed is read again however it is cut, and what is sent to a slow client comes whole, in order and in time.
pub fn frame(now: Instant, bytes: &[u8]) {
    if let Ok(Some(datagram)) = frame::parse(bytes) {
        assert!((1..=DATAGRAM_BYTES_MAX).contains(&datagram.len()));
        let mut again = Vec::new();
        assert!(frame::write(datagram, &mut again));
        assert_eq!(again, bytes[..again.len()]);
    }
    receive(now, bytes);
    send(now, bytes);
}

/// A client frames pieces of `bytes`.
fn receive(now: Instant, bytes: &[u8]) {
    let (limits, mut stream) = (ConnLimits::default(), Vec::new());
    let datagrams: Vec<&[u8]> = pieces(bytes, bytes.len() as u8).filter(|piece| !piece.is_empty()).collect();
    for datagram in &datagrams {
        assert!(frame::write(datagram, &mut stream));
    }
    let mut conn = Conn::new(now, ends(), &limits);
    let mut read = Vec::new();
    for piece in pieces(&stream, 7) {
        conn.push(now, piece, &limits);
        while let Some(datagram) = conn.poll_datagram().unwrap_or_else(|error| panic!("{error}")) {
            read.push(datagram);
        }
    }
    assert_eq!(read, datagrams);
}

/// The server sends numbered datagrams to a client that reads now and then.
fn send(mut now: Instant, bytes: &[u8]) {
    let limits = ConnLimits::default();
    let mut conn = Conn::new(now, ends(), &limits);
    conn.push(now, &[0], &limits);
    let mut choices = Choices(bytes);
    let (mut sent, mut dropped, mut stream) = (Vec::new(), 0, Vec::new());
    while !choices.is_empty() {
        now += Duration::from_millis(u64::from(choices.u8() % 64));
        let lost = if choices.u8().is_multiple_of(3) {
            let written = usize::from(choices.u8()).min(conn.pending_write().len());
            stream.extend(&conn.pending_write()[..written]);
            conn.handle_written(now, written, &limits)
        } else {
            let len = 4 + usize::from(choices.u8());
            let mut datagram = vec![0; len];
            datagram[..4].copy_from_slice(&(sent.len() as u32).to_be_bytes());
            sent.push(datagram.clone());
            conn.send_datagram(now, &datagram, &limits)
        };
        dropped += lost.late + lost.excess;
        let (_, held) = conn.reckon(now);
        assert!(held <= (limits.frames_waiting_max + 20) * 512, "{held} bytes wait");
    }
    conn.finish(now, &limits);
    stream.extend(conn.pending_write());
    let mut arrived = 0;
    let (mut rest, mut left) = (stream.as_slice(), sent.iter());
    while let Ok(Some(datagram)) = frame::parse(rest) {
        rest = &rest[frame::HEADER_BYTES + datagram.len()..];
        arrived += 1;
        assert!(left.any(|sent| sent == datagram), "only what was sent, in order");
    }
    assert!(rest.is_empty(), "half a datagram");
    assert_eq!(arrived + dropped, sent.len() as u64);
}
