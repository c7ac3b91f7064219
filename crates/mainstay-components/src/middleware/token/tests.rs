//! Tokens of the test's own making, and those of people who would like to be let in.

use aws_lc_rs::hmac;
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeyPair as RsaKeyPair;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, ECDSA_P384_SHA384_FIXED_SIGNING, EcdsaKeyPair, EcdsaSigningAlgorithm,
    Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256, RSA_PSS_SHA512, RsaEncoding,
};
use mainstay_testkit::keys;
use serde_json::{Value, json};

use super::*;
use crate::keys::parse_set;

pub(in crate::middleware) const NOW_S: f64 = 1_700_000_000.0;

/// An issuer with a key of each kind.
pub(in crate::middleware) struct Issuer {
    rsa: RsaKeyPair,
    p256: EcdsaKeyPair,
    p384: EcdsaKeyPair,
    ed25519: Ed25519KeyPair,
}

fn encoded(bytes: impl AsRef<[u8]>) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

fn pkcs8() -> Vec<u8> {
    let body: String = keys::RSA_PEM.lines().filter(|line| !line.starts_with("-----")).collect();
    crate::keys::STANDARD.decode(body).unwrap()
}

impl Issuer {
    pub(in crate::middleware) fn new() -> Self {
        let curve = |algorithm: &'static EcdsaSigningAlgorithm| EcdsaKeyPair::generate(algorithm).unwrap();
        Self {
            rsa: RsaKeyPair::from_pkcs8(&pkcs8()).unwrap(),
            p256: curve(&ECDSA_P256_SHA256_FIXED_SIGNING),
            p384: curve(&ECDSA_P384_SHA384_FIXED_SIGNING),
            ed25519: Ed25519KeyPair::generate().unwrap(),
        }
    }

    /// Its public keys: `rsa`, `p256`, `p384` and `ed`.
    pub(in crate::middleware) fn set(&self) -> Value {
        let rsa: Value = serde_json::from_str(keys::RSA_JWK).unwrap();
        let point = |id: &str, curve: &str, pair: &EcdsaKeyPair| {
            let (x, y) = pair.public_key().as_ref()[1..].split_at(pair.public_key().as_ref().len() / 2);
            json!({"kty": "EC", "crv": curve, "kid": id, "x": encoded(x), "y": encoded(y), "use": "sig"})
        };
        json!({"keys": [
            {"kty": "RSA", "kid": "rsa", "n": rsa["n"], "e": rsa["e"], "use": "sig"},
            point("p256", "P-256", &self.p256),
            point("p384", "P-384", &self.p384),
            {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": encoded(self.ed25519.public_key().as_ref())},
        ]})
    }

    /// A token signed so, with the key of that kind.
    pub(in crate::middleware) fn token(
        &self,
        algorithm: &str,
        key_id: Option<&str>,
        claims: &Value,
    ) -> String {
        let mut head = json!({"alg": algorithm, "typ": "JWT"});
        if let Some(id) = key_id {
            head["kid"] = id.into();
        }
        let signed = format!("{}.{}", encoded(head.to_string()), encoded(claims.to_string()));
        let random = SystemRandom::new();
        let rsa = |how: &'static dyn RsaEncoding| {
            let mut signature = vec![0; self.rsa.public_modulus_len()];
            self.rsa.sign(how, &random, signed.as_bytes(), &mut signature).unwrap();
            signature
        };
        let curve = |pair: &EcdsaKeyPair| pair.sign(&random, signed.as_bytes()).unwrap().as_ref().to_vec();
        let signature = match algorithm {
            "RS256" => rsa(&RSA_PKCS1_SHA256),
            "PS512" => rsa(&RSA_PSS_SHA512),
            "ES256" => curve(&self.p256),
            "ES384" => curve(&self.p384),
            "EdDSA" => self.ed25519.sign(signed.as_bytes()).as_ref().to_vec(),
            _ => Vec::new(),
        };
        format!("{signed}.{}", encoded(signature))
    }
}

/// Claims of a good token.
pub(in crate::middleware) fn claims() -> Value {
    json!({"iss": "https://id.example", "aud": "shop", "exp": NOW_S + 60.0, "nbf": NOW_S, "iat": NOW_S, "sub": "me"})
}

const WANTED: Wanted<'_> = Wanted { issuer: "https://id.example", audience: "shop" };

/// Whether a token gets in with these keys.
fn admitted(set: &Value, text: &str) -> bool {
    let keys = parse_set(set.to_string().as_bytes()).unwrap();
    Token::read(text).is_some_and(|token| {
        token.fits(&WANTED, NOW_S)
            && keys.iter().filter(|key| token.may_be_of(key)).any(|key| token.is_of(key))
    })
}

#[test]
fn a_token_of_each_algorithm_is_verified_with_its_key() {
    let issuer = Issuer::new();
    let all = [("RS256", "rsa"), ("PS512", "rsa"), ("ES256", "p256"), ("ES384", "p384"), ("EdDSA", "ed")];
    for (algorithm, id) in all {
        assert!(admitted(&issuer.set(), &issuer.token(algorithm, Some(id), &claims())), "{algorithm}");
        assert!(
            admitted(&issuer.set(), &issuer.token(algorithm, None, &claims())),
            "{algorithm} without a key's id"
        );
        assert!(!admitted(&issuer.set(), &issuer.token(algorithm, Some("gone"), &claims())), "{algorithm}");
        assert!(!admitted(&Issuer::new().set(), &issuer.token("ES256", Some("p256"), &claims())));
    }
}

