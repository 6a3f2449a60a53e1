//! An identity provider whose tokens are good too: which claims say who somebody is, and what they may do.
//!
//! Applies to its tokens only; those of the own secret say it in our own words. Invariant: only tokens of that issuer, for
//! this audience, with one role of ours are read.

use std::str::FromStr;

use serde_json::Value;

use super::document::Document;
use super::keys::PublicKeys;
use super::{Claims, Rights, TokenError};
use crate::words::Role;

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
    /// Where they say the user's rights; absent, they give none.
    pub rights: Option<Pointer>,
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

impl ClaimRules {
    /// Returns what a token says that the identity provider signed.
    pub(super) fn read(&self, document: &Document<'_>) -> Result<Claims, TokenError> {
        let (iss, aud) = (document.value("/iss", "iss")?, document.value("/aud", "aud")?);
        if iss.as_ref().and_then(Value::as_str) != Some(&self.issuer) {
            return Err(TokenError::OtherIssuer);
        }
        if !texts(aud.as_ref()).any(|aud| aud == self.audience) {
            return Err(TokenError::OtherAudience);
        }
        let sub = document.id(&self.id.0, "the id (--claim-id)")?;
        Ok(Claims {
            sub,
            role: self.role(document.value(&self.role.0, "the role (--claim-role)")?.as_ref())?,
            name: document.name(&self.name.0),
            // One that is null may be an attribute that nobody has set.
            listen: document.scope(false)?,
            device: self.allows_device && document.value("/device", "device")? == Some(Value::Bool(true)),
            rights: self.rights.as_ref().map_or(Ok(Rights::default()), |rights| document.rights(&rights.0))?,
            exp: document.exp()?,
            iat: document.iat()?,
            nbf: document.nbf()?,
            // It knows nothing of our list.
            after_revocation: None,
        })
    }

    /// Returns the one role that a token names; several names may mean the same, but one who has two roles has none
    /// that could be chosen for them.
    fn role(&self, claim: Option<&Value>) -> Result<Role, TokenError> {
        let ours = |theirs: &str| -> Vec<Role> {
            if self.roles.is_empty() {
                return theirs.parse().into_iter().collect();
            }
            self.roles.iter().filter(|mapping| mapping.theirs == theirs).map(|mapping| mapping.ours).collect()
        };
        let mut roles = texts(claim).flat_map(ours);
        let role = roles.next().ok_or(TokenError::NoRole)?;
        if roles.all(|other| other == role) { Ok(role) } else { Err(TokenError::SeveralRoles) }
    }
}

/// Returns the texts of a claim that is one or an array of them.
fn texts(claim: Option<&Value>) -> impl Iterator<Item = &str> {
    let list = claim.and_then(Value::as_array).map(Vec::as_slice);
    list.unwrap_or_default().iter().chain(claim).filter_map(Value::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::token::{NAME_CHARS_MAX, Scope};

    fn read(rules: &ClaimRules, document: &Value) -> Result<Claims, TokenError> {
        rules.read(&Document::parse(document.to_string().as_bytes())?)
    }

    fn rules() -> ClaimRules {
        ClaimRules {
            id: "/sub".parse().unwrap(),
            name: "/name".parse().unwrap(),
            role: "/role".parse().unwrap(),
            roles: vec![],
            issuer: "https://idp.example".into(),
            audience: "ecoute".into(),
            allows_device: false,
            rights: None,
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
            let got = read(&rules, &edited(json!({ "role": claim })));
            assert_eq!(got.map(|claims| claims.role), *want, "{name}");
        }
        let mut without = document();
        without.as_object_mut().unwrap().remove("role");
        assert_eq!(read(&rules(), &without), Err(NoRole));
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
        let claims = read(&rules, &document).unwrap();
        assert_eq!((claims.sub.as_str(), claims.name.as_deref()), ("lea", Some("Léa")));
        assert_eq!((claims.role, claims.device, claims.nbf), (Role::Commercial, true, Some(91)));
        let rules = ClaimRules { allows_device: false, ..rules };
        assert!(!read(&rules, &document).unwrap().device, "a person's, whose page must acknowledge");
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
            assert_eq!(read(&rules(), &edited(json!({ "iss": iss }))).map(|_| ()), want, "{name}");
        }
        let mut without = document();
        without.as_object_mut().unwrap().remove("iss");
        assert_eq!(read(&rules(), &without).map(|_| ()), Err(TokenError::OtherIssuer), "none");
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
            assert_eq!(read(&rules, &edited(json!({ "aud": aud }))).map(|_| ()), want, "{name}");
        }
        let mut without = document();
        without.as_object_mut().unwrap().remove("aud");
        assert_eq!(read(&rules, &without).map(|_| ()), other, "none");
    }

    #[test]
    fn what_is_not_plain_allows_nothing() {
        let bad = |claim| Err((claim, "claims"));
        let cases: &[(&str, Value, Result<Option<Scope>, (&str, &str)>)] = &[
            ("no scope", json!({}), Ok(None)),
            ("a scope", json!({ "listen": ["lea"] }), Ok(Some(Scope::new(["lea"])))),
            ("an empty scope", json!({ "listen": [] }), Ok(Some(Scope::new([])))),
            ("a scope that is null", json!({ "listen": null }), bad("listen must be")),
            ("a scope that is text", json!({ "listen": "lea" }), bad("listen must be")),
            ("a scope of numbers", json!({ "listen": [1] }), bad("listen must be")),
            ("a numeric id", json!({ "sub": 4711 }), bad("the id (--claim-id) must be a text")),
            ("several ids", json!({ "sub": ["a", "b"] }), bad("the id (--claim-id) must be a text")),
            ("no id", json!({ "sub": null }), bad("the id (--claim-id) is missing")),
            ("no time", json!({ "exp": "200" }), bad("exp must be a number")),
            ("negative", json!({ "iat": -1 }), bad("iat must be a number")),
            ("endless", json!({ "exp": 1e300 }), bad("exp must be a number")),
            ("nbf that is text", json!({ "nbf": "now" }), bad("nbf must be a number")),
            ("nbf that is null", json!({ "nbf": null }), Ok(None)),
        ];
        for (name, edit, want) in cases {
            let got = read(&rules(), &edited(edit.clone())).map(|claims| claims.listen);
            match (&got, want) {
                (Ok(scope), Ok(wanted)) => assert_eq!(scope, wanted, "{name}"),
                (Err(error), Err((text, code))) => {
                    assert!(error.to_string().starts_with(text) && error.code() == *code, "{name}: {error}");
                }
                (got, _) => panic!("{name}: {got:?}"),
            }
        }
        let fractions = read(&rules(), &edited(json!({ "exp": 200.9, "iat": 100.9 }))).unwrap();
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
            (
                json!("\u{1F3F4}\u{E0067}\u{E0062}\u{E0073}\u{E0063}\u{E0074}\u{E007F} Ann"),
                Some("\u{1F3F4} Ann".to_owned()),
            ),
            (json!("\u{202b}דוד\u{202c}"), Some("דוד".to_owned())),
            (json!(42), None),
            (json!(["Paul"]), None),
        ];
        for (name, want) in cases {
            assert_eq!(read(&rules(), &edited(json!({ "name": name }))).unwrap().name, want, "{name}");
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
