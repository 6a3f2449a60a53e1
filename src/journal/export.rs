//! A journal as lines of JSON, which can be verified elsewhere: first what it is of, then its notes, then its rows, and then
//! what was signed of purges that took some of those rows later.
//!
//! ```text
//! {"journal":"ecoute","key":"…","after":4,"chain":"…"}
//! {"note":"ecoute-journal\n9\n…"}
//! {"number":5,"entry":"{…}","salt":"…","leaf":"…","chain":"…"}
//! {"purge":"{…}","signature":"…"}
//! ```
//!
//! Hashes are in base64; a purged row has neither `entry` nor `salt`. Invariant: what is read back is what was written.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Checkpoint, Row, Signed, VerifyKey};

/// The longest line, in bytes: an entry in JSON in JSON.
pub const LINE_BYTES_MAX: usize = 128 * 1024;

/// One line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Line {
    /// Whose it is, and what stood before the first row.
    Begin {
        key: VerifyKey,
        after: Checkpoint,
    },
    Note(String),
    Row(Row),
    Purge(Signed),
}

/// Why a line is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("it is no line of an export")]
pub struct LineError;

#[derive(Serialize, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Written<'a> {
    Begin { journal: &'a str, key: String, after: u64, chain: String },
    Note { note: String },
    Purge { purge: String, signature: String },
    Kept { number: u64, entry: String, salt: String, leaf: String, chain: String },
    Purged { number: u64, leaf: String, chain: String },
}

/// What `journal` says.
const PROGRAM: &str = "ecoute";

impl Line {
    /// Writes the line, without its end.
    pub fn to_json(&self) -> String {
        let written = match self {
            Line::Begin { key, after } => Written::Begin {
                journal: PROGRAM,
                key: key.to_string(),
                after: after.size,
                chain: BASE64.encode(after.chain),
            },
            Line::Note(note) => Written::Note { note: note.clone() },
            Line::Purge(signed) => {
                Written::Purge { purge: signed.statement.clone(), signature: BASE64.encode(&signed.signature) }
            }
            Line::Row(Row { number, kept, leaf, chain }) => {
                let (number, leaf, chain) = (*number, BASE64.encode(leaf), BASE64.encode(chain));
                match kept {
                    Some((salt, entry)) => {
                        Written::Kept { number, entry: entry.clone(), salt: BASE64.encode(salt), leaf, chain }
                    }
                    None => Written::Purged { number, leaf, chain },
                }
            }
        };
        serde_json::to_string(&written).unwrap_or_default()
    }

    /// Reads a line.
    ///
    /// # Errors
    /// [`LineError`].
    pub fn parse(line: &str) -> Result<Line, LineError> {
        let read = || {
            Some(match serde_json::from_str(line).ok()? {
                Written::Begin { journal, key, after, chain } if journal == PROGRAM => Line::Begin {
                    key: VerifyKey::parse(&key)?,
                    after: Checkpoint { size: after, chain: bytes(&chain)? },
                },
                Written::Begin { .. } => return None,
                Written::Note { note } => Line::Note(note),
                Written::Purge { purge: statement, signature } => {
                    Line::Purge(Signed { statement, signature: BASE64.decode(signature).ok()? })
                }
                Written::Kept { number, entry, salt, leaf, chain } => Line::Row(Row {
                    number,
                    kept: Some((bytes(&salt)?, entry)),
                    leaf: bytes(&leaf)?,
                    chain: bytes(&chain)?,
                }),
                Written::Purged { number, leaf, chain } => {
                    Line::Row(Row { number, kept: None, leaf: bytes(&leaf)?, chain: bytes(&chain)? })
                }
            })
        };
        read().ok_or(LineError)
    }
}

fn bytes<const N: usize>(text: &str) -> Option<[u8; N]> {
    BASE64.decode(text).ok()?.try_into().ok()
}

#[cfg(test)]
mod tests {
    use super::super::{CHAIN_BEGIN, SALT_BYTES, Signer, seal};
    use super::*;

    #[test]
    fn each_line_is_read_back_and_nothing_else_is() {
        let signer = Signer::from_pkcs8(&Signer::generate().expect("there is chance")).expect("it is a key");
        let row = seal(5, &CHAIN_BEGIN, [7; SALT_BYTES], r#"{"at_ms":1,"reason":"é\n"}"#.into());
        let after = Checkpoint { size: 4, chain: [9; 32] };
        let lines = [
            Line::Begin { key: signer.verify_key(), after },
            Line::Note(signer.sign(after)),
            Line::Row(Row { kept: None, ..row.clone() }),
            Line::Row(row),
            Line::Purge(Signed { statement: "{}".into(), signature: signer.sign_statement("{}") }),
        ];
        for line in lines {
            let json = line.to_json();
            assert!(!json.contains('\n'), "{json}");
            assert_eq!(Line::parse(&json), Ok(line));
            assert_eq!(Line::parse(&json[..json.len() - 1]), Err(LineError));
            assert_eq!(Line::parse(&json.replacen('{', "{\"more\":1,", 1)), Err(LineError));
        }
        assert_eq!(Line::parse(""), Err(LineError));
    }
}
