//! Reads the public keys of an identity provider: one in PEM, or a set of them in JSON (JWKS, RFC 7517), or of certificates.
//!
//! Of a certificate nothing but its key counts: who saved it here vouches for it. Not the place of a shared secret. A key of a set that can't be used is left out, and the others hold (RFC 7517 §5).
//! Invariant: each key is whole, public, strong enough and of one algorithm, and where there are several, each has a name,
//! which of its algorithm is its own.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents, VerificationAlgorithm,
};
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde_json::{Map, Value};

use super::{Key, TokenError};

/// The longest file, in bytes: with the certificates that some providers add, a key takes up to 8 KiB.
pub const PUBLIC_KEYS_BYTES_MAX: usize = 256 * 1024;

/// How many keys a set may hold, those for other purposes included.
pub const PUBLIC_KEYS_MAX: usize = 256;

/// How many keys that are left out are named in the log; more are counted.
const LEFT_OUT_NAMED_MAX: usize = 16;

/// How much of a key's name is shown, in characters.
const KID_SHOWN_MAX: usize = 64;

/// Lengths of RSA keys, in bits (RFC 7518 §3.3; the library verifies no longer ones).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// What is secret of a key pair, or a shared secret (RFC 7518 §6).
const SECRET_MEMBERS: [&str; 8] = ["d", "k", "p", "q", "dp", "dq", "qi", "priv"];

/// Why public keys can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("it has more than {PUBLIC_KEYS_BYTES_MAX} bytes")]
    TooLong,
    #[error("it holds neither a public key in PEM (BEGIN PUBLIC KEY) nor a set of keys in JSON (JWKS)")]
    Unreadable,
    #[error("it says where the keys are: give what is at its \"jwks_uri\"")]
    Discovery,
    #[error("it holds something secret: give the server the public key only")]
    Secret,
    #[error("it holds several keys in PEM: give one, or a set in JSON (JWKS)")]
    SeveralInPem,
    #[error("its key can't be used: {0}")]
    Pem(KeyFault),
    #[error("it holds {given} keys, more than {PUBLIC_KEYS_MAX}")]
    TooMany { given: usize },
    #[error("it holds no key")]
    Empty,
    #[error("none of its keys can be used; key {number}: {fault}")]
    NothingUsable { number: usize, fault: KeyFault },
}

/// Why one key can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    #[error("it is not for signatures with ES256, EdDSA or RS256")]
    OtherPurpose,
    #[error("it is of another kind: EC P-256, Ed25519 and RSA are known")]
    OtherKind,
    #[error("it is no object in JSON")]
    NoObject,
    #[error("\"{member}\" is missing")]
    Missing { member: &'static str },
    #[error("\"{member}\" is not what it must be")]
    BadMember { member: &'static str },
    #[error("it is damaged")]
    Damaged,
    #[error("it has {bits} bits: of RSA 2048 to 8192 are accepted")]
    RsaLength { bits: usize },
    #[error("it has no \"kid\", and there are several")]
    Unnamed,
    #[error("it has the \"kid\" of another one of its kind")]
    SameName,
}

/// A key of a set that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// Its place in the set, from 1 on.
    pub number: usize,
    /// The beginning of its name.
    pub kid: Option<String>,
    pub fault: KeyFault,
}

/// The public keys of an identity provider, each with its `kid`, where it has one.
#[derive(Clone)]
pub struct PublicKeys {
    keys: Vec<(Option<String>, Key)>,
    left_out: Vec<LeftOut>,
}

impl LeftOut {
    /// Tells whether nothing is wrong with the key: it is for something else.
    pub fn is_of_others(&self) -> bool {
        matches!(self.fault, KeyFault::OtherPurpose | KeyFault::OtherKind)
    }
}

impl PublicKeys {
    /// Reads a file's contents. A key of a set that can't be used is left out and told in the log; the others hold.
    ///
    /// # Errors
    /// [`KeysError`], the first reason found.
    pub fn parse(contents: &[u8]) -> Result<PublicKeys, KeysError> {
        if contents.len() > PUBLIC_KEYS_BYTES_MAX {
            return Err(KeysError::TooLong);
        }
        // As some editors begin a file.
        let contents = contents.strip_prefix(b"\xef\xbb\xbf").unwrap_or(contents).trim_ascii_start();
        let keys = if contents.starts_with(b"{") { parse_jwks(contents) } else { parse_pem(contents) }?;
        keys.tell_left_out();
        Ok(keys)
    }

    /// Returns how many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tells whether there is no key; never, once read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the keys of the set that are left out.
    pub fn left_out(&self) -> &[LeftOut] {
        &self.left_out
    }

    /// Returns the key that a token names. A lone key may go unnamed, on either side; keys of other kinds may have one name
    /// (RFC 7517 §4.5).
    pub(super) fn find(&self, kid: Option<&str>, algorithm: Algorithm) -> Result<&Key, TokenError> {
        match (self.keys.as_slice(), kid) {
            ([(_, only)], None) | ([(None, only)], Some(_)) => Ok(only),
            (_, None) => Err(TokenError::NoSuchKey),
            (keys, Some(_)) => {
                let of_name = || keys.iter().filter(|(name, _)| name.as_deref() == kid).map(|(_, key)| key);
                let key = of_name().find(|key| key.algorithm == algorithm).or_else(|| of_name().next());
                key.ok_or(TokenError::NoSuchKey)
            }
        }
    }

