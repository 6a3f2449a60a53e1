//! Holds lines on their way to stderr, which may stand still for ever: a pipe that nobody reads, a stopped terminal.
//!
//! Whoever has a line hands it over and goes on, and one thread writes. Not what lines look like. Invariant: no more
//! lines and bytes wait than the bounds say, and each line that did not get through is counted, and told in its place.

use std::collections::VecDeque;
use std::io::Write;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::config::{LOG_BYTES_MAX, LOG_LINES_MAX};

/// There was no room for a line, and it is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("there was no room for a line of the log")]
pub struct Lost;

/// The lines that wait, for many who hand them over and one who writes.
#[derive(Default)]
pub(super) struct Queue {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: VecDeque<Line>,
    bytes: usize,
    /// How many lines were lost since the last that was taken in.
    lost: u64,
    /// Whether the one who writes has something in hand.
    is_writing: bool,
}

struct Line {
    /// Ends the line; empty where there is only something to tell.
    text: String,
    /// How many lines were lost since the line before it.
    lost_before: u64,
}

/// The one who writes.
pub(super) struct Writer<'a, W, F> {
    queue: &'a Queue,
    sink: W,
    /// Makes the line that tells how many were lost.
    lost_line: F,
    untold: u64,
}

impl Queue {
    /// Takes a line in, without its end.
    ///
    /// # Errors
    /// [`Lost`] where there is no room. Once that was so, there is none until half of it is free: or else a reader that
    /// is too slow would read of losses after every line.
    pub(super) fn push(&self, mut text: String) -> Result<(), Lost> {
        text.push('\n');
        let mut waiting = self.lock();
        let part = if waiting.lost > 0 { 2 } else { 1 };
        if waiting.lines.len() >= LOG_LINES_MAX / part || waiting.bytes + text.len() > LOG_BYTES_MAX / part {
            waiting.lost += 1;
            return Err(Lost);
        }
        waiting.bytes += text.len();
        let lost_before = std::mem::take(&mut waiting.lost);
        waiting.lines.push_back(Line { text, lost_before });
        self.changed.notify_all();
        Ok(())
    }

    /// Waits until all is written that was taken in, and no longer than that.
    pub(super) fn flush(&self, within: Duration) {
        let is_busy = |waiting: &mut Waiting| waiting.is_writing || waiting.has_something();
        let waited = self.changed.wait_timeout_while(self.lock(), within, is_busy);
        drop(waited.unwrap_or_else(PoisonError::into_inner));
    }

    /// Returns what is next, and waits for it.
    fn next(&self) -> Line {
        let waited = self.changed.wait_while(self.lock(), |waiting| !waiting.has_something());
        let mut waiting = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.is_writing = true;
        match waiting.lines.pop_front() {
            Some(line) => {
                waiting.bytes -= line.text.len();
                line
            }
            None => Line { text: String::new(), lost_before: std::mem::take(&mut waiting.lost) },
        }
    }

