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

/// Names one listening connection: whose peer hears, and who ends when it does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKey {
    /// The page of this conn.
    Conn(ConnKey),
    /// The WHEP client of this resource.
    Whep(ResourceKey),
}

impl ListenerKey {
    /// Returns the conn of a page that listens.
    pub fn conn(self) -> Option<ConnKey> {
        match self {
            ListenerKey::Conn(conn) => Some(conn),
            ListenerKey::Whep(_) => None,
        }
    }
}
