//! What a session is for, and what follows from it.
//!
//! Words alone. Invariant: a session has one purpose for its whole life.

use std::time::Duration;

use crate::config::PeerLimits;
use crate::keys::{BroadcastKey, ConnKey, ResourceKey};
use crate::wire::sdp;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// A page sends the microphone of this broadcast.
    Publish(BroadcastKey),
    /// The client of this conn hears.
    Listen(ConnKey),
    /// The client of this conn learns how it reaches the server, and nothing else.
    Test(ConnKey),
    /// The WHIP client of this resource sends the audio of this broadcast.
    Whip(BroadcastKey, ResourceKey),
    /// The WHEP client of this resource hears this broadcast.
    Whep(BroadcastKey, ResourceKey),
}

impl Purpose {
    /// Returns the broadcast whose audio the client sends.
    pub fn publishes(self) -> Option<BroadcastKey> {
        match self {
            Purpose::Publish(broadcast) | Purpose::Whip(broadcast, _) => Some(broadcast),
            Purpose::Listen(_) | Purpose::Test(_) | Purpose::Whep(..) => None,
        }
    }

    /// Returns the resource by whose URL the client ends the session.
    pub fn resource(self) -> Option<ResourceKey> {
        match self {
            Purpose::Whip(_, resource) | Purpose::Whep(_, resource) => Some(resource),
            Purpose::Publish(_) | Purpose::Listen(_) | Purpose::Test(_) => None,
        }
    }

    /// Tells whether the client is a program, which speaks WHIP or WHEP.
    pub fn is_program(self) -> bool {
        self.resource().is_some()
    }

    pub(super) fn direction(self) -> sdp::Direction {
        match self.publishes() {
            Some(_) => sdp::Direction::SendOnly,
            None => sdp::Direction::RecvOnly,
        }
    }

    /// Returns how long a session may last, where that is not as long as its client wants.
    pub(super) fn lifetime(self, limits: &PeerLimits) -> Option<Duration> {
        match self {
            Purpose::Publish(_) | Purpose::Listen(_) | Purpose::Whip(..) | Purpose::Whep(..) => None,
            Purpose::Test(_) => Some(limits.test_lifetime),
        }
    }
}
