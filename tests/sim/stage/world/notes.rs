//! The journal as it is read: what it proves to pages, and as late as a scenario wants.
//!
//! It keeps where the chain is after each entry. Invariant: each proof that is asked for is answered once, unless the server is
//! killed first.

use std::collections::VecDeque;
use std::sync::LazyLock;

use ecoute::audit::{Entry, HistoryDoubt};
use ecoute::journal::{CHAIN_BEGIN, Checkpoint, Hash, NoteError, SALT_BYTES, Signer, seal, stored};
use ecoute::keys::JobKey;
use ecoute::outbox::{Proof, Proved};

static KEYS: LazyLock<[Signer; 2]> = LazyLock::new(|| {
    [(); 2].map(|()| Signer::from_pkcs8(&Signer::generate().expect("there is chance")).expect("it is a key"))
});

#[derive(Default)]
pub struct Notes {
    /// Where it is after each entry.
    chains: Vec<Hash>,
    /// Answers nothing while it is.
    pub is_stuck: bool,
    /// Whether it can't be read.
    pub is_unreadable: bool,
    /// How many are asked for at one time, at the most.
    pub asked_max: usize,
    waiting: VecDeque<(JobKey, Option<String>)>,
}

impl Notes {
    /// Returns the note of its end.
    pub fn newest(&self) -> String {
        KEYS[0].sign(self.end())
    }

    /// Returns a note of its end that somebody else signed.
    pub fn newest_of_other_key(&self) -> String {
        KEYS[1].sign(self.end())
    }

    /// Takes its last entries away.
    pub fn cut(&mut self, entries: usize) {
        self.chains.truncate(self.chains.len() - entries);
    }

    /// Has its last entry be another one.
    pub fn replace_last(&mut self) {
        let last = self.chains.last_mut().expect("there is one");
        last[0] ^= 1;
    }

    /// Returns how many entries it has.
    pub fn size(&self) -> usize {
        self.chains.len()
    }

    pub(super) fn append(&mut self, entry: &Entry) {
        let Checkpoint { size, chain } = self.end();
        self.chains.push(seal(size + 1, &chain, [7; SALT_BYTES], stored(entry)).chain);
    }

    pub(super) fn take(&mut self, job: JobKey, note: Option<String>) {
        self.waiting.push_back((job, note));
        self.asked_max = self.asked_max.max(self.waiting.len());
    }

    /// Returns the next answer.
    pub(super) fn pop(&mut self) -> Option<(JobKey, Option<Proved>)> {
        let (job, note) = self.waiting.pop_front_if(|_| !self.is_stuck)?;
        let proved = Proved { newest: Some(self.newest()), proof: note.map(|note| self.proof_of(&note)) };
        Some((job, (!self.is_unreadable).then_some(proved)))
    }

    /// Makes it new: what waits is answered.
    pub(super) fn heal(&mut self) {
        (self.is_stuck, self.is_unreadable) = (false, false);
    }

    /// The server is killed: nobody waits for an answer any more.
    pub(super) fn forget(&mut self) {
        self.waiting.clear();
    }

    fn end(&self) -> Checkpoint {
        Checkpoint { size: self.chains.len() as u64, chain: *self.chains.last().unwrap_or(&CHAIN_BEGIN) }
    }

    fn proof_of(&self, note: &str) -> Proof {
        match KEYS[0].verify_key().open(note) {
            Err(NoteError::OtherKey) => Proof::OtherKey,
            Err(NoteError::Malformed | NoteError::Forged) => Proof::Unreadable,
            Ok(Checkpoint { size: 0, chain }) => Proof::Contained { chain },
            Ok(signed) => match self.chains.get(signed.size as usize - 1) {
                None => Proof::Doubted(HistoryDoubt::Missing),
                Some(&chain) if chain == signed.chain => Proof::Contained { chain },
                Some(_) => Proof::Doubted(HistoryDoubt::Different),
            },
        }
    }
}
