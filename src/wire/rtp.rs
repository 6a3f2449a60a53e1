//! Reads as much of an RTP packet (RFC 3550) as telling streams apart takes.

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

#[cfg(test)]
mod tests {
    use super::*;

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
