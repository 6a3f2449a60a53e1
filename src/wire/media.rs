//! What kinds of media there are, and what follows for the numbers of their packets.
//!
//! Invariant: what depends on the kind of a stream is asked here, and nowhere else.

use super::opus;

/// What a stream carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MediaKind {
    /// Opus (RFC 7587).
    Audio,
}

impl MediaKind {
    /// Returns the ticks of its RTP clock in a second (RFC 7587 §4.1).
    pub const fn clock_hz(self) -> u32 {
        match self {
            MediaKind::Audio => 48_000,
        }
    }

    /// Returns the longest step in a source's numbers, in packets, that is loss; a longer one is a restart: two seconds.
    pub const fn loss_max(self) -> u64 {
        match self {
            MediaKind::Audio => 100,
        }
    }

    /// Returns how long a packet sounds, in ticks; 20 ms where that can't be read.
    #[inline]
    pub fn duration_ticks(self, payload: &[u8]) -> u32 {
        match self {
            MediaKind::Audio => opus::duration_samples(payload).ok().filter(|&ticks| ticks > 0).unwrap_or(960),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_packet_whose_duration_is_unknown_sounds_as_most_do() {
        for (name, payload, ticks) in [
            ("20 ms", &[31 << 3, 0][..], 960),
            ("10 ms", &[30 << 3, 0], 480),
            ("nothing", &[], 960),
            ("no frames", &[31 << 3 | 3, 0], 960),
            ("more than a packet may hold", &[31 << 3 | 3, 63], 960),
        ] {
            assert_eq!(MediaKind::Audio.duration_ticks(payload), ticks, "{name}");
        }
    }
}
