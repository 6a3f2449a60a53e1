//! Follows TLS records through a stream without reading them (RFC 8446 §5.1).
//!
//! Invariant: nothing is pending exactly between two records.

/// The type, the version and the length in front of each record, in bytes.
const HEADER_BYTES: usize = 5;

/// Where in a record the stream is.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// How much of the record came, its header included, in bytes.
    pending: usize,
    /// What its header says of the rest, as far as that came.
    length: usize,
}

impl Records {
    /// Returns how much came of a record that is not complete, in bytes.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending
    }

    /// Takes the next bytes of the stream.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while let [first, rest @ ..] = bytes {
            if self.pending < HEADER_BYTES {
                // The last two bytes of the header.
                if self.pending + 2 >= HEADER_BYTES {
                    self.length = self.length << 8 | usize::from(*first);
                }
                self.pending += 1;
                bytes = rest;
            } else {
                let taken = (HEADER_BYTES + self.length - self.pending).min(bytes.len());
                self.pending += taken;
                bytes = &bytes[taken..];
            }
            if self.pending >= HEADER_BYTES && self.pending == HEADER_BYTES + self.length {
                *self = Records::default();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pending_at_every_cut() {
        let stream =
            [&[23, 3, 3, 0, 2, 1, 1][..], &[21, 3, 3, 0, 0], &[23, 3, 3, 1, 0], &[7; 256], &[22, 3]].concat();
        let want = |cut: usize| match cut {
            0..7 => cut,
            7..12 => cut - 7,
            12..273 => cut - 12,
            _ => cut - 273,
        };
        for cut in 0..=stream.len() {
            for step in [1, 3, stream.len()] {
                let mut records = Records::default();
                stream[..cut].chunks(step).for_each(|bytes| records.push(bytes));
                assert_eq!(records.pending_bytes(), want(cut), "cut at {cut}, by {step}");
            }
        }
    }
}
