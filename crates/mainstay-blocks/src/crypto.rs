//! The cryptography block: data encrypted as it comes, with a key of its own that a vault's key wraps.
//!
//! ```text
//! head: scheme LF manifest LF MAC LF     the manifest names the vault's key and holds the wrapped one
//! segment 0, segment 1, … segment n      64 KiB each but the last, each with its tag
//! ```
//! A segment's nonce holds its number and whether it is the last, so none can be changed, moved, left out or added.
//! What is decrypted goes out segment by segment, each after it was verified. The format is that of the protocol's
//! reference implementation, version 1, so that either decrypts what the other encrypted.

mod head;
mod keys;
mod segments;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mainstay_core::crypto::{Cipher, KeyVault, PlainKey, Wrapping};
use mainstay_core::{BoxStream, Ctx, Error, Kind, Result, codes};

use crate::Blocks;
use crate::hub::{Opened, not_found};
use crate::metering::Begun;
use head::{HEAD_BYTES_MAX, Head, Manifest};
use keys::FileKey;
use mainstay_core::meter::Block;
use segments::Source;

/// A key vault that is open.
pub type Vault = Opened<dyn KeyVault, ()>;

/// Data in pieces of any size. An error is the end of it.
pub type Pieces = BoxStream<Result<Bytes>>;

/// What is asked of an encryption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Encryption {
    /// The vault's key.
    pub key: String,
    /// How it wraps the data's own key.
    pub wrapping: Wrapping,
    /// What encrypts the data.
    pub cipher: Cipher,
    /// The key that the head names for decrypting; none where it is silent on that.
    pub named: Option<String>,
}

/// Encrypts data. The head comes first, then each segment as soon as its data is there.
///
/// Errors of this and [`decrypt`]: `COMPONENT_NOT_FOUND`; those of the port; `INVALID_FIELD` for a name that does not
/// fit into the head.
pub async fn encrypt(
    blocks: &Blocks,
    ctx: &Ctx,
    vault: &str,
    asked: &Encryption,
    data: Pieces,
) -> Result<Pieces> {
    let (name, vault) = (vault, find(blocks, vault)?);
    let (key, plain) = FileKey::generate(asked.cipher)?;
    let wrap = |ctx: Ctx| {
        let (vault, plain) = (&vault, &plain);
        async move { vault.port.wrap(&ctx, &asked.key, asked.wrapping, plain).await }
    };
    let begun = Begun::new(blocks, Block::Crypto, name, "encrypt");
    let wrapped = begun.ended(vault.guard.run(ctx, wrap).await)?;
    let manifest = Manifest::new(asked, wrapped.to_vec(), key.nonce_prefix());
    let head = Head::sign(&manifest, &key)?;
    let segments = segments::encrypted(key, Source::new(Bytes::new(), data));
    Ok(stream::once(async { Ok(head) }).chain(segments).boxed())
}

/// Decrypts data with the key that its head names, or with `key` instead. Errors, besides: `CIPHERTEXT_INVALID`, at
/// once where the head is at fault, in the stream where a segment is; nothing comes after that.
pub async fn decrypt(
    blocks: &Blocks,
    ctx: &Ctx,
    vault: &str,
    key: Option<&str>,
    data: Pieces,
) -> Result<Pieces> {
    let (component, vault) = (vault, find(blocks, vault)?);
    let mut source = Source::new(Bytes::new(), data);
    let head = Head::read(source.until_lines(3, HEAD_BYTES_MAX).await?)?;
    let manifest = &head.manifest;
    let Some(name) = key.or(manifest.key.as_deref()).filter(|name| !name.is_empty()) else {
        let message = "the document's manifest does not contain a key name, and no key name was provided";
        return Err(Error::new(&codes::CIPHERTEXT_INVALID, message));
    };
    let begun = Begun::new(blocks, Block::Crypto, component, "decrypt");
    let plain = begun.ended(unwrap(&vault, ctx, name, manifest).await)?;
    let key = FileKey::of(&plain, manifest.nonce_prefix, manifest.cipher)?;
    head.verify(&key)?;
    Ok(segments::decrypted(key, source))
}

/// The data's own key. Whatever is wrong with the vault's key looks the same as a wrong signature: an answer tells
/// nobody which keys there are. Only a vault that cannot be reached is told.
async fn unwrap(vault: &Vault, ctx: &Ctx, name: &str, manifest: &Manifest) -> Result<PlainKey> {
    let unwrap =
        |ctx: Ctx| async move { vault.port.unwrap(&ctx, name, manifest.wrapping, &manifest.wrapped).await };
    match vault.guard.run(ctx, unwrap).await {
        Ok(plain) if plain.expose().len() == keys::KEY_BYTES => Ok(plain),
        Err(error) if matches!(error.kind(), Kind::Unavailable | Kind::Timeout | Kind::RateLimited) => {
            Err(error)
        }
        other => {
            let why =
                other.err().map_or_else(|| "its length is another".to_owned(), |error| error.to_string());
            tracing::debug!(key = name, %why, "a key cannot be unwrapped");
            Err(head::not_signed())
        }
    }
}

fn find(blocks: &Blocks, name: &str) -> Result<Vault> {
    blocks.table().vaults.get(name).cloned().ok_or_else(|| not_found("key vault", name))
}