    fn tell_left_out(&self) {
        let (of_others, wrong): (Vec<_>, Vec<_>) = self.left_out.iter().partition(|key| key.is_of_others());
        for LeftOut { number, kid, fault } in wrong.iter().take(LEFT_OUT_NAMED_MAX) {
            log::warn!("a public key is left out: key={number} kid={kid:?} error={fault}");
        }
        if wrong.len() > LEFT_OUT_NAMED_MAX {
            log::warn!("public keys are left out: count={}", wrong.len());
        }
        if !of_others.is_empty() {
            log::info!("public keys for other purposes are left out: count={}", of_others.len());
        }
    }
}

fn parse_pem(contents: &[u8]) -> Result<PublicKeys, KeysError> {
    let mut found = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(contents) {
        match section.map_err(|_| KeysError::Unreadable)? {
            (SectionKind::PublicKey | SectionKind::Certificate, _) if found.is_some() => {
                return Err(KeysError::SeveralInPem);
            }
            (SectionKind::PublicKey, der) => found = Some(key_of_der(&der)),
            (SectionKind::Certificate, der) => found = Some(key_of_certificate(&der)),
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err(KeysError::Secret);
            }
            (_, _) => return Err(KeysError::Unreadable),
        }
    }
    let key = found.ok_or(KeysError::Unreadable)?.map_err(KeysError::Pem)?;
    Ok(PublicKeys { keys: vec![(None, key)], left_out: Vec::new() })
}

/// Returns the key that a certificate is about (RFC 5280 §4.1).
fn key_of_certificate(der: &[u8]) -> Result<Key, KeyFault> {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).map_err(|_| KeyFault::Damaged)?;
    if rest.is_empty() { key_of_der(certificate.public_key().raw) } else { Err(KeyFault::Damaged) }
}

/// Returns the key of a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
fn key_of_der(der: &[u8]) -> Result<Key, KeyFault> {
    let is_for = |algorithm: &'static dyn VerificationAlgorithm| ParsedPublicKey::new(algorithm, der).is_ok();
    if is_for(&ECDSA_P256_SHA256_FIXED) {
        return Ok(Key::new(Algorithm::ES256, DecodingKey::from_ec_der(der)));
    }
    if is_for(&ED25519) {
        return Ok(Key::new(Algorithm::EdDSA, DecodingKey::from_ed_der(der)));
    }
    let key = rsa::PublicKey::from_der(der).map_err(|_| KeyFault::OtherKind)?;
    // A key for PSS alone reads as RSA too, but says so where others say `rsaEncryption` (RFC 8017 §A.2.3).
    if !key.as_der().is_ok_and(|general| general.as_ref() == der) {
        return Err(KeyFault::OtherKind);
    }
    let modulus = key.modulus();
    let modulus = modulus.big_endian_without_leading_zero();
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(KeyFault::RsaLength { bits });
    }
    Ok(Key::new(Algorithm::RS256, DecodingKey::from_rsa_der(der)))
}

fn parse_jwks(contents: &[u8]) -> Result<PublicKeys, KeysError> {
    let given = members_of_set(contents)?;
    if given.len() > PUBLIC_KEYS_MAX {
        return Err(KeysError::TooMany { given: given.len() });
    }
    let (mut found, mut left_out) = (Vec::new(), Vec::new());
    let leave_out = |number: usize, kid: &Option<String>, fault| {
        let kid = kid.as_ref().map(|kid| kid.chars().take(KID_SHOWN_MAX).collect());
        LeftOut { number, kid, fault }
    };
    for (index, (kid, member)) in given.into_iter().enumerate() {
        if SECRET_MEMBERS.iter().any(|name| member.get(name).is_some_and(|secret| !secret.is_null())) {
            return Err(KeysError::Secret);
        }
        match key_of_member(&member) {
            Ok(key) => found.push((index + 1, kid, key)),
            Err(fault) => left_out.push(leave_out(index + 1, &kid, fault)),
        }
    }
    let is_lone = found.len() == 1;
    let mut keys: Vec<(Option<String>, Key)> = Vec::new();
    for (number, kid, key) in found {
        if kid.is_none() && !is_lone {
            left_out.push(leave_out(number, &kid, KeyFault::Unnamed));
        } else if keys.iter().any(|(other, known)| *other == kid && known.algorithm == key.algorithm) {
            left_out.push(leave_out(number, &kid, KeyFault::SameName));
        } else {
            keys.push((kid, key));
        }
    }
    left_out.sort_by_key(|key| key.number);
    if keys.is_empty() {
        let wrong = left_out.iter().find(|key| !key.is_of_others()).or(left_out.first());
        let nothing = |&LeftOut { number, fault, .. }: &LeftOut| KeysError::NothingUsable { number, fault };
        return Err(wrong.map_or(KeysError::Empty, nothing));
    }
    Ok(PublicKeys { keys, left_out })
}

