//! An identity provider whose tokens are good too: which claims say who somebody is, and what they may do.
//!
//! Applies to its tokens only; those of the own secret say it in our own words. Invariant: what is missing, of
//! another shape or ambiguous never allows more than what is plain.

use std::str::FromStr;

use serde_json::Value;

use super::keys::PublicKeys;
use super::{Claims, NAME_CHARS_MAX, Scope, TokenError, is_valid_name};
use crate::words::Role;
use crate::words::text::is_steering;

/// The last second that a number in JSON can hold with all its digits.
const SECONDS_MAX: f64 = 9_007_199_254_740_991.0;

/// An identity provider.
#[derive(Clone)]
pub struct Issuer {
    pub keys: PublicKeys,
    pub rules: ClaimRules,
}

/// Where an identity provider's tokens say what we need.
#[derive(Clone, Debug)]
pub struct ClaimRules {
    pub id: Pointer,
    pub name: Pointer,
    /// A role, or an array of which any may be one of ours.
    pub role: Pointer,
    /// What its roles are called here; where it is empty they are called the same.
    pub roles: Vec<RoleMapping>,
    /// What `iss` must be (RFC 8725 §3.8).
    pub issuer: String,
    /// What `aud` must be or hold (RFC 8725 §3.9).
    pub audience: String,
    /// Whether its tokens may say that what streams is nobody's microphone: then nobody is told who listens.
    pub allows_device: bool,
}

/// A JSON pointer (RFC 6901) to something in a token, not to the whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pointer(String);

/// A role of the identity provider, and what it is here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RoleMapping {
    pub theirs: String,
    pub ours: Role,
}

impl FromStr for Pointer {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Pointer, &'static str> {
        let is_pointer = text.starts_with('/') && text.split('~').skip(1).all(|part| part.starts_with(['0', '1']));
        if is_pointer {
            Ok(Pointer(text.to_owned()))
        } else {
            Err("write a JSON pointer, as /sub or /realm_access/roles")
        }
    }
}

impl FromStr for RoleMapping {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<RoleMapping, &'static str> {
        const WRONG: &str = "write their role and ours, as directeur=admin; ours are admin, commercial and monitor";
        let (theirs, ours) = text.rsplit_once('=').filter(|(theirs, _)| !theirs.is_empty()).ok_or(WRONG)?;
        Ok(RoleMapping { theirs: theirs.to_owned(), ours: ours.parse().map_err(|_| WRONG)? })
    }
}

impl Issuer {
    /// Returns what a token says, if one of the keys signed it: the one that it names, with the algorithm of that key.
    pub(super) fn open(&self, kid: Option<&str>, token: &str) -> Result<Claims, TokenError> {
        let key = self.keys.find(kid).ok_or(TokenError::NotSigned)?;
        let document: Value = key.open(token).ok_or(TokenError::NotSigned)?;
        self.rules.read(&document)
    }
}

impl ClaimRules {
    fn read(&self, document: &Value) -> Result<Claims, TokenError> {
        if document.get("iss").and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenError::OtherIssuer);
        }
        if !texts(document.get("aud")).any(|aud| aud == self.audience) {
            return Err(TokenError::OtherAudience);
        }
        let sub = document.pointer(&self.id.0).and_then(Value::as_str).ok_or(TokenError::BadClaims)?;
        Ok(Claims {
            sub: sub.to_owned(),
            role: self.role(document)?,
            name: document.pointer(&self.name.0).and_then(Value::as_str).and_then(shown),
            listen: scope(document.get("listen"))?,
            device: self.allows_device && document.get("device") == Some(&Value::Bool(true)),
            exp: seconds(document.get("exp")).map(f64::floor).ok_or(TokenError::NotSigned)? as u64,
            iat: seconds(document.get("iat")).map(f64::floor).ok_or(TokenError::NotSigned)? as u64,
            nbf: match document.get("nbf") {
                None => None,
                nbf => Some(seconds(nbf).map(f64::ceil).ok_or(TokenError::BadClaims)? as u64),
            },
            // It knows nothing of our list.
            after_revocation: None,
        })
    }

    /// Returns the one role that a token names; several names may mean the same, but one who has two roles has none
    /// that could be chosen for them.
    fn role(&self, document: &Value) -> Result<Role, TokenError> {
        let ours = |theirs: &str| -> Vec<Role> {
            if self.roles.is_empty() {
                return theirs.parse().into_iter().collect();
            }
            self.roles.iter().filter(|mapping| mapping.theirs == theirs).map(|mapping| mapping.ours).collect()
        };
        let mut roles = texts(document.pointer(&self.role.0)).flat_map(ours);
        let role = roles.next().ok_or(TokenError::NoRole)?;
        if roles.all(|other| other == role) { Ok(role) } else { Err(TokenError::SeveralRoles) }
    }
}

/// Returns the texts of a claim that is one or an array of them.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = claim.and_then(Value::as_array).map(Vec::as_slice);
    list.unwrap_or_default().iter().chain(claim).filter_map(Value::as_str)
}

