//! Signs where the chain is, as a C2SP signed note (c2sp.org/signed-note) with a text of our own.
//!
//! ```text
//! ecoute-journal            origin
//! 1234                      how many rows
//! base64(chain)             where the chain is after them
//!
//! — ecoute-journal base64(key id ‖ Ed25519 signature of the text above)
//! ```
//!
//! The key id is the first four bytes of SHA-256(name ‖ 0x0A ‖ 0x01 ‖ public key). Invariant: what is parsed is what was
//! signed, byte by byte; a note of another key, or of something else, says nothing.

use std::fmt;

use aws_lc_rs::digest::{SHA256, digest};
use aws_lc_rs::signature::{ED25519, Ed25519KeyPair, KeyPair, UnparsedPublicKey};
use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::Hash;

/// The origin of each note, and the name of its key.
const NAME: &str = "ecoute-journal";
/// What begins the line of a signature.
const SIGNATURE: &str = "— ";
/// The kind of key (c2sp.org/signed-note, Signatures).
const ED25519_KIND: u8 = 1;
const KEY_ID_BYTES: usize = 4;

/// What stands before whatever else is signed than notes, which none of them begins with.
const STATEMENT: &[u8] = b"ecoute-handed-in\n";

/// The longest note, in bytes: ours have about 200.
pub const NOTE_BYTES_MAX: usize = 1024;

/// Where the chain is after so many rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    pub size: u64,
    pub chain: Hash,
}

/// Why a text is no note of this journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    #[error("it is no note of a journal")]
    Malformed,
    #[error("it was signed with another key")]
    OtherKey,
    #[error("its signature does not fit it")]
    Forged,
}

/// The key that signs notes.
pub struct Signer {
    key: Ed25519KeyPair,
}

/// What notes are verified with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifyKey([u8; 32]);

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Signer")
    }
}

impl Signer {
    /// Returns a new key as PKCS #8; `None` where there is no randomness.
    pub fn generate() -> Option<Vec<u8>> {
        Ed25519KeyPair::generate_pkcs8(&aws_lc_rs::rand::SystemRandom::new()).ok().map(|key| key.as_ref().to_vec())
    }

    /// Returns the signer that a key in PKCS #8 makes; `None` where it is none.
    pub fn from_pkcs8(bytes: &[u8]) -> Option<Signer> {
        Some(Signer { key: Ed25519KeyPair::from_pkcs8(bytes).ok()? })
    }

    /// Returns what verifies its notes.
    pub fn verify_key(&self) -> VerifyKey {
        let mut key = [0; 32];
        key.copy_from_slice(self.key.public_key().as_ref());
        VerifyKey(key)
    }

    /// Returns a note.
    pub fn sign(&self, checkpoint: Checkpoint) -> String {
        let text = text_of(checkpoint);
        let signature = self.key.sign(text.as_bytes());
        let signed = [&self.verify_key().id()[..], signature.as_ref()].concat();
        format!("{text}\n{SIGNATURE}{NAME} {}\n", BASE64.encode(signed))
    }

    /// Signs a statement of a command.
    pub fn sign_statement(&self, text: &str) -> Vec<u8> {
        self.key.sign(&[STATEMENT, text.as_bytes()].concat()).as_ref().to_vec()
    }
}

impl VerifyKey {
    /// Tells whether a statement was signed with this key.
    pub fn has_signed(&self, text: &str, signature: &[u8]) -> bool {
        let signed = [STATEMENT, text.as_bytes()].concat();
        UnparsedPublicKey::new(&ED25519, &self.0).verify(&signed, signature).is_ok()
    }

    /// Returns the key that is written by its `Display`.
    pub fn parse(text: &str) -> Option<VerifyKey> {
        Some(VerifyKey(BASE64.decode(text.trim()).ok()?.try_into().ok()?))
    }

    fn id(&self) -> [u8; KEY_ID_BYTES] {
        let hash = digest(&SHA256, &[NAME.as_bytes(), b"\n", &[ED25519_KIND], &self.0].concat());
        let mut id = [0; KEY_ID_BYTES];
        id.copy_from_slice(&hash.as_ref()[..KEY_ID_BYTES]);
        id
    }

