//! What goes into a broadcast and what it asks for.
//!
//! A broadcast sends nothing itself. Invariant: changes are carried out in the order in which they are returned.

use std::sync::Arc;

use serde_json::value::RawValue;

use super::Listener;
use crate::audit::{ListenBreak, Listening};
use crate::keys::{Client, PeerKey, Sink};
use crate::words::{PendingCause, StopCause, StreamSource};

/// Who wishes to listen, how and why.
#[derive(Clone, Debug)]
pub struct Wish {
    pub key: Client,
    pub sink: Sink,
    pub listening: Arc<Listening>,
    /// Whether it waits until nobody else is heard, even where the salesperson is on air.
    pub waits: bool,
}

/// A session that begins to bring audio.
#[derive(Debug)]
pub struct Start {
    pub publisher: PeerKey,
    pub source: Source,
    pub commercial_info: Option<Box<RawValue>>,
}

/// Where a broadcast's audio comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// The microphone of the page with this name.
    Page(String),
    /// A WHIP client of the salesperson, whose page shows who listens.
    Encoder,
    /// A WHIP client that is nobody's microphone: nobody has to see who listens.
    Device,
}

impl Source {
    /// Returns what supervisors are told of it.
    pub fn name(&self) -> Option<StreamSource> {
        match self {
            Source::Page(_) => None,
            Source::Encoder => Some(StreamSource::Encoder),
            Source::Device => Some(StreamSource::Device),
        }
    }
}

/// What supervisors are to be told of a salesperson; the greater one says the other, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum News {
    /// Nothing but that they begin or stop to speak, which is for who looks.
    Speech,
    /// Anything.
    All,
}

/// What the server has to do, in this order.
#[derive(Debug)]
pub enum Change {
    /// Have it written down that this listener is about to be announced, unless the supervisor hears somebody else: call
    /// [`Broadcast::await_entry`](super::Broadcast::await_entry) or [`hold_back`](super::Broadcast::hold_back) at once, and
    /// [`entry_written`](super::Broadcast::entry_written) or [`entry_refused`](super::Broadcast::entry_refused) when that is known.
    WriteEntry { listener: Client },
    /// Tell the page that somebody will listen.
    Announce { notice_id: u64, listener: Listener },
    /// Tell the page, if it is there, that somebody does not listen any more.
    Withdraw { notice_id: u64, listener: Listener },
    /// Tell the supervisor that the wish waits.
    Pend { listener: Client, cause: PendingCause },
    /// The supervisor hears from now on, or is told again that they do.
    Start { listener: Listener, is_new: bool },
    /// The supervisor does not hear any more and does not wish to.
    Stop { listener: Listener, was_heard: bool, cause: Option<StopCause> },
    /// This wish is over: it can't be written down, and what is not written down is not heard.
    Refuse { listener: Listener },
    /// The supervisor does not hear any more but still wishes to.
    Interrupt { listener: Listener, why: ListenBreak },
}
