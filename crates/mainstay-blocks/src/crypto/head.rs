//! The head of encrypted data: three lines of text, of which the third signs the two before.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_core::crypto::{Cipher, Wrapping};
use mainstay_core::{Error, Result, codes};
use serde_json::{Value, json};

use super::Encryption;
use super::keys::{FileKey, PREFIX_BYTES};

/// The first line: the format and its version.
const SCHEME: &str = "dapr.io/enc/v1";
/// Bytes of a head.
pub(super) const HEAD_BYTES_MAX: usize = 64 << 10;
/// Bytes of a wrapped key: an RSA key of 8192 bits makes 1024.
const WRAPPED_BYTES_MAX: usize = 4 << 10;

/// What the second line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Manifest {
    pub(super) key: Option<String>,
    pub(super) wrapping: Wrapping,
    pub(super) wrapped: Vec<u8>,
    pub(super) cipher: Cipher,
    pub(super) nonce_prefix: [u8; PREFIX_BYTES],
}

impl Manifest {
    pub(super) fn new(asked: &Encryption, wrapped: Vec<u8>, nonce_prefix: [u8; PREFIX_BYTES]) -> Self {
        let (key, wrapping, cipher) = (asked.named.clone(), asked.wrapping, asked.cipher);
        Self { key: key.filter(|name| !name.is_empty()), wrapping, wrapped, cipher, nonce_prefix }
    }

    fn line(&self) -> String {
        let wrapping = match self.wrapping {
            Wrapping::AesKw256 => 1,
            Wrapping::RsaOaep256 => 5,
        };
        let cipher = match self.cipher {
            Cipher::AesGcm => 1,
            Cipher::ChaCha20Poly1305 => 2,
        };
        let mut line = serde_json::Map::new();
        if let Some(key) = &self.key {
            line.insert("k".to_owned(), json!(key));
        }
        line.insert("kw".to_owned(), json!(wrapping));
        line.insert("wfk".to_owned(), json!(STANDARD.encode(&self.wrapped)));
        line.insert("cph".to_owned(), json!(cipher));
        line.insert("np".to_owned(), json!(STANDARD.encode(self.nonce_prefix)));
        Value::Object(line).to_string()
    }

    fn parse(line: &[u8]) -> Option<Self> {
        let line: Value = serde_json::from_slice(line).ok()?;
        let key = match line.get("k") {
            None | Some(Value::Null) => None,
            Some(name) => Some(name.as_str()?.to_owned()),
        };
        let bytes = |name: &str| STANDARD.decode(line.get(name)?.as_str()?).ok();
        let wrapping = match line.get("kw")?.as_u64()? {
            1 => Wrapping::AesKw256,
            5 => Wrapping::RsaOaep256,
            _ => return None,
        };
        let cipher = match line.get("cph")?.as_u64()? {
            1 => Cipher::AesGcm,
            2 => Cipher::ChaCha20Poly1305,
            _ => return None,
        };
        let wrapped = bytes("wfk").filter(|key| !key.is_empty() && key.len() <= WRAPPED_BYTES_MAX)?;
        let nonce_prefix = bytes("np")?.try_into().ok()?;
        Some(Self { key, wrapping, wrapped, cipher, nonce_prefix })
    }
}

/// A head that was read. It is to be believed once it is verified.
#[derive(Debug)]
pub(super) struct Head {
    pub(super) manifest: Manifest,
    /// The two lines that are signed, with the line feed behind each.
    signed: Vec<u8>,
    mac: Vec<u8>,
}

impl Head {
    /// A head's bytes. Errors: `INVALID_FIELD` for one that would be too long.
    pub(super) fn sign(manifest: &Manifest, key: &FileKey) -> Result<Bytes> {
        let signed = format!("{SCHEME}\n{}\n", manifest.line());
        let head = format!("{signed}{}\n", STANDARD.encode(key.sign(signed.as_bytes())));
        if head.len() > HEAD_BYTES_MAX {
            let message = format!("the key's name makes the header longer than {HEAD_BYTES_MAX} bytes");
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        Ok(head.into())
    }

    /// A head from its three lines; what was there of them, where it ended before. Errors: `CIPHERTEXT_INVALID`.
    pub(super) fn read(lines: Bytes) -> Result<Self> {
        let mut ends = lines.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at);
        let (Some(first), second, third) = (ends.next(), ends.next(), ends.next()) else {
            return Err(invalid("scheme name not found"));
        };
        if &lines[..first] != SCHEME.as_bytes() {
            return Err(invalid("unsupported scheme"));
        }
        let Some(second) = second else { return Err(invalid("manifest not found")) };
        let Some(third) = third else { return Err(invalid("message authentication code not found")) };
        // What exactly is wrong is nobody's to know who cannot sign it.
        let manifest =
            Manifest::parse(&lines[first + 1..second]).ok_or_else(|| invalid("invalid manifest"))?;
        let mac = STANDARD.decode(&lines[second + 1..third]).map_err(|_| not_signed())?;
        Ok(Self { manifest, signed: lines[..=second].to_vec(), mac })
    }

    /// Holds the head against its MAC. Errors: `CIPHERTEXT_INVALID`.
    pub(super) fn verify(&self, key: &FileKey) -> Result<()> {
        if key.is_signed(&self.signed, &self.mac) { Ok(()) } else { Err(not_signed()) }
    }
}

fn invalid(why: &str) -> Error {
    Error::new(&codes::CIPHERTEXT_INVALID, format!("invalid header: {why}"))
}

/// The error of a head whose MAC is not that of its key, or whose key cannot be had.
pub(super) fn not_signed() -> Error {
    Error::new(&codes::CIPHERTEXT_INVALID, "failed to validate the document's signature")
}
