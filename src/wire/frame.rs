//! Datagrams on a byte stream, each behind its length (RFC 4571 §2).
//!
//! Invariant: what [`write()`] wrote, [`parse`] reads, wherever the stream is cut.

use super::classify::DATAGRAM_BYTES_MAX;

/// The length in front of each datagram, in bytes.
pub const HEADER_BYTES: usize = 2;

/// Why a stream holds no frames of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("an empty frame")]
    Empty,
    #[error("a frame of {len} bytes, more than {DATAGRAM_BYTES_MAX}")]
    TooLong { len: usize },
}

/// Returns the first datagram of a stream; it and its header take [`HEADER_BYTES`] more. `None` until all of it came.
///
/// # Errors
/// [`FrameError`], as soon as the length is there.
pub fn parse(stream: &[u8]) -> Result<Option<&[u8]>, FrameError> {
    let Some((&header, rest)) = stream.split_first_chunk::<HEADER_BYTES>() else { return Ok(None) };
    match usize::from(u16::from_be_bytes(header)) {
        0 => Err(FrameError::Empty),
        len if len > DATAGRAM_BYTES_MAX => Err(FrameError::TooLong { len }),
        len => Ok(rest.get(..len)),
    }
}

/// Appends a datagram as a frame; tells whether it could: one that is empty or longer than a frame can't.
pub fn write(datagram: &[u8], stream: &mut Vec<u8>) -> bool {
    let Some(len) = u16::try_from(datagram.len()).ok().filter(|&len| len > 0) else { return false };
    stream.extend(len.to_be_bytes());
    stream.extend(datagram);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parse_at_every_edge() {
        let longest = [&[8, 0][..], &[7; DATAGRAM_BYTES_MAX]].concat();
        let cases: &[(&str, &[u8], Result<Option<&[u8]>, FrameError>)] = &[
            ("nothing", &[], Ok(None)),
            ("half a length", &[0], Ok(None)),
            ("a length", &[0, 1], Ok(None)),
            ("one byte", &[0, 1, 9], Ok(Some(&[9]))),
            ("one byte and the next frame", &[0, 1, 9, 0, 3, 1], Ok(Some(&[9]))),
            ("empty", &[0, 0, 1], Err(FrameError::Empty)),
            ("longest", &longest, Ok(Some(&longest[2..]))),
            ("too long", &[8, 1], Err(FrameError::TooLong { len: 2049 })),
            ("longest length", &[255, 255], Err(FrameError::TooLong { len: 65_535 })),
        ];
        for (name, stream, want) in cases {
            assert_eq!(parse(stream), *want, "{name}");
        }
    }

    #[test]
    fn write_what_fits() {
        let mut stream = vec![1];
        assert!(write(&[9, 8], &mut stream));
        assert!(!write(&[], &mut stream) && !write(&[0; 65_536], &mut stream));
        assert_eq!(stream, [1, 0, 2, 9, 8]);
    }
}
