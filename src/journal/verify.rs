//! Goes through rows and notes, and stops at the first thing that is wrong.
//!
//! Reads nothing itself: rows come one by one, in the order of their numbers, notes all before them. Which rows were purged
//! an entry behind them says. Invariant: it holds no more than the chain, the notes that are still ahead, and which rows were
//! purged without a word so far.

use std::collections::BTreeMap;

use super::{CHAIN_BEGIN, Checkpoint, Hash, Numbers, Row, Statement, chained, leaf_of};
use crate::audit::{JOURNAL_PURGED, PurgeCause};

/// What is wrong, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("entry {number}: {wrong}")]
pub struct Fault {
    /// The first entry that is not as it was; where a range is meant, its first.
    pub number: u64,
    pub wrong: Wrong,
}

/// What may be wrong with a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    #[error("it was removed")]
    Removed,
    #[error("it was edited: it is not what its seal was made of")]
    Edited,
    #[error(
        "it was not written here: its seal does not follow from those before it (reordered, inserted or replaced)"
    )]
    Reordered,
    #[error(
        "it or one before it was replaced, and all seals behind it made anew: the note signed after entry {signed} says otherwise"
    )]
    Rewritten { signed: u64 },
    #[error("the journal ends before it, and a note was signed after entry {signed}: it was cut")]
    Cut { signed: u64 },
    #[error("no note is signed for it, nor for what stands behind it")]
    Unsigned,
    #[error(
        "the journal ends before it, and the note that was shown was signed after entry {signed}: it was rolled back"
    )]
    RolledBack { signed: u64 },
    #[error("it was purged, and nothing says so")]
    PurgedUnsaid,
}

/// What was found where nothing is wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Verdict {
    pub entries: u64,
    /// How many of them were purged.
    pub purged: u64,
    /// How many of those were gone when purges began to say which ones they take.
    pub purged_earlier: u64,
    /// Of how many nothing says so, in a journal of a version that did not yet.
    pub purged_unsaid: u64,
    /// The last entry that a note was signed after.
    pub signed: u64,
}

/// Fields of entries that were written when purges said which rows they take.
const TOLD: [&str; 2] = ["\"format\":", "\"handed_in\":"];

/// Goes through a journal.
#[derive(Debug)]
pub struct Verifier {
    number: u64,
    chain: Hash,
    verdict: Verdict,
    /// What notes say, by size, of what is still to come.
    notes: BTreeMap<u64, Hash>,
    /// What somebody shows who got it from the journal earlier.
    shown: Option<Checkpoint>,
    /// Rows that were purged, and nothing says so yet.
    unsaid: Numbers,
    /// Whether each purge has to be told.
    tells_purges: bool,
    /// Whether a purge has told which rows it took.
    has_told: bool,
    /// The first row that was written when purges did so.
    told_from: Option<u64>,
}

impl Verifier {
    /// Begins with a journal's first row.
    pub fn new() -> Verifier {
        Verifier::after(0, CHAIN_BEGIN)
    }

    /// Begins with the first row of a journal that was written before purges said which rows they take.
    pub fn of_older_version() -> Verifier {
        Verifier { tells_purges: false, ..Verifier::new() }
    }

    /// Begins behind so many rows, whose chain is said to be there.
    pub fn after(number: u64, chain: Hash) -> Verifier {
        Verifier {
            number,
            chain,
            verdict: Verdict { signed: number, ..Verdict::default() },
            notes: BTreeMap::new(),
            shown: None,
            unsaid: Numbers::default(),
            tells_purges: true,
            has_told: false,
            told_from: None,
        }
    }

    /// Takes what a note of the journal says, whose signature is good.
    ///
    /// # Errors
    /// [`Wrong::Rewritten`], where another one says something else of the same entry.
    pub fn expect(&mut self, note: Checkpoint) -> Result<(), Fault> {
        if note.size < self.number {
            return Ok(());
        }
        let known = *self.notes.entry(note.size).or_insert(note.chain);
        if known == note.chain { Ok(()) } else { Err(rewritten(self.verdict.signed, note.size)) }
    }

    /// Takes what a note says that was kept elsewhere.
    ///
    /// # Errors
    /// See [`Verifier::expect`].
    pub fn expect_shown(&mut self, note: Checkpoint) -> Result<(), Fault> {
        self.shown = Some(note);
        self.expect(note)
    }

