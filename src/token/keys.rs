//! Reads the public keys of an identity provider: one in PEM, or a set of them in JSON (JWKS, RFC 7517).
//!
//! Not the place of a shared secret. Invariant: each key is whole, public, strong enough and of one algorithm, and
//! where there are several, each has a name of its own.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rsa;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519, ParsedPublicKey, RsaPublicKeyComponents, VerificationAlgorithm,
};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind};
use rustls_pki_types::pem::{PemObject, SectionKind};
use serde::Deserialize;
use serde::de::IgnoredAny;

use super::Key;

/// The longest file, in bytes.
pub const PUBLIC_KEYS_BYTES_MAX: usize = 64 * 1024;

/// How many keys a set may hold, those for other purposes included.
const KEYS_MAX: usize = 32;

/// Lengths of RSA keys, in bits (RFC 7518 §3.3; the library verifies no longer ones).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Why public keys can't be used.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeysError {
    #[error("it has more than {PUBLIC_KEYS_BYTES_MAX} bytes")]
    TooLong,
    #[error("it holds neither a public key in PEM (BEGIN PUBLIC KEY) nor a set of keys in JSON (JWKS)")]
    Unreadable,
    #[error("it holds something secret: give the server the public key only")]
    Secret,
    #[error("it holds several keys in PEM: give one, or a set in JSON (JWKS)")]
    SeveralInPem,
    #[error("its key is of another kind: EC P-256, Ed25519 and RSA are known")]
    OtherKind,
    #[error("its RSA key has {bits} bits: 2048 to 8192 are accepted")]
    RsaLength { bits: usize },
    #[error("it holds {given} keys, more than {KEYS_MAX}")]
    TooMany { given: usize },
    #[error("its key {number} is damaged")]
    Damaged { number: usize },
    #[error("it holds several keys, and key {number} has no \"kid\" or that of another")]
    Unnamed { number: usize },
    #[error("none of its keys is for signatures with ES256, EdDSA or RS256")]
    NothingUsable,
}

/// The public keys of an identity provider, each with its `kid`, where it has one.
#[derive(Clone)]
pub struct PublicKeys {
    keys: Vec<(Option<String>, Key)>,
}

/// One key of a set; of the members that are for us to see (RFC 7518 §6, RFC 8037 §2).
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    crv: Option<String>,
    #[serde(rename = "use")]
    purpose: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
    /// The secret part of a key pair.
    d: Option<IgnoredAny>,
    /// A shared secret.
    k: Option<IgnoredAny>,
}

impl PublicKeys {
    /// Reads a file's contents.
    ///
    /// # Errors
    /// [`KeysError`], the first reason found.
    pub fn parse(contents: &[u8]) -> Result<PublicKeys, KeysError> {
        if contents.len() > PUBLIC_KEYS_BYTES_MAX {
            return Err(KeysError::TooLong);
        }
        if contents.trim_ascii_start().starts_with(b"{") { parse_jwks(contents) } else { parse_pem(contents) }
    }

    /// Returns how many keys there are.
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Tells whether there is no key; never, once read.
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Returns the key that a token names. A lone key may go unnamed, on either side.
    pub(super) fn find(&self, kid: Option<&str>) -> Option<&Key> {
        let (_, key) = match (self.keys.as_slice(), kid) {
            ([only], None) | ([only @ (None, _)], Some(_)) => only,
            (_, None) => return None,
            (keys, Some(_)) => keys.iter().find(|(name, _)| name.as_deref() == kid)?,
        };
        Some(key)
    }
}

fn parse_pem(contents: &[u8]) -> Result<PublicKeys, KeysError> {
    let mut found = None;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(contents) {
        match section.map_err(|_| KeysError::Unreadable)? {
            (SectionKind::PublicKey, _) if found.is_some() => return Err(KeysError::SeveralInPem),
            (SectionKind::PublicKey, der) => found = Some(der),
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err(KeysError::Secret);
            }
            (_, _) => return Err(KeysError::Unreadable),
        }
    }
    let der = found.ok_or(KeysError::Unreadable)?;
    Ok(PublicKeys { keys: vec![(None, key_of_der(&der)?)] })
}