/// Returns what is in a set, or a key that stands alone, each with its name.
fn members_of_set(contents: &[u8]) -> Result<Vec<(Option<String>, Value)>, KeysError> {
    let mut document: Map<String, Value> = serde_json::from_slice(contents).map_err(|_| KeysError::Unreadable)?;
    match document.remove("keys") {
        Some(Value::Array(keys)) => Ok(keys.into_iter().map(|jwk| (name_of(&jwk), jwk)).collect()),
        Some(_) => Err(KeysError::Unreadable),
        None if document.contains_key("kty") => {
            let jwk = Value::Object(document);
            Ok(vec![(name_of(&jwk), jwk)])
        }
        None if document.contains_key("jwks_uri") => Err(KeysError::Discovery),
        None if !document.is_empty() && document.values().all(is_certificate) => {
            // As Google shows those of Firebase, by the names of their keys.
            Ok(document.into_iter().map(|(kid, certificate)| (Some(kid), certificate)).collect())
        }
        None => Err(KeysError::Unreadable),
    }
}

fn name_of(jwk: &Value) -> Option<String> {
    jwk.get("kid").and_then(Value::as_str).map(str::to_owned)
}

fn is_certificate(value: &Value) -> bool {
    value.as_str().is_some_and(|text| text.trim_start().starts_with("-----BEGIN CERTIFICATE-----"))
}

/// Returns the key that stands in a set, or in a certificate.
fn key_of_member(member: &Value) -> Result<Key, KeyFault> {
    match member {
        Value::Object(jwk) => key_of_jwk(jwk),
        Value::String(pem) if is_certificate(member) => {
            let der = CertificateDer::from_pem_slice(pem.as_bytes()).map_err(|_| KeyFault::Damaged)?;
            key_of_certificate(&der)
        }
        _ => Err(KeyFault::NoObject),
    }
}

/// Returns a key of a set, if it is for signatures that are known here (RFC 7518 §6, RFC 8037 §2). What else it says of
/// itself, as its certificates, is its own matter.
fn key_of_jwk(jwk: &Map<String, Value>) -> Result<Key, KeyFault> {
    let text = |member: &'static str| match jwk.get(member) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str())),
        Some(_) => Err(KeyFault::BadMember { member }),
    };
    let kind = text("kty")?.ok_or(KeyFault::Missing { member: "kty" })?;
    let (algorithm, names): (_, &[&str]) = match (kind, text("crv")?) {
        ("EC", Some("P-256")) => (Algorithm::ES256, &["ES256"]),
        // The newer name says which curve (RFC 9864 §2.2).
        ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, &["EdDSA", "Ed25519"]),
        ("RSA", _) => (Algorithm::RS256, &["RS256"]),
        _ => return Err(KeyFault::OtherKind),
    };
    let verifies = match jwk.get("key_ops") {
        None | Some(Value::Null) => true,
        Some(Value::Array(ops)) => ops.iter().any(|op| op == "verify"),
        Some(_) => return Err(KeyFault::BadMember { member: "key_ops" }),
    };
    let is_for_signatures = text("use")?.is_none_or(|purpose| purpose == "sig");
    let is_known = text("alg")?.is_none_or(|alg| names.contains(&alg));
    if !(is_for_signatures && verifies && is_known) {
        return Err(KeyFault::OtherPurpose);
    }
    text("kid")?;
    // Padding is none of theirs (RFC 7515 §2), but some add it.
    let bytes = |member: &'static str| {
        let text = text(member)?.ok_or(KeyFault::Missing { member })?;
        BASE64_URL_SAFE_NO_PAD.decode(text.trim_end_matches('=')).map_err(|_| KeyFault::BadMember { member })
    };
    match algorithm {
        Algorithm::ES256 => {
            let point = [vec![4], bytes("x")?, bytes("y")?].concat();
            key_of_point(&ECDSA_P256_SHA256_FIXED, &point)?;
            Ok(Key::new(algorithm, DecodingKey::from_ec_der(&point)))
        }
        Algorithm::EdDSA => {
            let point = bytes("x")?;
            key_of_point(&ED25519, &point)?;
            Ok(Key::new(algorithm, DecodingKey::from_ed_der(&point)))
        }
        _ => {
            // Some libraries begin with the zero of a sign (RFC 7518 §6.3.1.1).
            let unsigned = |number: Vec<u8>| number.into_iter().skip_while(|&byte| byte == 0).collect::<Vec<u8>>();
            let (n, e) = (unsigned(bytes("n")?), unsigned(bytes("e")?));
            let der = RsaPublicKeyComponents { n, e }.as_der().map_err(|_| KeyFault::Damaged)?;
            key_of_der(der.as_ref()).map_err(|fault| match fault {
                KeyFault::OtherKind => KeyFault::Damaged,
                fault => fault,
            })
        }
    }
}

fn key_of_point(algorithm: &'static dyn VerificationAlgorithm, point: &[u8]) -> Result<(), KeyFault> {
    ParsedPublicKey::new(algorithm, point).map(drop).map_err(|_| KeyFault::Damaged)
}