/// Returns whom an admin may hear. A scope that can't be read must not become none at all.
fn scope(claim: Option<&Value>) -> Result<Option<Scope>, TokenError> {
    let Some(claim) = claim else { return Ok(None) };
    let ids = claim.as_array().ok_or(TokenError::BadClaims)?;
    let ids: Option<Vec<&str>> = ids.iter().map(Value::as_str).collect();
    Ok(Some(Scope::new(ids.ok_or(TokenError::BadClaims)?)))
}

/// Returns a name as it can be shown: on one line, and not too long. Nobody is refused for their name; without one they go
/// by their id.
fn shown(name: &str) -> Option<String> {
    let line = name.replace(is_steering, " ");
    let cut: String = line.trim().chars().take(NAME_CHARS_MAX).collect();
    Some(cut.trim_end().to_owned()).filter(|name| is_valid_name(name))
}

/// Returns a moment in Unix seconds; issuers write fractions too (RFC 7519 §2, `NumericDate`).
fn seconds(claim: Option<&Value>) -> Option<f64> {
    claim?.as_f64().filter(|seconds| (0.0..=SECONDS_MAX).contains(seconds))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rules() -> ClaimRules {
        ClaimRules {
            id: "/sub".parse().unwrap(),
            name: "/name".parse().unwrap(),
            role: "/role".parse().unwrap(),
            roles: vec![],
            issuer: "https://idp.example".into(),
            audience: "ecoute".into(),
            allows_device: false,
        }
    }

    fn document() -> Value {
        json!({ "iss": "https://idp.example", "aud": "ecoute", "sub": "paul", "name": "Paul D.", "role": "admin", "exp": 200, "iat": 100 })
    }

    fn edited(edit: Value) -> Value {
        let mut document = document();
        for (name, value) in edit.as_object().unwrap() {
            document[name] = value.clone();
        }
        document
    }

    #[test]
    fn roles_of_others() {
        use Role::{Admin, Commercial, Monitor};
        use TokenError::{NoRole, SeveralRoles};
        let ours = vec![];
        let map: Vec<RoleMapping> = ["directeur=admin", "manager=admin", "vendeur=commercial", "a=b=monitor"]
            .map(|text| text.parse().unwrap())
            .into();
        let twice = ["x=admin", "x=commercial"].map(|text| text.parse().unwrap()).to_vec();
        let cases: &[(&str, &[RoleMapping], Value, Result<Role, TokenError>)] = &[
            ("ours", &ours, json!("admin"), Ok(Admin)),
            ("one of many", &ours, json!(["offline_access", "commercial"]), Ok(Commercial)),
            ("the same twice", &ours, json!(["admin", "admin"]), Ok(Admin)),
            ("two of ours", &ours, json!(["admin", "commercial"]), Err(SeveralRoles)),
            ("a monitor who listens", &ours, json!(["monitor", "admin"]), Err(SeveralRoles)),
            ("none of ours", &ours, json!(["boss"]), Err(NoRole)),
            ("in capitals", &ours, json!("Admin"), Err(NoRole)),
            ("no list", &ours, json!([]), Err(NoRole)),
            ("a number", &ours, json!(1), Err(NoRole)),
            ("numbers among them", &ours, json!([1, null, "admin", ["commercial"]]), Ok(Admin)),
            ("an object", &ours, json!({ "admin": true }), Err(NoRole)),
            ("mapped", &map, json!("directeur"), Ok(Admin)),
            ("two that mean the same", &map, json!(["directeur", "manager"]), Ok(Admin)),
            ("two that do not", &map, json!(["directeur", "vendeur"]), Err(SeveralRoles)),
            ("a name with =", &map, json!("a=b"), Ok(Monitor)),
            ("ours, not mapped", &map, json!("admin"), Err(NoRole)),
            ("ours, not mapped, beside one that is", &map, json!(["admin", "vendeur"]), Ok(Commercial)),
            ("mapped to two", &twice, json!("x"), Err(SeveralRoles)),
        ];
        for (name, roles, claim, want) in cases {
            let rules = ClaimRules { roles: roles.to_vec(), ..rules() };
            let got = rules.read(&edited(json!({ "role": claim })));
            assert_eq!(got.map(|claims| claims.role), *want, "{name}");
        }
        let mut without = document();
        without.as_object_mut().unwrap().remove("role");
        assert_eq!(rules().read(&without), Err(NoRole));
    }

    #[test]
    fn claims_elsewhere() {
        let rules = ClaimRules {
            id: "/https:~1~1app.example~1id".parse().unwrap(),
            name: "/profile/names/0".parse().unwrap(),
            role: "/realm_access/roles".parse().unwrap(),
            allows_device: true,
            ..rules()
        };
        let document = json!({
            "iss": "https://idp.example", "aud": "ecoute", "sub": "f3b2", "role": "monitor", "https://app.example/id": "lea", "profile": { "names": ["Léa"] },
            "realm_access": { "roles": ["commercial"] }, "exp": 200, "iat": 100, "nbf": 90.5, "device": true,
        });
        let claims = rules.read(&document).unwrap();
        assert_eq!((claims.sub.as_str(), claims.name.as_deref()), ("lea", Some("Léa")));
        assert_eq!((claims.role, claims.device, claims.nbf), (Role::Commercial, true, Some(91)));
        let rules = ClaimRules { allows_device: false, ..rules };
        assert!(!rules.read(&document).unwrap().device, "a person's, whose page must acknowledge");
    }

    #[test]
    fn issuers() {
        let cases = [
            ("the one", json!("https://idp.example"), Ok(())),
            ("another", json!("https://idp.example.evil"), Err(TokenError::OtherIssuer)),
            ("the same but for a slash", json!("https://idp.example/"), Err(TokenError::OtherIssuer)),
            ("among others", json!(["https://idp.example"]), Err(TokenError::OtherIssuer)),
            ("null", json!(null), Err(TokenError::OtherIssuer)),
        ];
        for (name, iss, want) in cases {
            assert_eq!(rules().read(&edited(json!({ "iss": iss }))).map(|_| ()), want, "{name}");
        }
        let mut without = document();
        without.as_object_mut().unwrap().remove("iss");
        assert_eq!(rules().read(&without).map(|_| ()), Err(TokenError::OtherIssuer), "none");
    }

    #[test]
    fn audiences() {
        let rules = rules();
        let other = Err(TokenError::OtherAudience);
        let cases = [
            ("the one", json!("ecoute"), Ok(())),
            ("among others", json!(["account", "ecoute"]), Ok(())),
            ("another", json!("account"), other),
            ("a part of it", json!("ecoute2"), other),
            ("others", json!(["account"]), other),
            ("empty", json!([]), other),
            ("null", json!(null), other),
        ];
        for (name, aud, want) in cases {
            assert_eq!(rules.read(&edited(json!({ "aud": aud }))).map(|_| ()), want, "{name}");
        }
        let mut without = document();
        without.as_object_mut().unwrap().remove("aud");
        assert_eq!(rules.read(&without).map(|_| ()), other, "none");
    }

    #[test]
    fn what_is_not_plain_allows_nothing() {
        let (bad, unsigned) = (Err(TokenError::BadClaims), Err(TokenError::NotSigned));
        let cases: &[(&str, Value, Result<Option<Scope>, TokenError>)] = &[
            ("no scope", json!({}), Ok(None)),
            ("a scope", json!({ "listen": ["lea"] }), Ok(Some(Scope::new(["lea"])))),
            ("an empty scope", json!({ "listen": [] }), Ok(Some(Scope::new([])))),
            ("a scope that is null", json!({ "listen": null }), bad.clone()),
            ("a scope that is text", json!({ "listen": "lea" }), bad.clone()),
            ("a scope of numbers", json!({ "listen": [1] }), bad.clone()),
            ("a numeric id", json!({ "sub": 4711 }), bad.clone()),
            ("several ids", json!({ "sub": ["a", "b"] }), bad.clone()),
            ("no time", json!({ "exp": "200" }), unsigned.clone()),
            ("negative", json!({ "iat": -1 }), unsigned.clone()),
            ("endless", json!({ "exp": 1e300 }), unsigned),
            ("nbf that is text", json!({ "nbf": "now" }), bad),
        ];
        for (name, edit, want) in cases {
            assert_eq!(rules().read(&edited(edit.clone())).map(|claims| claims.listen), *want, "{name}");
        }
        let fractions = rules().read(&edited(json!({ "exp": 200.9, "iat": 100.9 }))).unwrap();
        assert_eq!((fractions.exp, fractions.iat), (200, 100));
    }

    #[test]
    fn names_are_cut_and_cleaned() {
        let long = "é".repeat(100);
        let cases = [
            (json!("Paul D."), Some("Paul D.".to_owned())),
            (json!("  Paul\r\nD. "), Some("Paul  D.".to_owned())),
            (json!(long), Some("é".repeat(NAME_CHARS_MAX))),
            (json!(" \u{1b} "), None),
            (json!("a\u{202e}b\u{2028}c"), Some("a b c".to_owned())),
            (json!("\u{200b}\u{3164}"), None),
            (json!(format!("{}a", "\u{200b}".repeat(80))), None),
            (json!("…"), None),
            (json!(format!("Paul{}", "\u{301}\u{302}".repeat(20))), None),
            (json!(42), None),
            (json!(["Paul"]), None),
        ];
        for (name, want) in cases {
            assert_eq!(rules().read(&edited(json!({ "name": name }))).unwrap().name, want, "{name}");
        }
    }

    #[test]
    fn pointers_and_mappings_as_they_are_written() {
        for good in ["/sub", "/a/b/0", "/a~1b", "/~01", "/"] {
            assert!(good.parse::<Pointer>().is_ok(), "{good}");
        }
        for bad in ["", "sub", "/a~", "/a~2", "/~~0"] {
            assert!(bad.parse::<Pointer>().is_err(), "{bad}");
        }
        for bad in ["", "admin", "=admin", "boss=", "boss=Admin", "boss=admin "] {
            assert!(bad.parse::<RoleMapping>().is_err(), "{bad}");
        }
    }
}
