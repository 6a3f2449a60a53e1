//! Tells the protocols that share one UDP port apart by their first byte (RFC 7983).

/// The longest datagram that is looked at, in bytes: what fits a common path, with room for jumbo links.
pub(crate) const DATAGRAM_BYTES_MAX: usize = 2048;

/// What a datagram is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Stun,
    Dtls,
    /// RTP or RTCP.
    Media,
}

/// Why a datagram was dropped before it reached a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DatagramError {
    #[error("empty datagram")]
    Empty,
    #[error("{len} bytes, more than {DATAGRAM_BYTES_MAX}")]
    TooLong { len: usize },
    #[error("first byte {first_byte:#04x} is no protocol of ours")]
    UnknownKind { first_byte: u8 },
}

/// Returns what `datagram` claims to be, from its first byte and its length alone.
///
/// # Errors
/// [`DatagramError`], when it is none of ours.
pub fn classify(datagram: &[u8]) -> Result<Kind, DatagramError> {
    let &first_byte = datagram.first().ok_or(DatagramError::Empty)?;
    if datagram.len() > DATAGRAM_BYTES_MAX {
        return Err(DatagramError::TooLong { len: datagram.len() });
    }
    match first_byte {
        0..=3 => Ok(Kind::Stun),
        20..=63 => Ok(Kind::Dtls),
        128..=191 => Ok(Kind::Media),
        4..=19 | 64..=127 | 192..=255 => Err(DatagramError::UnknownKind { first_byte }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classify_by_first_byte() {
        let unknown = |first_byte| Err(DatagramError::UnknownKind { first_byte });
        let cases: &[(&str, &[u8], Result<Kind, DatagramError>)] = &[
            ("empty", &[], Err(DatagramError::Empty)),
            ("first stun byte", &[0], Ok(Kind::Stun)),
            ("last stun byte", &[3], Ok(Kind::Stun)),
            ("first byte past stun", &[4], unknown(4)),
            ("last byte before dtls", &[19], unknown(19)),
            ("first dtls byte", &[20], Ok(Kind::Dtls)),
            ("last dtls byte", &[63], Ok(Kind::Dtls)),
            ("turn channel", &[64], unknown(64)),
            ("rtp version 1", &[127], unknown(127)),
            ("rtp version 2", &[0x80, 111], Ok(Kind::Media)),
            ("last rtp byte", &[191], Ok(Kind::Media)),
            ("rtp version 3", &[192], unknown(192)),
            ("longest", &[0x80; DATAGRAM_BYTES_MAX], Ok(Kind::Media)),
            ("too long", &[0x80; DATAGRAM_BYTES_MAX + 1], Err(DatagramError::TooLong { len: 2049 })),
        ];
        for (name, datagram, want) in cases {
            assert_eq!(classify(datagram), *want, "{name}");
        }
    }
}
