//! Keys as others write them down: JWK (RFC 7517), PEM, or the bytes of a symmetric key; what each may be used for, and
//! sets of them that change while they are used. Wrapping and verifying with a key stand with their callers.

mod der;
mod jwk;
pub(crate) mod set;

use base64::Engine as _;
use base64::alphabet;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use mainstay_core::Redacted;

pub(crate) use jwk::parse_set;

/// Bytes of a file that holds one key.
pub(crate) const KEY_BYTES_MAX: u64 = 64 << 10;

const ANY_PADDING: GeneralPurposeConfig =
    GeneralPurposeConfig::new().with_decode_padding_mode(DecodePaddingMode::Indifferent);
/// Base64 as it comes, with padding or without.
pub(crate) const STANDARD: GeneralPurpose = GeneralPurpose::new(&alphabet::STANDARD, ANY_PADDING);
/// The same in the alphabet of URLs.
pub(crate) const URL_SAFE: GeneralPurpose = GeneralPurpose::new(&alphabet::URL_SAFE, ANY_PADDING);

/// A key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    /// Its name in a set.
    pub(crate) id: Option<String>,
    /// The one algorithm that it is for; any when `None`.
    pub(crate) algorithm: Option<String>,
    /// `sig` or `enc`; both when `None`.
    pub(crate) usage: Option<String>,
    /// What may be done with it; anything when empty.
    pub(crate) operations: Vec<String>,
    pub(crate) material: Material,
}

/// What a key is made of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Material {
    /// The bytes of a symmetric key.
    Symmetric(Redacted<Vec<u8>>),
    /// The public part as SubjectPublicKeyInfo, the private one as PKCS #8. One of both is there.
    Rsa { public: Option<Vec<u8>>, private: Option<Redacted<Vec<u8>>> },
    /// A point on a curve of NIST, uncompressed.
    Curve { curve: Curve, point: Vec<u8> },
    /// A public key of Ed25519.
    Ed25519(Vec<u8>),
    /// A kind that nothing here uses.
    Other,
}

/// A curve of NIST.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Curve {
    P256,
    P384,
    P521,
}

impl Key {
    fn bare(material: Material) -> Self {
        Self { id: None, algorithm: None, usage: None, operations: Vec::new(), material }
    }

    /// Whether the key says of itself that it may be used so.
    pub(crate) fn is_for(&self, usage: &str, operation: &str, algorithm: &str) -> bool {
        self.usage.as_deref().is_none_or(|own| own == usage)
            && (self.operations.is_empty() || self.operations.iter().any(|own| own == operation))
            && self.algorithm.as_deref().is_none_or(|own| own == algorithm)
    }
}

/// What a file's ending says of its contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Jwk,
    Pem,
    /// As the contents look.
    Any,
}

/// Reads a key. Errors: why it is none, without anything of it.
pub(crate) fn read(text: &[u8], form: Form) -> Result<Key, &'static str> {
    // Symmetric keys may begin with any byte; JWKs are never as short.
    let is_raw = [16, 24, 32].contains(&text.len());
    match form {
        _ if text.is_empty() => Err("it is empty"),
        Form::Jwk => jwk::of_text(text),
        Form::Pem => pem(text),
        Form::Any if text.starts_with(b"{") && !is_raw => jwk::of_text(text),
        Form::Any if text.starts_with(b"-----") => pem(text),
        Form::Any => Ok(Key::bare(Material::Symmetric(Redacted::new(symmetric(text))))),
    }
}

/// The bytes of a symmetric key: base64 of one of the alphabets, perhaps with a line's end, or as they are.
fn symmetric(text: &[u8]) -> Vec<u8> {
    let line = text.trim_ascii_end();
    STANDARD.decode(line).or_else(|_| URL_SAFE.decode(line)).unwrap_or_else(|_| text.to_vec())
}

/// The first block of a PEM file (RFC 7468). Kinds other than RSA are told apart where they are used.
fn pem(text: &[u8]) -> Result<Key, &'static str> {
    let text = std::str::from_utf8(text).map_err(|_| "it is no PEM file")?;
    let begun = text.split_once("-----BEGIN ").and_then(|(_, rest)| rest.split_once("-----"));
    let (label, rest) = begun.ok_or("it is no PEM file")?;
    let (body, _) = rest.split_once("-----END ").ok_or("its PEM block has no end")?;
    let body: String = body.split_ascii_whitespace().collect();
    let der = STANDARD.decode(body).map_err(|_| "its PEM block is no base64")?;
    let (public, private) = match label {
        "PUBLIC KEY" => (Some(der), None),
        "RSA PUBLIC KEY" => (Some(der::public(&der)), None),
        "PRIVATE KEY" => (None, Some(der)),
        "RSA PRIVATE KEY" => (None, Some(der::private(&der))),
        "ENCRYPTED PRIVATE KEY" => return Err("it is encrypted with a password"),
        _ => return Err("its PEM block is neither an RSA key nor one in PKCS #8"),
    };
    Ok(Key::bare(Material::Rsa { public, private: private.map(Redacted::new) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &[u8]) -> Vec<u8> {
        match read(text, Form::Any).unwrap().material {
            Material::Symmetric(bytes) => bytes.expose().clone(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn a_symmetric_key_is_base64_of_any_sort_or_its_bytes() {
        let key: Vec<u8> = (200..232).collect();
        assert_eq!(bytes(&key), key);
        for text in [STANDARD.encode(&key), format!("{}\n", STANDARD.encode(&key)), URL_SAFE.encode(&key)] {
            assert_eq!(bytes(text.as_bytes()), key, "{text:?}");
            assert_eq!(bytes(text.trim_end_matches(['=', '\n']).as_bytes()), key, "{text:?}");
        }
        // As long as a key is, a brace at its front is one of its bytes.
        let braced: Vec<u8> = std::iter::once(b'{').chain(100..131).collect();
        assert_eq!(bytes(&braced), braced);
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        let check = |text: &str, form: Form, expect: &str| {
            assert_eq!(read(text.as_bytes(), form).unwrap_err(), expect);
        };
        check("", Form::Any, "it is empty");
        check("{\"kty\":\"oct\",\"k\":\"hunter2!\"}", Form::Jwk, "its `k` is no base64url");
        check(
            "-----BEGIN X-----\nAAAA\n-----END X-----",
            Form::Any,
            "its PEM block is neither an RSA key nor one in PKCS #8",
        );
        check("-----BEGIN PUBLIC KEY-----\nAAAA", Form::Pem, "its PEM block has no end");
        check("hunter2", Form::Pem, "it is no PEM file");
    }

    #[test]
    fn a_key_says_what_it_is_for() {
        let key = |usage: Option<&str>, operations: &[&str], algorithm: Option<&str>| Key {
            usage: usage.map(str::to_owned),
            operations: operations.iter().map(|one| (*one).to_owned()).collect(),
            algorithm: algorithm.map(str::to_owned),
            ..Key::bare(Material::Other)
        };
        let may = |key: Key| key.is_for("enc", "wrapKey", "A256KW");
        assert!(may(key(None, &[], None)) && may(key(Some("enc"), &["wrapKey"], Some("A256KW"))));
        assert!(!may(key(Some("sig"), &[], None)) && !may(key(None, &["unwrapKey"], None)));
        assert!(!may(key(None, &[], Some("A128KW"))));
    }
}
