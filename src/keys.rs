//! Names for rows of the server's tables.
//!
//! Keys are generational: a late readiness event or an old ICE user fragment finds nothing instead of somebody
//! else. They live here because modules that must not import each other speak of the same rows.

slotmap::new_key_type! {
    /// Names one TCP client.
    pub struct ConnKey;
    /// Names one WebRTC session.
    pub struct PeerKey;
    /// Names one salesperson's broadcast.
    pub struct BroadcastKey;
    /// Names what a WHIP or WHEP client made, and ends by its URL.
    pub struct ResourceKey;
    /// Names one job that is done elsewhere, until its answer comes.
    pub struct JobKey;
}

/// Names where what somebody hears goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sink {
    /// To the client of this session, encrypted for it.
    Peer(PeerKey),
}

/// Names who has a session: for one that listens, who the listener is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Client {
    /// The page of this conn.
    Page(ConnKey),
    /// The encoder or player that made this resource, by whose URL it ends the session.
    Program(ResourceKey),
}

impl Client {
    /// Returns the conn of a page.
    pub fn page(self) -> Option<ConnKey> {
        match self {
            Client::Page(conn) => Some(conn),
            Client::Program(_) => None,
        }
    }
}
