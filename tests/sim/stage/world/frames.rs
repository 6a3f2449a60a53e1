//! The texts of a WebSocket, read along by somebody who is neither end of it (RFC 6455 §5.2).
//!
//! What is no WebSocket yields nothing. Invariant: a text is read once, when its last byte is there.

/// One direction of a TCP connection.
#[derive(Default)]
pub(super) struct Frames {
    bytes: Vec<u8>,
    is_upgraded: bool,
    /// The beginning of a text that comes in parts.
    text: Vec<u8>,
}

impl Frames {
    /// Takes what came; returns the texts in it, and `None` for a goodbye.
    pub(super) fn push(&mut self, bytes: &[u8]) -> Vec<Option<String>> {
        self.bytes.extend(bytes);
        if !self.is_upgraded && !self.take_head() {
            return Vec::new();
        }
        let mut texts = Vec::new();
        while let Some((opcode, is_last, payload)) = self.take_frame() {
            match opcode {
                0 | 1 => {
                    self.text.extend(payload);
                    if is_last {
                        texts.push(Some(String::from_utf8_lossy(&std::mem::take(&mut self.text)).into_owned()));
                    }
                }
                8 => texts.push(None),
                _ => {}
            }
        }
        texts
    }

    /// Reads over the request for an upgrade, or its answer.
    fn take_head(&mut self) -> bool {
        let find = |what: &[u8], bytes: &[u8]| bytes.windows(what.len()).position(|window| window == what);
        let upgrade = find(b"Sec-WebSocket-", &self.bytes);
        let end = upgrade.and_then(|at| Some(at + find(b"\r\n\r\n", &self.bytes[at..])? + 4));
        if let Some(end) = end {
            self.bytes.drain(..end);
            self.is_upgraded = true;
        }
        self.is_upgraded
    }

    /// Returns the next frame: its kind, whether it ends a message, and what is in it.
    fn take_frame(&mut self) -> Option<(u8, bool, Vec<u8>)> {
        let &[first, second, ..] = self.bytes.as_slice() else { return None };
        let extended = match second & 0x7f {
            126 => 2,
            127 => 8,
            _ => 0,
        };
        let length = match extended {
            0 => usize::from(second & 0x7f),
            _ => self.bytes.get(2..2 + extended)?.iter().fold(0, |sum, &byte| sum << 8 | usize::from(byte)),
        };
        let mask_bytes = if second & 0x80 == 0 { 0 } else { 4 };
        let begin = 2 + extended + mask_bytes;
        let mut payload = self.bytes.get(begin..begin.checked_add(length)?)?.to_vec();
        if mask_bytes > 0 {
            let mask = self.bytes[begin - 4..begin].to_vec();
            payload.iter_mut().zip(mask.iter().cycle()).for_each(|(byte, mask)| *byte ^= mask);
        }
        self.bytes.drain(..begin + length);
        Some((first & 0x0f, first & 0x80 != 0, payload))
    }
}
