//! Turns bytes into meaning and back; holds no state, knows no time, imports nothing of ours but words.
//!
//! Invariant: no input, however hostile, makes anything here panic or allocate more than its own length.

pub mod classify;
pub(crate) mod forwarded;
pub mod frame;
pub mod http;
pub mod ice_server;
pub mod media;
pub mod opus;
pub mod origin;
pub mod rtcp;
pub mod rtp;
pub mod sdp;
pub(crate) mod sdpfrag;
pub mod signaling;
pub(crate) mod sniff;
pub mod stun;
pub mod websocket;
