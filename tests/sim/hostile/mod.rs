//! Who knows what they do: bytes that no client sends, on sockets, in datagrams and inside sessions.

mod clients;
mod clock;
mod dtls;
mod http;
mod insider;
mod panics;
mod rtp;
mod sdp;
mod signed;
mod stun;
mod websocket;
mod whip;

/// How many datagrams a second a flood has.
const FLOOD_PER_S: u64 = 10_000;
