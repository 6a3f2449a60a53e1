//! Reads as much of a STUN binding request (RFC 8489) as finding its session takes, and has a request of our own to ask
//! whether somebody is where they say they are.
//!
//! Does not verify requests: the session's ICE agent does, and nothing read of one may be believed before it has answered.
//! Invariant: an answer is ours only with the transaction of the request and the client's signature.

use aws_lc_rs::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY, Tag};
use flate2::Crc;

/// Bytes of the header in front of the attributes.
const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const BINDING_ERROR: [u8; 2] = [0x01, 0x11];
const ATTRIBUTE_USERNAME: u16 = 0x0006;
const ATTRIBUTE_MESSAGE_INTEGRITY: u16 = 0x0008;
const ATTRIBUTE_ERROR_CODE: u16 = 0x0009;
const ATTRIBUTE_PRIORITY: u16 = 0x0024;
const ATTRIBUTE_USE_CANDIDATE: u16 = 0x0025;
const ATTRIBUTE_FINGERPRINT: u16 = 0x8028;
const ATTRIBUTE_ICE_CONTROLLED: u16 = 0x8029;

/// Bytes of MESSAGE-INTEGRITY and of FINGERPRINT, with their headers.
const MESSAGE_INTEGRITY_BYTES: usize = 24;
const FINGERPRINT_BYTES: usize = 8;

/// What a fingerprint is mixed with, so that it is no other protocol's checksum (RFC 8489 §14.7).
const FINGERPRINT_MASK: u32 = 0x5354_554e;

/// The priority that a candidate would have that the client had to learn from the request (RFC 8445 §5.1.2.1, §7.1.1).
const PRIORITY_PEER_REFLEXIVE: u32 = 110 << 24 | 0xff_ffff;

/// A STUN transaction's id, chosen by the client.
pub type TransactionId = [u8; 12];

/// What a binding request says, unverified.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BindingRequest<'a> {
    pub transaction_id: TransactionId,
    /// The receiver's user fragment: what stands before the colon of USERNAME (RFC 8445 §7.2.2).
    pub ufrag: &'a str,
    /// Whether the client nominates this pair (RFC 8445 §7.2.5.1).
    pub use_candidate: bool,
}

/// Why a STUN message is not a binding request that can be routed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StunError {
    #[error("{len} bytes, or a length field that says otherwise")]
    BadLength { len: usize },
    #[error("no magic cookie")]
    NoCookie,
    #[error("message type {kind:#06x} is no binding request")]
    NotBindingRequest { kind: u16 },
    #[error("no USERNAME of two parts")]
    NoUsername,
}

/// Reads a binding request.
///
/// # Errors
/// [`StunError`], when the message is anything else or can't be routed.
pub fn parse_binding_request(message: &[u8]) -> Result<BindingRequest<'_>, StunError> {
    let bad_length = StunError::BadLength { len: message.len() };
    let (header, mut attributes) = message.split_at_checked(HEADER_BYTES).ok_or(bad_length)?;
    let [k0, k1, l0, l1, c0, c1, c2, c3, transaction_id @ ..] = header else { return Err(bad_length) };
    if [*c0, *c1, *c2, *c3] != MAGIC_COOKIE {
        return Err(StunError::NoCookie);
    }
    if usize::from(u16::from_be_bytes([*l0, *l1])) != attributes.len() || !attributes.len().is_multiple_of(4) {
        return Err(bad_length);
    }
    if [*k0, *k1] != BINDING_REQUEST {
        return Err(StunError::NotBindingRequest { kind: u16::from_be_bytes([*k0, *k1]) });
    }
    let mut username = None;
    let mut use_candidate = false;
    while let [t0, t1, l0, l1, rest @ ..] = attributes {
        let len = usize::from(u16::from_be_bytes([*l0, *l1]));
        let value = rest.get(..len).ok_or(bad_length)?;
        match u16::from_be_bytes([*t0, *t1]) {
            // Of an attribute that stands twice the first counts (RFC 8489 §14).
            ATTRIBUTE_USERNAME if username.is_none() => username = Some(value),
            ATTRIBUTE_USE_CANDIDATE => use_candidate = true,
            // What follows is not signed and must be ignored (RFC 8489 §14.5).
            ATTRIBUTE_MESSAGE_INTEGRITY => break,
            _ => {}
        }
        attributes = rest.get(len.next_multiple_of(4)..).ok_or(bad_length)?;
    }
    let username = username.and_then(|bytes| std::str::from_utf8(bytes).ok()).ok_or(StunError::NoUsername)?;
    let (ufrag, _) = username.split_once(':').ok_or(StunError::NoUsername)?;
    let transaction_id = transaction_id.try_into().map_err(|_| bad_length)?;
    Ok(BindingRequest { transaction_id, ufrag, use_candidate })
}

