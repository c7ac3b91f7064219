//! Wrapping with a key that is at hand: what every vault does whose keys come to this process.

use aws_lc_rs::key_wrap::{AES_256, AesKek, KeyWrap as _};
use aws_lc_rs::rsa::{
    OAEP_SHA256_MGF1SHA256, OaepPrivateDecryptingKey, OaepPublicEncryptingKey, PrivateDecryptingKey,
    PublicEncryptingKey,
};
use bytes::Bytes;
use mainstay_core::crypto::{PlainKey, Wrapping};
use mainstay_core::{Error, Redacted, Result, codes};

use crate::keys::{Key, Material};

/// What keys at hand can do.
pub(super) const ALL: &[Wrapping] = &[Wrapping::AesKw256, Wrapping::RsaOaep256];
/// Bytes that AES key wrap adds.
const CHECK_BYTES: usize = 8;
/// Bytes of a wrapped key that are looked at: what an RSA key of 8192 bits makes.
const WRAPPED_BYTES_MAX: usize = 1024;

/// The name of a wrapping in a key's `alg` (RFC 7518, section 4.1).
fn name(wrapping: Wrapping) -> &'static str {
    match wrapping {
        Wrapping::AesKw256 => "A256KW",
        Wrapping::RsaOaep256 => "RSA-OAEP-256",
    }
}

/// Wraps a key. Errors: `KEY_UNSUITABLE`.
pub(super) fn wrap(key: &Key, wrapping: Wrapping, plain: &PlainKey) -> Result<Bytes> {
    if !key.is_for("enc", "wrapKey", name(wrapping)) {
        return Err(unsuitable("key cannot perform the 'wrapKey' operation"));
    }
    match (wrapping, &key.material) {
        (Wrapping::AesKw256, Material::Symmetric(bytes)) => {
            let mut wrapped = vec![0; plain.expose().len() + CHECK_BYTES];
            let length = kek(bytes)?.wrap(plain.expose(), &mut wrapped).map_err(|_| too_odd())?.len();
            wrapped.truncate(length);
            Ok(wrapped.into())
        }
        (Wrapping::RsaOaep256, Material::Rsa { public, private }) => {
            let public = match (public, private) {
                (Some(der), _) => PublicEncryptingKey::from_der(der).map_err(|_| no_rsa())?,
                (None, Some(der)) => private_key(der)?.public_key(),
                (None, None) => return Err(no_rsa()),
            };
            let public = OaepPublicEncryptingKey::new(public).map_err(|_| no_rsa())?;
            let mut wrapped = vec![0; public.ciphertext_size()];
            let wrapped_key = public.encrypt(&OAEP_SHA256_MGF1SHA256, plain.expose(), &mut wrapped, None);
            let length = wrapped_key.map_err(|_| too_odd())?.len();
            wrapped.truncate(length);
            Ok(wrapped.into())
        }
        _ => Err(other_kind(wrapping)),
    }
}

/// Unwraps a key. Errors: `KEY_UNSUITABLE`; `CIPHERTEXT_INVALID`.
pub(super) fn unwrap(key: &Key, wrapping: Wrapping, wrapped: &[u8]) -> Result<PlainKey> {
    if !key.is_for("enc", "unwrapKey", name(wrapping)) {
        return Err(unsuitable("key cannot perform the 'unwrapKey' operation"));
    }
    if wrapped.len() > WRAPPED_BYTES_MAX {
        return Err(not_wrapped());
    }
    match (wrapping, &key.material) {
        (Wrapping::AesKw256, Material::Symmetric(bytes)) => {
            let mut plain = vec![0; wrapped.len()];
            let length = kek(bytes)?.unwrap(wrapped, &mut plain).map_err(|_| not_wrapped())?.len();
            plain.truncate(length);
            Ok(Redacted::new(plain))
        }
        (Wrapping::RsaOaep256, Material::Rsa { private: Some(der), .. }) => {
            let private = OaepPrivateDecryptingKey::new(private_key(der)?).map_err(|_| no_rsa())?;
            let mut plain = vec![0; private.min_output_size()];
            let length = private
                .decrypt(&OAEP_SHA256_MGF1SHA256, wrapped, &mut plain, None)
                .map_err(|_| not_wrapped())?
                .len();
            plain.truncate(length);
            Ok(Redacted::new(plain))
        }
        (Wrapping::RsaOaep256, Material::Rsa { private: None, .. }) => {
            Err(unsuitable("key is public: it cannot unwrap"))
        }
        _ => Err(other_kind(wrapping)),
    }
}

fn kek(bytes: &Redacted<Vec<u8>>) -> Result<AesKek> {
    AesKek::new(&AES_256, bytes.expose()).map_err(|_| unsuitable("key has not 256 bits"))
}

fn private_key(der: &Redacted<Vec<u8>>) -> Result<PrivateDecryptingKey> {
    PrivateDecryptingKey::from_pkcs8(der.expose()).map_err(|_| no_rsa())
}

fn no_rsa() -> Error {
    unsuitable("key is no RSA key of 2048 to 8192 bits")
}

fn other_kind(wrapping: Wrapping) -> Error {
    unsuitable(&format!("key cannot be used with algorithm '{}'", name(wrapping)))
}

fn too_odd() -> Error {
    Error::new(&codes::INVALID_FIELD, "a key of this length cannot be wrapped")
}

fn not_wrapped() -> Error {
    Error::new(&codes::CIPHERTEXT_INVALID, "failed to decrypt data: it was not wrapped with this key")
}

fn unsuitable(why: &str) -> Error {
    Error::new(&codes::KEY_UNSUITABLE, why)
}
