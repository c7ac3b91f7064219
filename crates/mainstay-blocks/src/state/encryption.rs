//! Values that are encrypted before a store sees them: AES-GCM, in the format of Dapr's sidecar, so that either reads
//! what the other wrote.
//!
//! ```text
//! base64(nonce, 12 bytes | ciphertext | tag, 16 bytes) || name of the key
//! ```
//! The name says which key opens a value: after a change of keys the old one stays as the secondary, which only opens.

use aws_lc_rs::aead::{
    AES_128_GCM, AES_192_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey,
};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use mainstay_core::{Error, Redacted, Result, codes};

/// Between what is encrypted and the key's name.
const SEPARATOR: &[u8] = b"||";

/// The keys of a store.
#[derive(Debug)]
pub struct Cipher {
    primary: Key,
    secondary: Option<Key>,
}

/// A key and its name.
#[derive(Debug)]
pub struct Key {
    name: String,
    key: LessSafeKey,
}

impl Key {
    /// A key of 16, 24 or 32 bytes in hexadecimal digits. Errors: `CONFIG_VALUE` for another text, or without a name.
    pub fn new(name: &str, hex: &Redacted<String>) -> Result<Self> {
        let fault =
            |why: &str| Error::new(&codes::CONFIG_VALUE, format!("the encryption key `{name}`: {why}"));
        let bytes = unhex(hex.expose().trim()).ok_or_else(|| fault("it is not in hexadecimal digits"))?;
        let algorithm = match bytes.len() {
            16 => &AES_128_GCM,
            24 => &AES_192_GCM,
            32 => &AES_256_GCM,
            _ => return Err(fault("it must have 16, 24 or 32 bytes: twice as many digits")),
        };
        if name.is_empty() {
            return Err(fault("it has no name"));
        }
        let key = UnboundKey::new(algorithm, &bytes).map_err(|_| fault("it is no key"))?;
        Ok(Self { name: name.to_owned(), key: LessSafeKey::new(key) })
    }
}

impl Cipher {
    /// Keys: the one that values are encrypted with, and the one that they were encrypted with before.
    #[must_use]
    pub fn new(primary: Key, secondary: Option<Key>) -> Self {
        Self { primary, secondary }
    }

    /// A value as the store keeps it. Errors: `INTERNAL`.
    pub fn seal(&self, value: &[u8]) -> Result<Bytes> {
        let bug = |_| Error::bug("a value could not be encrypted");
        let mut nonce = [0; NONCE_LEN];
        aws_lc_rs::rand::fill(&mut nonce).map_err(bug)?;
        let mut sealed = value.to_vec();
        let Key { name, key } = &self.primary;
        key.seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), Aad::empty(), &mut sealed)
            .map_err(bug)?;
        let mut text = STANDARD.encode([&nonce[..], &sealed].concat()).into_bytes();
        text.extend_from_slice(SEPARATOR);
        text.extend_from_slice(name.as_bytes());
        Ok(text.into())
    }

    /// The value from what the store has. Errors: `VALUE_UNREADABLE`.
    pub fn open(&self, stored: &[u8]) -> Result<Bytes> {
        // Written by somebody without a key; nothing is hidden in it.
        if stored.is_empty() {
            return Ok(Bytes::new());
        }
        let at = stored.windows(SEPARATOR.len()).rposition(|window| window == SEPARATOR);
        let at = at.ok_or_else(|| unreadable("it has no key's name, so it was not encrypted"))?;
        let name = &stored[at + SEPARATOR.len()..];
        let keys = [Some(&self.primary), self.secondary.as_ref()];
        let key = keys.into_iter().flatten().find(|key| key.name.as_bytes() == name).ok_or_else(|| {
            unreadable(&format!("there is no encryption key `{}`", String::from_utf8_lossy(name)))
        })?;
        let damaged = || unreadable("it is damaged, or its key has changed under the same name");
        let mut sealed = STANDARD.decode(&stored[..at]).map_err(|_| damaged())?;
        if sealed.len() < NONCE_LEN {
            return Err(damaged());
        }
        let rest = sealed.split_off(NONCE_LEN);
        let nonce = Nonce::try_assume_unique_for_key(&sealed).map_err(|_| damaged())?;
        let mut rest = rest;
        let length = key.key.open_in_place(nonce, Aad::empty(), &mut rest).map_err(|_| damaged())?.len();
        rest.truncate(length);
        Ok(rest.into())
    }
}