    /// Takes the next row.
    ///
    /// # Errors
    /// [`Fault`], and there is no sense in going on.
    pub fn take(&mut self, row: &Row) -> Result<(), Fault> {
        self.check_note()?;
        let number = self.number.saturating_add(1);
        if row.number != number {
            return Err(Fault { number, wrong: Wrong::Removed });
        }
        match &row.kept {
            Some((salt, stored)) if leaf_of(salt, stored) != row.leaf => {
                return Err(Fault { number, wrong: Wrong::Edited });
            }
            Some((_, stored)) => self.take_purge(number, stored),
            None => {
                self.verdict.purged += 1;
                self.unsaid.add(number);
            }
        }
        let chain = chained(&self.chain, &row.leaf);
        if chain != row.chain {
            return Err(Fault { number, wrong: Wrong::Reordered });
        }
        (self.number, self.chain) = (number, chain);
        self.verdict.entries += 1;
        Ok(())
    }

    /// Takes what was signed of a purge, where that is no row, or none of those that are shown.
    pub fn take_said(&mut self, why: PurgeCause, rows: &str) {
        let Some(rows) = Numbers::parse(rows) else { return };
        match why {
            PurgeCause::Due | PurgeCause::Person => {
                self.has_told = true;
                self.unsaid.take_out(&rows);
            }
            // Not for whoever makes a journal look older than it is, so that the next server moves it on again.
            PurgeCause::Earlier if self.has_told => {}
            PurgeCause::Earlier => {
                let rows = rows.below(self.told_from.unwrap_or(u64::MAX));
                self.verdict.purged_earlier += self.unsaid.take_out(&rows);
            }
        }
    }

    /// There are no more rows.
    ///
    /// # Errors
    /// [`Fault`], where a note was signed after more.
    pub fn end(mut self) -> Result<Verdict, Fault> {
        self.check_note()?;
        let number = self.number.saturating_add(1);
        if let Some(Checkpoint { size: signed, .. }) = self.shown.filter(|shown| shown.size > self.number) {
            return Err(Fault { number, wrong: Wrong::RolledBack { signed } });
        }
        match self.notes.last_key_value() {
            Some((&signed, _)) => Err(Fault { number, wrong: Wrong::Cut { signed } }),
            None if self.verdict.signed < self.number => {
                Err(Fault { number: self.verdict.signed + 1, wrong: Wrong::Unsigned })
            }
            None => {
                self.verdict.purged_unsaid = self.unsaid.count();
                match self.unsaid.first().filter(|_| self.tells_purges) {
                    Some(number) => Err(Fault { number, wrong: Wrong::PurgedUnsaid }),
                    None => Ok(self.verdict),
                }
            }
        }
    }

    /// Takes what an entry says of a purge, if it does.
    fn take_purge(&mut self, number: u64, stored: &str) {
        // Within a text there is another character before the second quotation mark.
        if self.told_from.is_none() && TOLD.iter().any(|field| stored.contains(field)) {
            self.told_from = Some(number);
        }
        if !stored.contains(JOURNAL_PURGED) {
            return;
        }
        // With more fields than were signed.
        let said: Option<Statement> = serde_json::from_str(stored).ok();
        if let Some((why, rows)) = said.as_ref().and_then(Statement::purged) {
            self.take_said(why, rows);
        }
    }

    /// Compares the chain with the note that was signed where it is now.
    fn check_note(&mut self) -> Result<(), Fault> {
        let Some(signed) = self.notes.remove(&self.number) else { return Ok(()) };
        if signed != self.chain {
            return Err(rewritten(self.verdict.signed, self.number));
        }
        self.verdict.signed = self.number;
        Ok(())
    }
}

impl Default for Verifier {
    fn default() -> Verifier {
        Verifier::new()
    }
}

/// The chain is not where a note says, and was where the one before says.
fn rewritten(last_good: u64, signed: u64) -> Fault {
    Fault { number: last_good + 1, wrong: Wrong::Rewritten { signed } }
}

#[cfg(test)]
mod tests {
    use super::super::{SALT_BYTES, seal};
    use super::*;

    fn rows_of(count: u64, word: &str) -> Vec<Row> {
        let mut chain = CHAIN_BEGIN;
        (1..=count)
            .map(|number| {
                let row = seal(number, &chain, [number as u8; SALT_BYTES], format!("{word} {number}"));
                chain = row.chain;
                row
            })
            .collect()
    }

