//! Connectivity checks (RFC 8489 §5) as clients write them, attribute by attribute.
//!
//! Invariant: what is signed is signed as it leaves.

use aws_lc_rs::hmac;

pub const USERNAME: u16 = 0x0006;
pub const MESSAGE_INTEGRITY: u16 = 0x0008;
pub const PRIORITY: u16 = 0x0024;
pub const USE_CANDIDATE: u16 = 0x0025;
pub const ICE_CONTROLLING: u16 = 0x802a;
const FINGERPRINT: u16 = 0x8028;

/// Writes a message; the first MESSAGE-INTEGRITY that has no value is computed with `password`.
pub fn message(kind: u16, transaction_id: [u8; 12], attributes: &[(u16, &[u8])], password: &str) -> Vec<u8> {
    let mut bytes = kind.to_be_bytes().to_vec();
    bytes.extend([0, 0, 0x21, 0x12, 0xa4, 0x42]);
    bytes.extend(transaction_id);
    for &(kind, value) in attributes {
        let signature = (kind == MESSAGE_INTEGRITY && value.is_empty()).then(|| sign(&mut bytes, password));
        let value = signature.as_ref().map_or(value, |signature| signature.as_ref());
        bytes.extend(kind.to_be_bytes());
        bytes.extend((value.len() as u16).to_be_bytes());
        bytes.extend(value);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
    }
    set_length(&mut bytes, 0);
    bytes
}

/// A check that nominates, as a client makes it that has this password.
pub fn nominating(transaction_id: [u8; 12], username: &str, password: &str) -> Vec<u8> {
    let attributes: &[(u16, &[u8])] = &[
        (USERNAME, username.as_bytes()),
        (ICE_CONTROLLING, &[7; 8]),
        (PRIORITY, &[0x6e, 0, 0, 1]),
        (USE_CANDIDATE, &[]),
        (MESSAGE_INTEGRITY, &[]),
    ];
    message(1, transaction_id, attributes, password)
}

/// Signs what stands there, whatever it is.
pub fn signed_again(mut bytes: Vec<u8>, password: &str) -> Vec<u8> {
    let signature = sign(&mut bytes, password);
    bytes.extend(MESSAGE_INTEGRITY.to_be_bytes());
    bytes.extend((signature.as_ref().len() as u16).to_be_bytes());
    bytes.extend(signature.as_ref());
    set_length(&mut bytes, 0);
    bytes
}

/// Returns the attributes of a message.
pub fn attributes(message: &[u8]) -> Vec<(u16, &[u8])> {
    let (mut attributes, mut rest) = (Vec::new(), &message[20..]);
    while let [t0, t1, l0, l1, after @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        attributes.push((u16::from_be_bytes([*t0, *t1]), &after[..length]));
        rest = &after[length.next_multiple_of(4)..];
    }
    attributes
}

/// Returns a check that says the same but does not nominate.
pub(crate) fn without_nomination(check: &[u8], password: &str) -> Vec<u8> {
    let kept = attributes(check).into_iter().filter(|(kind, _)| ![USE_CANDIDATE, FINGERPRINT].contains(kind));
    let kept = kept.map(|(kind, value)| (kind, if kind == MESSAGE_INTEGRITY { &[][..] } else { value }));
    let transaction_id = check[8..20].try_into().expect("twelve bytes");
    message(1, transaction_id, &kept.collect::<Vec<_>>(), password)
}

/// Returns the signature of all that stands in front of it, with the length as if it stood there (RFC 8489 §14.5).
fn sign(bytes: &mut [u8], password: &str) -> hmac::Tag {
    set_length(bytes, 24);
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, password.as_bytes()), bytes)
}

fn set_length(bytes: &mut [u8], more: usize) {
    let length = (bytes.len() - 20 + more) as u16;
    bytes[2..4].copy_from_slice(&length.to_be_bytes());
}
