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
}
