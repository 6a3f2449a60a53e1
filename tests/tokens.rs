//! Tokens of an identity provider, and users who were revoked: against the verifier, and against the real program.
//!
//! The tokens are signed here, not by the library that checks them. Invariant: every wait is bounded.
#![allow(clippy::disallowed_methods, reason = "tests of the program wait for it in real time")]

mod support;

use std::fs;
use std::io::Write;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Output};
use std::thread;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ecoute::token::{
    self, ClaimRules, Claims, KeyFault, KeysError, PublicKeys, Revoked, Rights, TokenError, Verifier,
};
use ecoute::words::Role;
use nix::sys::signal::Signal;
use serde_json::{Value, json};
use support::client::{close_code, connect, get, read_response, register};
use support::issuer::Issuer;
use support::{Ecoute, program, run};
use tempfile::TempDir;
use tungstenite::WebSocket;

const SECRET: &[u8] = b"a secret of at least 32 bytes...";
const NOW: u64 = 1_000_000;
const ISSUER: &str = "https://idp.example";
const STATUS: &str = "/api/streaming/status";

/// How long the program may take to notice that a file changed.
const NOTICED: Duration = Duration::from_secs(1);

/// Public keys made for these tests; nobody has the private ones.
const RSA_1024: &str = "-----BEGIN PUBLIC KEY-----
MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQCxBhCpKcC9bQtvjUSsnqFht+0D
fSbuatwN7O9YLGYfDpbYjqpEYEy7MxeQbDSv5as0eQA/kE2YEKv/PuolooCRmWGD
uj20LqU1BTBZf6G7mk1f6ajG+dQ/MLg66FZYH0cCEn7+SYgm+kFDvlnh5SjY96QI
80m9R2SrUMYcjKipeQIDAQAB
-----END PUBLIC KEY-----
";
const P384: &str = "-----BEGIN PUBLIC KEY-----
MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEwnt3b3Pj4BYW/s/JJ0qT9ZE6JhLanKZS
9SNnlu1vQ9kGA8mQfJvUC2THA+ciSBptb10QA/CAaLz2fk4u/oPvEmtqZJlvdsXi
UZms2ny5s10hFsDNCd9vJvqA6NsMrcZx
-----END PUBLIC KEY-----
";
const SECP256K1: &str = "-----BEGIN PUBLIC KEY-----
MFYwEAYHKoZIzj0CAQYFK4EEAAoDQgAE1MGJcvPL8xXzZIwvDXswruFGmGFPh45B
qh8MGz9IIvYkWAhmF1VgwQzbtDAjWNscB85AXUz5dN4fAWXd+8VIlQ==
-----END PUBLIC KEY-----
";
const X25519: &str = "-----BEGIN PUBLIC KEY-----
MCowBQYDK2VuAyEAgWXwwcDJ2IW+j+Hhffovtjt9Ef3msw6+6cEMN0bJ7zE=
-----END PUBLIC KEY-----
";
const RSA_PSS: &str = "-----BEGIN PUBLIC KEY-----
MIIBIDALBgkqhkiG9w0BAQoDggEPADCCAQoCggEBALx4LcfZ0yPnwDO2CI0JAl4q
XFthOc48HR9ppoy7ITw7ddCKVujJeDyAggemvMw/T/wVT37yYG6XbnbR9dp/U6hu
R9ZpdEHYQ2BgON4Vqem0KM9MQNUKSRfS4QK6tKjt1t7ckhi0wC4AkIApKXUa8Bf/
iyd39C9PckBOLreP/Bnczia0KpBdPboi9bwcHHRIlkWF2YYKbRBccErTtMAWv1Eu
w1HmlLCPq7jdYbOTl9Ve3z80mlPi39YqcqqKyhENJUii+rz5zhysb6QGblSO/Q42
cw0Pb1vjbAGI84Sr/QJCuOzsJEBv7A4+w2s0dktiqOWX7nJKXbwxeOFdX7HO/bsC
AwEAAQ==
-----END PUBLIC KEY-----
";

/// What a token of the own secret says that is good for a minute.
fn own(sub: &str) -> Claims {
    Claims {
        sub: sub.to_owned(),
        role: Role::Admin,
        name: None,
        listen: None,
        device: false,
        rights: Rights::default(),
        exp: NOW + 60,
        iat: NOW,
        nbf: None,
        after_revocation: None,
    }
}

fn verifier(keys: &str) -> Verifier {
    let rules = ClaimRules {
        id: "/sub".parse().unwrap(),
        name: "/name".parse().unwrap(),
        role: "/role".parse().unwrap(),
        roles: vec![],
        issuer: ISSUER.to_owned(),
        audience: "ecoute".to_owned(),
        allows_device: false,
        rights: None,
    };
    let issuer = token::Issuer { keys: PublicKeys::parse(keys.as_bytes()).unwrap(), rules };
    Verifier::new(SECRET, Some(issuer), Revoked::default())
}

fn set(keys: &[Value]) -> String {
    json!({ "keys": keys }).to_string()
}

fn claims() -> Value {
    json!({ "iss": ISSUER, "aud": "ecoute", "sub": "paul", "role": "admin", "exp": NOW + 60, "iat": NOW })
}

