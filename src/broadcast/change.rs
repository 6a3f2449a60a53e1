//! What goes into a broadcast and what it asks for.
//!
//! A broadcast sends nothing itself. Invariant: changes are carried out in the order in which they are returned.

use serde_json::value::RawValue;

use super::Listener;
use crate::keys::{ConnKey, PeerKey};
use crate::wire::signaling::{PendingCause, StopCause};

/// Who wishes to listen, how and why.
#[derive(Clone, Debug)]
pub struct Wish {
    pub conn: ConnKey,
    pub peer: PeerKey,
    pub admin_id: String,
    pub admin_name: String,
    pub reason: String,
}

/// A session that a page begins to send its microphone on.
#[derive(Debug)]
pub struct Start<'a> {
    pub publisher: PeerKey,
    /// The `page` whose microphone it is.
    pub page_name: &'a str,
    pub commercial_info: Option<Box<RawValue>>,
}

/// What the server has to do, in this order.
#[derive(Debug)]
pub enum Change {
    /// Write down that this listener is about to be announced, then call [`Broadcast::entry_written`].
    WriteEntry { conn: ConnKey },
    /// Tell the page that somebody will listen.
    Announce { page: ConnKey, notice_id: u64, listener: Listener },
    /// Tell the page that somebody does not listen any more.
    Withdraw { page: ConnKey, notice_id: u64, listener: Listener },
    /// Tell the supervisor that the wish waits.
    Pend { conn: ConnKey, cause: PendingCause },
    /// The supervisor hears from now on, or is told again that they do.
    Start { listener: Listener, is_new: bool },
    /// The supervisor does not hear any more and does not wish to.
    Stop { listener: Listener, was_heard: bool, cause: Option<StopCause> },
    /// The supervisor does not hear any more but still wishes to.
    Unsettle { listener: Listener },
}