    fn note(rows: &[Row], size: u64) -> Checkpoint {
        Checkpoint { size, chain: rows[size as usize - 1].chain }
    }

    fn verify(rows: &[Row], notes: &[Checkpoint], shown: Option<Checkpoint>) -> Result<Verdict, Fault> {
        let mut verifier = Verifier::new();
        notes.iter().try_for_each(|&note| verifier.expect(note))?;
        shown.map_or(Ok(()), |shown| verifier.expect_shown(shown))?;
        rows.iter().try_for_each(|row| verifier.take(row))?;
        verifier.end()
    }

    #[test]
    fn a_journal_that_nobody_touched_is_good_with_and_without_what_was_purged() {
        let mut rows = rows_of(9, "entry");
        let notes = [note(&rows, 4), note(&rows, 9)];
        let good = Verdict { entries: 9, signed: 9, ..Verdict::default() };
        assert_eq!(verify(&rows, &notes, None), Ok(good));
        assert_eq!(verify(&[], &[], None), Ok(Verdict::default()));
        for number in [2, 3, 6] {
            rows[number - 1].kept = None;
        }
        append(&mut rows, purge("due", "2-3 6"));
        let (notes, shown) = ([notes[0], note(&rows, 10)], note(&rows, 7));
        let purged = Verdict { entries: 10, purged: 3, signed: 10, ..Verdict::default() };
        assert_eq!(verify(&rows, &notes, Some(shown)), Ok(purged));
    }

    fn append(rows: &mut Vec<Row>, stored: String) {
        let (number, chain) = (rows.len() as u64 + 1, rows.last().map_or(CHAIN_BEGIN, |row| row.chain));
        rows.push(seal(number, &chain, [number as u8; SALT_BYTES], stored));
    }

    fn purge(detail: &str, rows: &str) -> String {
        format!(
            r#"{{"at_ms":1,"event":"journal_purged","actor":"","commercial_id":"","detail":"{detail}","rows":"{rows}","handed_in":"1"}}"#
        )
    }

