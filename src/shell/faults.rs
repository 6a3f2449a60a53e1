//! What of the journal's writing fails: told once when it begins, and once when the same is done again.
//!
//! Tries nothing itself. Invariant: what failed is over once the same was done, and not before.

use crate::host::journal::JournalError;
use crate::words::JournalFault;

/// What the writer does with the journal, each of which may fail beside the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Part {
    /// It makes entries durable, without which nobody begins to hear anybody.
    Entries,
    /// It notes for good where the journal is.
    Note,
    /// It keeps a sign of life.
    Sign,
    /// It takes in what commands have done.
    HandedIn,
    /// It takes out what is too old.
    Purge,
}

impl Part {
    const ALL: [Part; 5] = [Part::Entries, Part::Note, Part::Sign, Part::HandedIn, Part::Purge];

    /// Returns what does not happen while it fails.
    fn words(self) -> &'static str {
        match self {
            Part::Entries => "nobody begins to hear anybody until that is over",
            Part::Note => "it is not noted for good where the journal is, until that is over",
            Part::Sign => "no sign of life is kept until that is over",
            Part::HandedIn => "what commands do is not written down until that is over",
            Part::Purge => "what is too old is kept until that is over",
        }
    }

    /// Returns what happens again once it does not fail.
    fn words_of_end(self) -> &'static str {
        match self {
            Part::Entries => "the journal is written again",
            Part::Note => "it is noted for good again where the journal is",
            Part::Sign => "a sign of life is kept again",
            Part::HandedIn => "what commands do is written down again",
            Part::Purge => "what is too old is purged again",
        }
    }
}

/// Why each part fails that does.
#[derive(Debug, Default)]
pub(super) struct Faults {
    of: [Option<JournalFault>; Part::ALL.len()],
}

impl Faults {
    /// Takes what came of a part; returns what the log is to say of it.
    pub(super) fn take(&mut self, part: Part, error: Option<&JournalError>) -> Option<String> {
        let failing = error.map(|error| (error.to_string(), error.fault()));
        let before = &mut self.of[part as usize];
        let said = match (&failing, &*before) {
            // Why nobody is heard is told anew where it is for another reason.
            (Some((error, fault)), Some(told)) if part == Part::Entries && fault != told => {
                Some(format!("{error}; {}", part.words()))
            }
            (Some((error, _)), None) => Some(format!("{error}; {}", part.words())),
            (None, Some(_)) => Some(part.words_of_end().to_owned()),
            (Some(_), Some(_)) | (None, None) => None,
        };
        *before = failing.map(|(_, fault)| fault);
        said
    }

    /// Returns why entries can't be written.
    pub(super) fn of_entries(&self) -> Option<JournalFault> {
        self.of[Part::Entries as usize]
    }

    /// Tells whether a part fails.
    pub(super) fn is_failing(&self, part: Part) -> bool {
        self.of[part as usize].is_some()
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    fn error(fault: JournalFault) -> JournalError {
        let error = format!("{fault:?}");
        JournalError::Unavailable { path: PathBuf::from("journal.db"), error, fault }
    }

    #[test]
    fn what_fails_is_over_once_the_same_is_done() {
        for part in Part::ALL {
            let mut faults = Faults::default();
            let said = faults.take(part, Some(&error(JournalFault::DiskFull))).expect("it is new");
            assert!(said.contains("DiskFull") && said.ends_with(part.words()), "{said}");
            for round in 0..10 {
                for other in Part::ALL.into_iter().filter(|other| *other != part) {
                    assert_eq!(faults.take(other, None), None, "{part:?}, {other:?}, {round}");
                }
                assert_eq!(faults.take(part, Some(&error(JournalFault::DiskFull))), None, "{part:?}, {round}");
                let is_heard = part != Part::Entries;
                assert_eq!(faults.of_entries().is_none(), is_heard, "{part:?}");
            }
            assert_eq!(faults.take(part, None).as_deref(), Some(part.words_of_end()));
            assert_eq!((faults.take(part, None), faults.of_entries()), (None, None));
        }
    }

    #[test]
    fn why_nobody_is_heard_is_told_anew_for_another_reason() {
        let mut faults = Faults::default();
        let cases = [
            (JournalFault::DiskFull, true, true),
            (JournalFault::Other, true, false),
            (JournalFault::Other, false, false),
        ];
        for (fault, entries, chore) in cases {
            let error = error(fault);
            assert_eq!(faults.take(Part::Entries, Some(&error)).is_some(), entries, "{fault:?}");
            assert_eq!(faults.take(Part::Sign, Some(&error)).is_some(), chore, "{fault:?}");
        }
    }
}
