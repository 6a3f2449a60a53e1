//! Turns a signed token (JWT, RFC 7519) into what its bearer may do, and mints such tokens.
//!
//! Two kinds are good: those of the own secret, and those of an identity provider whose public keys are known
//! ([`Issuer`]). Knows no clock: times are compared with what the caller says it is. Invariant: [`Claims`] come out of
//! [`Verifier::verify`] only with a good signature of the algorithm that the key is for, inside their times, not
//! revoked, and with an id that is safe to show.

mod devices;
mod document;
mod issuer;
mod keys;
mod revoked;
mod rights;
mod scope;

use std::collections::HashMap;
use std::mem;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header};
use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::words::Role;
use crate::words::text::is_name;
use document::Document;

pub use devices::{DEVICES_BYTES_MAX, DEVICES_MAX, Devices, DevicesError};
pub use issuer::{ClaimRules, Issuer, Pointer, RoleMapping};
pub use keys::{KeyFault, KeysError, LeftOut, PUBLIC_KEYS_BYTES_MAX, PUBLIC_KEYS_MAX, PublicKeys};
pub use revoked::{REVOKED_BYTES_MAX, REVOKED_IDS_MAX, Revoked, RevokedError};
pub use rights::{Right, Rights, UnknownRight};
pub use scope::Scope;

/// The longest token, in bytes.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
/// The longest id, in characters.
pub const ID_CHARS_MAX: usize = 128;
/// The longest name, in characters.
pub const NAME_CHARS_MAX: usize = 80;
/// How far ahead of ours an issuer's clock may be, in seconds.
pub const SKEW_S: u64 = 5;

/// What a token says about its bearer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Claims {
    /// The user's id; for a salesperson it is the `commercial_id`.
    pub sub: String,
    pub role: Role,
    /// What people see; absent, they see the id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The only salespeople that an admin may see and hear; absent means all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub listen: Option<Scope>,
    /// Whether a device without a page streams.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub device: bool,
    /// What the bearer may beside what the role is for.
    #[serde(skip_serializing_if = "Rights::is_empty")]
    pub rights: Rights,
    /// Unix seconds.
    pub exp: u64,
    /// Unix seconds.
    pub iat: u64,
    /// Unix seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Unix seconds: the user's revocation that the issuer knew of, and after which it made this token all the same. Only who
    /// has the secret can say so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub after_revocation: Option<u64>,
}

impl Claims {
    /// Returns what people see.
    pub fn shown_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.sub)
    }

    /// Tells whether the bearer may see and hear `commercial_id`.
    pub fn may_hear(&self, commercial_id: &str) -> bool {
        self.role == Role::Admin && self.listen.as_ref().is_none_or(|scope| scope.contains(commercial_id))
    }

    /// Tells whether the token may still be used.
    pub fn is_live(&self, unix_s: u64) -> bool {
        unix_s < self.exp
    }
}

