//! Keys for tests, in the forms that others write them in. They are published here, so they protect nothing.

/// An RSA key of 2048 bits as PKCS #8 in PEM.
pub const RSA_PEM: &str = include_str!("../keys/rsa.pem");
/// The same as PKCS #1.
pub const RSA_PKCS1_PEM: &str = include_str!("../keys/rsa.pkcs1.pem");
/// Its public part as SubjectPublicKeyInfo in PEM.
pub const RSA_PUBLIC_PEM: &str = include_str!("../keys/rsa.public.pem");
/// The same as PKCS #1.
pub const RSA_PUBLIC_PKCS1_PEM: &str = include_str!("../keys/rsa.public.pkcs1.pem");
/// The same key as a JWK, called `rsa`.
pub const RSA_JWK: &str = include_str!("../keys/rsa.json");
/// Another RSA key, called `rsa-other`.
pub const RSA_OTHER_JWK: &str = include_str!("../keys/rsa-other.json");
/// A symmetric key of 256 bits as a JWK, called `aes`.
pub const AES_JWK: &str = r#"{"kty":"oct","kid":"aes","k":"AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8"}"#;
/// Another one, called `aes-other`.
pub const AES_OTHER_JWK: &str =
    r#"{"kty":"oct","kid":"aes-other","k":"Hx4dHBsaGRgXFhUUExIREA8ODQwLCgkIBwYFBAMCAQA"}"#;

/// A set of all JWKs above, of the first RSA key's public part (`rsa-public`), and of one that is for signatures alone
/// (`aes-sig`).
///
/// # Panics
/// Never: the keys are well-formed.
#[must_use]
pub fn set() -> String {
    let key = |text: &str| serde_json::from_str::<serde_json::Value>(text).expect("the key is JSON");
    let rsa = key(RSA_JWK);
    let public = serde_json::json!({"kty": "RSA", "kid": "rsa-public", "n": rsa["n"], "e": rsa["e"]});
    let mut unfit = key(AES_JWK);
    (unfit["kid"], unfit["use"]) = ("aes-sig".into(), "sig".into());
    let keys = [key(AES_JWK), key(AES_OTHER_JWK), rsa, key(RSA_OTHER_JWK), public, unfit];
    serde_json::json!({ "keys": keys }).to_string()
}
