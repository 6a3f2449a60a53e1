//! Tells the protocols that share one TCP port apart by the first byte of a connection.
//!
//! A TLS record begins with its type, a handshake (RFC 8446 §5.1); a frame of ICE-TCP with the high byte of its length,
//! which is small (RFC 4571 §2); a request with the first letter of its method (RFC 9112 §3). Invariant: no first
//! byte is of two protocols.

use super::classify::DATAGRAM_BYTES_MAX;

/// The type of a TLS record that carries a handshake.
const TLS_HANDSHAKE: u8 = 22;

/// The high byte of the longest frame's length.
const FRAME_HIGH_BYTE_MAX: u8 = (DATAGRAM_BYTES_MAX >> 8) as u8;

const _: () = assert!(FRAME_HIGH_BYTE_MAX < TLS_HANDSHAKE);

/// What a TCP client speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Protocol {
    Tls,
    /// Requests; also what is none of the others, which is told so.
    Http,
    /// STUN, DTLS and SRTP, each datagram behind its length.
    Framed,
}

/// Returns what a TCP client speaks that begins with this byte.
pub fn sniff(first_byte: u8) -> Protocol {
    match first_byte {
        0..=FRAME_HIGH_BYTE_MAX => Protocol::Framed,
        TLS_HANDSHAKE => Protocol::Tls,
        _ => Protocol::Http,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sniff_by_first_byte() {
        let cases = [
            ("a frame of less than 256 bytes", 0, Protocol::Framed),
            ("the longest frame", 8, Protocol::Framed),
            ("longer than any datagram", 9, Protocol::Http),
            ("before a TLS handshake", 21, Protocol::Http),
            ("a TLS handshake", 22, Protocol::Tls),
            ("after a TLS handshake", 23, Protocol::Http),
            ("GET", b'G', Protocol::Http),
            ("a blank line before a request", b'\r', Protocol::Http),
            ("65,535 bytes", 255, Protocol::Http),
        ];
        for (name, first_byte, want) in cases {
            assert_eq!(sniff(first_byte), want, "{name}");
        }
    }
}