/// Why a token is refused, for who runs the server; its bearer is told [`TokenError::told`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum TokenError {
    #[error("there is no token")]
    None,
    #[error("longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("not three parts in base64url without padding, or its head is no object in JSON with a known \"alg\"")]
    Malformed,
    #[error("signed with another algorithm than the key is for")]
    OtherAlgorithm,
    #[error("its \"kid\" names none of the identity provider's keys")]
    NoSuchKey,
    #[error("not signed with a key of this server, or cut off")]
    NotSigned,
    #[error("its head demands an extension in \"crit\": none is understood")]
    Critical,
    #[error("its head says that it is something else: typ must be JWT or at+jwt")]
    OtherType,
    #[error("its claims are no object in JSON")]
    NoClaims,
    #[error("{claim} is missing")]
    NoClaim { claim: &'static str },
    #[error("{claim} must be {wanted}")]
    BadClaim { claim: &'static str, wanted: &'static str },
    #[error("{claim} stands in it twice")]
    TwoOfClaim { claim: &'static str },
    #[error("of another issuer, or of none: iss must be --token-issuer")]
    OtherIssuer,
    #[error("for another audience, or for none: aud must hold --token-audience")]
    OtherAudience,
    #[error("names no role of ours")]
    NoRole,
    #[error("names several roles of ours")]
    SeveralRoles,
    #[error("expired")]
    Expired,
    #[error("issued or valid only in the future: the clock here or where it was made is wrong")]
    NotYetValid,
    #[error("revoked")]
    Revoked,
}

impl TokenError {
    /// Returns what programs go by.
    pub fn code(self) -> &'static str {
        match self {
            TokenError::None => "missing",
            TokenError::TooLong => "too_long",
            TokenError::Malformed | TokenError::OtherAlgorithm | TokenError::NoSuchKey | TokenError::NotSigned => {
                "signature"
            }
            TokenError::Critical | TokenError::OtherType => "type",
            TokenError::NoClaims
            | TokenError::NoClaim { .. }
            | TokenError::BadClaim { .. }
            | TokenError::TwoOfClaim { .. } => "claims",
            TokenError::OtherIssuer => "issuer",
            TokenError::OtherAudience => "audience",
            TokenError::NoRole | TokenError::SeveralRoles => "role",
            TokenError::Expired => "expired",
            TokenError::NotYetValid => "not_yet_valid",
            TokenError::Revoked => "revoked",
        }
    }

    /// Returns as much as the bearer is told: one who can't sign learns nothing of the keys.
    pub fn told(self) -> TokenError {
        if self.code() == "signature" { TokenError::NotSigned } else { self }
    }
}

/// Verifies tokens against the own secret, the keys of an identity provider, and the list of who was revoked.
pub struct Verifier {
    own: Key,
    issuer: Option<Issuer>,
    revoked: Revoked,
}

impl Verifier {
    /// Returns a verifier of HS256 tokens signed with `secret`, and of those of `issuer`.
    pub fn new(secret: &[u8], issuer: Option<Issuer>, revoked: Revoked) -> Verifier {
        Verifier { own: Key::new(Algorithm::HS256, DecodingKey::from_secret(secret)), issuer, revoked }
    }

    /// Replaces the keys of the identity provider; without one, nothing changes.
    pub fn set_keys(&mut self, keys: PublicKeys) {
        if let Some(issuer) = &mut self.issuer {
            issuer.keys = keys;
        }
    }

    /// Replaces the list of who was revoked; returns the one before.
    pub fn replace_revoked(&mut self, revoked: Revoked) -> Revoked {
        mem::replace(&mut self.revoked, revoked)
    }

    /// Returns the list of who was revoked.
    pub fn revoked(&self) -> &Revoked {
        &self.revoked
    }

    /// Tells whether the token that these claims came from was revoked since.
    pub fn is_revoked(&self, claims: &Claims) -> bool {
        self.revoked.refuses(claims)
    }

    /// Returns the claims of a token that is good at `unix_s`, in Unix seconds.
    ///
    /// # Errors
    /// [`TokenError`], the first reason found.
    pub fn verify(&self, unix_s: u64, token: &str) -> Result<Claims, TokenError> {
        let claims = self.read(token)?;
        if !claims.is_live(unix_s) {
            return Err(TokenError::Expired);
        }
        if claims.iat.max(claims.nbf.unwrap_or(0)) > unix_s.saturating_add(SKEW_S) {
            return Err(TokenError::NotYetValid);
        }
        if self.is_revoked(&claims) {
            return Err(TokenError::Revoked);
        }
        Ok(claims)
    }

