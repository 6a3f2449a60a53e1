//! The one stream of media of a session: what it is, what the session calls it, and how its packets are numbered.
//!
//! Knows no path and no key. Invariant: a track sends or brings for the session's life, and what it brings is one stream.

use std::sync::Arc;
use std::time::Instant;

use str0m::Rtc;
use str0m::media::{Mid, Pt};
use str0m::rtp::{RtpPacket, RtpWrite};

use super::egress::{Egress, Position, Rewritten};
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
    /// From the client: the stream of this synchronization source, said in the offer, or the first of which a packet was
    /// authenticated.
    Brings(Option<u32>),
}

impl Track {
    /// Returns a track to a client, whose numbers start at a place chosen by `chance`.
    pub(super) fn to_client(kind: MediaKind, (mid, payload_type): (Mid, Pt), chance: u64) -> Track {
        Track { kind, mid, payload_type, way: Way::Sends(Egress::new(kind, chance)) }
    }

    /// Returns a track from a client that named this source in its offer, or none.
    pub(super) fn from_client(kind: MediaKind, (mid, payload_type): (Mid, Pt), source: Option<u32>) -> Track {
        Track { kind, mid, payload_type, way: Way::Brings(source) }
    }

    /// Returns which way it goes, seen from the client.
    pub(super) fn direction(&self) -> Direction {
        match self.way {
            Way::Sends(_) => Direction::RecvOnly,
            Way::Brings(_) => Direction::SendOnly,
        }
    }

    /// Returns the synchronization source that it brings, where that is known.
    pub(super) fn brings(&self) -> Option<u32> {
        match self.way {
            Way::Sends(_) => None,
            Way::Brings(source) => source,
        }
    }

    /// Tells whether a packet of this synchronization source may be one of the track.
    pub(super) fn may_bring(&self, ssrc: u32) -> bool {
        match self.way {
            Way::Sends(_) => false,
            Way::Brings(source) => source.is_none_or(|heard| heard == ssrc),
        }
    }

    /// A packet of this synchronization source was authenticated: nothing of another is the track's any more.
    pub(super) fn follow(&mut self, ssrc: u32) {
        if let Way::Brings(source) = &mut self.way {
            *source = Some(ssrc);
        }
    }

    /// Takes a packet that was authenticated, of this session.
    pub(super) fn bring(&mut self, key: PeerKey, packet: RtpPacket) -> MediaPacket {
        let ssrc = *packet.header.ssrc;
        self.follow(ssrc);
        let position = Position {
            source: (key, ssrc),
            sequence: *packet.seq_no,
            timestamp: packet.header.timestamp,
            marker: packet.header.marker,
        };
        let level = packet.header.ext_vals.audio_level;
        MediaPacket { kind: self.kind, position, level, payload: packet.payload }
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
