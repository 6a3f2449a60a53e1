//! The one stream of media of a session: what it is, what the session calls it, and how its packets are numbered.
//!
//! Knows no path and no key. Invariant: a track sends or brings for the session's life, and what it brings is one
//! stream at a time, each of which was authenticated.

use std::sync::Arc;
use std::time::Instant;

use str0m::Rtc;
use str0m::media::{Mid, Pt};
use str0m::rtp::{RtpPacket, RtpWrite};

use super::egress::{Egress, Position, Rewritten};
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
    way: Way,
}

/// Which way a stream goes.
enum Way {
    /// To the client, numbered for it.
    Sends(Egress),
    /// From the client.
    Brings(Brought),
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
    /// Returns a track to a client, whose numbers start at a place chosen by `chance`.
    pub(super) fn to_client(kind: MediaKind, (mid, payload_type): (Mid, Pt), chance: u64) -> Track {
        Track { kind, mid, payload_type, way: Way::Sends(Egress::new(kind, chance)) }
    }

    /// Returns a track from a client that named this source in its offer, or none.
    pub(super) fn from_client(kind: MediaKind, (mid, payload_type): (Mid, Pt), source: Option<u32>) -> Track {
        Track { kind, mid, payload_type, way: Way::Brings(Brought { offered: source, ..Brought::default() }) }
    }

    /// Returns which way it goes, seen from the client.
    pub(super) fn direction(&self) -> Direction {
        match self.way {
            Way::Sends(_) => Direction::RecvOnly,
            Way::Brings(_) => Direction::SendOnly,
        }
    }

    /// Returns the synchronization source that it brings, or is to bring, where that is known.
    pub(super) fn brings(&self) -> Option<u32> {
        match &self.way {
            Way::Sends(_) => None,
            Way::Brings(brought) => brought.followed.or(brought.offered),
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
        let Way::Brings(brought) = &self.way else { return Claim::Foreign };
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
        let Way::Brings(brought) = &mut self.way else { return None };
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

    /// Returns a publisher's packet as it is to leave; `None` where it does not.
    #[inline]
    pub(super) fn send(&mut self, now: Instant, packet: &MediaPacket) -> Option<Leaving> {
        let Way::Sends(egress) = &mut self.way else { return None };
        let numbers = egress.rewrite(now, packet.position, &packet.payload)?;
        let payload = Arc::clone(&packet.payload);
        Some(Leaving { mid: self.mid, payload_type: self.payload_type, numbers, payload })
    }

    /// Makes the next packet that is sent begin anew: what was heard until now is over.
    pub(super) fn cut(&mut self) {
        if let Way::Sends(egress) = &mut self.way {
            egress.cut();
        }
    }
}

/// One packet on its way to one client.
pub(super) struct Leaving {
    mid: Mid,
    payload_type: Pt,
    numbers: Rewritten,
    payload: Arc<[u8]>,
}

impl Leaving {
    /// Hands the packet to the library, which encrypts it.
    #[inline]
    pub(super) fn write(self, now: Instant, rtc: &mut Rtc) {
        let Leaving { mid, payload_type, numbers, payload } = self;
        let write = RtpWrite::new(payload_type, numbers.sequence.into(), numbers.timestamp, now, payload);
        if let Some(stream) = rtc.direct_api().stream_tx_by_mid(mid, None) {
            stream.write_rtp(write.marker(numbers.marker));
        }
    }
}