    /// Returns what a token says, whenever. Of one that is not signed nothing but its head is read.
    fn read(&self, token: &str) -> Result<Claims, TokenError> {
        if token.is_empty() {
            return Err(TokenError::None);
        }
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let (message, signature) = token.rsplit_once('.').ok_or(TokenError::Malformed)?;
        let (head, claims) = message.split_once('.').ok_or(TokenError::Malformed)?;
        let decode = |part: &str| BASE64_URL_SAFE_NO_PAD.decode(part).map_err(|_| TokenError::Malformed);
        let (head, claims) = (decode(head)?, decode(claims)?);
        let head: Head = serde_json::from_slice(&head).map_err(|_| TokenError::Malformed)?;
        let algorithm = head.algorithm()?;
        let issuer = self.issuer.as_ref().filter(|_| algorithm != self.own.algorithm);
        let key = match issuer {
            Some(issuer) => issuer.keys.find(head.kid.as_ref().and_then(Value::as_str), algorithm)?,
            None => &self.own,
        };
        key.check(algorithm, message, signature)?;
        if head.crit.is_some() {
            return Err(TokenError::Critical);
        }
        if !head.typ.as_deref().is_none_or(is_of_access) {
            return Err(TokenError::OtherType);
        }
        let document = Document::parse(&claims)?;
        match issuer {
            Some(issuer) => issuer.rules.read(&document),
            None => document.read_own(),
        }
    }
}

/// The head of a token; what is not understood in it is ignored (RFC 7515 §4), but for the extensions that `crit` demands.
#[derive(Deserialize)]
struct Head {
    alg: String,
    typ: Option<String>,
    /// A text, where it is to name a key.
    kid: Option<Value>,
    crit: Option<IgnoredAny>,
    /// Read for their depth, which has a bound then.
    #[serde(flatten)]
    _others: HashMap<String, Value>,
}

impl Head {
    fn algorithm(&self) -> Result<Algorithm, TokenError> {
        match self.alg.as_str() {
            "HS256" => Ok(Algorithm::HS256),
            "ES256" => Ok(Algorithm::ES256),
            "RS256" => Ok(Algorithm::RS256),
            // The newer name says which curve (RFC 9864 §2.2).
            "EdDSA" | "Ed25519" => Ok(Algorithm::EdDSA),
            _ => Err(TokenError::OtherAlgorithm),
        }
    }
}

/// A key that verifies, and the only algorithm that it is good for, whatever a token says.
#[derive(Clone)]
struct Key {
    algorithm: Algorithm,
    decoding: DecodingKey,
}

impl Key {
    fn new(algorithm: Algorithm, decoding: DecodingKey) -> Key {
        Key { algorithm, decoding }
    }

    /// Checks that this key signed a message, with the algorithm that is said.
    fn check(&self, algorithm: Algorithm, message: &str, signature: &str) -> Result<(), TokenError> {
        if algorithm != self.algorithm {
            return Err(TokenError::OtherAlgorithm);
        }
        let verified = jsonwebtoken::crypto::verify(signature, message.as_bytes(), &self.decoding, self.algorithm);
        // An error is a signature that is no base64url.
        if verified == Ok(true) { Ok(()) } else { Err(TokenError::NotSigned) }
    }
}

/// Signs claims with HS256.
pub fn mint(secret: &[u8], claims: &Claims) -> String {
    let key = EncodingKey::from_secret(secret);
    jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).expect("claims are JSON, the key fits HS256")
}

/// Tells whether a token of this type says who somebody is and what they may, and not that they have just left or the like
/// (RFC 8725 §3.11, RFC 9068 §2.1). It is a media type, whose beginning may be left out (RFC 7515 §4.1.9).
fn is_of_access(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}

/// Tells whether `id` is 1 to 128 printable ASCII characters without space and `/ ? # % \`.
pub fn is_valid_id(id: &str) -> bool {
    (1..=ID_CHARS_MAX).contains(&id.len())
        && id.bytes().all(|byte| byte.is_ascii_graphic() && !b"/?#%\\".contains(&byte))
}

