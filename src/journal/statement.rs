//! What a command or a purge hands in, signed with the key: it becomes an entry, or tells of a purge beside an export.
//!
//! Invariant: what is read is what was signed, byte by byte.

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};

use super::{Signer, VerifyKey};
use crate::audit::{JOURNAL_PURGED, PurgeCause};

/// A longer one is none, in bytes: the longest says which rows were purged.
pub const STATEMENT_BYTES_MAX: usize = 64 << 10;

/// What is said, with the fields of the entry that it becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Statement {
    /// Drawn by chance, in hexadecimal.
    #[serde(rename = "handed_in")]
    pub id: String,
    pub at_ms: u64,
    pub event: String,
    #[serde(rename = "actor")]
    pub by: String,
    #[serde(rename = "commercial_id")]
    pub person: String,
    pub detail: String,
    /// Of a purge.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rows: Option<String>,
}

/// A statement, and who made it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signed {
    /// In JSON.
    pub statement: String,
    pub signature: Vec<u8>,
}

impl Statement {
    /// Has it signed.
    pub fn sign(&self, key: &Signer) -> Signed {
        let statement = serde_json::to_string(self).unwrap_or_default();
        let signature = key.sign_statement(&statement);
        Signed { statement, signature }
    }

    /// Returns what an entry was made of that is stored so, where a signature is in it.
    pub fn of_entry(stored: &str) -> Option<Signed> {
        #[derive(Deserialize)]
        struct Signature {
            signature: String,
        }
        let statement: Statement = serde_json::from_str(stored).ok()?;
        let Signature { signature } = serde_json::from_str(stored).ok()?;
        let statement = serde_json::to_string(&statement).ok()?;
        Some(Signed { statement, signature: BASE64.decode(signature).ok()? })
    }

    /// Returns why rows were purged and which, where that is what it says.
    pub fn purged(&self) -> Option<(PurgeCause, &str)> {
        let rows = self.rows.as_deref().filter(|_| self.event == JOURNAL_PURGED)?;
        Some((PurgeCause::said(&self.detail)?, rows))
    }
}

impl Signed {
    /// Returns what is said, where it was signed with this key.
    pub fn open(&self, key: &VerifyKey) -> Option<Statement> {
        let is_signed = key.has_signed(&self.statement, &self.signature);
        is_signed.then(|| serde_json::from_str(&self.statement).ok()).flatten()
    }

    /// Returns the signature in base64.
    pub fn signature(&self) -> String {
        BASE64.encode(&self.signature)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_signed_is_found_again_in_its_entry() {
        let key = Signer::from_pkcs8(&Signer::generate().expect("there is chance")).expect("it is a key");
        let statement = Statement {
            id: "00000000000000cd".into(),
            at_ms: 5,
            event: JOURNAL_PURGED.into(),
            by: String::new(),
            person: String::new(),
            detail: "due".into(),
            rows: Some("1-2 5".into()),
        };
        let signed = statement.sign(&key);
        assert_eq!(signed.open(&key.verify_key()), Some(statement.clone()));
        assert_eq!(statement.purged(), Some((PurgeCause::Due, "1-2 5")));
        let entry = |rows: &str| {
            format!(
                r#"{{"at_ms":5,"event":"journal_purged","actor":"","commercial_id":"","detail":"due","times":3,"rows":"{rows}","signature":"{}","handed_in":"00000000000000cd"}}"#,
                signed.signature()
            )
        };
        assert_eq!(Statement::of_entry(&entry("1-2 5")), Some(signed.clone()));
        let edited = Statement::of_entry(&entry("1-5")).expect("it is one");
        assert_eq!(edited.open(&key.verify_key()), None, "that was not signed");
        assert_eq!(Statement::of_entry(r#"{"event":"journal_purged"}"#), None);
        let deed = Statement { event: "report_made".into(), ..statement };
        assert_eq!(deed.purged(), None);
    }
}
