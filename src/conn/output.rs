//! The bytes that wait to be written to one TCP client.
//!
//! Invariant: what was written is let go of, and so is the room that a large answer took.

/// How much that was written is kept in front of what waits, in bytes.
const WRITTEN_BYTES_KEPT: usize = 64 * 1024;

/// How much room a conn keeps, in bytes.
const BYTES_KEPT: usize = 512;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(super) struct Output {
    bytes: Vec<u8>,
    /// How many of `bytes` the shell has written.
    written: usize,
}

impl Output {
    /// Returns what waits.
    pub(super) fn pending(&self) -> &[u8] {
        &self.bytes[self.written..]
    }

    /// Returns the end of the queue, to append to.
    pub(super) fn end(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// Drops what waits, if nothing of it was written yet; tells whether it did.
    pub(super) fn take_back(&mut self) -> bool {
        let is_whole = self.written == 0 && !self.bytes.is_empty();
        if is_whole {
            self.bytes.clear();
        }
        is_whole
    }

    /// Takes it that so many bytes were written; tells whether nothing waits any more.
    pub(super) fn handle_written(&mut self, bytes: usize) -> bool {
        self.written = (self.written + bytes).min(self.bytes.len());
        // A client that always leaves something unread must not keep what it has read.
        if self.written == self.bytes.len() || self.written >= WRITTEN_BYTES_KEPT {
            self.bytes.drain(..self.written);
            self.written = 0;
            self.bytes.shrink_to(self.bytes.len().max(BYTES_KEPT));
        }
        self.bytes.is_empty()
    }

    /// Returns how many bytes it holds beyond what every conn keeps.
    pub(super) fn held_bytes(&self) -> usize {
        self.bytes.capacity().max(BYTES_KEPT) - BYTES_KEPT
    }
}
