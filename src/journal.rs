//! What binds the rows of the journal to each other, so that nobody changes one unseen.
//!
//! ```text
//! leaf(n)  = SHA-256(salt(n) ‖ entry(n) as stored)
//! chain(n) = SHA-256(chain(n − 1) ‖ leaf(n)),   chain(0) = 32 zeros
//! ```
//!
//! A purge takes salt and entry away and leaves the leaf: the chain goes on to hold, and nobody can try what the entry may
//! have been; an entry of its own says of which rows, so that nobody else takes one away unseen. `note` signs where the chain is at some size, `verify` tells what is wrong with rows that somebody shows.
//! Invariant: what an entry is stored as is written here, once, and never read back to be written again.

mod export;
mod note;
mod numbers;
mod row;
mod statement;
mod verify;

pub use export::{LINE_BYTES_MAX, Line, LineError};
pub use note::{Checkpoint, NOTE_BYTES_MAX, NoteError, Signer, VerifyKey};
pub use numbers::Numbers;
pub use row::{CHAIN_BEGIN, Hash, Row, SALT_BYTES, Salt, chained, leaf_of, seal, stored};
pub use statement::{STATEMENT_BYTES_MAX, Signed, Statement};
pub use verify::{Fault, Verdict, Verifier, Wrong};
