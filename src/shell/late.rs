//! The threads that do what may block, and the way of their answers back to the loop.
//!
//! The *writer* makes entries durable, in order; the *reader* reads files. What a job is for is the core's, which has so
//! many of them done at one time as it has credit: a send never blocks the loop, and the queue of jobs is as long as
//! that. Invariant: each job that was taken is answered once, where its thread lives.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::JoinHandle;
use std::time::Duration;

use mio::{Registry, Token, Waker};

use super::reader::{Ask, Reader};
use super::writer;
use crate::audit::Entry;
use crate::host::journal::{Journal, Past};
use crate::host::threads;
use crate::host::watch::{Purpose, Watch};
use crate::keys::JobKey;
use crate::outbox::{Job, NotWritten, Reply};

/// How many answers wait for the loop; a thread that has another one waits.
const ANSWERS_WAITING_MAX: usize = 256;

/// What comes back to the loop.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(JobKey, Reply),
    /// What files have become that are watched.
    Changed(Vec<(Purpose, Vec<u8>)>),
}

/// What the reader reads.
pub(super) struct Files {
    pub(super) watch: Watch,
    pub(super) webroot: Option<PathBuf>,
    /// How many wishes of clients wait for it, as the core has credit.
    pub(super) reads_max: usize,
}

/// The threads, as the loop sees them.
pub(super) struct Late {
    writer: Sender<(JobKey, Entry)>,
    reader: SyncSender<Ask>,
    answers: Receiver<Answer>,
    is_ready: bool,
    ending: Ending,
}

/// What tells that the writer has written all.
struct Ending {
    thread: JoinHandle<()>,
    /// Nothing comes of it: its other end goes with the thread.
    over: Receiver<()>,
}

/// The way back, as a thread sees it.
#[derive(Clone)]
pub(super) struct Answers {
    sender: SyncSender<Answer>,
    waker: Arc<Waker>,
}

impl Answers {
    /// Hands an answer to the loop and wakes it; tells whether there is one.
    pub(super) fn send(&self, answer: Answer) -> bool {
        // Waking fails only where the loop is gone too.
        self.sender.send(answer).is_ok() && self.waker.wake().is_ok()
    }
}

impl Late {
    /// Starts the threads; `token` is that of the event that tells of answers.
    pub(super) fn new(
        registry: &Registry,
        token: Token,
        files: Files,
        (journal, options): (Journal, Arc<str>),
    ) -> io::Result<Late> {
        let Files { watch, webroot, reads_max } = files;
        let (sender, answers) = sync_channel(ANSWERS_WAITING_MAX);
        let to_loop = Answers { sender, waker: Arc::new(Waker::new(registry, token)?) };
        let data = journal.data().to_owned();
        let (writer, entries) = channel();
        let (alive, over) = channel::<()>();
        let of_writer = to_loop.clone();
        let thread = threads::spawn("writer", move || {
            let _alive = alive;
            writer::run(&entries, journal, options, &of_writer);
        })?;
        // And one that asks to look at files.
        let (reader, asks) = sync_channel(reads_max + 1);
        threads::spawn("reader", move || {
            let mut reader = Reader { watch, webroot, past: Past::new(data) };
            reader.run(&asks, &to_loop);
        })?;
        Ok(Late { writer, reader, answers, is_ready: false, ending: Ending { thread, over } })
    }

    /// Has a job done; one that no thread is left for is answered here.
    pub(super) fn begin(&self, key: JobKey, job: Job) -> Option<Reply> {
        match job {
            Job::Write(entry) => self.writer.send((key, entry)).is_err().then_some(Reply::Written(Err(NotWritten))),
            Job::ReadChallenge(name) => {
                self.reader.try_send(Ask::Challenge(key, name)).is_err().then_some(Reply::Challenge(None))
            }
            Job::ReadSeen { since_ms, people_max } => {
                let ask = Ask::Seen(key, since_ms, people_max);
                self.reader.try_send(ask).is_err().then(|| Reply::Seen(Vec::new()))
            }
            Job::ReadHistory(query) => {
                self.reader.try_send(Ask::History(key, query)).is_err().then_some(Reply::History(None))
            }
        }
    }

