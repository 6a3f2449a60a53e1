//! An identity provider for tests: makes keys, shows the public ones, signs tokens without the library under test.

use aws_lc_rs::encoding::AsDer;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
    RsaPublicKeyComponents,
};
use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use serde_json::{Value, json};

/// A key pair and what it is called.
pub enum Issuer {
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
    Rs256(Box<RsaKeyPair>),
}

impl Issuer {
    pub fn es256() -> Issuer {
        Issuer::Es256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING).unwrap())
    }

    pub fn ed_dsa() -> Issuer {
        Issuer::EdDsa(Ed25519KeyPair::generate().unwrap())
    }

    pub fn rs256() -> Issuer {
        Issuer::Rs256(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap()))
    }

    pub fn algorithm(&self) -> &'static str {
        match self {
            Issuer::Es256(_) => "ES256",
            Issuer::EdDsa(_) => "EdDSA",
            Issuer::Rs256(_) => "RS256",
        }
    }

    /// Returns the public key as a `SubjectPublicKeyInfo` in PEM.
    pub fn pem(&self) -> String {
        let der = match self {
            Issuer::Es256(pair) => pair.public_key().as_der(),
            Issuer::EdDsa(pair) => pair.public_key().as_der(),
            Issuer::Rs256(pair) => pair.public_key().as_der(),
        };
        let lines = BASE64_STANDARD.encode(der.unwrap().as_ref());
        let lines: Vec<&str> = lines.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN PUBLIC KEY-----\n{}\n-----END PUBLIC KEY-----\n", lines.join("\n"))
    }

    /// Returns the public key as a member of a set.
    pub fn jwk(&self, kid: &str) -> Value {
        match self {
            Issuer::Es256(pair) => {
                let point = pair.public_key().as_ref();
                json!({ "kty": "EC", "crv": "P-256", "kid": kid, "x": text(&point[1..33]), "y": text(&point[33..]) })
            }
            Issuer::EdDsa(pair) => {
                json!({ "kty": "OKP", "crv": "Ed25519", "kid": kid, "x": text(pair.public_key().as_ref()) })
            }
            Issuer::Rs256(pair) => {
                let key = RsaPublicKeyComponents::<Vec<u8>>::from(pair.public_key());
                json!({ "kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, "n": text(&key.n), "e": text(&key.e) })
            }
        }
    }

    /// Signs a token whose head names the right algorithm and `kid`.
    pub fn sign(&self, kid: Option<&str>, claims: &Value) -> String {
        let mut head = json!({ "typ": "JWT", "alg": self.algorithm() });
        if let Some(kid) = kid {
            head["kid"] = kid.into();
        }
        self.sign_with_head(&head, claims)
    }

    /// Signs a token whatever its head says.
    pub fn sign_with_head(&self, head: &Value, claims: &Value) -> String {
        self.sign_text(&head.to_string(), &claims.to_string())
    }

    /// Signs a token whatever is written in it.
    pub fn sign_text(&self, head: &str, claims: &str) -> String {
        let message = format!("{}.{}", text(head.as_bytes()), text(claims.as_bytes()));
        let signature = match self {
            Issuer::Es256(pair) => pair.sign(&SystemRandom::new(), message.as_bytes()).unwrap().as_ref().to_vec(),
            Issuer::EdDsa(pair) => pair.sign(message.as_bytes()).as_ref().to_vec(),
            Issuer::Rs256(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), message.as_bytes(), &mut signature).unwrap();
                signature
            }
        };
        format!("{message}.{}", text(&signature))
    }
}

fn text(bytes: &[u8]) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}
