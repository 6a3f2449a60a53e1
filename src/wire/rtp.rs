//! Reads as much of an RTP packet (RFC 3550) as telling streams apart takes, and writes headers.

/// What a packet of media is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Media {
    Rtp { ssrc: u32, payload_type: u8 },
    Rtcp,
}

/// Why a datagram is no packet of media.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{len} bytes, too short for a header")]
pub struct RtpError {
    len: usize,
}

/// Tells RTP from RTCP by the payload type (RFC 5761 §4) and reads that and the synchronization source.
///
/// # Errors
/// [`RtpError`] for a datagram shorter than the header of its kind.
pub fn parse_media(datagram: &[u8]) -> Result<Media, RtpError> {
    match datagram {
        [_, second, ..] if (64..96).contains(&(second & 0x7f)) => Ok(Media::Rtcp),
        [_, second, _, _, _, _, _, _, s0, s1, s2, s3, ..] => {
            Ok(Media::Rtp { ssrc: u32::from_be_bytes([*s0, *s1, *s2, *s3]), payload_type: second & 0x7f })
        }
        _ => Err(RtpError { len: datagram.len() }),
    }
}

/// The length of a header without extension, in bytes (RFC 3550 §5.1).
pub const HEADER_BYTES: usize = 12;

/// The length of the longest name of a section that a one-byte extension holds (RFC 8285 §4.2).
pub const MID_BYTES_MAX: usize = 16;

/// The longest header that [`Header::write`] makes, in bytes.
pub const HEADER_BYTES_MAX: usize = HEADER_BYTES + 4 + 1 + MID_BYTES_MAX + 3;

/// A header as it is written: no padding, and nobody contributes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header<'a> {
    pub marker: bool,
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// The section that the packet belongs to (RFC 9143 §15), under its identifier in this session, from 1 to 14; of 1 to
    /// [`MID_BYTES_MAX`] bytes.
    pub mid: Option<(u8, &'a [u8])>,
}

impl Header<'_> {
    /// Returns how many bytes it has.
    #[inline]
    pub fn bytes(&self) -> usize {
        HEADER_BYTES + self.mid.map_or(0, |(_, mid)| 4 + (1 + mid.len()).next_multiple_of(4))
    }

    /// Writes it to the beginning of `packet`, which has room for it and is zero there.
    #[inline]
    pub fn write(&self, packet: &mut [u8]) {
        let &Header { marker, payload_type, sequence, timestamp, ssrc, mid } = self;
        packet[0] = 2 << 6 | u8::from(mid.is_some()) << 4;
        packet[1] = u8::from(marker) << 7 | payload_type;
        packet[2..4].copy_from_slice(&sequence.to_be_bytes());
        packet[4..8].copy_from_slice(&timestamp.to_be_bytes());
        packet[8..12].copy_from_slice(&ssrc.to_be_bytes());
        if let Some((id, mid)) = mid {
            let words = (1 + mid.len()).div_ceil(4) as u16;
            packet[12..14].copy_from_slice(&0xbede_u16.to_be_bytes());
            packet[14..16].copy_from_slice(&words.to_be_bytes());
            packet[16] = id << 4 | (mid.len() as u8 - 1);
            packet[17..17 + mid.len()].copy_from_slice(mid);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn writes_headers_with_and_without_a_section() {
        let header =
            Header { marker: true, payload_type: 111, sequence: 0x102, timestamp: 0x304_0506, ssrc: 7, mid: None };
        let plain = [0x80, 0xef, 1, 2, 3, 4, 5, 6, 0, 0, 0, 7];
        for (name, header, want) in [
            ("plain", header, plain.to_vec()),
            ("unmarked", Header { marker: false, ..header }, [&[0x80, 111], &plain[2..]].concat()),
            (
                "in a section",
                Header { mid: Some((3, b"0")), ..header },
                [&[0x90], &plain[1..], &[0xbe, 0xde, 0, 1, 0x30, b'0', 0, 0]].concat(),
            ),
            (
                "in one with a longer name",
                Header { mid: Some((14, b"audio")), ..header },
                [&[0x90], &plain[1..], &[0xbe, 0xde, 0, 2, 0xe4], b"audio", &[0, 0]].concat(),
            ),
        ] {
            let mut packet = [0; HEADER_BYTES_MAX];
            header.write(&mut packet);
            assert_eq!(header.bytes(), want.len(), "{name}");
            assert_eq!(packet[..want.len()], want, "{name}");
        }
        let longest = Header { mid: Some((1, &[b'm'; MID_BYTES_MAX])), ..header };
        assert_eq!(longest.bytes(), HEADER_BYTES_MAX);
        longest.write(&mut [0; HEADER_BYTES_MAX]);
    }

    #[test]
    fn tells_rtp_from_rtcp() {
        let rtp = [0x80, 111, 0, 1, 0, 0, 0, 2, 0xde, 0xad, 0xbe, 0xef];
        let marked = [&[0x80, 0x80 | 111], &rtp[2..]].concat();
        let cases: &[(&str, &[u8], Result<Media, RtpError>)] = &[
            ("rtp", &rtp, Ok(Media::Rtp { ssrc: 0xdead_beef, payload_type: 111 })),
            ("rtp with marker", &marked, Ok(Media::Rtp { ssrc: 0xdead_beef, payload_type: 111 })),
            ("rtp, cut", &rtp[..11], Err(RtpError { len: 11 })),
            ("sender report", &[0x80, 200], Ok(Media::Rtcp)),
            ("first of rtcp", &[0x80, 192], Ok(Media::Rtcp)),
            ("last of rtcp", &[0x80, 223], Ok(Media::Rtcp)),
            ("past rtcp", &[0x80, 224], Err(RtpError { len: 2 })),
            ("one byte", &[0x80], Err(RtpError { len: 1 })),
        ];
        for (name, datagram, want) in cases {
            assert_eq!(parse_media(datagram), *want, "{name}");
        }
    }
}
