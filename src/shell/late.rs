//! The threads that do what may block, and the way of their answers back to the loop.
//!
//! The *writer* makes entries durable, in order; the *reader* reads files and the journal. What a job is for is the core's,
//! which has so many of them done at one time as it has credit: a send never blocks the loop, and the queue of jobs is as
//! long as that. Invariant: each job that was taken is answered once, where its thread lives.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, SyncSender, channel, sync_channel};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use mio::{Registry, Token, Waker};

use super::reader::{Ask, Reader};
use super::writer;
use crate::audit::Entry;
use crate::host::journal::Journal;
use crate::host::threads;
use crate::host::watch::{Purpose, Watch};
use crate::keys::JobKey;
use crate::outbox::{Job, JournalState, NotWritten, Reply};
use crate::words::JournalFault;

/// How many answers wait for the loop; a thread that has another one waits.
const ANSWERS_WAITING_MAX: usize = 256;

/// What comes back to the loop.
#[derive(Debug)]
pub(super) enum Answer {
    Reply(JobKey, Reply),
    /// What files have become that are watched.
    Changed(Vec<(Purpose, Vec<u8>)>),
    /// How the journal is.
    Journal(JournalState),
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

/// Tells of a writer that a panic ends: whatever waits is not written any more.
struct Lost(Answers);

impl Drop for Lost {
    fn drop(&mut self) {
        if thread::panicking() {
            let fault = Some(JournalFault::Other);
            self.0.send(Answer::Journal(JournalState { fault, ..JournalState::default() }));
        }
    }
}

/// The way back, as a thread sees it.
#[derive(Clone)]
pub(super) struct Answers {
    sender: SyncSender<Answer>,
    waker: Arc<Waker>,
}

impl Answers {
    /// Returns a way to nobody's loop.
    #[cfg(test)]
    pub(super) fn of_test() -> (Answers, Receiver<Answer>, mio::Poll) {
        let (poll, (sender, inbox)) = (mio::Poll::new().expect("there is one"), sync_channel(ANSWERS_WAITING_MAX));
        let waker = Waker::new(poll.registry(), Token(1)).expect("there is one");
        (Answers { sender, waker: Arc::new(waker) }, inbox, poll)
    }

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
        let past = journal.past();
        let (sender, answers) = sync_channel(ANSWERS_WAITING_MAX);
        let to_loop = Answers { sender, waker: Arc::new(Waker::new(registry, token)?) };
        let (writer, entries) = channel();
        let (alive, over) = channel::<()>();
        let of_writer = to_loop.clone();
        let thread = threads::spawn("writer", move || {
            let (_alive, _lost) = (alive, Lost(of_writer.clone()));
            writer::run(&entries, journal, options, &of_writer);
        })?;
        // And one that asks to look at files.
        let (reader, asks) = sync_channel(reads_max + 1);
        threads::spawn("reader", move || {
            let mut reader = Reader { watch, webroot, past };
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
            Job::ProveNote(note) => {
                self.reader.try_send(Ask::Prove(key, note)).is_err().then_some(Reply::NoteProved(None))
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

    /// Waits until all is written that was to be, and no longer than that; the reader is left to itself. `waiting` is how
    /// many entries are not known to be durable.
    pub(super) fn end(self, waiting: usize, within: Duration) {
        let Late { writer, answers, ending, .. } = self;
        // Nobody waits for answers any more, nor may the writer wait for somebody to take them.
        drop((writer, answers));
        match ending.over.recv_timeout(within) {
            Err(RecvTimeoutError::Timeout) if waiting == 0 => {
                log::warn!(target: "audit", "the disk is slow, and the end may not be written down; all before it is");
            }
            Err(RecvTimeoutError::Timeout) => log::error!(
                target: "audit",
                "the disk does not answer, and the last entries may not be written down: count={waiting}"
            ),
            // It told of a panic itself.
            Ok(()) | Err(RecvTimeoutError::Disconnected) => drop(ending.thread.join()),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::time::SystemTime;

    use mio::{Events, Poll};
    use slotmap::KeyData;
    use tempfile::TempDir;

    use super::*;
    use crate::audit::{EntryId, Event, Listening, ListeningId};
    use crate::outbox::Proof;
    use crate::shell::monotonic;

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
                match answer {
                    Answer::Reply(key, Reply::Written(Ok(()))) => answered.push(key),
                    Answer::Journal(state) => assert_eq!(state.fault, None),
                    answer => panic!("{answer:?}"),
                }
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
        late.end(JOBS as usize, Duration::from_secs(10));
    }

    #[test]
    fn the_end_is_prompt_where_nothing_waits() {
        let (_data, _poll, late) = start();
        let begin = monotonic();
        late.end(0, Duration::from_secs(10));
        assert!(monotonic() - begin < Duration::from_secs(5));
    }

    /// Nothing waits that would show that it is over, once the gate is refused.
    #[test]
    fn a_journal_that_fails_is_told_before_who_is_refused_and_when_it_is_over() {
        let (data, mut poll, mut late) = start();
        let writer = late.writer.clone();
        let mut next = || loop {
            if let Some(answer) = late.next() {
                return answer;
            }
            let mut events = Events::with_capacity(8);
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(!events.is_empty(), "nothing is told");
            late.on_event();
        };
        let first = next();
        assert!(
            matches!(
                first,
                Answer::Journal(JournalState {
                    entries: 1,
                    fault: None,
                    restored: None,
                    free_bytes: Some(_),
                    bytes: 1..
                })
            ),
            "{first:?}"
        );
        let [path, away] = ["journal.db", "away"].map(|name| data.path().join(name));
        fs::rename(&path, &away).unwrap();
        let listening = Listening {
            id: ListeningId(1),
            admin_id: "ana".into(),
            admin_name: "Ana".into(),
            looks_like: None,
            commercial_id: "lea".into(),
            reason: "formation".into(),
        };
        let event = Event::ListenAnnounced { listening: Arc::new(listening), is_device: false };
        let entry = Entry { id: EntryId(1), at: SystemTime::UNIX_EPOCH, event };
        let key: JobKey = KeyData::from_ffi(1).into();
        assert!(writer.send((key, entry)).is_ok());
        let [told, refused] = [next(), next()];
        let fault = Some(JournalFault::Replaced);
        assert!(matches!(told, Answer::Journal(state) if state.fault == fault), "{told:?}");
        assert!(matches!(refused, Answer::Reply(of, Reply::Written(Err(NotWritten))) if of == key), "{refused:?}");
        fs::rename(&away, &path).unwrap();
        let over = next();
        assert!(matches!(over, Answer::Journal(JournalState { fault: None, .. })), "{over:?}");
    }

    #[test]
    fn pages_are_told_the_newest_note_and_where_theirs_is() {
        let (_data, mut poll, mut late) = start();
        let mut events = Events::with_capacity(8);
        let mut ask = |job: Job| {
            assert!(late.begin(KeyData::from_ffi(1).into(), job).is_none());
            loop {
                match late.next() {
                    Some(Answer::Reply(_, reply)) => return reply,
                    // The writer says how the journal is, in its own time.
                    Some(Answer::Journal(_)) => {}
                    Some(answer) => panic!("{answer:?}"),
                    None => {
                        poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
                        assert!(!events.is_empty(), "nothing is told");
                        late.on_event();
                    }
                }
            }
        };
        let entry = Entry { id: EntryId(1), at: SystemTime::UNIX_EPOCH, event: Event::ServerEnded };
        assert!(matches!(ask(Job::Write(entry)), Reply::Written(Ok(()))));
        let mut prove = |note: Option<String>| match ask(Job::ProveNote(note)) {
            Reply::NoteProved(Some(proved)) => proved,
            reply => panic!("{reply:?}"),
        };
        let note = prove(None).newest.expect("what was written is signed");
        let proved = prove(Some(note)).proof;
        assert!(matches!(proved, Some(Proof::Contained { .. })), "{proved:?}");
        assert_eq!(prove(Some("none".to_owned())).proof, Some(Proof::Unreadable));
    }

    #[test]
    fn files_are_read_and_none_is_without_a_directory() {
        let (_data, mut poll, mut late) = start();
        let key = KeyData::from_ffi(1).into();
        assert!(late.begin(key, Job::ReadChallenge("token".into())).is_none());
        let answer = loop {
            match late.next() {
                Some(Answer::Journal(_)) => {}
                Some(answer) => break answer,
                None => {
                    poll.poll(&mut Events::with_capacity(8), Some(Duration::from_secs(10))).unwrap();
                    late.on_event();
                }
            }
        };
        assert!(matches!(answer, Answer::Reply(_, Reply::Challenge(None))), "{answer:?}");
    }
}