/// Tells whether `name` is 1 to 80 characters that can be shown on one line, with a letter or digit, and without piles of
/// marks.
pub fn is_valid_name(name: &str) -> bool {
    name.chars().count() <= NAME_CHARS_MAX && is_name(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &[u8] = b"0123456789abcdef0123456789abcdef";
    const NOW: u64 = 1_000_000;

    fn verifier() -> Verifier {
        Verifier::new(SECRET, None, Revoked::default())
    }

    fn claims() -> Claims {
        Claims {
            sub: "paul".into(),
            role: Role::Admin,
            name: Some("Paul D.".into()),
            listen: None,
            device: false,
            rights: Rights::default(),
            exp: NOW + 60,
            iat: NOW,
            nbf: None,
            after_revocation: None,
        }
    }

    #[test]
    fn what_was_minted_verifies() {
        let token = mint(SECRET, &claims());
        assert_eq!(verifier().verify(NOW, &token), Ok(claims()));
    }

    #[test]
    fn refuses_what_is_not_good_now() {
        let verify = |edit: &dyn Fn(&mut Claims)| {
            let mut claims = claims();
            edit(&mut claims);
            verifier().verify(NOW, &mint(SECRET, &claims)).map(|_| ())
        };
        type Edit<'a> = &'a dyn Fn(&mut Claims);
        let cases: &[(&str, Edit<'_>, Result<(), TokenError>)] = &[
            ("last second", &|c| c.exp = NOW + 1, Ok(())),
            ("expired this second", &|c| c.exp = NOW, Err(TokenError::Expired)),
            ("issued 5 s ahead", &|c| c.iat = NOW + 5, Ok(())),
            ("issued 6 s ahead", &|c| c.iat = NOW + 6, Err(TokenError::NotYetValid)),
            ("not before 6 s ahead", &|c| c.nbf = Some(NOW + 6), Err(TokenError::NotYetValid)),
            ("issued at the end of time", &|c| c.iat = u64::MAX, Err(TokenError::NotYetValid)),
            ("longest id", &|c| c.sub = "a".repeat(128), Ok(())),
            ("name in HTML", &|c| c.name = Some("<img src=x onerror=alert(1)>".into()), Ok(())),
        ];
        for (name, edit, want) in cases {
            assert_eq!(verify(edit), *want, "{name}");
        }
        for id in ["".to_owned(), "a/b".to_owned(), "a".repeat(129)] {
            let refused = verify(&|c| c.sub.clone_from(&id)).unwrap_err();
            assert!(matches!(refused, TokenError::BadClaim { claim: "sub", .. }), "{id}: {refused}");
        }
    }

    #[test]
    fn whoever_can_not_sign_learns_nothing_of_the_keys() {
        let unsigned =
            [TokenError::Malformed, TokenError::OtherAlgorithm, TokenError::NoSuchKey, TokenError::NotSigned];
        for error in unsigned {
            assert_eq!((error.code(), error.told()), ("signature", TokenError::NotSigned), "{error}");
        }
        assert_eq!(TokenError::Expired.told(), TokenError::Expired);
    }

    #[test]
    fn refuses_what_is_not_signed_by_us() {
        let verifier = verifier();
        let good = mint(SECRET, &claims());
        let (head_and_claims, signature) = good.rsplit_once('.').unwrap();
        let (head, _) = head_and_claims.split_once('.').unwrap();
        let other = mint(SECRET, &Claims { sub: "ana".into(), ..claims() });
        let other_claims = other.split('.').nth(1).unwrap();
        let hs512 =
            jsonwebtoken::encode(&Header::new(Algorithm::HS512), &claims(), &EncodingKey::from_secret(SECRET));
        let no_exp = jsonwebtoken::encode(
            &Header::new(Algorithm::HS256),
            &serde_json::json!({"sub": "paul", "role": "admin", "iat": NOW}),
            &EncodingKey::from_secret(SECRET),
        );
        // {"alg":"none"}
        let none = format!("eyJhbGciOiJub25lIn0.{other_claims}.");
        let critical = jsonwebtoken::encode(
            &Header { crit: Some(vec!["b64".into()]), ..Header::new(Algorithm::HS256) },
            &claims(),
            &EncodingKey::from_secret(SECRET),
        );
        let cases = [
            ("nothing", String::new(), TokenError::None),
            ("another key", mint(b"another secret of 32 bytes or so", &claims()), TokenError::NotSigned),
            ("claims of another token", format!("{head}.{other_claims}.{signature}"), TokenError::NotSigned),
            ("no signature", format!("{head_and_claims}."), TokenError::NotSigned),
            ("algorithm none", none, TokenError::OtherAlgorithm),
            ("another algorithm", hs512.unwrap(), TokenError::OtherAlgorithm),
            ("no expiry", no_exp.unwrap(), TokenError::NoClaim { claim: "exp" }),
            ("an extension that must be understood", critical.unwrap(), TokenError::Critical),
        ];
        for (name, token, want) in cases {
            assert_eq!(verifier.verify(NOW, &token), Err(want), "{name}");
        }
        assert_eq!(verifier.verify(NOW, &"a".repeat(TOKEN_BYTES_MAX + 1)), Err(TokenError::TooLong));
    }

    #[test]
    fn types_of_tokens() {
        let cases = [
            ("JWT", true),
            ("jwt", true),
            ("at+JWT", true),
            ("application/jwt", true),
            ("Application/AT+JWT", true),
            ("logout+jwt", false),
            ("dpop+jwt", false),
            ("application/secevent+jwt", false),
            ("text/jwt", false),
            ("application/application/jwt", false),
            ("JWT ", false),
            ("", false),
        ];
        let key = EncodingKey::from_secret(SECRET);
        let verify = |typ: Option<&str>| {
            let header = Header { typ: typ.map(str::to_owned), ..Header::new(Algorithm::HS256) };
            verifier().verify(NOW, &jsonwebtoken::encode(&header, &claims(), &key).unwrap()).map(|_| ())
        };
        for (typ, is_good) in cases {
            let want = if is_good { Ok(()) } else { Err(TokenError::OtherType) };
            assert_eq!(verify(Some(typ)), want, "{typ:?}");
        }
        assert_eq!(verify(None), Ok(()), "none need be said (RFC 7519 §5.1)");
    }

    #[test]
    fn revoked_until_a_second_and_what_a_clock_may_be_ahead() {
        let mut verifier = verifier();
        let token = |iat, after_revocation| mint(SECRET, &Claims { iat, after_revocation, ..claims() });
        let cases = [
            ("issued before", NOW - 1, None, Err(TokenError::Revoked)),
            ("in the same second", NOW, None, Err(TokenError::Revoked)),
            ("before, by a clock that is ahead", NOW + SKEW_S, None, Err(TokenError::Revoked)),
            ("later", NOW + SKEW_S + 1, None, Ok(())),
            ("at once, by who knows of it", NOW, Some(NOW), Ok(())),
            ("by who knows of an earlier one", NOW, Some(NOW - 1), Err(TokenError::Revoked)),
            ("later, by who knows of an earlier one", NOW + SKEW_S + 1, Some(NOW - 1), Ok(())),
        ];
        verifier.replace_revoked(Revoked::parse(format!("paul {NOW}\n").as_bytes()).unwrap());
        for (name, iat, after, want) in cases {
            assert_eq!(verifier.verify(NOW + 1, &token(iat, after)).map(|_| ()), want, "{name}");
        }
        let renewed = token(NOW, Some(NOW));
        let list = Revoked::add(format!("paul {NOW}\n").as_bytes(), "paul", NOW).unwrap();
        verifier.replace_revoked(Revoked::parse(&list).unwrap());
        assert_eq!(verifier.verify(NOW, &renewed), Err(TokenError::Revoked), "again, in the same second");
        verifier.replace_revoked(Revoked::parse(format!("paula {NOW}\n").as_bytes()).unwrap());
        assert_eq!(verifier.verify(NOW, &token(NOW, None)).map(|_| ()), Ok(()));
    }

    #[test]
    fn scope_limits_an_admin_and_nobody_else_hears() {
        let all = claims();
        let some = Claims { listen: Some(Scope::new(["lea"])), ..claims() };
        let commercial = Claims { role: Role::Commercial, ..claims() };
        assert!(all.may_hear("lea") && all.may_hear("tom"));
        assert!(some.may_hear("lea") && !some.may_hear("tom"));
        assert!(!commercial.may_hear("lea"));
    }
}