fn edited(edit: Value) -> Value {
    let mut claims = claims();
    for (name, value) in edit.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

#[test]
fn each_kind_of_key_and_the_own_secret() {
    for issuer in [Issuer::es256(), Issuer::ed_dsa(), Issuer::rs256()] {
        let name = issuer.algorithm();
        for keys in [issuer.pem(), set(&[issuer.jwk("a")])] {
            let verifier = verifier(&keys);
            for kid in [None, Some("a")] {
                let claims = verifier.verify(NOW, &issuer.sign(kid, &claims())).unwrap();
                assert_eq!((claims.sub.as_str(), claims.role), ("paul", Role::Admin), "{name}");
            }
            let own = own("ana");
            assert_eq!(verifier.verify(NOW, &token::mint(SECRET, &own)), Ok(own), "{name}");
        }
    }
}

#[test]
fn the_key_decides_and_not_the_token() {
    let (issuer, other, ed, rsa) = (Issuer::es256(), Issuer::es256(), Issuer::ed_dsa(), Issuer::rs256());
    let head = |alg: &str, kid: Option<&str>| match kid {
        Some(kid) => json!({ "alg": alg, "kid": kid }),
        None => json!({ "alg": alg }),
    };
    let both = set(&[issuer.jwk("a"), ed.jwk("b")]);
    let lone = set(&[issuer.jwk("a")]);
    let (pem, rsa_pem) = (issuer.pem(), rsa.pem());
    let own = own("paul");
    let good = issuer.sign(Some("a"), &claims());
    let (message, _) = good.rsplit_once('.').unwrap();
    let none = ed.sign_with_head(&head("none", Some("a")), &claims());
    let embedded = other.sign_with_head(&json!({ "alg": "ES256", "jwk": other.jwk("a") }), &claims());
    let critical = issuer.sign_with_head(&json!({ "alg": "ES256", "crit": ["b64"], "b64": true }), &claims());
    let cases: &[(&str, &str, String, bool)] = &[
        ("named", &both, good.clone(), true),
        ("the other of both", &both, ed.sign(Some("b"), &claims()), true),
        ("named as the other", &both, issuer.sign(Some("b"), &claims()), false),
        ("a name that nobody has", &both, issuer.sign(Some("c"), &claims()), false),
        ("no name and several keys", &both, issuer.sign(None, &claims()), false),
        ("a lone key with another name", &lone, issuer.sign(Some("b"), &claims()), false),
        ("a lone key without a name", &pem, issuer.sign(Some("b"), &claims()), true),
        ("another key of the same kind", &pem, other.sign(None, &claims()), false),
        ("the public key as a secret", &pem, token::mint(pem.as_bytes(), &own), false),
        ("the public RSA key as a secret", &rsa_pem, token::mint(rsa_pem.as_bytes(), &own), false),
        ("RS256 called RS512", &rsa_pem, rsa.sign_with_head(&head("RS512", None), &claims()), false),
        ("RS256 called HS256", &rsa_pem, rsa.sign_with_head(&head("HS256", None), &claims()), false),
        (
            "of another type",
            &pem,
            issuer.sign_with_head(&json!({ "alg": "ES256", "typ": "logout+jwt" }), &claims()),
            false,
        ),
        ("ES256 called EdDSA", &pem, issuer.sign_with_head(&head("EdDSA", None), &claims()), false),
        ("algorithm none", &both, none.clone(), false),
        ("algorithm none, unsigned", &pem, format!("{}.", none.rsplit_once('.').unwrap().0), false),
        ("no signature", &pem, format!("{message}."), false),
        ("a key in the token", &pem, embedded, false),
        ("an extension that must be understood", &pem, critical, false),
    ];
    for (name, keys, token, is_good) in cases {
        let verified = code(verifier(keys).verify(NOW, token));
        let unsigned = match *name {
            "of another type" | "an extension that must be understood" => "type",
            _ => "signature",
        };
        assert_eq!(verified, if *is_good { Ok(()) } else { Err(unsigned) }, "{name}");
    }
    let why = |keys: &str, token: &str| verifier(keys).verify(NOW, token).unwrap_err();
    assert_eq!(why(&both, &issuer.sign(Some("c"), &claims())), TokenError::NoSuchKey, "for who looks into the log");
    assert_eq!(why(&rsa_pem, &rsa.sign_with_head(&head("RS512", None), &claims())), TokenError::OtherAlgorithm);
}

#[test]
fn times_of_others() {
    let issuer = Issuer::ed_dsa();
    let verifier = verifier(&issuer.pem());
    let cases = [
        ("last second", json!({ "exp": NOW + 1 }), Ok(())),
        ("expired this second", json!({ "exp": NOW }), Err(TokenError::Expired)),
        ("expired in this second", json!({ "exp": NOW as f64 + 0.5 }), Err(TokenError::Expired)),
        ("no expiry", json!({ "exp": null }), Err(TokenError::NoClaim { claim: "exp" })),
        ("no issue", json!({ "iat": null }), Err(TokenError::NoClaim { claim: "iat" })),
        ("issued 5 s ahead", json!({ "iat": NOW + 5 }), Ok(())),
        ("issued 6 s ahead", json!({ "iat": NOW + 6 }), Err(TokenError::NotYetValid)),
        ("valid in 5 s", json!({ "nbf": NOW + 5 }), Ok(())),
        ("valid in 6 s", json!({ "nbf": NOW + 6 }), Err(TokenError::NotYetValid)),
        ("no role", json!({ "role": "boss" }), Err(TokenError::NoRole)),
    ];
    for (name, edit, want) in cases {
        let token = issuer.sign(None, &edited(edit));
        assert_eq!(verifier.verify(NOW, &token).map(|_| ()), want, "{name}");
    }
    let token = issuer.sign(None, &edited(json!({ "sub": "a b" })));
    assert_eq!(code(verifier.verify(NOW, &token)), Err("claims"));
}

/// Returns what programs are told of a token.
fn code(verified: Result<Claims, TokenError>) -> Result<(), &'static str> {
    verified.map(drop).map_err(TokenError::code)
}

/// A token of the own secret with any head and claims, valid JSON or not.
fn own_token(head: &str, claims: &str) -> String {
    let message = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(head), BASE64_URL_SAFE_NO_PAD.encode(claims));
    let signature = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, SECRET), message.as_bytes());
    format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(signature))
}

