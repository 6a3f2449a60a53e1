//! Reads as much of a STUN binding request (RFC 8489) as finding its session takes.
//!
//! Does not verify: the session's ICE agent does. Nothing read here may be believed before it has answered.

/// Bytes of the header in front of the attributes.
const HEADER_BYTES: usize = 20;
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xa4, 0x42];
const BINDING_REQUEST: [u8; 2] = [0x00, 0x01];
const BINDING_SUCCESS: [u8; 2] = [0x01, 0x01];
const ATTRIBUTE_USERNAME: u16 = 0x0006;
const ATTRIBUTE_MESSAGE_INTEGRITY: u16 = 0x0008;
const ATTRIBUTE_USE_CANDIDATE: u16 = 0x0025;

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

/// Tells whether `message` is the success response to `transaction_id`.
pub(crate) fn is_success_response(message: &[u8], transaction_id: &TransactionId) -> bool {
    message.starts_with(&BINDING_SUCCESS) && message.get(8..HEADER_BYTES) == Some(transaction_id)
}

#[cfg(test)]
mod tests {
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
