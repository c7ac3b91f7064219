//! The key of one piece of data, and what is derived from it.

use aws_lc_rs::aead::{AES_256_GCM, Aad, CHACHA20_POLY1305, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::{hkdf, hmac, rand};
use mainstay_core::crypto::{Cipher, PlainKey};
use mainstay_core::{Error, Redacted, Result};

/// Bytes of the key.
pub(super) const KEY_BYTES: usize = 32;
/// Bytes that a segment's nonce begins with.
pub(super) const PREFIX_BYTES: usize = 7;
/// Bytes that a tag adds to a segment.
pub(super) const TAG_BYTES: usize = 16;

/// The keys derived from that of the data. The data's own is gone by now.
pub(super) struct FileKey {
    head: hmac::Key,
    payload: LessSafeKey,
    nonce_prefix: [u8; PREFIX_BYTES],
}

impl FileKey {
    /// A new one, with the key that it is derived from.
    pub(super) fn generate(cipher: Cipher) -> Result<(Self, PlainKey)> {
        let (mut plain, mut nonce_prefix) = (vec![0; KEY_BYTES], [0; PREFIX_BYTES]);
        rand::fill(&mut plain).map_err(|_| Error::bug("no random bytes for a key"))?;
        rand::fill(&mut nonce_prefix).map_err(|_| Error::bug("no random bytes for a nonce"))?;
        let plain = Redacted::new(plain);
        Ok((Self::of(&plain, nonce_prefix, cipher)?, plain))
    }

    /// The one of this key.
    pub(super) fn of(plain: &PlainKey, nonce_prefix: [u8; PREFIX_BYTES], cipher: Cipher) -> Result<Self> {
        let head = derived(plain, &[], b"header")?;
        let payload = derived(plain, &nonce_prefix, b"payload")?;
        let algorithm = match cipher {
            Cipher::AesGcm => &AES_256_GCM,
            Cipher::ChaCha20Poly1305 => &CHACHA20_POLY1305,
        };
        let payload =
            UnboundKey::new(algorithm, &payload).map_err(|_| Error::bug("a key of a wrong length"))?;
        let head = hmac::Key::new(hmac::HMAC_SHA256, &head);
        Ok(Self { head, payload: LessSafeKey::new(payload), nonce_prefix })
    }

    pub(super) fn nonce_prefix(&self) -> [u8; PREFIX_BYTES] {
        self.nonce_prefix
    }

    /// The MAC of a head.
    pub(super) fn sign(&self, head: &[u8]) -> Vec<u8> {
        hmac::sign(&self.head, head).as_ref().to_vec()
    }

    /// Whether this is the MAC of a head; in a time that does not depend on where it differs.
    pub(super) fn is_signed(&self, head: &[u8], mac: &[u8]) -> bool {
        hmac::verify(&self.head, head, mac).is_ok()
    }

    /// Encrypts a segment and adds its tag.
    pub(super) fn seal(&self, segment: &mut Vec<u8>, number: u32, last: bool) -> Result<()> {
        let nonce = self.nonce(number, last);
        self.payload
            .seal_in_place_append_tag(nonce, Aad::empty(), segment)
            .map_err(|_| Error::bug("a segment was not sealed"))
    }

    /// Verifies and decrypts a segment. `None` where it is not what was encrypted.
    pub(super) fn open(&self, mut segment: Vec<u8>, number: u32, last: bool) -> Option<Vec<u8>> {
        let nonce = self.nonce(number, last);
        let length = self.payload.open_in_place(nonce, Aad::empty(), &mut segment).ok()?.len();
        segment.truncate(length);
        Some(segment)
    }

    fn nonce(&self, number: u32, last: bool) -> Nonce {
        let mut nonce = [0; 12];
        nonce[..PREFIX_BYTES].copy_from_slice(&self.nonce_prefix);
        nonce[PREFIX_BYTES..11].copy_from_slice(&number.to_be_bytes());
        nonce[11] = last.into();
        Nonce::assume_unique_for_key(nonce)
    }
}

/// HKDF with SHA-256 (RFC 5869).
fn derived(plain: &PlainKey, salt: &[u8], info: &[u8]) -> Result<[u8; KEY_BYTES]> {
    let mut key = [0; KEY_BYTES];
    let keys = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(plain.expose());
    let info = [info];
    let output = keys.expand(&info, hkdf::HKDF_SHA256).and_then(|output| output.fill(&mut key));
    output.map_err(|_| Error::bug("a key was not derived"))?;
    Ok(key)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_derived_as_the_reference_derives_them() {
        let plain =
            super::super::tests::bytes("4ae3be77186824592c9b6aa625f6ac1ba16fddf60359f3342e6761883a1f82d4");
        let plain = Redacted::new(plain);
        let check = |salt: &[u8], info: &[u8], expect: &str| {
            assert_eq!(derived(&plain, salt, info).unwrap().to_vec(), super::super::tests::bytes(expect));
        };
        check(&[], b"header", "f702256c0abd7ed84ebee9f897abfbf8e5ad4d5fc19e7907e3e6844be1a24189");
        let prefix = [1, 2, 3, 4, 5, 6, 7];
        check(&prefix, b"payload", "8cbcf6b6b426c7291e8e1d9f0d8989a20fe93cb38ca8513db1a2b08fa2ecb883");
        let key = FileKey::of(&plain, prefix, Cipher::AesGcm).unwrap();
        let mac =
            super::super::tests::bytes("ac54af18f2cf36631ec41af34dcdd32e526a26df6975a3a6a83c78d997ded017");
        let head = b"dapr.io/enc/v1\n{\"foo\":\"bar\"}\n";
        assert_eq!(key.sign(head), mac);
        assert!(key.is_signed(head, &mac) && !key.is_signed(&head[1..], &mac));
    }

    #[test]
    fn a_nonce_says_which_segment_it_is_of() {
        let key = FileKey::of(&Redacted::new(vec![0; 32]), [1, 2, 3, 4, 5, 6, 7], Cipher::AesGcm).unwrap();
        let check = |number: u32, last: bool, expect: [u8; 5]| {
            assert_eq!(key.nonce(number, last).as_ref()[7..], expect);
        };
        check(0, false, [0, 0, 0, 0, 0]);
        check(1, true, [0, 0, 0, 1, 1]);
        check(2000, true, [0, 0, 7, 0xd0, 1]);
    }
}
