//! What a session is for and whose it is, and what follows from each.
//!
//! That is asked here alone, once, when a session is made: from then on it carries the answers. Invariant: a session has
//! one role and one client for its whole life.

use std::sync::Arc;
use std::time::Duration;

use str0m::config::CryptoProvider;

use super::crypto;
use crate::config::{PLACES_OF_PAGE, PLACES_OF_PROGRAM, PeerLimits};
use crate::keys::{BroadcastKey, Client, PeerKey};
use crate::wire::sdp::Direction;

/// What a session is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerRole {
    /// The client sends the audio of this broadcast.
    Publish(BroadcastKey),
    /// The client hears.
    Listen,
    /// The client learns how it reaches the server, and nothing else.
    Test,
}

/// Whose a new session is, and for what.
#[derive(Clone, Copy, Debug)]
pub struct Owner {
    pub key: PeerKey,
    pub role: PeerRole,
    pub client: Client,
}

/// What follows for a new session.
pub(super) struct Terms {
    /// Which way its media goes, seen from the client.
    pub(super) direction: Direction,
    /// How long it may last, where that is not as long as its client wants.
    pub(super) lifetime: Option<Duration>,
    /// How long a client that was connected may be silent that checks no more; without it, no longer than checks may
    /// fail to come.
    pub(super) patience: Option<Duration>,
    pub(super) crypto: Arc<CryptoProvider>,
    /// How much it counts in [`MediaLimits::peers_max`](crate::config::MediaLimits::peers_max).
    pub(super) places: usize,
}

impl Terms {
    /// Returns what follows from a session's role, and what from its client.
    pub(super) fn of(owner: Owner, limits: &PeerLimits) -> Terms {
        let (direction, lifetime) = match owner.role {
            PeerRole::Publish(_) => (Direction::SendOnly, None),
            PeerRole::Listen => (Direction::RecvOnly, None),
            PeerRole::Test => (Direction::RecvOnly, Some(limits.test_lifetime)),
        };
        let (patience, crypto, places) = match owner.client {
            Client::Page(_) => (None, crypto::of_pages(), PLACES_OF_PAGE),
            Client::Program(_) => (Some(limits.program_silence), crypto::of_programs(), PLACES_OF_PROGRAM),
        };
        Terms { direction, lifetime, patience, crypto, places }
    }

    /// Tells whether the client sends.
    pub(super) fn publishes(&self) -> bool {
        self.direction == Direction::SendOnly
    }
}