/// A binding request of ours to a client that checks (RFC 8445 §7.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Question<'a> {
    pub transaction_id: TransactionId,
    /// The client's user fragment and ours.
    pub ufrags: (&'a str, &'a str),
    /// The client's password.
    pub pwd: &'a str,
    /// For a client that takes itself for controlled too.
    pub tie_breaker: u64,
}

impl Question<'_> {
    /// Returns the request.
    pub fn to_bytes(self) -> Vec<u8> {
        let (theirs, ours) = self.ufrags;
        let mut bytes = begin(BINDING_REQUEST, self.transaction_id);
        push_attribute(&mut bytes, ATTRIBUTE_USERNAME, &[theirs.as_bytes(), b":", ours.as_bytes()]);
        push_attribute(&mut bytes, ATTRIBUTE_PRIORITY, &[&PRIORITY_PEER_REFLEXIVE.to_be_bytes()]);
        push_attribute(&mut bytes, ATTRIBUTE_ICE_CONTROLLED, &[&self.tie_breaker.to_be_bytes()]);
        finish(bytes, self.pwd)
    }
}

/// Returns the answer to a binding request of a client that takes itself for controlled (RFC 8445 §7.3.1.1), signed with
/// our password.
pub(crate) fn role_conflict(transaction_id: TransactionId, pwd: &str) -> Vec<u8> {
    let mut bytes = begin(BINDING_ERROR, transaction_id);
    push_attribute(&mut bytes, ATTRIBUTE_ERROR_CODE, &[&[0, 0, 4, 87], b"Role Conflict"]);
    finish(bytes, pwd)
}

/// Returns the header of a message, whose length is written at the end.
fn begin(kind: [u8; 2], transaction_id: TransactionId) -> Vec<u8> {
    let mut bytes = kind.to_vec();
    bytes.extend([0, 0]);
    bytes.extend(MAGIC_COOKIE);
    bytes.extend(transaction_id);
    bytes
}

/// Signs a message and adds its checksum.
fn finish(mut bytes: Vec<u8>, pwd: &str) -> Vec<u8> {
    set_length(&mut bytes, MESSAGE_INTEGRITY_BYTES);
    let signature = sign(&bytes, pwd);
    push_attribute(&mut bytes, ATTRIBUTE_MESSAGE_INTEGRITY, &[signature.as_ref()]);
    set_length(&mut bytes, FINGERPRINT_BYTES);
    let mut checksum = Crc::new();
    checksum.update(&bytes);
    let fingerprint = (checksum.sum() ^ FINGERPRINT_MASK).to_be_bytes();
    push_attribute(&mut bytes, ATTRIBUTE_FINGERPRINT, &[&fingerprint]);
    bytes
}

fn push_attribute(bytes: &mut Vec<u8>, kind: u16, value: &[&[u8]]) {
    let length: usize = value.iter().map(|part| part.len()).sum();
    bytes.extend(kind.to_be_bytes());
    bytes.extend((length as u16).to_be_bytes());
    value.iter().for_each(|part| bytes.extend(*part));
    bytes.resize(bytes.len().next_multiple_of(4), 0);
}

/// Writes the length that a message has with so many bytes more.
fn set_length(bytes: &mut [u8], more: usize) {
    let length = (bytes.len() - HEADER_BYTES + more) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}

fn sign(bytes: &[u8], pwd: &str) -> Tag {
    hmac::sign(&hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd.as_bytes()), bytes)
}

/// Reads a success response to a binding request; returns its transaction. Nothing is verified.
pub fn parse_binding_answer(message: &[u8]) -> Option<TransactionId> {
    let (header, attributes) = message.split_at_checked(HEADER_BYTES)?;
    let [k0, k1, l0, l1, c0, c1, c2, c3, transaction_id @ ..] = header else { return None };
    let is_one = [*k0, *k1] == BINDING_SUCCESS && [*c0, *c1, *c2, *c3] == MAGIC_COOKIE;
    let is_whole = usize::from(u16::from_be_bytes([*l0, *l1])) == attributes.len();
    transaction_id.try_into().ok().filter(|_| is_one && is_whole && attributes.len().is_multiple_of(4))
}

/// Tells whether whoever has this password signed a message, up to its first MESSAGE-INTEGRITY (RFC 8489 §14.5).
pub fn is_signed(message: &[u8], pwd: &str) -> bool {
    signed_part(message).is_some_and(|(mut signed, signature)| {
        if signed.len() >= HEADER_BYTES {
            set_length(&mut signed, MESSAGE_INTEGRITY_BYTES);
        }
        let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, pwd.as_bytes());
        hmac::verify(&key, &signed, signature).is_ok()
    })
}

