//! Tells the protocols that share one UDP port apart by their first byte (RFC 7983), and reads of each datagram what
//! finding its session takes.
//!
//! Invariant: what was read once need not be read again by anybody on the datagram's way.

use super::stun::{self, StunError, TransactionId};

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
    #[error(transparent)]
    NoCheck(#[from] StunError),
}

/// A datagram that was read as far as finding its session takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Classified<'a> {
    pub bytes: &'a [u8],
    pub meaning: Meaning,
    /// The user fragment by which a check names its session, until that is found; all else is known by its address.
    pub ufrag: Option<&'a str>,
}

/// What a datagram is, and what a check asks; nothing of it is verified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Meaning {
    /// A STUN binding request.
    Check {
        transaction_id: TransactionId,
        /// Whether the client nominates this pair (RFC 8445 §7.2.5.1).
        use_candidate: bool,
    },
    /// The answer to a STUN binding request, if there was one.
    Answer {
        transaction_id: TransactionId,
    },
    Dtls,
    /// RTP or RTCP.
    Media,
}

/// Reads a datagram.
///
/// # Errors
/// [`DatagramError`], when it is none of ours, or STUN that is neither a check nor an answer.
pub fn read(datagram: &[u8]) -> Result<Classified<'_>, DatagramError> {
    let (meaning, ufrag) = match classify(datagram)? {
        Kind::Stun => match stun::parse_binding_answer(datagram) {
            Some(transaction_id) => (Meaning::Answer { transaction_id }, None),
            None => {
                let request = stun::parse_binding_request(datagram)?;
                let stun::BindingRequest { transaction_id, ufrag, use_candidate } = request;
                (Meaning::Check { transaction_id, use_candidate }, Some(ufrag))
            }
        },
        Kind::Dtls => (Meaning::Dtls, None),
        Kind::Media => (Meaning::Media, None),
    };
    Ok(Classified { bytes: datagram, meaning, ufrag })
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
    kind_of(first_byte).ok_or(DatagramError::UnknownKind { first_byte })
}

/// Returns what a datagram of ours is that begins with this byte.
#[inline]
pub(crate) fn kind_of(first_byte: u8) -> Option<Kind> {
    match first_byte {
        0..=3 => Some(Kind::Stun),
        20..=63 => Some(Kind::Dtls),
        128..=191 => Some(Kind::Media),
        4..=19 | 64..=127 | 192..=255 => None,
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

    #[test]
    fn a_check_names_its_session_and_all_else_has_an_address() {
        let mut check = [0, 1, 0, 16, 0x21, 0x12, 0xa4, 0x42].to_vec();
        check.extend([9; 12]);
        check.extend([0, 6, 0, 6, b'o', b'u', b'r', b's', b':', b'a', 0, 0, 0, 0x25, 0, 0]);
        let asks = Meaning::Check { transaction_id: [9; 12], use_candidate: true };
        let read_as = |meaning, ufrag| Ok((meaning, ufrag));
        let cases: &[(&str, &[u8], Result<(Meaning, Option<&str>), DatagramError>)] = &[
            ("a check", &check, read_as(asks, Some("ours"))),
            ("other stun", &[1, 1], Err(DatagramError::NoCheck(StunError::BadLength { len: 2 }))),
            ("dtls", &[22], read_as(Meaning::Dtls, None)),
            ("media", &[0x80], read_as(Meaning::Media, None)),
            ("empty", &[], Err(DatagramError::Empty)),
        ];
        for (name, datagram, want) in cases {
            let found = read(datagram).map(|read| {
                assert_eq!(read.bytes, *datagram);
                (read.meaning, read.ufrag)
            });
            assert_eq!(found, *want, "{name}");
        }
    }
}
