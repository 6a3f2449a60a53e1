//! Turns a signed token (JWT, RFC 7519) into what its bearer may do, and mints such tokens.
//!
//! Two kinds are good: those of the own secret, and those of an identity provider whose public keys are known
//! ([`Issuer`]). Knows no clock: times are compared with what the caller says it is. Invariant: [`Claims`] come out of
//! [`Verifier::verify`] only with a good signature of the algorithm that the key is for, inside their times, not
//! revoked, and with an id that is safe to show.

mod devices;
mod issuer;
mod keys;
mod revoked;
mod scope;

use std::mem;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::de::{DeserializeOwned, IgnoredAny};
use serde::{Deserialize, Serialize};

use crate::words::Role;
use crate::words::text::is_name;

pub use devices::{DEVICES_BYTES_MAX, DEVICES_MAX, Devices, DevicesError};
pub use issuer::{ClaimRules, Issuer, Pointer, RoleMapping};
pub use keys::{KeysError, PUBLIC_KEYS_BYTES_MAX, PublicKeys};
pub use revoked::{REVOKED_BYTES_MAX, REVOKED_IDS_MAX, Revoked, RevokedError};
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
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The user's id; for a salesperson it is the `commercial_id`.
    pub sub: String,
    pub role: Role,
    /// What people see; absent, they see the id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// The only salespeople that an admin may see and hear; absent means all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub listen: Option<Scope>,
    /// Whether a device without a page streams.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub device: bool,
    /// Unix seconds.
    pub exp: u64,
    /// Unix seconds.
    pub iat: u64,
    /// Unix seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nbf: Option<u64>,
    /// Unix seconds: the user's revocation that the issuer knew of, and after which it made this token all the same. Only who
    /// has the secret can say so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
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

/// Why a token is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("longer than {TOKEN_BYTES_MAX} bytes")]
    TooLong,
    #[error("not a token signed with a key of this server, or a required claim is missing")]
    NotSigned,
    #[error("sub, role, exp or iat is missing, or a claim is not what it must be")]
    BadClaims,
    #[error("its head says that it is something else: typ must be JWT or at+jwt")]
    OtherType,
    #[error("of another issuer, or of none")]
    OtherIssuer,
    #[error("for another audience, or for none")]
    OtherAudience,
    #[error("names no role of ours")]
    NoRole,
    #[error("names several roles of ours")]
    SeveralRoles,
    #[error("expired")]
    Expired,
    #[error("issued or valid only in the future")]
    NotYetValid,
    #[error("revoked")]
    Revoked,
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
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::NotSigned)?;
        if !header.typ.as_deref().is_none_or(is_of_access) {
            return Err(TokenError::OtherType);
        }
        let claims = match (self.own.open(token), &self.issuer) {
            (Some(claims), _) => claims,
            (None, Some(issuer)) => issuer.open(header.kid.as_deref(), token)?,
            // Signed here, but not in our words, as by an application's backend.
            (None, None) if self.own.open::<IgnoredAny>(token).is_some() => return Err(TokenError::BadClaims),
            (None, None) => return Err(TokenError::NotSigned),
        };
        if !is_valid_id(&claims.sub) || !claims.name.as_deref().is_none_or(is_valid_name) {
            return Err(TokenError::BadClaims);
        }
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
}

/// A key that verifies, and the only algorithm that it is good for, whatever a token says.
#[derive(Clone)]
struct Key {
    decoding: DecodingKey,
    validation: Validation,
}

impl Key {
    fn new(algorithm: Algorithm, decoding: DecodingKey) -> Key {
        let mut validation = Validation::new(algorithm);
        // The library reads the system's clock; times are compared above with the caller's.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        validation.validate_aud = false;
        validation.leeway = 0;
        Key { decoding, validation }
    }

    /// Returns what a token says, if this key signed it. One that demands an extension is not understood, and so
    /// refused (RFC 7515 §4.1.11).
    fn open<T: DeserializeOwned>(&self, token: &str) -> Option<T> {
        let opened = jsonwebtoken::decode::<T>(token, &self.decoding, &self.validation).ok()?;
        opened.header.crit.is_none().then_some(opened.claims)
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
            ("empty id", &|c| c.sub.clear(), Err(TokenError::BadClaims)),
            ("id with a slash", &|c| c.sub = "a/b".into(), Err(TokenError::BadClaims)),
            ("longest id", &|c| c.sub = "a".repeat(128), Ok(())),
            ("longer id", &|c| c.sub = "a".repeat(129), Err(TokenError::BadClaims)),
            ("name with a line end", &|c| c.name = Some("a\r\nb".into()), Err(TokenError::BadClaims)),
            ("name with an escape", &|c| c.name = Some("\u{1b}[31m".into()), Err(TokenError::BadClaims)),
            ("name that turns what follows", &|c| c.name = Some("a\u{202e}b".into()), Err(TokenError::BadClaims)),
            ("name that nobody sees", &|c| c.name = Some("\u{200b}".into()), Err(TokenError::BadClaims)),
            ("name in HTML", &|c| c.name = Some("<img src=x onerror=alert(1)>".into()), Ok(())),
            ("long name", &|c| c.name = Some("é".repeat(81)), Err(TokenError::BadClaims)),
        ];
        for (name, edit, want) in cases {
            assert_eq!(verify(edit), *want, "{name}");
        }
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
            ("nothing", String::new()),
            ("another key", mint(b"another secret of 32 bytes or so", &claims())),
            ("claims of another token", format!("{head}.{other_claims}.{signature}")),
            ("no signature", format!("{head_and_claims}.")),
            ("algorithm none", none),
            ("another algorithm", hs512.unwrap()),
            ("no expiry", no_exp.unwrap()),
            ("an extension that must be understood", critical.unwrap()),
        ];
        for (name, token) in cases {
            assert_eq!(verifier.verify(NOW, &token), Err(TokenError::NotSigned), "{name}");
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
