//! Tokens that say who their bearer is (JWT, RFC 7519): read, verified with a key, and held against what is asked of
//! them.

use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, ECDSA_P521_SHA512_FIXED, ED25519,
    RSA_PKCS1_2048_8192_SHA256, RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512,
    RSA_PSS_2048_8192_SHA256, RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, UnparsedPublicKey,
    VerificationAlgorithm,
};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde_json::{Map, Value};

use crate::keys::{Curve, Key, Material};

/// Bytes of a token.
const TOKEN_BYTES_MAX: usize = 16 << 10;
/// How far clocks may be apart, in seconds.
const SKEW_S: f64 = 300.0;

/// A token that was read. It is to be believed once its signature is verified.
pub(super) struct Token<'a> {
    /// What signed it.
    pub(super) algorithm: Algorithm,
    /// The key that is said to have signed it.
    pub(super) key_id: Option<String>,
    claims: Map<String, Value>,
    signed: &'a [u8],
    signature: Vec<u8>,
}

/// What is asked of a token.
pub(super) struct Wanted<'a> {
    pub(super) issuer: &'a str,
    pub(super) audience: &'a str,
}

/// What a signature is made with. There is none for no signature and none for a shared secret: a key that everybody may
/// know would do for these.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Algorithm {
    Rs256,
    Rs384,
    Rs512,
    Ps256,
    Ps384,
    Ps512,
    Es256,
    Es384,
    Es512,
    EdDsa,
}

impl Algorithm {
    /// By its name (RFC 7518 section 3.1, RFC 8037).
    fn of(name: &str) -> Option<Self> {
        Some(match name {
            "RS256" => Self::Rs256,
            "RS384" => Self::Rs384,
            "RS512" => Self::Rs512,
            "PS256" => Self::Ps256,
            "PS384" => Self::Ps384,
            "PS512" => Self::Ps512,
            "ES256" => Self::Es256,
            "ES384" => Self::Es384,
            "ES512" => Self::Es512,
            "EdDSA" => Self::EdDsa,
            _ => return None,
        })
    }

    fn name(self) -> &'static str {
        match self {
            Self::Rs256 => "RS256",
            Self::Rs384 => "RS384",
            Self::Rs512 => "RS512",
            Self::Ps256 => "PS256",
            Self::Ps384 => "PS384",
            Self::Ps512 => "PS512",
            Self::Es256 => "ES256",
            Self::Es384 => "ES384",
            Self::Es512 => "ES512",
            Self::EdDsa => "EdDSA",
        }
    }

    /// How a key verifies it; none for a key of another kind, or for another use.
    fn verifier(self, key: &Key) -> Option<(&'static dyn VerificationAlgorithm, &[u8])> {
        if !key.is_for("sig", "verify", self.name()) {
            return None;
        }
        match &key.material {
            Material::Rsa { public: Some(public), .. } => Some((self.rsa()?, public)),
            Material::Curve { curve, point } => Some((self.curve(*curve)?, point)),
            Material::Ed25519(public) if self == Self::EdDsa => Some((&ED25519, public)),
            _ => None,
        }
    }

    fn rsa(self) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match self {
            Self::Rs256 => &RSA_PKCS1_2048_8192_SHA256,
            Self::Rs384 => &RSA_PKCS1_2048_8192_SHA384,
            Self::Rs512 => &RSA_PKCS1_2048_8192_SHA512,
            Self::Ps256 => &RSA_PSS_2048_8192_SHA256,
            Self::Ps384 => &RSA_PSS_2048_8192_SHA384,
            Self::Ps512 => &RSA_PSS_2048_8192_SHA512,
            _ => return None,
        })
    }

    fn curve(self, curve: Curve) -> Option<&'static dyn VerificationAlgorithm> {
        Some(match (self, curve) {
            (Self::Es256, Curve::P256) => &ECDSA_P256_SHA256_FIXED,
            (Self::Es384, Curve::P384) => &ECDSA_P384_SHA384_FIXED,
            (Self::Es512, Curve::P521) => &ECDSA_P521_SHA512_FIXED,
            _ => return None,
        })
    }
}

impl<'a> Token<'a> {
    /// Reads a token. `None` for what is none, or asks for what is not understood.
    pub(super) fn read(text: &'a str) -> Option<Self> {
        if text.len() > TOKEN_BYTES_MAX {
            return None;
        }
        let (signed, signature) = text.rsplit_once('.')?;
        let (head, claims) = signed.split_once('.')?;
        let head = object(head)?;
        // Whoever does not understand what is critical must refuse (RFC 7515, section 4.1.11).
        if head.contains_key("crit") {
            return None;
        }
        Some(Self {
            algorithm: Algorithm::of(head.get("alg")?.as_str()?)?,
            key_id: head.get("kid").and_then(Value::as_str).map(str::to_owned),
            claims: object(claims)?,
            signed: signed.as_bytes(),
            signature: URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether this key may have signed it, by what both say.
    pub(super) fn may_be_of(&self, key: &Key) -> bool {
        let is_named = self.key_id.as_deref().is_none_or(|id| key.id.as_deref() == Some(id));
        is_named && self.algorithm.verifier(key).is_some()
    }

    /// Whether this key signed it.
    pub(super) fn is_of(&self, key: &Key) -> bool {
        self.algorithm.verifier(key).is_some_and(|(algorithm, public)| {
            UnparsedPublicKey::new(algorithm, public).verify(self.signed, &self.signature).is_ok()
        })
    }

    /// Whether it is what is wanted at this time, in seconds since the Unix epoch.
    pub(super) fn fits(&self, wanted: &Wanted<'_>, now_s: f64) -> bool {
        let has_audience = match self.claims.get("aud") {
            Some(Value::String(one)) => one == wanted.audience,
            Some(Value::Array(several)) => several.iter().any(|one| one.as_str() == Some(wanted.audience)),
            _ => false,
        };
        // A time that is none is as bad as one that is past.
        let time = |name: &str| self.claims.get(name).map(|value| value.as_f64().unwrap_or(f64::NAN));
        let is_valid = time("exp").is_none_or(|end| now_s < end + SKEW_S);
        let has_begun =
            ["nbf", "iat"].into_iter().all(|name| time(name).is_none_or(|from| now_s + SKEW_S >= from));
        let is_issuers = self.claims.get("iss").and_then(Value::as_str) == Some(wanted.issuer);
        has_audience && is_issuers && is_valid && has_begun
    }
}

fn object(part: &str) -> Option<Map<String, Value>> {
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}

#[cfg(test)]
pub(super) mod tests;