    fn on_written(&self) {
        self.lock().is_writing = false;
        self.changed.notify_all();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // Whoever panicked while it was theirs left no half of a change.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Waiting {
    fn has_something(&self) -> bool {
        !self.lines.is_empty() || self.lost > 0
    }
}

impl<'a, W: Write, F: Fn(u64) -> String> Writer<'a, W, F> {
    /// Returns one who has not written yet.
    pub(super) fn new(queue: &'a Queue, sink: W, lost_line: F) -> Writer<'a, W, F> {
        Writer { queue, sink, lost_line, untold: 0 }
    }

    /// Writes for ever.
    pub(super) fn run(mut self) -> ! {
        loop {
            self.write_next();
        }
    }

    fn write_next(&mut self) {
        let Line { text, lost_before } = self.queue.next();
        self.untold += lost_before;
        if self.untold > 0 && self.write(&format!("{}\n", (self.lost_line)(self.untold))) {
            self.untold = 0;
        }
        if !self.write(&text) {
            self.untold += 1;
        }
        self.queue.on_written();
    }

    /// Tells whether a line is written: a disk may be full, and a reader gone.
    fn write(&mut self, line: &str) -> bool {
        self.sink.write_all(line.as_bytes()).is_ok()
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use super::*;

    /// What was written, and whether the next line fails.
    #[derive(Default)]
    struct Sink {
        text: String,
        is_full: bool,
    }

    impl Write for &mut Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            if self.is_full {
                return Err(io::ErrorKind::StorageFull.into());
            }
            self.text.push_str(str::from_utf8(bytes).unwrap());
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn lost_line(count: u64) -> String {
        format!("lost {count}")
    }

    /// Writes all that waits.
    fn write(queue: &Queue, sink: &mut Sink) -> String {
        let mut writer = Writer::new(queue, &mut *sink, lost_line);
        while queue.lock().has_something() {
            writer.write_next();
        }
        std::mem::take(&mut sink.text)
    }

    #[test]
    fn so_many_lines_wait_and_the_others_are_counted_in_their_place() {
        let (queue, mut sink) = (Queue::default(), Sink::default());
        for index in 0..LOG_LINES_MAX {
            assert_eq!(queue.push(index.to_string()), Ok(()), "{index}");
        }
        assert_eq!(queue.push("lost".to_owned()), Err(Lost));
        let mut writer = Writer::new(&queue, &mut sink, lost_line);
        writer.write_next();
        assert_eq!(queue.push("lost too".to_owned()), Err(Lost), "not for one line");
        (1..LOG_LINES_MAX / 2).for_each(|_| writer.write_next());
        assert_eq!(queue.push("lost as well".to_owned()), Err(Lost));
        writer.write_next();
        assert_eq!(queue.push("after".to_owned()), Ok(()));
        let written = write(&queue, &mut sink);
        let tail: Vec<&str> = written.lines().rev().take(3).collect();
        assert_eq!(tail, ["after", "lost 3", &(LOG_LINES_MAX - 1).to_string()]);
        assert_eq!(written.lines().count(), LOG_LINES_MAX + 2);
    }

    #[test]
    fn so_many_bytes_wait() {
        let (queue, mut sink) = (Queue::default(), Sink::default());
        let half = "x".repeat(LOG_BYTES_MAX / 2 - 1);
        assert_eq!(queue.push(half.clone()), Ok(()));
        assert_eq!(queue.push(half.clone()), Ok(()));
        assert_eq!(queue.push(String::new()), Err(Lost));
        assert_eq!(queue.lock().bytes, LOG_BYTES_MAX);
        assert_eq!(write(&queue, &mut sink), format!("{half}\n{half}\nlost 1\n"));
        assert_eq!(queue.push("x".repeat(LOG_BYTES_MAX)), Err(Lost));
        assert_eq!(queue.push("x".repeat(LOG_BYTES_MAX - 1)), Err(Lost), "half of it must be free");
        assert_eq!(write(&queue, &mut sink), "lost 2\n", "told, though nothing comes after it");
        assert_eq!(queue.push("x".repeat(LOG_BYTES_MAX - 1)), Ok(()));
        assert_eq!(write(&queue, &mut sink).len(), LOG_BYTES_MAX);
        assert_eq!(queue.lock().bytes, 0);
    }

    #[test]
    fn what_can_not_be_written_is_told_once_it_can() {
        let (queue, mut sink) = (Queue::default(), Sink { is_full: true, ..Sink::default() });
        let mut writer = Writer::new(&queue, &mut sink, lost_line);
        for text in ["a", "b"] {
            queue.push(text.to_owned()).unwrap();
            writer.write_next();
        }
        let untold = writer.untold;
        sink.is_full = false;
        queue.push("c".to_owned()).unwrap();
        Writer { untold, ..Writer::new(&queue, &mut sink, lost_line) }.write_next();
        assert_eq!(sink.text, "lost 2\nc\n");
    }

    #[test]
    fn a_flush_waits_for_what_is_being_written_and_not_for_ever() {
        let queue = Queue::default();
        queue.flush(Duration::from_secs(60));
        queue.push("a".to_owned()).unwrap();
        let line = queue.next();
        assert_eq!((line.text.as_str(), line.lost_before), ("a\n", 0));
        queue.flush(Duration::from_millis(1));
        std::thread::scope(|scope| {
            scope.spawn(|| queue.on_written());
            queue.flush(Duration::from_secs(60));
        });
        assert!(!queue.lock().is_writing);
    }
}
