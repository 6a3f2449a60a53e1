//! Where a TCP client is in its life.
//!
//! Data alone: what moves a client on is the conn's. Invariant: every state but a healthy WebSocket has an end.

use std::time::Instant;

use super::framed::Framed;
use crate::history::Question;
use crate::keys::JobKey;
use crate::rate::Bucket;
use crate::wire::http::Request;
use crate::wire::websocket::Websocket;

/// Where one TCP client is in its life.
pub(super) enum State {
    /// Accepted; its first byte tells what it speaks, until the deadline.
    New { until: Instant },
    /// Waiting for a full request head, until the deadline.
    Head { received: Vec<u8>, until: Instant },
    /// Waiting for a full body, until the deadline.
    Body { request: Box<Request>, received: Vec<u8>, until: Instant },
    /// The answer to a request is made elsewhere, until the deadline; what comes behind it waits.
    Answering { job: JobKey, request: Box<Request>, received: Vec<u8>, until: Instant },
    /// An answer leaves piece by piece as the client reads, each until the deadline; what comes behind it waits.
    Streaming { more: More, request: Box<Request>, received: Vec<u8>, until: Instant },
    /// Upgraded; speaks the signaling protocol.
    Signaling {
        websocket: Box<Websocket>,
        next_ping: Instant,
        registration: Registration,
        messages: Bucket,
        answers: u32,
        /// What the client's program calls itself, until it has registered.
        user_agent: String,
    },
    /// Speaks ICE-TCP.
    Framed(Framed),
    /// The last bytes are queued; waiting for the shell to write them, and a WebSocket's client to say goodbye.
    Closing { websocket: Option<Box<Websocket>>, until: Instant },
    /// To be closed at once.
    Dead,
}

/// What is still to come of an answer.
pub(super) enum More {
    /// Whatever this asks for, once the client has read what waits.
    Rest(Box<Question>),
    /// What is made elsewhere, under this name.
    Asked(JobKey),
}

/// Whether a WebSocket's client has said who it is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Registration {
    Awaited {
        until: Instant,
    },
    /// It did, but another page of the same person is open: it may ask to take over.
    Refused {
        until: Instant,
    },
    Done,
}
