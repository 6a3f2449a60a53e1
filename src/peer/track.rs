//! The one stream of media of a session: what it is, and what the session calls it.
//!
//! Knows no path and no key. Invariant: a track sends or brings for the session's life, and what it brings is one
//! stream at a time, each of which was authenticated.

use std::sync::Arc;

use str0m::media::{Mid, Pt};
use str0m::rtp::RtpPacket;

use super::egress::Position;
use super::newcomer::Following;
use crate::config::{PeerLimits, STREAMS_LEFT_MAX};
use crate::keys::PeerKey;
use crate::wire::media::MediaKind;
use crate::wire::sdp::Direction;

/// One packet of a publisher, on its way to its listeners.
#[derive(Clone, Debug)]
pub struct MediaPacket {
    pub kind: MediaKind,
    pub position: Position,
    /// How loud it is, in dBov from −127 to 0 (RFC 6464), where the client says so.
    pub level: Option<i8>,
    /// Shared by all listeners until each one's encryption.
    pub payload: Arc<[u8]>,
}

/// The stream of a session.
pub(super) struct Track {
    kind: MediaKind,
    /// Its section, and its format there, as they were negotiated.
    mid: Mid,
    payload_type: Pt,
    flow: Flow,
}

/// Which way a stream goes.
enum Flow {
    /// To the client.
    Sends(Sending),
    /// From the client.
    Brings(Brought),
}

/// What was agreed upon a stream to a client.
#[derive(Debug)]
pub(crate) struct Sending {
    pub(crate) kind: MediaKind,
    pub(crate) ssrc: u32,
    pub(crate) payload_type: u8,
    /// Its section, where packets may name it, under its identifier there (RFC 9143 §15).
    pub(crate) mid: Option<(u8, Mid)>,
    /// The name of who sends it.
    pub(crate) cname: String,
    /// Decides where its numbers start.
    pub(crate) chance: u64,
}

/// The streams of a client that sends, one at a time: it may go on under another synchronization source (RFC 3550 §8.2).
#[derive(Default)]
struct Brought {
    /// The one that is followed.
    followed: Option<u32>,
    /// The one that the offer named.
    offered: Option<u32>,
    /// Those of which a packet was authenticated, in the order in which they were followed last.
    seen: Vec<Seen>,
}

/// A stream of which a packet was authenticated.
#[derive(Clone, Copy)]
struct Seen {
    ssrc: u32,
    /// Whether it brought audio, or was another section's: then it comes again only where the other one is silent.
    is_known: bool,
}

/// What an authenticated packet brings.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Content {
    Audio,
    /// Padding alone.
    Nothing,
    /// What another section's is by its name.
    OtherSection,
}

/// What a packet may be by its header, which anybody can write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Claim {
    /// One of the stream that is followed.
    Followed,
    /// One of another stream, which would be followed if it is the client's.
    Newcomer,
    /// None that is wanted.
    Foreign,
}

impl Track {
    /// Returns a track to a client.
    pub(super) fn to_client(mid: Mid, sending: Sending) -> Track {
        Track { kind: sending.kind, mid, payload_type: Pt::from(sending.payload_type), flow: Flow::Sends(sending) }
    }

    /// Returns a track from a client that named this source in its offer, or none.
    pub(super) fn from_client(kind: MediaKind, (mid, payload_type): (Mid, Pt), source: Option<u32>) -> Track {
        Track { kind, mid, payload_type, flow: Flow::Brings(Brought { offered: source, ..Brought::default() }) }
    }

    /// Returns which way it goes, seen from the client.
    pub(super) fn direction(&self) -> Direction {
        match self.flow {
            Flow::Sends(_) => Direction::RecvOnly,
            Flow::Brings(_) => Direction::SendOnly,
        }
    }

    /// Returns the synchronization source that it brings, or is to bring, where that is known.
    pub(super) fn brings(&self) -> Option<u32> {
        match &self.flow {
            Flow::Sends(_) => None,
            Flow::Brings(brought) => brought.followed.or(brought.offered),
        }
    }

    /// Returns the name of its section.
    pub(super) fn mid(&self) -> Mid {
        self.mid
    }

    /// Tells what a packet may be of this synchronization source and payload type: with one section it is known by that
    /// (RFC 9143 §9.2). A stream that was left is followed again only where the one that is followed `is_silent`: of two
    /// at once one is heard; and only while it is known from when what is kept of it may be.
    #[inline]
    pub(super) fn claim(&self, ssrc: u32, payload_type: u8, is_silent: bool, limits: &PeerLimits) -> Claim {
        let Flow::Brings(brought) = &self.flow else { return Claim::Foreign };
        if payload_type != *self.payload_type {
            return Claim::Foreign;
        }
        if brought.followed == Some(ssrc) {
            return Claim::Followed;
        }
        let may_be = match brought.seen.iter().rev().enumerate().find(|(_, seen)| seen.ssrc == ssrc) {
            Some((_, seen)) if !seen.is_known => true,
            Some((since, _)) => is_silent && since <= STREAMS_LEFT_MAX,
            None => brought.seen.len() < limits.streams_life_max,
        };
        // Browsers probe the network under zero, with no audio: so does the library take it.
        if may_be && ssrc != 0 { Claim::Newcomer } else { Claim::Foreign }
    }

    /// A packet of another stream was authenticated: that is followed from now on, if it brings audio of this section.
    pub(super) fn follow(&mut self, ssrc: u32, content: Content) -> Option<Following> {
        let Flow::Brings(brought) = &mut self.flow else { return None };
        if content != Content::Audio {
            if brought.seen.iter().all(|seen| seen.ssrc != ssrc) {
                brought.seen.push(Seen { ssrc, is_known: content == Content::OtherSection });
            }
            return None;
        }
        brought.seen.retain(|seen| seen.ssrc != ssrc);
        brought.seen.push(Seen { ssrc, is_known: true });
        let before = brought.followed.replace(ssrc);
        Some(Following { mid: self.mid, before, ssrc })
    }

    /// Takes a packet that was authenticated, of this session; `None` where it is of another section.
    #[inline]
    pub(super) fn bring(&self, key: PeerKey, packet: RtpPacket) -> Option<MediaPacket> {
        if !self.is_of_section(&packet) {
            return None;
        }
        let position = Position {
            source: (key, *packet.header.ssrc),
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
        };
        let level = packet.header.ext_vals.audio_level;
        Some(MediaPacket { kind: self.kind, position, level, payload: packet.payload })
    }

    /// Returns what a packet of a stream that is not followed yet brings.
    pub(super) fn content(&self, packet: &RtpPacket) -> Content {
        match self.is_of_section(packet) {
            false => Content::OtherSection,
            true if packet.payload.is_empty() => Content::Nothing,
            true => Content::Audio,
        }
    }

    /// Tells whether a packet names no section, or this one.
    fn is_of_section(&self, packet: &RtpPacket) -> bool {
        packet.header.ext_vals.mid.is_none_or(|mid| mid == self.mid)
    }

    /// Returns what was agreed upon it, where it goes to the client.
    pub(super) fn sending(&self) -> Option<&Sending> {
        match &self.flow {
            Flow::Sends(sending) => Some(sending),
            Flow::Brings(_) => None,
        }
    }
}
