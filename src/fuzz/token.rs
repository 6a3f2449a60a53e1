//! Tokens: raw texts, and heads and claims of any kind under real signatures.
//!
//! Invariant: what is accepted was signed by the right key with its own algorithm, and allows what its claims say.

use std::sync::OnceLock;

use aws_lc_rs::hmac;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use serde_json::Value;

use crate::token::{self, ClaimRules, Claims, Issuer, PublicKeys, Revoked, RoleMapping, TokenError, Verifier};
use crate::words::Role;

const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
const NOW: u64 = 1_800_000_000;
/// Of everybody else no token is refused for being old.
const REVOKED: &str = "zoe 1799999000\n";
/// The claim that gives the roles of the identity provider, where ours is `role`.
const THEIR_ROLE: &str = "roles";

/// Who signed a token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Signer {
    Own,
    Issuer,
    /// HMAC keyed with the issuer's public key, which everybody has (RFC 8725 §2.1).
    PublicKey,
    Stranger,
}

/// The first byte chooses who signs the rest, a head and claims on a line each; without such a byte all is the token.
pub fn token(bytes: &[u8]) {
    let Some((&first, rest)) = bytes.split_first() else { return };
    let signer = match first {
        b'o' => Signer::Own,
        b'i' => Signer::Issuer,
        b'p' => Signer::PublicKey,
        b's' => Signer::Stranger,
        _ => return check_raw(bytes),
    };
    let mut lines = rest.splitn(2, |&byte| byte == b'\n');
    let (head, claims) = (lines.next().unwrap_or_default(), lines.next().unwrap_or_default());
    let token = sign(signer, head, claims);
    match verifier().verify(NOW, &token) {
        Ok(accepted) => check_accepted(signer, head, claims, &accepted),
        Err(TokenError::TooLong) => assert!(token.len() > token::TOKEN_BYTES_MAX),
        Err(_) => {}
    }
}

/// A text that nobody signed for is accepted only if it happens to be what the secret's owner would have written.
fn check_raw(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if verifier().verify(NOW, text).is_ok() {
        let (message, signature) = text.rsplit_once('.').expect("a token has three parts");
        let message = message.as_bytes();
        let own = base64url(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message).as_ref());
        let issuer = base64url(key_pair().sign(message).as_ref());
        assert!(signature == own || signature == issuer, "nobody signed {text}");
    }
}

fn check_accepted(signer: Signer, head: &[u8], claims: &[u8], accepted: &Claims) {
    let algorithms = match signer {
        Signer::Own => ["HS256", "HS256"],
        Signer::Issuer => ["EdDSA", "Ed25519"],
        Signer::PublicKey | Signer::Stranger => panic!("{signer:?} signed {accepted:?}"),
    };
    let (Ok(head), Ok(said)) = (serde_json::from_slice::<Value>(head), serde_json::from_slice::<Value>(claims))
    else {
        // What is ignored may be something that only its skipper takes for a text.
        return;
    };
    assert!(algorithms.iter().any(|algorithm| head["alg"] == *algorithm), "{head}");
    assert!(head["typ"].as_str().is_none_or(|typ| typ.to_lowercase().ends_with("jwt")), "{head}");
    assert!(head.get("crit").is_none_or(Value::is_null), "an extension that is not understood");
    assert_eq!(said["sub"], accepted.sub.as_str());
    assert!(token::is_valid_id(&accepted.sub));
    assert!(accepted.name.as_deref().is_none_or(token::is_valid_name), "{accepted:?}");
    assert!(accepted.exp > NOW && accepted.iat <= NOW + 5 && accepted.nbf.unwrap_or(0) <= NOW + 5);
    assert!(accepted.sub != "zoe" || accepted.iat > NOW - 1000, "revoked");
    let scope = match said.get("listen") {
        None => None,
        Some(Value::Null) if signer == Signer::Own => None,
        Some(ids) => Some(serde_json::from_value::<Vec<String>>(ids.clone()).expect("a scope is ids")),
    };
    assert_eq!(accepted.listen.is_some(), scope.is_some(), "the scope is gone");
    assert_eq!(accepted.device, said.get("device") == Some(&Value::Bool(true)));
    let may_hear = accepted.role == Role::Admin && scope.is_none_or(|ids| ids.iter().any(|id| id == "lea"));
    assert_eq!(accepted.may_hear("lea"), may_hear);
    match signer {
        Signer::Own => assert_eq!(said["role"], accepted.role.name()),
        _ => {
            let theirs = if accepted.role == Role::Admin { "directeur" } else { "vendeur" };
            let roles = &said[THEIR_ROLE];
            assert_eq!(said["iss"], "https://idp.example");
            assert!(
                *roles == theirs || roles.as_array().is_some_and(|roles| roles.iter().any(|role| role == theirs))
            );
            assert!(
                said["aud"] == "ecoute" || said["aud"].as_array().is_some_and(|aud| aud.contains(&"ecoute".into()))
            );
        }
    }
}

fn sign(signer: Signer, head: &[u8], claims: &[u8]) -> String {
    let message = format!("{}.{}", base64url(head), base64url(claims));
    let hmac =
        |key: &[u8]| base64url(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message.as_bytes()).as_ref());
    let signature = match signer {
        Signer::Own => hmac(SECRET),
        Signer::Issuer => base64url(key_pair().sign(message.as_bytes()).as_ref()),
        Signer::PublicKey => hmac(key_pair().public_key().as_ref()),
        Signer::Stranger => hmac(b"another secret of 32 bytes or so"),
    };
    format!("{message}.{signature}")
}

fn key_pair() -> &'static Ed25519KeyPair {
    static PAIR: OnceLock<Ed25519KeyPair> = OnceLock::new();
    PAIR.get_or_init(|| Ed25519KeyPair::from_seed_unchecked(&[7; 32]).expect("a seed has 32 bytes"))
}

fn verifier() -> &'static Verifier {
    static VERIFIER: OnceLock<Verifier> = OnceLock::new();
    VERIFIER.get_or_init(|| {
        let x = base64url(key_pair().public_key().as_ref());
        let set = format!(r#"{{"keys":[{{"kty":"OKP","crv":"Ed25519","kid":"k","x":"{x}"}}]}}"#);
        let role = |theirs: &str, ours| RoleMapping { theirs: theirs.to_owned(), ours };
        let rules = ClaimRules {
            id: "/sub".parse().expect("a pointer"),
            name: "/name".parse().expect("a pointer"),
            role: format!("/{THEIR_ROLE}").parse().expect("a pointer"),
            roles: vec![role("directeur", Role::Admin), role("vendeur", Role::Commercial)],
            issuer: "https://idp.example".to_owned(),
            audience: "ecoute".to_owned(),
            allows_device: true,
            rights: None,
        };
        let issuer = Issuer { keys: PublicKeys::parse(set.as_bytes()).expect("a set of one key"), rules };
        Verifier::new(SECRET, Some(issuer), Revoked::parse(REVOKED.as_bytes()).expect("a list of one"))
    })
}

/// Encodes without padding (RFC 4648 §5).
fn base64url(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = String::with_capacity(bytes.len() * 4 / 3 + 3);
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, index| bits << 8 | usize::from(chunk.get(index).copied().unwrap_or(0)));
        text.extend((0..=chunk.len()).map(|index| char::from(DIGITS[bits >> (18 - 6 * index) & 63])));
    }
    text
}