#[test]
fn strange_claims_with_a_good_signature() {
    const HEAD: &str = r#"{"alg":"HS256"}"#;
    let issuer = Issuer::ed_dsa();
    let (alone, beside) = (Verifier::new(SECRET, None, Revoked::default()), verifier(&issuer.pem()));
    let with = |member: &str| format!(r#"{{"sub":"paul","role":"admin","exp":1000060,"iat":1000000{member}}}"#);
    let without = |name: &str, value: &str| {
        let mut members =
            vec![("sub", r#""paul""#), ("role", r#""admin""#), ("exp", "1000060"), ("iat", "1000000")];
        members.retain(|(other, _)| *other != name);
        members.push((name, value));
        let members: Vec<String> = members.iter().map(|(name, value)| format!(r#""{name}":{value}"#)).collect();
        format!("{{{}}}", members.join(","))
    };
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let (good, bad) = (Ok(()), Err("claims"));
    let cases: &[(&str, String, Result<(), &str>)] = &[
        ("plain", with(""), good),
        ("more than we know", with(r#","email":"a@b","n":1e400"#), good),
        ("deep, where nobody looks", with(&format!(r#","x":{}"#, deep(2500))), good),
        ("deep, where somebody looks", with(&format!(r#","listen":{}"#, deep(2500))), bad),
        ("exp with a fraction", without("exp", "1000060.5"), good),
        ("exp with an exponent", without("exp", "1.9e9"), good),
        ("exp 1e300", without("exp", "1e300"), bad),
        ("exp NaN", without("exp", "NaN"), bad),
        ("exp in this second", without("exp", "1000000.9"), Err("expired")),
        ("iat with a fraction", without("iat", "999999.123"), good),
        ("iat 1.0", without("iat", "1000000.0"), good),
        ("iat in 5.9 s", without("iat", "1000005.9"), good),
        ("iat in 6 s", without("iat", "1000006.0"), Err("not_yet_valid")),
        ("iat in milliseconds", without("iat", "1000000000"), Err("not_yet_valid")),
        ("iat null", without("iat", "null"), bad),
        ("iat true", without("iat", "true"), bad),
        ("negative exp", without("exp", "-1"), bad),
        ("exp 2^63", without("exp", "9223372036854775808"), good),
        ("exp 2^64 - 1", without("exp", "18446744073709551615"), good),
        ("exp 2^64", without("exp", "18446744073709551616"), bad),
        ("exp without end", without("exp", &"9".repeat(400)), bad),
        ("exp as text", without("exp", r#""1000060""#), bad),
        ("exp null", without("exp", "null"), bad),
        ("iat 2^64 - 1", without("iat", "18446744073709551615"), Err("not_yet_valid")),
        ("nbf 2^64 - 1", with(r#","nbf":18446744073709551615"#), Err("not_yet_valid")),
        ("nbf with a fraction", with(r#","nbf":1000004.5"#), good),
        ("nbf with a fraction, too far ahead", with(r#","nbf":1000005.5"#), Err("not_yet_valid")),
        ("nbf as text", with(r#","nbf":"1000000""#), bad),
        (
            "what may be absent, null",
            with(r#","device":null,"name":null,"listen":null,"nbf":null,"after_revocation":null"#),
            good,
        ),
        ("a device in words", with(r#","device":"true""#), bad),
        ("a device in numbers", with(r#","device":1"#), bad),
        ("no id", without("sub", "null"), bad),
        ("a numeric id", without("sub", "4711"), bad),
        ("an empty id", without("sub", r#""""#), bad),
        ("a role in capitals", without("role", r#""Admin""#), bad),
        ("a scope that is text", with(r#","listen":"lea""#), bad),
        ("of somebody, for somebody", with(r#","iss":7,"aud":[null],"jti":{},"cnf":[]"#), good),
        ("two of what nobody reads", with(r#","x":1,"x":2"#), good),
        ("two ids", with(r#","sub":"ana""#), bad),
        ("two roles", with(r#","role":"commercial""#), bad),
        ("two ends", with(r#","exp":2000000"#), bad),
        ("roles in an array", without("role", r#"["admin"]"#), bad),
        ("an id with NUL", without("sub", r#""a\u0000b""#), bad),
        ("an id with line ends", without("sub", r#""a\r\nb""#), bad),
        ("an id that turns", without("sub", r#""a\u202eb""#), bad),
        ("an id in HTML", without("sub", r#""<img/src=x>""#), bad),
        ("two scopes", with(r#","listen":["lea"],"listen":null"#), bad),
        ("no object", "[]".into(), bad),
        ("nothing", String::new(), bad),
        ("a form", "sub=paul&role=admin".into(), bad),
    ];
    for (name, claims, want) in cases {
        let token = own_token(HEAD, claims);
        assert_eq!(code(alone.verify(NOW, &token)), *want, "{name}");
        assert_eq!(code(beside.verify(NOW, &token)), *want, "{name}, beside an identity provider");
    }

    let deep_claims = edited(json!({ "x": serde_json::from_str::<Value>(&deep(100)).unwrap() }));
    assert!(beside.verify(NOW, &issuer.sign(None, &deep_claims)).is_ok());
    for times in [json!({ "exp": -1 }), json!({ "exp": 1e300 }), json!({ "exp": 2e19 }), json!({ "exp": "now" })] {
        let token = issuer.sign(None, &edited(times.clone()));
        assert_eq!(code(beside.verify(NOW, &token)), bad, "{times}");
    }
}

/// A user table's names, as a backend puts them in unchecked.
#[test]
fn nobody_is_refused_for_their_name() {
    let issuer = Issuer::ed_dsa();
    let verifier = verifier(&issuer.pem());
    let long = "x".repeat(81);
    let quoted = |name: &str| json!(name).to_string();
    let cases: &[(&str, String, Option<&str>)] = &[
        ("plain", quoted("Léa"), Some("Léa")),
        ("empty", quoted(""), None),
        ("null", "null".into(), None),
        ("blank", quoted(" \t "), None),
        ("81 characters", quoted(&long), Some(&long[..80])),
        ("a tab", quoted("Jean\tPaul"), Some("Jean Paul")),
        ("a line end at the end", quoted("Jean\n"), Some("Jean")),
        ("NUL", quoted("Jean\0"), Some("Jean")),
        ("an escape", r#""\u001b[31mJean""#.into(), Some("[31mJean")),
        ("right to left, embedded", quoted("\u{202b}דוד\u{202c}"), Some("דוד")),
        ("isolated", quoted("\u{2068}Ann\u{2069}"), Some("Ann")),
        ("turned", quoted("Paul\u{202e}nna"), Some("Paul nna")),
        ("a flag of tags", quoted("\u{1F3F4}\u{E0067}\u{E0062}\u{E007F} Ann"), Some("\u{1F3F4} Ann")),
        ("an emoji in halves", r#""Ann \ud83c""#.into(), Some("Ann")),
        ("half an emoji alone", r#""\udc00""#.into(), None),
        ("what is no text", "42".into(), None),
        ("a list", r#"["Ann"]"#.into(), None),
        ("no letter", quoted("…"), None),
        ("piles of marks", quoted(&format!("Paul{}", "\u{301}\u{302}".repeat(9))), None),
        ("Persian", quoted("نیک\u{200c}نام"), Some("نیک\u{200c}نام")),
    ];
    for (what, written, want) in cases {
        let said = format!(r#""sub":"paul","role":"admin","exp":1000060,"iat":1000000,"name":{written}"#);
        let own = own_token(r#"{"alg":"HS256"}"#, &format!("{{{said}}}"));
        let theirs = format!(r#"{{"iss":"{ISSUER}","aud":"ecoute",{said}}}"#);
        let theirs = issuer.sign_text(r#"{"alg":"EdDSA"}"#, &theirs);
        for token in [own, theirs] {
            let claims = verifier.verify(NOW, &token).unwrap_or_else(|error| panic!("{what}: {error}"));
            assert_eq!(claims.name.as_deref(), *want, "{what}");
            assert_eq!(claims.shown_name(), want.unwrap_or("paul"), "{what}");
        }
    }
}

#[test]
fn strange_tokens_that_look_signed() {
    let verifier = Verifier::new(SECRET, None, Revoked::default());
    let (head, claims) = (r#"{"alg":"HS256"}"#, claims().to_string());
    let good = own_token(head, &claims);
    assert!(verifier.verify(NOW, &good).is_ok());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let longest = |len: usize| {
        let empty = own_token(head, &claims.replace('}', r#","x":""}"#)).len();
        let filled = claims.replace('}', &format!(r#","x":"{}"}}"#, "x".repeat((len - empty) * 3 / 4)));
        own_token(head, &filled)
    };
    let role = own_token(head, &claims.replace("admin", "commercial"));
    let edited_role = format!("{}.{signature}", role.rsplit_once('.').unwrap().0);
    let deep = format!(r#"{{"alg":"HS256","x":{}{}}}"#, "[".repeat(2000), "]".repeat(2000));
    let unsigned = Err("signature");
    let cases: &[(&str, String, Result<(), &str>)] = &[
        ("nothing", String::new(), Err("missing")),
        ("an edited role", edited_role, unsigned),
        ("a cut signature", format!("{message}.{}", &signature[..20]), unsigned),
        ("padding", format!("{good}="), unsigned),
        ("a space behind it", format!("{good} "), unsigned),
        ("a line end inside", good.replacen('.', ".\n", 1), unsigned),
        ("four parts", format!("{good}.x"), unsigned),
        ("two parts", message.to_owned(), unsigned),
        ("only dots", "..".into(), unsigned),
        ("a million dots", ".".repeat(1_000_000), Err("too_long")),
        ("no algorithm", own_token("{}", &claims), unsigned),
        ("algorithm none", own_token(r#"{"alg":"none"}"#, &claims), unsigned),
        ("algorithm NONE", own_token(r#"{"alg":"NONE"}"#, &claims), unsigned),
        ("algorithm RS256", own_token(r#"{"alg":"RS256"}"#, &claims), unsigned),
        ("algorithm HS384", own_token(r#"{"alg":"HS384"}"#, &claims), unsigned),
        ("two algorithms", own_token(r#"{"alg":"none","alg":"HS256"}"#, &claims), unsigned),
        ("algorithm hs256", own_token(r#"{"alg":"hs256"}"#, &claims), unsigned),
        ("an algorithm that is no text", own_token(r#"{"alg":["HS256"]}"#, &claims), unsigned),
        ("an empty list of extensions", own_token(r#"{"alg":"HS256","crit":[]}"#, &claims), Err("type")),
        ("an extension", own_token(r#"{"alg":"HS256","crit":["exp"],"exp":1}"#, &claims), Err("type")),
        (
            "a payload that is not encoded",
            own_token(r#"{"alg":"HS256","b64":false,"crit":["b64"]}"#, &claims),
            Err("type"),
        ),
        ("a type that is no text", own_token(r#"{"alg":"HS256","typ":1}"#, &claims), unsigned),
        ("a token in a token", own_token(r#"{"alg":"HS256","cty":"JWT"}"#, &good), Err("claims")),
        (
            "more than we know",
            own_token(r#"{"alg":"HS256","typ":"jwt","exp":1,"x":{"y":[1.5]},"jwk":{"kty":"AKP"}}"#, &claims),
            Ok(()),
        ),
        ("a number as the key's name", own_token(r#"{"alg":"HS256","kid":7}"#, &claims), Ok(())),
        (
            "the other base64",
            format!("{message}.{}", signature.replace(['-', '_'], "+")),
            if signature.contains(['-', '_']) { unsigned } else { Ok(()) },
        ),
        ("quotes around it", format!("\"{good}\""), unsigned),
        ("the scheme twice", format!("Bearer {good}"), unsigned),
        ("a deep head", own_token(&deep, &claims), unsigned),
        ("a head that is no object", own_token("1", &claims), unsigned),
        ("a path as the key's name", own_token(r#"{"alg":"HS256","kid":"../../dev/null"}"#, &claims), Ok(())),
        ("nearly the longest", longest(8190), Ok(())),
        ("too long", longest(8200), Err("too_long")),
    ];
    for (name, token, want) in cases {
        assert_eq!(code(verifier.verify(NOW, token)), *want, "{name}");
    }
}

#[test]
fn revoked_by_the_id_of_the_mapping() {
    let issuer = Issuer::ed_dsa();
    let mut verifier = verifier(&issuer.pem());
    verifier.replace_revoked(Revoked::parse(format!("paul {NOW}").as_bytes()).unwrap());
    for (iat, want) in [(NOW, Err(TokenError::Revoked)), (NOW + 5, Err(TokenError::Revoked)), (NOW + 6, Ok(()))] {
        let token = issuer.sign(None, &edited(json!({ "iat": iat })));
        assert_eq!(verifier.verify(NOW + 2, &token).map(|_| ()), want, "{iat}");
    }
}

#[test]
fn files_of_keys() {
    use KeysError::{Discovery, Empty, NothingUsable, Pem, Secret, SeveralInPem, TooLong, TooMany};
    let (es, ed, rsa) = (Issuer::es256(), Issuer::ed_dsa(), Issuer::rs256());
    let encryption = with(&rsa, json!({ "use": "enc", "alg": "RSA-OAEP" }));
    let many: Vec<Value> = (0..257).map(|index| ed.jwk(&index.to_string())).collect();
    let private = es.pem().replace("PUBLIC", "PRIVATE");
    let certified = || {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        rcgen::CertificateParams::new(["idp.example".to_owned()]).unwrap().self_signed(&pair).unwrap().pem()
    };
    let (certificate, other) = (certified(), certified());
    let no_certificate = es.pem().replace("PUBLIC KEY", "CERTIFICATE");
    let alone = |fault| Err(NothingUsable { number: 1, fault });
    let cases: &[(&str, String, Result<usize, KeysError>)] = &[
        ("pem", es.pem(), Ok(1)),
        ("pem with remarks", format!("our key\n\n{}\n", rsa.pem()), Ok(1)),
        ("pem with a byte order mark", format!("\u{feff}{}", rsa.pem()), Ok(1)),
        ("two in pem", es.pem() + &ed.pem(), Err(SeveralInPem)),
        ("private pem", private, Err(Secret)),
        ("short rsa", RSA_1024.into(), Err(Pem(KeyFault::RsaLength { bits: 1024 }))),
        ("P-384", P384.into(), Err(Pem(KeyFault::OtherKind))),
        ("secp256k1", SECP256K1.into(), Err(Pem(KeyFault::OtherKind))),
        ("x25519", X25519.into(), Err(Pem(KeyFault::OtherKind))),
        ("for PSS only", RSA_PSS.into(), Err(Pem(KeyFault::OtherKind))),
        ("a certificate", certificate.clone(), Ok(1)),
        ("a chain of them", format!("{certificate}{other}"), Err(SeveralInPem)),
        ("a certificate that is none", no_certificate.clone(), Err(Pem(KeyFault::Damaged))),
        ("certificates, as of Firebase", json!({ "a1": certificate, "b2": other }).to_string(), Ok(2)),
        ("one of them damaged", json!({ "a1": certificate, "b2": no_certificate }).to_string(), Ok(1)),
        (
            "certificates beside something else",
            json!({ "a1": certificate, "b2": 7 }).to_string(),
            Err(KeysError::Unreadable),
        ),
        ("damaged pem", es.pem().replace("END", "END "), Err(KeysError::Unreadable)),
        ("cut pem", es.pem()[..100].into(), Err(KeysError::Unreadable)),
        ("empty", String::new(), Err(KeysError::Unreadable)),
        ("where the keys are", json!({ "issuer": ISSUER, "jwks_uri": "https://a" }).to_string(), Err(Discovery)),
        ("set of three", set(&[es.jwk("a"), ed.jwk("b"), rsa.jwk("c")]), Ok(3)),
        ("set with a byte order mark", format!("\u{feff}{}", set(&[es.jwk("a")])), Ok(1)),
        ("one key alone", es.jwk("a").to_string(), Ok(1)),
        ("nothing for us", set(&[encryption]), alone(KeyFault::OtherPurpose)),
        ("RS512", set(&[with(&rsa, json!({ "alg": "RS512" }))]), alone(KeyFault::OtherPurpose)),
        ("to sign with", set(&[with(&es, json!({ "key_ops": ["sign"] }))]), alone(KeyFault::OtherPurpose)),
        ("to verify with", set(&[with(&es, json!({ "key_ops": ["verify"] }))]), Ok(1)),
        ("Ed25519 by its newer name", set(&[with(&ed, json!({ "alg": "Ed25519" }))]), Ok(1)),
        ("empty set", set(&[]), Err(Empty)),
        ("no set", json!({ "keys": {} }).to_string(), Err(KeysError::Unreadable)),
        ("one without a name", set(&[with(&es, json!({ "kid": null }))]), Ok(1)),
        ("private", set(&[ed.jwk("b"), with(&es, json!({ "d": "AA" }))]), Err(Secret)),
        ("private, of another kind", set(&[json!({ "kty": "AKP", "priv": "AA" }), ed.jwk("b")]), Err(Secret)),
        ("a shared secret", set(&[json!({ "kty": "oct", "k": "AA" })]), Err(Secret)),
        ("most", set(&many[..256]), Ok(256)),
        ("too many", set(&many), Err(TooMany { given: 257 })),
        ("too long", set(&[with(&es, json!({ "kid": "a".repeat(token::PUBLIC_KEYS_BYTES_MAX) }))]), Err(TooLong)),
        ("cut json", set(&many)[..1000].into(), Err(KeysError::Unreadable)),
    ];
    for (name, contents, want) in cases {
        assert_eq!(PublicKeys::parse(contents.as_bytes()).map(|keys| keys.len()), *want, "{name}");
    }
}

/// What an issuer shows of its key, with other members.
fn with(issuer: &Issuer, edit: Value) -> Value {
    let mut jwk = issuer.jwk("a");
    for (name, value) in edit.as_object().unwrap() {
        match value {
            Value::String(text) if text == "-" => drop(jwk.as_object_mut().unwrap().remove(name)),
            value => jwk[name] = value.clone(),
        }
    }
    jwk
}

#[test]
fn one_unusable_key_is_left_out_of_a_set() {
    use KeyFault::{BadMember, Damaged, Missing, NoObject, OtherKind, OtherPurpose, RsaLength};
    let (es, ed, rsa, good) = (Issuer::es256(), Issuer::ed_dsa(), Issuer::rs256(), Issuer::rs256());
    let short = json!({ "kty": "RSA", "kid": "a", "e": "AQAB", "n": format!("4{}E", "A".repeat(169)) });
    let cases: &[(&str, Value, KeyFault)] = &[
        ("for encryption", with(&rsa, json!({ "use": "enc", "alg": "RSA-OAEP" })), OtherPurpose),
        (
            "for encryption, by its algorithm",
            with(&rsa, json!({ "use": "-", "alg": "RSA-OAEP-256" })),
            OtherPurpose,
        ),
        ("ECDH on P-256", with(&es, json!({ "alg": "ECDH-ES" })), OtherPurpose),
        ("PS256", with(&rsa, json!({ "alg": "PS256" })), OtherPurpose),
        ("P-384", json!({ "kty": "EC", "crv": "P-384", "kid": "p", "x": "AA", "y": "AA" }), OtherKind),
        ("P-521", json!({ "kty": "EC", "crv": "P-521", "kid": "p", "x": "AA", "y": "AA" }), OtherKind),
        ("X25519", json!({ "kty": "OKP", "crv": "X25519", "kid": "p", "x": "AA" }), OtherKind),
        ("ML-DSA", json!({ "kty": "AKP", "alg": "ML-DSA-44", "kid": "p", "pub": "AA" }), OtherKind),
        ("a shared secret that is not told", json!({ "kty": "oct", "kid": "p" }), OtherKind),
        ("RSA of 1024 bits", short, RsaLength { bits: 1024 }),
        ("null", json!(null), NoObject),
        ("a text", json!("key"), NoObject),
        ("nothing", json!({}), Missing { member: "kty" }),
        ("no kty", with(&rsa, json!({ "kty": "-" })), Missing { member: "kty" }),
        ("kty a number", with(&rsa, json!({ "kty": 7 })), BadMember { member: "kty" }),
        ("kid a number", with(&rsa, json!({ "kid": 7 })), BadMember { member: "kid" }),
        ("use a list", with(&rsa, json!({ "use": ["sig"] })), BadMember { member: "use" }),
        ("key_ops a text", with(&rsa, json!({ "key_ops": "verify" })), BadMember { member: "key_ops" }),
        ("no modulus", with(&rsa, json!({ "n": "-" })), Missing { member: "n" }),
        ("an empty modulus", with(&rsa, json!({ "n": "" })), Damaged),
        ("a modulus in the other base64", with(&rsa, json!({ "n": "+/+/" })), BadMember { member: "n" }),
        ("no exponent", with(&rsa, json!({ "e": null })), Missing { member: "e" }),
        ("no point", with(&es, json!({ "y": null })), Missing { member: "y" }),
        ("a point beside the curve", with(&es, json!({ "x": "AA" })), Damaged),
        ("half a key", with(&ed, json!({ "x": "AAAA" })), Damaged),
        ("no name, beside others", with(&es, json!({ "kid": null })), KeyFault::Unnamed),
        ("the name of another of its kind", rsa.jwk("good"), KeyFault::SameName),
    ];
    let signed = good.sign(Some("good"), &claims());
    for (name, other, fault) in cases {
        for number in [1, 2] {
            // Of two with one name the first counts.
            if *fault == KeyFault::SameName && number == 1 {
                continue;
            }
            let mut keys = vec![good.jwk("good")];
            keys.insert(number - 1, other.clone());
            let keys = set(&keys);
            let parsed = PublicKeys::parse(keys.as_bytes()).unwrap_or_else(|error| panic!("{name}: {error}"));
            assert_eq!(parsed.len(), 1, "{name}");
            let [left_out] = parsed.left_out() else { panic!("{name}: {:?}", parsed.left_out()) };
            assert_eq!((left_out.number, left_out.fault), (number, *fault), "{name}");
            assert_eq!(code(verifier(&keys).verify(NOW, &signed)), Ok(()), "{name}");
        }
        if !matches!(fault, KeyFault::Unnamed | KeyFault::SameName) {
            let lone = PublicKeys::parse(set(std::slice::from_ref(other)).as_bytes()).map(|keys| keys.len());
            let nothing = KeysError::NothingUsable { number: 1, fault: *fault };
            assert_eq!(lone, Err(nothing), "{name}, alone");
        }
    }
    // Keys of other kinds may have one name (RFC 7517 §4.5).
    let keys = set(&[es.jwk("one"), ed.jwk("one"), good.jwk("one")]);
    for issuer in [&es, &ed, &good] {
        assert_eq!(code(verifier(&keys).verify(NOW, &issuer.sign(Some("one"), &claims()))), Ok(()));
    }
    assert_eq!(code(verifier(&keys).verify(NOW, &rsa.sign(Some("one"), &claims()))), Err("signature"));
}

/// Shapes of sets as large providers publish them, with a key of ours in place of theirs.
#[test]
fn sets_of_large_providers() {
    let (rsa, es, ed) = (Issuer::rs256(), Issuer::es256(), Issuer::ed_dsa());
    let chain = json!(["MIIC/zCCAeegAwIBAgIJ"]);
    let n = rsa.jwk("a")["n"].as_str().unwrap().to_owned();
    let signed_n = BASE64_URL_SAFE_NO_PAD.encode([vec![0], BASE64_URL_SAFE_NO_PAD.decode(&n).unwrap()].concat());
    let cases: &[(&str, Vec<Value>, &Issuer)] = &[
        ("Google", vec![rsa.jwk("a"), Issuer::rs256().jwk("b")], &rsa),
        (
            "Microsoft Entra: no alg, certificates, an issuer of its own",
            vec![with(
                &rsa,
                json!({ "alg": "-", "x5t": "a", "x5c": chain, "issuer": "https://login.microsoftonline.com/{tenantid}/v2.0", "cloud_instance_name": "microsoftonline.com" }),
            )],
            &rsa,
        ),
        ("Okta", vec![with(&rsa, json!({ "use": "sig" }))], &rsa),
        ("Auth0", vec![with(&rsa, json!({ "x5t": "a", "x5c": chain }))], &rsa),
        (
            "Keycloak: one to encrypt with beside it",
            vec![
                with(
                    &Issuer::rs256(),
                    json!({ "kid": "e", "use": "enc", "alg": "RSA-OAEP", "x5c": chain, "x5t#S256": "a" }),
                ),
                rsa.jwk("a"),
            ],
            &rsa,
        ),
        ("Cognito", vec![rsa.jwk("a"), rsa.jwk("b")], &rsa),
        ("Zitadel", vec![rsa.jwk("a"), with(&ed, json!({ "kid": "z", "use": "sig", "alg": "EdDSA" }))], &rsa),
        (
            "Authentik: ES256",
            vec![with(&es, json!({ "use": "sig", "alg": "ES256", "x5c": chain, "x5t": "a", "x5t#S256": "b" }))],
            &es,
        ),
        (
            "Supabase: key_ops and ext",
            vec![with(&es, json!({ "alg": "ES256", "ext": true, "key_ops": ["verify"] }))],
            &es,
        ),
        ("no use and no alg", vec![with(&rsa, json!({ "alg": "-", "use": "-" }))], &rsa),
        ("a modulus with padding", vec![with(&rsa, json!({ "n": format!("{n}==") }))], &rsa),
        ("a modulus with the zero of its sign", vec![with(&rsa, json!({ "n": signed_n }))], &rsa),
        ("an exponent with zeros before it", vec![with(&rsa, json!({ "e": "AAEAAQ" }))], &rsa),
    ];
    for (name, keys, issuer) in cases {
        let keys = set(keys);
        let verified = verifier(&keys).verify(NOW, &issuer.sign(Some("a"), &claims()));
        assert_eq!(code(verified), Ok(()), "{name}");
    }
    // Firebase's: certificates by name, each with the key of a service account.
    let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap();
    let certificate = rcgen::CertificateParams::new(["a".to_owned()]).unwrap().self_signed(&pair).unwrap().pem();
    let signer = Issuer::EdDsa(aws_lc_rs::signature::Ed25519KeyPair::from_pkcs8(pair.serialized_der()).unwrap());
    let keys =
        json!({ "a1": certificate, "b2": Issuer::ed_dsa().pem().replace("PUBLIC KEY", "CERTIFICATE") }).to_string();
    for (kid, want) in [(Some("a1"), Ok(())), (Some("b2"), Err("signature"))] {
        assert_eq!(code(verifier(&keys).verify(NOW, &signer.sign(kid, &claims()))), want, "{kid:?}");
    }
    let newer = ed.sign_with_head(&json!({ "alg": "Ed25519", "kid": "a" }), &claims());
    assert_eq!(code(verifier(&set(&[ed.jwk("a")])).verify(NOW, &newer)), Ok(()), "RFC 9864");
}

/// A server that trusts an identity provider whose keys stand in a file beside its data.
struct Trusting {
    ecoute: Ecoute,
    keys: TempDir,
}

impl Trusting {
    fn start(keys: &str, arguments: &[&str]) -> Trusting {
        let directory = TempDir::new().unwrap();
        let path = directory.path().join("keys");
        fs::write(&path, keys).unwrap();
        let path = path.to_str().unwrap();
        let named = ["--token-public-key", path, "--token-issuer", ISSUER, "--token-audience=ecoute"];
        let arguments = [&named, arguments].concat();
        Trusting { ecoute: Ecoute::start_with(TempDir::new().unwrap(), &arguments), keys: directory }
    }

    fn replace(&self, keys: &str) {
        fs::write(self.keys.path().join("keys"), keys).unwrap();
    }

    fn status(&self, token: &str) -> u16 {
        status(&self.ecoute, token)
    }
}

fn status(ecoute: &Ecoute, token: &str) -> u16 {
    match get(ecoute.address, STATUS, &format!("Authorization: Bearer {token}\r\n")).0 {
        // Refused more often than 10 times a minute it is refused all the same.
        429 => 401,
        status => status,
    }
}

/// Claims that are good now.
fn live(edit: Value) -> Value {
    let iat = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let mut claims = edited(json!({ "iat": iat, "exp": iat + 60 }));
    for (name, value) in edit.as_object().unwrap() {
        claims[name] = value.clone();
    }
    claims
}

/// Waits until `is_so`, as long as the program may take to notice.
fn soon(name: &str, is_so: impl Fn() -> bool) {
    let begin = Instant::now();
    while !is_so() {
        assert!(begin.elapsed() < NOTICED, "{name}");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn keys_are_replaced_while_the_server_runs() {
    let (first, second) = (Issuer::es256(), Issuer::rs256());
    let mut server = Trusting::start(&first.pem(), &[]);
    let (of_first, of_second) = (first.sign(None, &live(json!({}))), second.sign(Some("b"), &live(json!({}))));
    let own = server.ecoute.token("admin", "ana", "Ana");
    assert_eq!([&of_first, &of_second, &own].map(|token| server.status(token)), [200, 401, 200]);

    server.replace(&set(&[first.jwk("a"), second.jwk("b")]));
    soon("both keys", || server.status(&of_second) == 200);
    assert_eq!(server.status(&of_first), 401, "it names none of several keys");
    assert_eq!(server.status(&first.sign(Some("a"), &live(json!({})))), 200);

    server.replace("{\"keys\": [");
    server.ecoute.wait_for_line("the new public keys are refused, the old ones stay");
    server.replace(RSA_1024);
    let line = server.ecoute.wait_for_line("the new public keys are refused, the old ones stay");
    assert!(line.contains("1024 bits") && line.contains("ERROR"), "{line}");
    // One that is unusable costs the others nothing, at a rotation least of all.
    let short = json!({ "kty": "RSA", "kid": "old", "e": "AQAB", "n": format!("4{}E", "A".repeat(169)) });
    server.replace(&set(&[short, first.jwk("a"), second.jwk("b")]));
    let line = server.ecoute.wait_for_line("a public key is left out");
    assert!(line.contains("WARN") && line.contains(r#"key=1 kid=Some("old") error=it has 1024 bits"#), "{line}");
    server.ecoute.wait_for_line("public keys replaced count=2");
    assert_eq!(server.status(&of_second), 200);
    server.replace(&set(&[]));
    server.ecoute.wait_for_line("the old ones stay: it holds no key");
    fs::remove_file(server.keys.path().join("keys")).unwrap();
    server.ecoute.wait_for_line("what was read before stays in force");
    assert_eq!(server.status(&of_second), 200);

    server.replace(&set(&[second.jwk("b")]));
    soon("the first key is gone", || server.status(&first.sign(Some("a"), &live(json!({})))) == 401);
    assert_eq!([&of_second, &own].map(|token| server.status(token)), [200, 200]);
}

#[test]
fn roles_audience_and_claims_of_others() {
    let issuer = Issuer::ed_dsa();
    let arguments = [
        "--claim-id=/preferred_username",
        "--claim-name=/given_name",
        "--claim-role=/realm_access/roles",
        "--role-map=directeur=admin,vendeur=commercial",
    ];
    let server = Trusting::start(&issuer.pem(), &arguments);
    let token = |roles: Value, aud: Value| {
        let realm = json!({ "roles": roles });
        let names =
            json!({ "preferred_username": "ines", "given_name": "Inès", "realm_access": realm, "aud": aud });
        issuer.sign(None, &live(names))
    };
    let cases = [
        ("director", json!(["offline_access", "directeur"]), json!(["account", "ecoute"]), 200),
        ("salesperson", json!(["vendeur"]), json!("ecoute"), 403),
        ("both", json!(["directeur", "vendeur"]), json!("ecoute"), 401),
        ("our own name", json!(["admin"]), json!("ecoute"), 401),
        ("another audience", json!(["directeur"]), json!("account"), 401),
        ("no audience", json!(["directeur"]), json!(null), 401),
    ];
    for (name, roles, aud, want) in cases {
        assert_eq!(server.status(&token(roles, aud)), want, "{name}");
    }
    let (_websocket, answer) = register(server.ecoute.address, &token(json!(["vendeur"]), json!("ecoute")));
    assert_eq!(answer["data"]["id"], "ines");
    assert_eq!(answer["data"]["name"], "Inès");
    let foreign = live(json!({ "iss": "https://another.example", "preferred_username": "ines" }));
    assert_eq!(server.status(&issuer.sign(None, &foreign)), 401);
    let own = server.ecoute.token("admin", "ana", "Ana");
    assert_eq!(server.status(&own), 200, "the own secret needs no audience and no mapping");
}

#[test]
fn what_is_said_of_others_must_fit() {
    let data = TempDir::new().unwrap();
    let data_path = data.path().to_str().unwrap();
    let file = |name: &str, contents: &str| {
        let path = data.path().join(name);
        fs::write(&path, contents).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let (good, short) = (file("good", &Issuer::ed_dsa().pem()), file("short", RSA_1024));
    let cases: &[(&str, &[&str], &str)] = &[
        ("no file", &["--token-public-key=missing"], "can't read missing"),
        ("a directory", &["--token-public-key", data_path], "it is no file"),
        ("short", &["--token-public-key", &short], "1024 bits"),
        ("no issuer, no audience", &["--token-public-key", &good], "add --token-issuer and --token-audience"),
        ("no issuer", &["--token-public-key", &good, "--token-audience=a"], "add --token-issuer,"),
        ("no audience", &["--token-public-key", &good, "--token-issuer=a"], "add --token-audience,"),
        ("pointer", &["--token-public-key", &good, "--claim-id=sub"], "write a JSON pointer"),
        ("role", &["--token-public-key", &good, "--role-map=boss=chief"], "write their role and ours"),
    ];
    for (name, arguments, part) in cases {
        let output = run(program().args(["--listen=127.0.0.1:0", "--data", data_path]).args(*arguments));
        assert_refused(name, &output, part);
    }
    for lone in [
        "--claim-id=/a",
        "--claim-name=/a",
        "--claim-role=/a",
        "--role-map=a=admin",
        "--token-audience=a",
        "--token-issuer=a",
        "--allow-device-claim",
    ] {
        let output = run(program().args(["--listen=127.0.0.1:0", "--data", data_path, lone]));
        assert_eq!(output.status.code(), Some(2), "{lone}");
        assert!(String::from_utf8_lossy(&output.stderr).contains("--token-public-key"), "{lone}: {output:?}");
    }
}

/// Over the wire: how a token is written in a header, and around it.
#[test]
fn where_a_token_stands() {
    let ecoute = Ecoute::start();
    let token = ecoute.token("monitor", "m", "M");
    let cases = [
        ("as it should", format!("Authorization: Bearer {token}\r\n"), 200),
        ("in small letters (RFC 9110 §11.1)", format!("authorization: bearer {token}\r\n"), 200),
        ("in capitals", format!("AUTHORIZATION: BEARER {token}\r\n"), 200),
        ("with more spaces", format!("Authorization:   Bearer   {token}  \r\n"), 200),
        ("without a space", format!("Authorization:Bearer {token}\r\n"), 200),
        ("without its scheme", format!("Authorization: {token}\r\n"), 401),
        ("of another scheme", format!("Authorization: Basic {token}\r\n"), 401),
        ("twice", format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"), 400),
        ("in a cookie", format!("Cookie: access_token={token}\r\n"), 401),
    ];
    for (name, header, want) in cases {
        assert_eq!(get(ecoute.address, STATUS, &header).0, want, "{name}");
    }
    let query = format!("{STATUS}?access_token={token}");
    let (status, answer) = get(ecoute.address, &query, "");
    assert!(status == 401 && answer.contains(r#""reason":"missing""#), "{answer}");
    // As a file has it, or what another program printed.
    let (_websocket, answer) = register(ecoute.address, &format!("{}\n", ecoute.token("admin", "paul", "P")));
    assert_eq!(answer["event"], "user_registered");
}

#[test]
fn settings_of_others_from_the_environment() {
    let issuer = Issuer::rs256();
    let keys = TempDir::new().unwrap();
    let path = keys.path().join("keys");
    fs::write(&path, set(&[issuer.jwk("a")])).unwrap();
    let data = TempDir::new().unwrap();
    let mut command = program();
    command.args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path());
    command.env("ECOUTE_TOKEN_PUBLIC_KEY", &path).env("ECOUTE_TOKEN_AUDIENCE", "ecoute");
    command.env("ECOUTE_TOKEN_ISSUER", ISSUER);
    command.env("ECOUTE_CLAIM_ID", "/id").env("ECOUTE_CLAIM_NAME", "/nom").env("ECOUTE_CLAIM_ROLE", "/roles");
    command.env("ECOUTE_ROLE_MAP", "directeur=admin,vendeur=commercial");
    let ecoute = Ecoute::start_command(command, data);
    let claims = json!({ "id": "ines", "nom": "Inès", "roles": ["directeur"], "aud": "ecoute" });
    let (_websocket, mut answer) = register(ecoute.address, &issuer.sign(Some("a"), &live(claims)));
    let now_ms = answer["data"].as_object_mut().unwrap().remove("now").unwrap().as_u64().unwrap();
    let unix = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
    assert!(unix.abs_diff(Duration::from_millis(now_ms)) < Duration::from_secs(10), "{now_ms}");
    assert_eq!(
        answer["data"],
        json!({ "id": "ines", "role": "admin", "name": "Inès",
        "server_version": env!("CARGO_PKG_VERSION"), "ice_servers": [], "devices": [] })
    );
}

#[test]
fn devices_are_named_in_a_file() {
    let ecoute = Ecoute::start();
    let asked = |id: &str, token: &str| {
        let head = format!("Host: a\r\nAuthorization: Bearer {token}\r\nContent-Type: application/sdp");
        let mut client = connect(ecoute.address);
        write!(client.get_mut(), "POST /whip/{id} HTTP/1.1\r\n{head}\r\nContent-Length: 1\r\n\r\nv").unwrap();
        read_response(&mut client).0
    };
    let [cam, bar] = ["cam", "bar"].map(|id| ecoute.device_token(id, id));
    assert_eq!((asked("cam", &cam), asked("bar", &bar)), (400, 403), "no offer, no device");
    let (_websocket, answer) = register(ecoute.address, &ecoute.token("commercial", "lea", "Léa"));
    assert_eq!(answer["data"]["devices"][1], json!({ "id": "hall", "place": "Hall d'entrée" }));
    fs::write(ecoute.data.path().join("devices.json"), r#"[{"id": "bar", "place": "Bar"}]"#).unwrap();
    soon("a new list", || (asked("cam", &cam), asked("bar", &bar)) == (403, 400));

    let data = TempDir::new().unwrap();
    let path = data.path().join("list");
    fs::write(&path, r#"[{"id": "bar"}]"#).unwrap();
    for (name, path, part) in
        [("wrong", path.as_path(), "it is no list in JSON"), ("none", Path::new("x"), "can't read x")]
    {
        let mut command = program();
        command.args(["--listen=127.0.0.1:0", "--data"]).arg(data.path()).arg("--devices").arg(path);
        assert_refused(name, &run(&mut command), part);
    }
}

fn revoke(data: &Path, id: &str) -> Output {
    run(program().args(["revoke", id, "--data"]).arg(data))
}

/// Revokes somebody who is connected.
fn cut(ecoute: &Ecoute, id: &str, websocket: &mut WebSocket<TcpStream>) {
    let begin = Instant::now();
    let output = revoke(ecoute.data.path(), id);
    assert!(output.status.success(), "{output:?}");
    assert!(String::from_utf8_lossy(&output.stdout).contains(&format!("Revoked {id} at 2")), "{output:?}");
    assert_eq!(close_code(websocket), 4401);
    assert!(begin.elapsed() < NOTICED, "{:?}", begin.elapsed());
}

#[test]
fn who_is_revoked_is_cut_and_comes_back_only_with_a_new_token() {
    let mut ecoute = Ecoute::start();
    let bystander = ecoute.token("admin", "ana", "Ana");
    for role in ["admin", "commercial"] {
        let id = format!("a-{role}");
        let before = ecoute.token(role, &id, "A");
        let (mut websocket, answer) = register(ecoute.address, &before);
        assert_eq!(answer["event"], "user_registered");
        cut(&ecoute, &id, &mut websocket);
        ecoute.wait_for_line("audit: access_revoked actor=");

        let (mut websocket, answer) = register(ecoute.address, &before);
        assert_eq!(answer["data"]["code"], "token_refused");
        assert_eq!(close_code(&mut websocket), 4401);
        assert_eq!(status(&ecoute, &before), 401);
        // As another program signs it, whose clock is ahead.
        let now_s = live(json!({}))["iat"].as_u64().unwrap();
        let secret = fs::read_to_string(ecoute.data.path().join("secret")).unwrap();
        for after_revocation in [None, Some(now_s - 60)] {
            let claims = Claims { iat: now_s + 4, exp: now_s + 60, after_revocation, ..own(&id) };
            assert_eq!(status(&ecoute, &token::mint(secret.trim().as_bytes(), &claims)), 401);
        }
        // What is made here works at once.
        let after = ecoute.token(role, &id, "A");
        let (mut websocket, answer) = register(ecoute.address, &after);
        assert_eq!(answer["event"], "user_registered", "{role}");
        cut(&ecoute, &id, &mut websocket);
        assert_eq!(register(ecoute.address, &after).1["data"]["code"], "token_refused", "revoked again");
        let (_websocket, answer) = register(ecoute.address, &ecoute.token(role, &id, "A"));
        assert_eq!(answer["event"], "user_registered", "{role}, again");
        assert_eq!(status(&ecoute, &bystander), 200);
    }
    let before = ecoute.token("monitor", "m", "M");
    assert_eq!(status(&ecoute, &before), 200);
    revoke(ecoute.data.path(), "m");
    soon("a monitor has no connection", || status(&ecoute, &before) == 401);

    ecoute.restart(Signal::SIGTERM);
    assert_eq!([&before, &bystander].map(|token| status(&ecoute, token)), [401, 200], "kept over a restart");
    let list = ecoute.data.path().join("revoked");
    assert_eq!(fs::metadata(&list).unwrap().permissions().mode() & 0o7777, 0o600);
    assert_eq!(fs::read_to_string(&list).unwrap().lines().count(), 3);
}

#[test]
fn who_came_from_an_identity_provider_is_revoked_by_the_mapped_id() {
    let issuer = Issuer::es256();
    let server = Trusting::start(&issuer.pem(), &["--claim-id=/uid"]);
    let before = issuer.sign(None, &live(json!({ "uid": "ines" })));
    let (mut websocket, answer) = register(server.ecoute.address, &before);
    assert_eq!(answer["data"]["id"], "ines");
    cut(&server.ecoute, "ines", &mut websocket);
    assert_eq!(server.status(&before), 401);
    let fresh = || server.status(&issuer.sign(None, &live(json!({ "uid": "ines" }))));
    assert_eq!(fresh(), 401, "its clock may be ahead");
    thread::sleep(Duration::from_secs(6));
    assert_eq!(fresh(), 200);
}

#[test]
fn many_are_revoked_at_once() {
    let data = TempDir::new().unwrap();
    thread::scope(|scope| {
        for worker in 0..4 {
            let path = data.path();
            scope.spawn(move || {
                for index in 0..5 {
                    assert!(revoke(path, &format!("user-{worker}-{index}")).status.success());
                    assert!(revoke(path, "again").status.success());
                }
            });
        }
    });
    let list = fs::read_to_string(data.path().join("revoked")).unwrap();
    assert_eq!(list.lines().count(), 21, "{list}");
}

#[test]
fn lists_that_can_not_be_used() {
    let data = TempDir::new().unwrap();
    let path = data.path().join("revoked");
    assert_refused("id", &revoke(data.path(), "a b"), "128 printable");
    let missing = data.path().join("missing");
    assert_refused("no directory", &revoke(&missing, "a"), "no data directory");

    let full: String = (0..65_536).map(|index| format!("user{index} 1\n")).collect();
    fs::write(&path, full).unwrap();
    assert_refused("full", &revoke(data.path(), "another"), "more than 65536");
    assert!(revoke(data.path(), "user7").status.success());
    fs::write(&path, fs::read_to_string(&path).unwrap() + "another 1\n").unwrap();
    let start = || run(program().args(["--listen", "127.0.0.1:0", "--data"]).arg(data.path()));
    assert_refused("too full to start", &start(), "more than 65536");
    fs::remove_file(&path).unwrap();
    fs::create_dir(&path).unwrap();
    assert_refused("unreadable", &start(), "it holds the revoked users");
    assert_refused("unwritable", &revoke(data.path(), "a"), "can't change");
    fs::remove_dir(&path).unwrap();

    fs::write(&path, "ana 99999999999\nrubbish\ntom 99999999999\n").unwrap();
    let mut ecoute = Ecoute::start_with(data, &[]);
    assert!(
        ecoute.lines.iter().any(|line| line.contains("ERROR") && line.ends_with("line=2")),
        "{:?}",
        ecoute.lines
    );
    let tokens = ["ana", "tom", "lea"].map(|id| ecoute.token("admin", id, id));
    assert_eq!([0, 1, 2].map(|index| status(&ecoute, &tokens[index])), [401, 401, 200]);
    fs::remove_file(&path).unwrap();
    ecoute.wait_for_line("what was read before stays in force");
    assert_eq!(status(&ecoute, &tokens[0]), 401);
}

/// A file that may not grow stands for a disk that is full: half of the new list is written, then no more.
#[test]
fn a_full_disk_leaves_the_list_as_it_was() {
    let data = TempDir::new().unwrap();
    let path = data.path().join("revoked");
    let before: String = (0..4000).map(|index| format!("user{index} 1\n")).collect();
    fs::write(&path, &before).unwrap();
    let mut limited = Command::new("sh");
    // The signal would end the process; ignored, the call fails as it does on a full disk.
    limited.args(["-c", "trap '' XFSZ; ulimit -f 8; exec \"$0\" revoke lea --data \"$1\""]);
    limited.arg(program().get_program()).arg(data.path());
    assert_refused("full", &run(&mut limited), "can't change");
    assert_eq!(fs::read_to_string(&path).unwrap(), before);
    assert_eq!(fs::read_dir(data.path()).unwrap().count(), 1, "nothing half is left");
    assert!(revoke(data.path(), "lea").status.success());
    assert_eq!(fs::read_to_string(&path).unwrap().lines().count(), 4001);
}

fn assert_refused(name: &str, output: &Output, part: &str) {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{name}: {output:?}");
    let is_one_line = stderr.ends_with('\n') && stderr.trim_end().lines().count() == 1;
    assert!(is_one_line && stderr.starts_with("ecoute: ") && stderr.contains(part), "{name}: {stderr}");
}