    #[test]
    fn what_was_purged_and_nothing_says_so_is_named() {
        let earlier = PurgeCause::Earlier.words();
        let no_purge = purge("due", "3 5")
            .replacen("journal_purged", "registered", 1)
            .replace("{", r#"{"name":"journal_purged","#);
        let started = r#"{"event":"server_started","format":3}"#.to_owned();
        let cases: [(&str, &[u64], Vec<String>, Result<(u64, u64), u64>); 12] = [
            ("told", &[3, 5], vec![purge("due", "3 5")], Ok((2, 0))),
            ("told twice", &[3, 5], vec![purge("of one person", "3"), purge("due", "1-5")], Ok((2, 0))),
            ("told of others", &[3, 5], vec![purge("due", "1-2 4 6")], Err(3)),
            ("told of some", &[3, 5], vec![purge("due", "3")], Err(5)),
            ("told of what comes later", &[3, 11], vec![purge("due", "3 11"), "an entry".into()], Err(11)),
            ("not told", &[3], vec!["an entry".into()], Err(3)),
            ("told by something else", &[3, 5], vec![no_purge], Err(3)),
            ("told for no reason", &[3], vec![purge("why not", "3")], Err(3)),
            ("from before", &[3, 5], vec![purge(earlier, "3 5")], Ok((2, 2))),
            (
                "from before, and after that a start",
                &[3, 5],
                vec![purge(earlier, "3 5"), started.clone()],
                Ok((2, 2)),
            ),
            (
                "from before, and it was not",
                &[3, 11],
                vec![started, "an entry".into(), purge(earlier, "3 11")],
                Err(11),
            ),
            ("from before, a second time", &[3, 5], vec![purge("due", "3"), purge(earlier, "5")], Err(5)),
        ];
        for (name, purged, said, want) in cases {
            let mut rows = rows_of(9, "entry");
            said.into_iter().for_each(|stored| append(&mut rows, stored));
            for &number in purged {
                rows[number as usize - 1].kept = None;
            }
            let notes = [note(&rows, rows.len() as u64)];
            let found = verify(&rows, &notes, None).map(|verdict| (verdict.purged, verdict.purged_earlier));
            let want = want.map_err(|number| Fault { number, wrong: Wrong::PurgedUnsaid });
            assert_eq!(found, want, "{name}");
        }
    }

    #[test]
    fn what_is_signed_beside_the_rows_says_it_too() {
        let mut rows = rows_of(9, "entry");
        rows[6].kept = None;
        for begin in [0, 4] {
            let verify = |said: &str| {
                let chain = rows[..begin].last().map_or(CHAIN_BEGIN, |row| row.chain);
                let mut verifier = Verifier::after(begin as u64, chain);
                verifier.expect(note(&rows, 9)).expect("it is the first");
                rows[begin..].iter().for_each(|row| verifier.take(row).expect("it is good"));
                verifier.take_said(PurgeCause::Person, said);
                verifier.end()
            };
            assert_eq!(verify("2 7").map(|verdict| verdict.purged), Ok(1), "{begin}");
            assert_eq!(verify("6"), Err(Fault { number: 7, wrong: Wrong::PurgedUnsaid }), "{begin}");
        }
    }

    #[test]
    fn whatever_is_changed_is_named_with_its_place() {
        type Tampering = fn(&mut Vec<Row>);
        let good = rows_of(9, "entry");
        let notes = [note(&good, 4), note(&good, 9)];
        let cases: [(&str, Tampering, u64, Wrong); 10] = [
            ("text", |rows| rows[4].kept.as_mut().unwrap().1.push('!'), 5, Wrong::Edited),
            ("salt", |rows| rows[4].kept.as_mut().unwrap().0[0] ^= 1, 5, Wrong::Edited),
            ("leaf", |rows| rows[4].leaf[0] ^= 1, 5, Wrong::Edited),
            ("chain", |rows| rows[4].chain[0] ^= 1, 5, Wrong::Reordered),
            ("leaf of what was purged", |rows| (rows[4].kept, rows[4].leaf) = (None, [1; 32]), 5, Wrong::Reordered),
            ("removed", |rows| drop(rows.remove(4)), 5, Wrong::Removed),
            (
                "two salts",
                |rows| {
                    let [a, b] = [4, 6].map(|at: usize| rows[at].kept.as_ref().unwrap().0);
                    rows[4].kept.as_mut().unwrap().0 = b;
                    rows[6].kept.as_mut().unwrap().0 = a;
                },
                5,
                Wrong::Edited,
            ),
            (
                "two entries",
                |rows| {
                    let (a, b) = (rows[4].clone(), rows[6].clone());
                    (rows[4].kept, rows[4].leaf) = (b.kept, b.leaf);
                    (rows[6].kept, rows[6].leaf) = (a.kept, a.leaf);
                },
                5,
                Wrong::Reordered,
            ),
            ("cut", |rows| rows.truncate(6), 7, Wrong::Cut { signed: 9 }),
            ("made anew", |rows| *rows = rows_of(9, "other"), 1, Wrong::Rewritten { signed: 4 }),
        ];
        for (name, tamper, number, wrong) in cases {
            let mut rows = good.clone();
            tamper(&mut rows);
            assert_eq!(verify(&rows, &notes, None), Err(Fault { number, wrong }), "{name}");
        }
    }

    #[test]
    fn what_was_cut_with_its_notes_is_found_by_who_kept_one() {
        let rows = rows_of(9, "entry");
        let (kept, early) = (note(&rows, 9), note(&rows, 4));
        assert!(verify(&rows[..4], &[early], None).is_ok());
        let fault = Fault { number: 5, wrong: Wrong::RolledBack { signed: 9 } };
        assert_eq!(verify(&rows[..4], &[early], Some(kept)), Err(fault));
        // And one of another history.
        let other = Checkpoint { size: 3, chain: [9; 32] };
        let fault = Fault { number: 1, wrong: Wrong::Rewritten { signed: 3 } };
        assert_eq!(verify(&rows, &[], Some(other)), Err(fault));
    }

    #[test]
    fn what_is_shown_may_begin_in_the_middle() {
        let rows = rows_of(9, "entry");
        let mut verifier = Verifier::after(4, rows[3].chain);
        for size in [2, 4, 9] {
            assert_eq!(verifier.expect(note(&rows, size)), Ok(()));
        }
        rows[4..].iter().for_each(|row| verifier.take(row).expect("it is good"));
        assert_eq!(verifier.end(), Ok(Verdict { entries: 5, signed: 9, ..Verdict::default() }));
    }
}