    /// Returns what a note says that was signed with this key.
    ///
    /// # Errors
    /// [`NoteError`], and nothing is known.
    pub fn open(&self, note: &str) -> Result<Checkpoint, NoteError> {
        let (text, signatures) = note.split_once("\n\n").ok_or(NoteError::Malformed)?;
        let mut lines = text.split('\n');
        let (origin, size, chain) = (lines.next(), lines.next(), lines.next());
        if origin != Some(NAME) || lines.next().is_some() {
            return Err(NoteError::Malformed);
        }
        let size = size.and_then(|size| size.parse().ok()).ok_or(NoteError::Malformed)?;
        let chain =
            chain.and_then(|chain| BASE64.decode(chain).ok()?.try_into().ok()).ok_or(NoteError::Malformed)?;
        let checkpoint = Checkpoint { size, chain };
        // A size may be written in more than one way.
        if note.len() > NOTE_BYTES_MAX || text_of(checkpoint).trim_end_matches('\n') != text {
            return Err(NoteError::Malformed);
        }
        let signature = self.signature_in(signatures)?;
        UnparsedPublicKey::new(&ED25519, &self.0)
            .verify(text_of(checkpoint).as_bytes(), &signature)
            .map_err(|_| NoteError::Forged)?;
        Ok(checkpoint)
    }

    /// Returns the signature of this key among those of a note.
    fn signature_in(&self, lines: &str) -> Result<Vec<u8>, NoteError> {
        for line in lines.lines() {
            let (name, signed) =
                line.strip_prefix(SIGNATURE).and_then(|line| line.split_once(' ')).ok_or(NoteError::Malformed)?;
            let mut signed = BASE64.decode(signed).map_err(|_| NoteError::Malformed)?;
            if name == NAME && signed.starts_with(&self.id()) {
                return Ok(signed.split_off(KEY_ID_BYTES));
            }
        }
        Err(NoteError::OtherKey)
    }
}

/// Writes the key in base64.
impl fmt::Display for VerifyKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&BASE64.encode(self.0))
    }
}

fn text_of(Checkpoint { size, chain }: Checkpoint) -> String {
    format!("{NAME}\n{size}\n{}\n", BASE64.encode(chain))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn signer() -> Signer {
        Signer::from_pkcs8(&Signer::generate().expect("there is chance")).expect("it is a key")
    }

    #[test]
    fn a_note_says_what_was_signed_and_to_its_key_alone() {
        let (signer, other) = (signer(), signer());
        let checkpoint = Checkpoint { size: 12, chain: [3; 32] };
        let note = signer.sign(checkpoint);
        assert_eq!(signer.verify_key().open(&note), Ok(checkpoint));
        assert_eq!(other.verify_key().open(&note), Err(NoteError::OtherKey));
        let key = VerifyKey::parse(&signer.verify_key().to_string()).expect("it was written so");
        assert_eq!(key.open(&note), Ok(checkpoint));
    }

    #[test]
    fn a_statement_is_no_note_and_a_note_no_statement() {
        let (signer, other) = (signer(), signer());
        let signature = signer.sign_statement("a deed");
        assert!(signer.verify_key().has_signed("a deed", &signature));
        assert!(!signer.verify_key().has_signed("another", &signature));
        assert!(!signer.verify_key().has_signed("a deed", &signature[1..]));
        assert!(!other.verify_key().has_signed("a deed", &signature));
        let checkpoint = Checkpoint { size: 12, chain: [3; 32] };
        let text = text_of(checkpoint);
        let forged = [&signer.verify_key().id()[..], &signer.sign_statement(&text)].concat();
        let note = format!("{text}\n{SIGNATURE}{NAME} {}\n", BASE64.encode(forged));
        assert_eq!(signer.verify_key().open(&note), Err(NoteError::Forged));
    }

    #[test]
    fn no_other_text_passes() {
        let signer = signer();
        let note = signer.sign(Checkpoint { size: 12, chain: [3; 32] });
        let cases = [
            ("a size", note.replace("\n12\n", "\n13\n"), NoteError::Forged),
            ("a size written otherwise", note.replace("\n12\n", "\n+12\n"), NoteError::Malformed),
            ("an origin", note.replacen(NAME, "other", 1), NoteError::Malformed),
            ("one line more", note.replacen("\n\n", "\nmore\n\n", 1), NoteError::Malformed),
            ("no signature", note.split("— ").next().unwrap_or_default().to_owned(), NoteError::OtherKey),
            ("nothing", String::new(), NoteError::Malformed),
            ("half", note[..note.len() / 2].to_owned(), NoteError::Malformed),
        ];
        for (name, note, want) in cases {
            assert_eq!(signer.verify_key().open(&note), Err(want), "{name}");
        }
    }
}
