//! Reads how long an Opus packet sounds (RFC 6716), without decoding it.

/// The longest packet, in samples per channel at 48 kHz: 120 ms (RFC 6716 §3.2.5).
const SAMPLES_MAX: u32 = 5760;

/// What is wrong with an Opus packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OpusError {
    #[error("no TOC byte, or no frame count behind it")]
    Empty,
    #[error("{samples} samples, more than {SAMPLES_MAX}")]
    TooLong { samples: u32 },
}

/// Returns how much audio an Opus packet holds, in 48 kHz samples per channel.
///
/// Reads the TOC byte and, for code 3, the frame count; never the payload (RFC 6716 §3.1, table 2).
///
/// # Errors
/// [`OpusError::Empty`] without a TOC byte; [`OpusError::TooLong`] above 5760 samples, which is 120 ms.
pub fn duration_samples(packet: &[u8]) -> Result<u32, OpusError> {
    let &toc = packet.first().ok_or(OpusError::Empty)?;
    let config = toc >> 3;
    let frame_samples: u32 = match config {
        // SILK: 10, 20, 40, 60 ms.
        0..=11 => [480, 960, 1920, 2880][usize::from(config % 4)],
        // Hybrid: 10, 20 ms.
        12..=15 => [480, 960][usize::from(config % 2)],
        // CELT: 2.5, 5, 10, 20 ms.
        16..=u8::MAX => [120, 240, 480, 960][usize::from(config % 4)],
    };
    let frames = match toc & 0b11 {
        0 => 1,
        1 | 2 => 2,
        _ => u32::from(packet.get(1).ok_or(OpusError::Empty)? & 0b0011_1111),
    };
    let samples = frame_samples * frames;
    if samples > SAMPLES_MAX { Err(OpusError::TooLong { samples }) } else { Ok(samples) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duration_from_the_first_bytes() {
        let cases: &[(&str, &[u8], Result<u32, OpusError>)] = &[
            ("empty", &[], Err(OpusError::Empty)),
            ("silk 10 ms", &[0 << 3], Ok(480)),
            ("silk 60 ms", &[3 << 3], Ok(2880)),
            ("two silk frames of 60 ms", &[3 << 3 | 1], Ok(5760)),
            ("hybrid 20 ms", &[13 << 3], Ok(960)),
            ("celt 2.5 ms", &[16 << 3], Ok(120)),
            ("celt 20 ms, as browsers send", &[31 << 3], Ok(960)),
            ("code 3 without a count", &[31 << 3 | 3], Err(OpusError::Empty)),
            ("code 3, six frames of 20 ms", &[31 << 3 | 3, 6], Ok(5760)),
            ("code 3, seven frames of 20 ms", &[31 << 3 | 3, 7], Err(OpusError::TooLong { samples: 6720 })),
            ("code 3, flags are no count", &[31 << 3 | 3, 0b1100_0001], Ok(960)),
        ];
        for (name, packet, want) in cases {
            assert_eq!(duration_samples(packet), *want, "{name}");
        }
    }
}