/// Returns the key of a `SubjectPublicKeyInfo` (RFC 5280 §4.1.2.7).
fn key_of_der(der: &[u8]) -> Result<Key, KeysError> {
    let is_for = |algorithm: &'static dyn VerificationAlgorithm| ParsedPublicKey::new(algorithm, der).is_ok();
    if is_for(&ECDSA_P256_SHA256_FIXED) {
        return Ok(Key::new(Algorithm::ES256, DecodingKey::from_ec_der(der)));
    }
    if is_for(&ED25519) {
        return Ok(Key::new(Algorithm::EdDSA, DecodingKey::from_ed_der(der)));
    }
    let key = rsa::PublicKey::from_der(der).map_err(|_| KeysError::OtherKind)?;
    // A key for PSS alone reads as RSA too, but says so where others say `rsaEncryption` (RFC 8017 §A.2.3).
    if !key.as_der().is_ok_and(|general| general.as_ref() == der) {
        return Err(KeysError::OtherKind);
    }
    let modulus = key.modulus();
    let modulus = modulus.big_endian_without_leading_zero();
    let bits = modulus.len() * 8 - modulus.first().map_or(0, |byte| byte.leading_zeros() as usize);
    if !RSA_BITS.contains(&bits) {
        return Err(KeysError::RsaLength { bits });
    }
    Ok(Key::new(Algorithm::RS256, DecodingKey::from_rsa_der(der)))
}

fn parse_jwks(contents: &[u8]) -> Result<PublicKeys, KeysError> {
    #[derive(Deserialize)]
    struct Jwks {
        keys: Vec<Jwk>,
    }

    let set: Jwks = serde_json::from_slice(contents).map_err(|_| KeysError::Unreadable)?;
    if set.keys.len() > KEYS_MAX {
        return Err(KeysError::TooMany { given: set.keys.len() });
    }
    let mut keys: Vec<(Option<String>, Key)> = Vec::new();
    let mut numbers = Vec::new();
    for (index, jwk) in set.keys.into_iter().enumerate() {
        if jwk.d.is_some() || jwk.k.is_some() {
            return Err(KeysError::Secret);
        }
        if let Some(algorithm) = jwk.algorithm() {
            let key = jwk.decode(algorithm, index + 1)?;
            keys.push((jwk.kid, key));
            numbers.push(index + 1);
        }
    }
    let is_unnamed = |index: &usize| {
        let name = &keys[*index].0;
        name.is_none() || keys[..*index].iter().any(|(other, _)| other == name)
    };
    match keys.len() {
        0 => Err(KeysError::NothingUsable),
        1 => Ok(PublicKeys { keys }),
        len => match (0..len).find(is_unnamed) {
            Some(index) => Err(KeysError::Unnamed { number: numbers[index] }),
            None => Ok(PublicKeys { keys }),
        },
    }
}

impl Jwk {
    /// Returns the algorithm of a key for signatures; other keys of a set are none of our business.
    fn algorithm(&self) -> Option<Algorithm> {
        let (algorithm, name) = match (self.kty.as_str(), self.crv.as_deref()) {
            ("EC", Some("P-256")) => (Algorithm::ES256, "ES256"),
            ("OKP", Some("Ed25519")) => (Algorithm::EdDSA, "EdDSA"),
            ("RSA", _) => (Algorithm::RS256, "RS256"),
            _ => return None,
        };
        let is_for_signatures = self.purpose.as_deref().is_none_or(|purpose| purpose == "sig")
            && self.key_ops.as_ref().is_none_or(|ops| ops.iter().any(|op| op == "verify"))
            && self.alg.as_deref().is_none_or(|alg| alg == name);
        is_for_signatures.then_some(algorithm)
    }

    fn decode(&self, algorithm: Algorithm, number: usize) -> Result<Key, KeysError> {
        let damaged = KeysError::Damaged { number };
        let decoded = match algorithm {
            Algorithm::ES256 => DecodingKey::from_ec_components(member(&self.x), member(&self.y)),
            Algorithm::EdDSA => DecodingKey::from_ed_components(member(&self.x)),
            _ => DecodingKey::from_rsa_components(member(&self.n), member(&self.e)),
        };
        let decoded = decoded.map_err(|_| damaged)?;
        match decoded.kind() {
            DecodingKeyKind::RsaModulusExponent { n, e } => {
                let der = RsaPublicKeyComponents { n, e }.as_der().map_err(|_| damaged)?;
                key_of_der(der.as_ref())
                    .map_err(|error| if error == KeysError::OtherKind { damaged } else { error })
            }
            DecodingKeyKind::SecretOrDer(point) => {
                let verification: &'static dyn VerificationAlgorithm = match algorithm {
                    Algorithm::ES256 => &ECDSA_P256_SHA256_FIXED,
                    _ => &ED25519,
                };
                ParsedPublicKey::new(verification, point).map_err(|_| damaged)?;
                Ok(Key::new(algorithm, decoded.clone()))
            }
        }
    }
}

/// A member that is missing is as damaged as one that is empty.
fn member(text: &Option<String>) -> &str {
    text.as_deref().unwrap_or_default()
}