fn unreadable(why: &str) -> Error {
    Error::new(&codes::VALUE_UNREADABLE, format!("could not decrypt the value: {why}"))
}

fn unhex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let pair = |pair: &[u8]| match pair {
        [high, low] => Some(digit(*high)? << 4 | digit(*low)?),
        _ => None,
    };
    text.as_bytes().chunks(2).map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(name: &str, digit: &str, bytes: usize) -> Key {
        Key::new(name, &Redacted::new(digit.repeat(2 * bytes))).unwrap()
    }

    #[test]
    fn what_is_sealed_opens_with_a_key_of_any_size_and_never_looks_the_same() {
        for bytes in [16, 24, 32] {
            let cipher = Cipher::new(key("now", "a", bytes), None);
            let sealed = cipher.seal(b"hello").unwrap();
            assert!(sealed.ends_with(b"||now") && sealed != cipher.seal(b"hello").unwrap());
            assert_eq!(cipher.open(&sealed).unwrap(), "hello");
        }
        let cipher = Cipher::new(key("now", "a", 16), None);
        assert_eq!(cipher.open(&cipher.seal(b"").unwrap()).unwrap(), "");
        assert_eq!(cipher.open(b"").unwrap(), "");
    }

    /// Made with Go's crypto/aes and crypto/cipher by the format above: key 00…1f, nonce 00…0b, `{"n":1}`.
    const FROM_ELSEWHERE: &str = "AAECAwQFBgcICQoLPCC4Of/Uv5wu/qZOYLQ3+rhEarA7bjs=||secret-1";

    #[test]
    fn what_another_sidecar_wrote_is_read() {
        let digits: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
        let cipher = Cipher::new(Key::new("secret-1", &Redacted::new(digits)).unwrap(), None);
        assert_eq!(cipher.open(FROM_ELSEWHERE.as_bytes()).unwrap(), r#"{"n":1}"#);
    }

    #[test]
    fn after_a_change_of_keys_the_old_one_still_opens() {
        let old = Cipher::new(key("old", "a", 32), None).seal(b"v").unwrap();
        let turned = Cipher::new(key("new", "b", 32), Some(key("old", "a", 32)));
        assert_eq!(turned.open(&old).unwrap(), "v");
        assert!(turned.seal(b"v").unwrap().ends_with(b"||new"));
    }

    #[test]
    fn what_cannot_be_opened_says_why_and_shows_nothing() {
        let cipher = Cipher::new(key("now", "a", 32), None);
        let sealed = cipher.seal(b"hello").unwrap();
        let mut bent = sealed.to_vec();
        bent[20] = if bent[20] == b'A' { b'B' } else { b'A' };
        let other = Cipher::new(key("other", "a", 32), None).seal(b"x").unwrap();
        let check = |stored: &[u8], part: &str| {
            let error = cipher.open(stored).unwrap_err();
            assert_eq!(error.code(), &codes::VALUE_UNREADABLE);
            assert!(error.message().contains(part), "{error}");
        };
        check(b"in the clear", "not encrypted");
        check(&bent, "damaged");
        check(b"AAAA||now", "damaged");
        check(b"!!||now", "damaged");
        check(&other, "`other`");
    }

    #[test]
    fn what_is_no_key_is_told_without_showing_it() {
        for digits in ["", "abc", "zz", "00", &"0".repeat(31)] {
            let error = Key::new("k", &Redacted::new(digits.to_owned())).unwrap_err();
            assert!(error.message().contains("`k`"), "{error}");
        }
        assert!(Key::new("", &Redacted::new("0".repeat(32))).is_err());
    }
}
