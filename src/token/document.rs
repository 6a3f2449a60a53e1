//! What a token says, claim by claim: the one reader for tokens of the own secret and of an identity provider.
//!
//! Strict in what allows something, tolerant in what is only carried: a name is cleaned, times may have fractions, and what
//! nobody reads may be anything. Invariant: what is missing, of another shape or ambiguous never allows more than what is
//! plain, and each refusal names its claim.

use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;
use serde_json::value::RawValue;

use super::{Claims, NAME_CHARS_MAX, Rights, Scope, TokenError, is_valid_id, is_valid_name};
use crate::words::Role;
use crate::words::text::is_steering;

/// Where seconds end that fit into the 64 bits of ours.
const SECONDS_END: f64 = 18_446_744_073_709_551_616.0;

/// The claims of a token, each as it is written until somebody asks for it.
pub(super) struct Document<'a> {
    claims: Vec<(String, &'a RawValue)>,
}

impl<'a> Document<'a> {
    /// Reads an object in JSON.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Document<'a>, TokenError> {
        serde_json::from_slice(bytes).map_err(|_| TokenError::NoClaims)
    }

    /// Returns what a token says in our own words.
    pub(super) fn read_own(&self) -> Result<Claims, TokenError> {
        Ok(Claims {
            sub: self.id("/sub", "sub")?,
            role: self.role()?,
            name: self.name("/name"),
            listen: self.scope(true)?,
            device: self.device()?,
            rights: self.rights("/rights")?,
            exp: self.exp()?,
            iat: self.iat()?,
            nbf: self.nbf()?,
            after_revocation: self.seconds("after_revocation", f64::floor)?,
        })
    }

    /// Returns what stands at a JSON pointer; of two claims of one name nobody knows which is meant (RFC 7519 §4). One that is
    /// null is as good as none.
    pub(super) fn value(&self, pointer: &str, claim: &'static str) -> Result<Option<Value>, TokenError> {
        let (written, rest) = self.written(pointer, claim)?;
        let Some(written) = written else { return Ok(None) };
        let unreadable = TokenError::BadClaim { claim, wanted: "readable JSON, and not nested deeply" };
        let value: Value = serde_json::from_str(written.get()).map_err(|_| unreadable)?;
        Ok(value.pointer(rest).filter(|value| !value.is_null()).cloned())
    }

    /// Returns who it is.
    pub(super) fn id(&self, pointer: &str, claim: &'static str) -> Result<String, TokenError> {
        let wanted = "a text of 1 to 128 printable ASCII characters without space and / ? # % \\";
        match self.value(pointer, claim)? {
            None => Err(TokenError::NoClaim { claim }),
            Some(Value::String(id)) if is_valid_id(&id) => Ok(id),
            Some(_) => Err(TokenError::BadClaim { claim, wanted }),
        }
    }

    /// Returns what people see: a name as it can be shown, on one line and not too long. Nobody is refused for their name;
    /// without one they go by their id.
    pub(super) fn name(&self, pointer: &str) -> Option<String> {
        let (written, rest) = self.written(pointer, "").ok()?;
        let name = match rest {
            // Half a surrogate pair, where a program cut a name in the middle of an emoji, is no text; the rest of it is.
            "" => serde_json::from_str::<Lossy>(written?.get()).ok()?.0,
            _ => self.value(pointer, "").ok()??.as_str()?.to_owned(),
        };
        shown(&name)
    }

    /// Returns whom an admin may hear. A scope that can't be read must not become none at all.
    pub(super) fn scope(&self, may_be_null: bool) -> Result<Option<Scope>, TokenError> {
        let bad = TokenError::BadClaim { claim: "listen", wanted: "a list of ids" };
        let (Some(written), _) = self.written("/listen", "listen")? else { return Ok(None) };
        match serde_json::from_str(written.get()) {
            Ok(Value::Null) if may_be_null => Ok(None),
            Ok(Value::Array(ids)) => {
                let ids: Option<Vec<&str>> = ids.iter().map(Value::as_str).collect();
                Ok(Some(Scope::new(ids.ok_or(bad)?)))
            }
            Ok(_) | Err(_) => Err(bad),
        }
    }

    /// Returns when the token ends, in Unix seconds.
    pub(super) fn exp(&self) -> Result<u64, TokenError> {
        self.seconds("exp", f64::floor)?.ok_or(TokenError::NoClaim { claim: "exp" })
    }

    /// Returns when the token was made, in Unix seconds.
    pub(super) fn iat(&self) -> Result<u64, TokenError> {
        self.seconds("iat", f64::floor)?.ok_or(TokenError::NoClaim { claim: "iat" })
    }

    /// Returns from when on the token may be used, in Unix seconds.
    pub(super) fn nbf(&self) -> Result<Option<u64>, TokenError> {
        self.seconds("nbf", f64::ceil)
    }

    /// Returns what the bearer may beside what the role is for; a right that this version does not know is none.
    pub(super) fn rights(&self, pointer: &str) -> Result<Rights, TokenError> {
        let claim = "rights";
        let bad = TokenError::BadClaim { claim, wanted: "a list of texts" };
        let Some(rights) = self.value(pointer, claim)? else { return Ok(Rights::default()) };
        let names: Option<Vec<&str>> = rights.as_array().ok_or(bad)?.iter().map(Value::as_str).collect();
        Ok(names.ok_or(bad)?.into_iter().filter_map(|name| name.parse().ok()).collect())
    }

    fn role(&self) -> Result<Role, TokenError> {
        let claim = "role";
        let role = self.value("/role", claim)?.ok_or(TokenError::NoClaim { claim })?;
        let role = role.as_str().and_then(|role| role.parse().ok());
        role.ok_or(TokenError::BadClaim { claim, wanted: "admin, commercial or monitor" })
    }

    fn device(&self) -> Result<bool, TokenError> {
        match self.value("/device", "device")? {
            None => Ok(false),
            Some(Value::Bool(is_device)) => Ok(is_device),
            Some(_) => Err(TokenError::BadClaim { claim: "device", wanted: "true or false" }),
        }
    }

    /// Returns a moment in whole Unix seconds; issuers write fractions too (RFC 7519 §2, `NumericDate`).
    fn seconds(&self, claim: &'static str, round: fn(f64) -> f64) -> Result<Option<u64>, TokenError> {
        let Some(value) = self.value(&format!("/{claim}"), claim)? else { return Ok(None) };
        let rounded = || {
            let seconds = value.as_f64().map(round)?;
            (0.0..SECONDS_END).contains(&seconds).then_some(seconds as u64)
        };
        let seconds = value.as_u64().or_else(rounded);
        seconds.map(Some).ok_or(TokenError::BadClaim { claim, wanted: "a number of Unix seconds" })
    }

    /// Returns how the claim is written that a JSON pointer begins with, and where in it the pointer goes on.
    fn written<'p>(
        &self,
        pointer: &'p str,
        claim: &'static str,
    ) -> Result<(Option<&'a RawValue>, &'p str), TokenError> {
        let path = pointer.strip_prefix('/').unwrap_or(pointer);
        let (name, rest) = path.split_at(path.find('/').unwrap_or(path.len()));
        let name = name.replace("~1", "/").replace("~0", "~");
        let mut of_name = self.claims.iter().filter(|(other, _)| *other == name);
        let found = of_name.next().map(|&(_, written)| written);
        if of_name.next().is_some() { Err(TokenError::TwoOfClaim { claim }) } else { Ok((found, rest)) }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Document<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Document<'a>, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(String, &'de RawValue)>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(|claims| Document { claims })
    }
}

/// A text in JSON, without what is no Unicode in it.
struct Lossy(String);

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Lossy, D::Error> {
        struct Text;
        impl Visitor<'_> for Text {
            type Value = Lossy;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
                Ok(Lossy(String::from_utf8_lossy(bytes).replace(char::REPLACEMENT_CHARACTER, " ")))
            }
        }
        deserializer.deserialize_bytes(Text)
    }
}

/// Returns a name as it can be shown. What stands for a flag goes without a trace, what ends a line or turns it leaves a
/// space.
fn shown(name: &str) -> Option<String> {
    let line =
        name.replace(|character| matches!(character, '\u{e0000}'..='\u{e0fff}'), "").replace(is_steering, " ");
    let cut: String = line.trim().chars().take(NAME_CHARS_MAX).collect();
    Some(cut.trim_end().to_owned()).filter(|name| is_valid_name(name))
}