    /// Has the watched files looked at.
    pub(super) fn look_again(&self) {
        // Where there is no room, one waits to be looked at already.
        let _ = self.reader.try_send(Ask::LookAgain);
    }

    /// Remembers that there may be answers.
    pub(super) fn on_event(&mut self) {
        self.is_ready = true;
    }

    /// Tells whether there may be answers.
    pub(super) fn is_ready(&self) -> bool {
        self.is_ready
    }

    /// Returns the next answer, if there is one.
    pub(super) fn next(&mut self) -> Option<Answer> {
        if !self.is_ready {
            return None;
        }
        let answer = self.answers.try_recv().ok();
        self.is_ready = answer.is_some();
        answer
    }

    /// Waits until all is written that was to be, and no longer than that; the reader is left to itself.
    pub(super) fn end(self, within: Duration) {
        let Late { writer, answers, ending, .. } = self;
        // Nobody waits for answers any more, nor may the writer wait for somebody to take them.
        drop((writer, answers));
        match ending.over.recv_timeout(within) {
            Err(RecvTimeoutError::Timeout) => log::error!(target: "audit", "not all was written down in time"),
            // It told of a panic itself.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => drop(ending.thread.join()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::SystemTime;

    use mio::{Events, Poll};
    use slotmap::KeyData;
    use tempfile::TempDir;

    use super::*;
    use crate::audit::{EntryId, Event};

    const JOBS: u64 = 3 * ANSWERS_WAITING_MAX as u64;

    fn begin_all(late: &Late) {
        for number in 1..=JOBS {
            let event = Event::AccessRevoked { user_id: "ana".into(), role: "admin", of: None };
            let entry = Entry { id: EntryId(number), at: SystemTime::UNIX_EPOCH, event };
            assert!(late.begin(KeyData::from_ffi(number).into(), Job::Write(entry)).is_none());
        }
    }

    fn start() -> (TempDir, Poll, Late) {
        let poll = Poll::new().unwrap();
        let data = TempDir::new().unwrap();
        let (journal, problem) = Journal::open(data.path()).unwrap();
        assert!(problem.is_none(), "{problem:?}");
        let files = Files { watch: Watch::new(Vec::new()), webroot: None, reads_max: 1 };
        let late = Late::new(poll.registry(), Token(1), files, (journal, "".into())).unwrap();
        (data, poll, late)
    }

    #[test]
    fn each_job_is_answered_once_and_in_order() {
        let (_data, mut poll, mut late) = start();
        begin_all(&late);
        let mut events = Events::with_capacity(8);
        let mut answered = Vec::new();
        while answered.len() < JOBS as usize {
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "answers come without a word: {}", answered.len());
            late.on_event();
            while let Some(answer) = late.next() {
                let Answer::Reply(key, Reply::Written(Ok(()))) = answer else { panic!("{answer:?}") };
                answered.push(key);
            }
            assert!(!late.is_ready());
        }
        let want: Vec<JobKey> = (1..=JOBS).map(|number| KeyData::from_ffi(number).into()).collect();
        assert_eq!(answered, want);
    }

    #[test]
    fn the_end_waits_for_what_is_to_be_written_though_nobody_takes_the_answers() {
        let (_data, _poll, late) = start();
        begin_all(&late);
        late.end(Duration::from_secs(10));
    }

    #[test]
    fn files_are_read_and_none_is_without_a_directory() {
        let (_data, mut poll, mut late) = start();
        let key = KeyData::from_ffi(1).into();
        assert!(late.begin(key, Job::ReadChallenge("token".into())).is_none());
        poll.poll(&mut Events::with_capacity(8), Some(Duration::from_secs(10))).unwrap();
        late.on_event();
        let answer = late.next();
        assert!(matches!(answer, Some(Answer::Reply(_, Reply::Challenge(None)))), "{answer:?}");
    }
}