/// Tells whether a message says, in what is signed of it, that who sent it takes itself for controlled (RFC 8445 §7.1.3).
pub(crate) fn is_of_controlled(message: &[u8]) -> bool {
    let signed = attributes(message).take_while(|(_, kind, _)| *kind != ATTRIBUTE_MESSAGE_INTEGRITY);
    signed.into_iter().any(|(_, kind, _)| kind == ATTRIBUTE_ICE_CONTROLLED)
}

/// Returns a copy of what is signed of a message, and its signature.
fn signed_part(message: &[u8]) -> Option<(Vec<u8>, &[u8])> {
    let (at, _, signature) = attributes(message).find(|(_, kind, _)| *kind == ATTRIBUTE_MESSAGE_INTEGRITY)?;
    Some((message.get(..at)?.to_vec(), signature))
}

/// Yields where each attribute begins, its type and its value, as far as they are whole.
fn attributes(message: &[u8]) -> impl Iterator<Item = (usize, u16, &[u8])> {
    let mut next = HEADER_BYTES;
    std::iter::from_fn(move || {
        let at = next;
        let [t0, t1, l0, l1] = message.get(at..at + 4)?.try_into().ok()?;
        let length = usize::from(u16::from_be_bytes([l0, l1]));
        next = at + 4 + length.next_multiple_of(4);
        Some((at, u16::from_be_bytes([t0, t1]), message.get(at + 4..at + 4 + length)?))
    })
}

/// Tells whether `message` is the success response to `transaction_id`.
pub(crate) fn is_success_response(message: &[u8], transaction_id: &TransactionId) -> bool {
    message.starts_with(&BINDING_SUCCESS) && message.get(8..HEADER_BYTES) == Some(transaction_id)
}

#[cfg(test)]
mod tests {
    use str0m::ice::StunMessage;

    use super::*;

    fn message(kind: [u8; 2], attributes: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_vec();
        bytes.extend((attributes.len() as u16).to_be_bytes());
        bytes.extend(MAGIC_COOKIE);
        bytes.extend([9; 12]);
        bytes.extend(attributes);
        bytes
    }

    fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
        let mut bytes = kind.to_be_bytes().to_vec();
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn reads_username_and_nomination() {
        let username = attribute(ATTRIBUTE_USERNAME, b"ours:theirs");
        let nominating = [username.clone(), attribute(ATTRIBUTE_USE_CANDIDATE, &[])].concat();
        let twice = [username.clone(), attribute(ATTRIBUTE_USERNAME, b"other:theirs")].concat();
        let signed = attribute(ATTRIBUTE_MESSAGE_INTEGRITY, &[0; 20]);
        let after = [username.clone(), signed, attribute(ATTRIBUTE_USE_CANDIDATE, &[])].concat();
        for (name, attributes, use_candidate) in [
            ("plain", &username, false),
            ("nominating", &nominating, true),
            ("twice", &twice, false),
            ("nominating behind the signature", &after, false),
        ] {
            let bytes = message(BINDING_REQUEST, attributes);
            let want = BindingRequest { transaction_id: [9; 12], ufrag: "ours", use_candidate };
            assert_eq!(parse_binding_request(&bytes), Ok(want), "{name}");
        }
    }

    #[test]
    fn refuses_what_cannot_be_routed() {
        let username = attribute(ATTRIBUTE_USERNAME, b"ours:theirs");
        let good = message(BINDING_REQUEST, &username);
        let mut no_cookie = good.clone();
        no_cookie[4] = 0;
        let mut overlong_attribute = message(BINDING_REQUEST, &username);
        overlong_attribute[23] = 200;
        let cases: &[(&str, Vec<u8>, StunError)] = &[
            ("empty", vec![], StunError::BadLength { len: 0 }),
            ("cut", good[..good.len() - 4].to_vec(), StunError::BadLength { len: good.len() - 4 }),
            ("no cookie", no_cookie, StunError::NoCookie),
            ("response", message(BINDING_SUCCESS, &[]), StunError::NotBindingRequest { kind: 0x0101 }),
            ("attribute past the end", overlong_attribute, StunError::BadLength { len: good.len() }),
            ("no username", message(BINDING_REQUEST, &[]), StunError::NoUsername),
            ("no colon", message(BINDING_REQUEST, &attribute(6, b"ours")), StunError::NoUsername),
            ("not utf-8", message(BINDING_REQUEST, &attribute(6, &[0xff, b':', b'a'])), StunError::NoUsername),
        ];
        for (name, bytes, want) in cases {
            assert_eq!(parse_binding_request(bytes), Err(*want), "{name}");
        }
    }

    /// What RFC 5769 §2.1 and §2.2 show, signed and answered with this password.
    const SHOWN_PWD: &str = "VOkJxbRl1RmTxUk/WvJxBt";

