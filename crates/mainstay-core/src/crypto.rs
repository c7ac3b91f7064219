//! The port of a key vault: keys by name that do not leave it, and other keys wrapped with them.
//!
//! What is encrypted with the keys that were wrapped, and how that is written down, is the building block's.

use async_trait::async_trait;
use bytes::Bytes;

use crate::{Ctx, Redacted, Result};

/// How a key wraps another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wrapping {
    /// AES key wrap with a key of 256 bits (RFC 3394).
    AesKw256,
    /// RSA-OAEP with SHA-256, also in its mask (RFC 8017, section 7.1), without a label.
    RsaOaep256,
}

/// What encrypts data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cipher {
    /// AES in Galois/counter mode with a key of 256 bits (NIST SP 800-38D).
    #[default]
    AesGcm,
    /// ChaCha20 with Poly1305 (RFC 8439).
    ChaCha20Poly1305,
}

/// A key in the clear.
pub type PlainKey = Redacted<Vec<u8>>;

/// The port of a key vault. Members do not retry, log or meter. They tell nobody what is in a key, and errors name
/// keys, never their contents.
///
/// A method whose future is dropped has no effect that lasts. Errors of every method: `VAULT_UNAVAILABLE` when the keys
/// cannot be reached, or `DEADLINE_EXCEEDED`.
#[async_trait]
pub trait KeyVault: Send + Sync {
    /// How its keys can wrap others. Constant for its lifetime; every other way answers `UNSUPPORTED`.
    fn wrappings(&self) -> &'static [Wrapping];

    /// Whether the keys can be reached.
    async fn ready(&self, ctx: &Ctx) -> Result<()>;

    /// Wraps a key of 16 to 64 bytes, a multiple of 8, with the one called `name`. Errors: `KEY_NOT_FOUND`;
    /// `KEY_UNSUITABLE` where that key is of another kind, or may not be used for this; `UNSUPPORTED`.
    async fn wrap(&self, ctx: &Ctx, name: &str, wrapping: Wrapping, plain: &PlainKey) -> Result<Bytes>;

    /// The key that was wrapped with the one called `name`, or with the public key that belongs to it. Errors: as
    /// [`KeyVault::wrap`]; `CIPHERTEXT_INVALID` for what was not wrapped so.
    async fn unwrap(&self, ctx: &Ctx, name: &str, wrapping: Wrapping, wrapped: &[u8]) -> Result<PlainKey>;
}