#[test]
fn forged_tokens_are_refused() {
    let issuer = Issuer::new();
    let set = issuer.set();
    let good = issuer.token("RS256", Some("rsa"), &claims());
    let (signed, signature) = good.rsplit_once('.').unwrap();
    let head = |head: Value| encoded(head.to_string());
    let body = encoded(claims().to_string());
    // No signature, under every name that was ever tried.
    for none in ["none", "None", "NONE", "nOnE", ""] {
        let none = head(json!({"alg": none}));
        for signature in ["", "AAAA", signature] {
            assert!(!admitted(&set, &format!("{none}.{body}.{signature}")));
        }
    }
    // A shared secret, for which the public key is taken.
    let rsa: Value = serde_json::from_str(keys::RSA_JWK).unwrap();
    let secrets =
        [keys::RSA_PUBLIC_PEM.to_owned(), keys::RSA_PUBLIC_PKCS1_PEM.to_owned(), rsa["n"].to_string()];
    for secret in secrets {
        for algorithm in ["HS256", "RS256"] {
            let signed = format!("{}.{body}", head(json!({"alg": algorithm, "kid": "rsa"})));
            let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
            let mac = hmac::sign(&key, signed.as_bytes());
            assert!(!admitted(&set, &format!("{signed}.{}", encoded(mac.as_ref()))), "{algorithm}");
        }
    }
    // The right signature of something else, and the other way round.
    let mut other = claims();
    other["sub"] = "you".into();
    let (head_of_good, _) = signed.split_once('.').unwrap();
    assert!(!admitted(&set, &format!("{head_of_good}.{}.{signature}", encoded(other.to_string()))));
    assert!(!admitted(&set, &format!("{}.{body}.{signature}", head(json!({"alg": "PS256", "kid": "rsa"})))));
    assert!(!admitted(&set, &format!("{}.{body}.{signature}", head(json!({"alg": "RS256", "kid": "p256"})))));
    // A key that the token brings itself, and what would have to be understood.
    let brought = json!({"alg": "RS256", "jwk": rsa, "jku": "https://evil.example"});
    assert!(!admitted(&json!({"keys": []}), &format!("{}.{body}.{signature}", head(brought))));
    let critical = json!({"alg": "RS256", "kid": "rsa", "crit": ["b64"], "b64": false});
    assert!(!admitted(&set, &format!("{}.{body}.{signature}", head(critical))));
    // An empty signature, and points of a curve that sign everything where they are not checked.
    let zeros = encoded([0; 64]);
    assert!(!admitted(&set, &format!("{}.{body}.{zeros}", head(json!({"alg": "ES256", "kid": "p256"})))));
    assert!(!admitted(&set, &format!("{signed}.")) && !admitted(&set, signed));
    assert!(admitted(&set, &good));
}

#[test]
fn a_key_that_is_for_encryption_or_another_algorithm_verifies_nothing() {
    let issuer = Issuer::new();
    let token = issuer.token("RS256", Some("rsa"), &claims());
    let with = |name: &str, value: Value| {
        let mut set = issuer.set();
        set["keys"][0][name] = value;
        admitted(&set, &token)
    };
    assert!(with("alg", json!("RS256")) && with("key_ops", json!(["verify"])));
    assert!(
        !with("use", json!("enc")) && !with("alg", json!("RS512")) && !with("key_ops", json!(["encrypt"]))
    );
}

#[test]
fn claims_must_be_what_is_wanted_now() {
    let issuer = Issuer::new();
    let check = |name: &str, value: Value, expect: bool| {
        let mut claims = claims();
        match &value {
            Value::Null => drop(claims.as_object_mut().unwrap().remove(name)),
            value => claims[name] = value.clone(),
        }
        let token = issuer.token("ES256", Some("p256"), &claims);
        assert_eq!(admitted(&issuer.set(), &token), expect, "{name}: {value}");
    };
    check("aud", json!(["other", "shop"]), true);
    for other in [json!("other"), json!(["other"]), json!([]), json!({"shop": 1}), json!("SHOP"), Value::Null]
    {
        check("aud", other, false);
    }
    check("iss", json!("https://id.example/"), false);
    check("iss", Value::Null, false);
    // Clocks may be five minutes apart.
    check("exp", json!(NOW_S - 299.0), true);
    check("exp", json!(NOW_S - 300.0), false);
    check("exp", json!("never"), false);
    check("exp", Value::Null, true);
    check("nbf", json!(NOW_S + 299.0), true);
    check("nbf", json!(NOW_S + 301.0), false);
    check("nbf", json!(true), false);
    check("iat", json!(NOW_S + 3_000.0), false);
}

#[test]
fn what_is_no_token_is_none() {
    let long = format!("{}.e30.AAAA", "A".repeat(TOKEN_BYTES_MAX));
    for text in ["", ".", "..", "...", "a.b.c", "e30.e30.e30", "e30=.e30=.AAAA", "\u{e9}.b.c", &long] {
        assert!(Token::read(text).is_none(), "{:.40}", text);
    }
    // A JSON that ends twice, or repeats a name, is one or none, and never two.
    let twice = format!("{}.e30.", encoded(r#"{"alg":"RS256","alg":"none"}"#));
    assert!(Token::read(&twice).is_none());
}