    #[test]
    fn a_question_is_what_the_library_reads() {
        let question = Question {
            transaction_id: [7; 12],
            ufrags: ("theirs", "ours"),
            pwd: "a password of 22 bytes",
            tie_breaker: 0x0102_0304_0506_0708,
        };
        let bytes = question.to_bytes();
        let read = StunMessage::parse(&bytes).expect("the fingerprint is right");
        assert!(read.is_binding_request() && !read.use_candidate());
        assert_eq!(read.split_username(), Some(("theirs", "ours")));
        assert_eq!(read.prio(), Some(PRIORITY_PEER_REFLEXIVE));
        let request = parse_binding_request(&bytes).unwrap();
        assert_eq!((request.transaction_id, request.ufrag, request.use_candidate), ([7; 12], "theirs", false));
        assert!(is_signed(&bytes, question.pwd) && !is_signed(&bytes, "another"));
        for changed in (0..bytes.len() - FINGERPRINT_BYTES).filter(|at| !(2..4).contains(at)) {
            let mut forged = bytes.clone();
            forged[changed] ^= 1;
            assert!(!is_signed(&forged, question.pwd), "byte {changed}");
        }
        for cut in 0..bytes.len() - FINGERPRINT_BYTES {
            assert!(!is_signed(&bytes[..cut], question.pwd), "cut to {cut}");
        }
    }

    #[test]
    fn who_takes_itself_for_controlled_is_known_and_told() {
        let pwd = "a password of 22 bytes";
        let question =
            Question { transaction_id: [7; 12], ufrags: ("theirs", "ours"), pwd, tie_breaker: 1 }.to_bytes();
        assert!(is_of_controlled(&question));
        let signed_before =
            [attribute(6, b"ours:theirs"), attribute(8, &[0; 20]), attribute(0x8029, &[7; 8])].concat();
        assert!(!is_of_controlled(&message(BINDING_REQUEST, &signed_before)), "that is not signed");
        let controlling = [attribute(6, b"ours:theirs"), attribute(0x802a, &[7; 8])].concat();
        assert!(!is_of_controlled(&message(BINDING_REQUEST, &controlling)));
        for cut in 0..question.len() {
            is_of_controlled(&question[..cut]);
        }
        let answer = role_conflict([7; 12], pwd);
        assert!(answer.len() <= question.len(), "no more comes back than was sent");
        let read = StunMessage::parse(&answer).expect("the fingerprint is right");
        assert!(read.is_failed_binding_response() && read.error_code().is_some_and(|(code, _)| code == 487));
        assert!(is_signed(&answer, pwd));
    }

    #[test]
    fn the_answer_of_the_rfc_is_read_and_signed() {
        let answer = [
            0x01, 0x01, 0x00, 0x3c, 0x21, 0x12, 0xa4, 0x42, 0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa,
            0x87, 0xdf, 0xae, 0x80, 0x22, 0x00, 0x0b, 0x74, 0x65, 0x73, 0x74, 0x20, 0x76, 0x65, 0x63, 0x74, 0x6f,
            0x72, 0x20, 0x00, 0x20, 0x00, 0x08, 0x00, 0x01, 0xa1, 0x47, 0xe1, 0x12, 0xa6, 0x43, 0x00, 0x08, 0x00,
            0x14, 0x2b, 0x91, 0xf5, 0x99, 0xfd, 0x9e, 0x90, 0xc3, 0x8c, 0x74, 0x89, 0xf9, 0x2a, 0xf9, 0xba, 0x53,
            0xf0, 0x6b, 0xe7, 0xd7, 0x80, 0x28, 0x00, 0x04, 0xc0, 0x7d, 0x4c, 0x96,
        ];
        let transaction_id = [0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae];
        assert_eq!(parse_binding_answer(&answer), Some(transaction_id));
        assert!(is_signed(&answer, SHOWN_PWD) && !is_signed(&answer, "another"));
        for cut in 0..answer.len() {
            assert_eq!(parse_binding_answer(&answer[..cut]), None, "cut to {cut}");
        }
        let mut request = answer;
        request[0] = 0;
        assert_eq!(parse_binding_answer(&request), None, "a request");
        let mut no_cookie = answer;
        no_cookie[4] = 0;
        assert_eq!(parse_binding_answer(&no_cookie), None);
        assert!(!is_signed(&message(BINDING_SUCCESS, &[]), ""), "no signature");
        assert!(!is_signed(&message(BINDING_SUCCESS, &attribute(ATTRIBUTE_MESSAGE_INTEGRITY, &[])), ""));
    }

    #[test]
    fn knows_its_answer() {
        let mut response = message(BINDING_SUCCESS, &[]);
        assert!(is_success_response(&response, &[9; 12]));
        assert!(!is_success_response(&response, &[8; 12]));
        response[0] = 0;
        assert!(!is_success_response(&response, &[9; 12]));
        assert!(!is_success_response(&[1, 1], &[9; 12]));
    }
}
