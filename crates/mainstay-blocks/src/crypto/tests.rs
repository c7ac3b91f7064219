//! The format against what others made of it, and against those who change what was encrypted.

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::Redacted;
use mainstay_core::clock::ManualClock;

use super::segments::SEGMENT_BYTES;
use super::*;
use crate::{App, Table};

/// Data of the reference implementation's own tests (`single-segment.enc`, `empty-message.enc`). The wrapped key there
/// is the key itself.
const REFERENCE: [(&str, &str, &[u8]); 2] = [
    (
        "dapr.io/enc/v1\n{\"k\":\"mykey\",\"kw\":1,\"wfk\":\"QOei+iFHWhaO6f9iETClF46OP2xi7Hsi3lJM/j+twtU=\",\"cph\":1,\
         \"np\":\"lPBnJHkXPA==\"}\nFUxdF/MUKkEdzzytE5fUf8k7gEm5nZiiN8H4ACE3NEg=\n",
        "zkBjJN6AcIx/IIThtRxLd499NiCh74rT6Y4m",
        b"hello world",
    ),
    (
        "dapr.io/enc/v1\n{\"k\":\"mykey\",\"kw\":1,\"wfk\":\"rvjwqyMa8txW979ZL9wglb7f+UG1kW+/hDqvP3/ib+Q=\",\"cph\":1,\
         \"np\":\"gZ/UVI2JlQ==\"}\nzB+rESjb3gR5guGfmxukQ//ApfW6a55WOxo6k0x89kE=\n",
        "",
        b"",
    ),
];

/// SHA-256 of what another implementation (Python, from the format's description) made of `pattern`, by its length:
/// under the key 00 01 … 1f and the nonce prefix 00 01 … 06, with the cipher.
const OTHERS: [(usize, Cipher, &str); 8] = [
    (65_536, Cipher::AesGcm, "969acfb1cfc86af83cb850d617271edf28a9cfb6ae42ffdeb27e3d099c2fb6e8"),
    (65_537, Cipher::AesGcm, "0dcd6eea08333bb93e2d947113030346fc54203bbc451b2615661e053ea4d96b"),
    (131_072, Cipher::AesGcm, "813bc0903c510b179a2830a8d5dab644372361f6e69b503466a453c27ec1c279"),
    (307_200, Cipher::AesGcm, "469da9d78ba327efeaef7fad08f695e8b8d0bb595ad178dd6f7b175d3b22feda"),
    (65_536, Cipher::ChaCha20Poly1305, "444c81ae5cfdddfa3dab35b48b54dd064c98e518c279872d8dc285529b461dd0"),
    (65_537, Cipher::ChaCha20Poly1305, "89ffefeb861f4f06d383b979198abc77c6ccad581d679ac797ccdf64132b0615"),
    (131_072, Cipher::ChaCha20Poly1305, "67dfa777cd006dbb1065b0dac109028909d15cf3d6289eb7dd204f0a2eb2d8b9"),
    (307_200, Cipher::ChaCha20Poly1305, "541b0dd338bb6271473abfc35bd6fd42214f6399ac07dee500282ef9dc70077d"),
];

pub(super) fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|digit| digit.to_digit(16).unwrap()).collect();
    digits.chunks(2).map(|pair| u8::try_from(pair[0] * 16 + pair[1]).unwrap()).collect()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| u8::try_from(at % 251).unwrap()).collect()
}

/// A vault that wraps nothing: what is wrapped is the key itself. One name is unknown to it, one breaks it.
struct Open;

#[async_trait]
impl KeyVault for Open {
    fn wrappings(&self) -> &'static [Wrapping] {
        &[Wrapping::AesKw256]
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn wrap(&self, _: &Ctx, name: &str, _: Wrapping, plain: &PlainKey) -> Result<Bytes> {
        known(name)?;
        Ok(plain.expose().clone().into())
    }

    async fn unwrap(&self, _: &Ctx, name: &str, _: Wrapping, wrapped: &[u8]) -> Result<PlainKey> {
        known(name)?;
        Ok(Redacted::new(wrapped.to_vec()))
    }
}

fn known(name: &str) -> Result<()> {
    match name {
        "missing" => Err(Error::new(&codes::KEY_NOT_FOUND, "no such key")),
        "down" => Err(Error::new(&codes::VAULT_UNAVAILABLE, "down")),
        _ => Ok(()),
    }
}

fn blocks() -> Blocks {
    let vaults = BTreeMap::from([("vault".to_owned(), Vault::new(Arc::new(Open), ()))]);
    Blocks::new(App::default(), Arc::new(ManualClock::at(0)), Table { vaults, ..Table::default() })
}

fn asked() -> Encryption {
    Encryption {
        key: "mykey".to_owned(),
        wrapping: Wrapping::AesKw256,
        cipher: Cipher::AesGcm,
        named: Some("mykey".to_owned()),
    }
}

/// Data in pieces of this size.
fn pieces(data: &[u8], size: usize) -> Pieces {
    let pieces: Vec<_> = data.chunks(size).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
    stream::iter(pieces).boxed()
}

async fn whole(pieces: Pieces) -> Result<Vec<u8>> {
    let pieces: Vec<_> = pieces.collect().await;
    Ok(pieces.into_iter().collect::<Result<Vec<_>>>()?.concat())
}

async fn encrypted(asked: &Encryption, data: &[u8], size: usize) -> Vec<u8> {
    let out = encrypt(&blocks(), &Ctx::system(), "vault", asked, pieces(data, size)).await.unwrap();
    whole(out).await.unwrap()
}

async fn decrypted(data: &[u8], key: Option<&str>, size: usize) -> Result<Vec<u8>> {
    whole(decrypt(&blocks(), &Ctx::system(), "vault", key, pieces(data, size)).await?).await
}

#[tokio::test]
async fn what_the_reference_encrypted_is_decrypted() {
    for (head, payload, data) in REFERENCE {
        let document = [head.as_bytes(), &STANDARD.decode(payload).unwrap()].concat();
        for size in [1, 7, 1000] {
            assert_eq!(decrypted(&document, None, size).await.unwrap(), data);
        }
    }
}

#[tokio::test]
async fn another_implementation_makes_the_same_of_the_same() {
    for (length, cipher, expect) in OTHERS {
        let plain: PlainKey = Redacted::new((0..32).collect());
        let key = FileKey::of(&plain, [0, 1, 2, 3, 4, 5, 6], cipher).unwrap();
        let asked = Encryption { cipher, ..asked() };
        let manifest = Manifest::new(&asked, plain.expose().clone(), key.nonce_prefix());
        let head = Head::sign(&manifest, &key).unwrap();
        let data = pieces(&pattern(length), 10_000);
        let segments = whole(segments::encrypted(key, Source::new(Bytes::new(), data))).await.unwrap();
        let made = [&head[..], &segments].concat();
        assert_eq!(digest::digest(&digest::SHA256, &made).as_ref(), bytes(expect), "{length} {cipher:?}");
        assert_eq!(decrypted(&made, None, 70_000).await.unwrap(), pattern(length));
    }
}

#[tokio::test]
async fn data_comes_back_whatever_pieces_it_comes_in() {
    let lengths = [0, 1, SEGMENT_BYTES - 1, SEGMENT_BYTES, SEGMENT_BYTES + 1, 2 * SEGMENT_BYTES, 200_001];
    for length in lengths {
        for (size, back) in [(1_000, 65_552), (65_536, 999), (1 << 20, 1 << 20)] {
            let cipher = if length % 2 == 0 { Cipher::AesGcm } else { Cipher::ChaCha20Poly1305 };
            let made = encrypted(&Encryption { cipher, ..asked() }, &pattern(length), size).await;
            assert!(decrypted(&made, None, back).await.unwrap() == pattern(length), "{length} in {size}");
        }
    }
}

#[tokio::test]
async fn the_head_names_the_key_that_it_is_told_to_name() {
    let named = |named: Option<&str>| Encryption { named: named.map(str::to_owned), ..asked() };
    let line = |made: &[u8]| String::from_utf8_lossy(made).lines().nth(1).unwrap().to_owned();
    let made = encrypted(&named(Some("private")), b"x", 1).await;
    assert!(line(&made).starts_with(r#"{"k":"private","kw":1,"wfk":""#), "{}", line(&made));
    let silent = encrypted(&named(None), b"x", 1).await;
    assert!(line(&silent).starts_with(r#"{"kw":1,"wfk":""#), "{}", line(&silent));
    let error = decrypted(&silent, None, 10).await.unwrap_err();
    assert_eq!(error.code(), &codes::CIPHERTEXT_INVALID);
    assert_eq!(decrypted(&silent, Some("mykey"), 10).await.unwrap(), b"x");
}

/// Which byte of a document is at fault, or what was done to its segments.
async fn check_refused(document: &[u8], what: &str) {
    let stream = decrypt(&blocks(), &Ctx::system(), "vault", None, pieces(document, 8_000)).await;
    let Ok(mut stream) = stream else { return };
    let mut given = Vec::new();
    loop {
        match stream.next().await {
            Some(Ok(piece)) => given.extend_from_slice(&piece),
            Some(Err(error)) => {
                assert_eq!(error.code(), &codes::CIPHERTEXT_INVALID, "{what}");
                assert!(stream.next().await.is_none(), "{what}: it ends");
                // Whole segments that were verified, and nothing of the one that is not.
                assert!(
                    given.len() % SEGMENT_BYTES == 0 && given[..] == pattern(300_000)[..given.len()],
                    "{what}"
                );
                return;
            }
            None => panic!("{what}: it is taken for whole"),
        }
    }
}

#[tokio::test]
async fn whoever_changes_a_document_is_found_out() {
    let made = encrypted(&asked(), &pattern(150_000), 1 << 20).await;
    let head = made.iter().enumerate().filter(|(_, byte)| **byte == b'\n').nth(2).unwrap().0 + 1;
    let whole = SEGMENT_BYTES + 16;
    let (first, second, last) =
        (&made[head..head + whole], &made[head + whole..head + 2 * whole], &made[head + 2 * whole..]);
    for at in (0..head).chain([head, head + whole - 1, head + whole, made.len() - 1]) {
        let mut changed = made.clone();
        changed[at] ^= 1;
        check_refused(&changed, &format!("byte {at}")).await;
    }
    let check = async |parts: &[&[u8]], what: &str| {
        check_refused(&[&made[..head], &parts.concat()].concat(), what).await;
    };
    check(&[second, first, last], "segments that change places").await;
    check(&[first, last], "a segment left out").await;
    check(&[first, second], "the last segment left out").await;
    check(&[first, first, second, last], "a segment twice").await;
    check(&[first, second, last, last], "more behind the last segment").await;
    check(&[first, second, last, b"x"], "a byte behind the last segment").await;
    check(&[first, second, &last[..last.len() - 1]], "the last byte left out").await;
    check(&[first, &second[..9]], "a segment shorter than its tag").await;
    let other = encrypted(&asked(), &pattern(150_000), 1 << 20).await;
    check(&[first, &other[head + whole..head + 2 * whole], last], "another document's segment").await;
}

#[tokio::test]
async fn a_head_that_is_none_is_refused_before_it_is_all_read() {
    let check = async |document: &[u8], expect: &str| {
        let error = decrypted(document, None, 100).await.unwrap_err();
        assert_eq!((error.code(), error.message()), (&codes::CIPHERTEXT_INVALID, expect));
    };
    check(b"", "invalid header: scheme name not found").await;
    check(b"foo", "invalid header: scheme name not found").await;
    check(b"other/v1\nx\ny\n", "invalid header: unsupported scheme").await;
    check(b"dapr.io/enc/v1\nx", "invalid header: manifest not found").await;
    check(b"dapr.io/enc/v1\n{}\n", "invalid header: message authentication code not found").await;
    check(b"dapr.io/enc/v1\n{}\nx\n", "invalid header: invalid manifest").await;
    check(b"dapr.io/enc/v1\n\n\n", "invalid header: invalid manifest").await;
    // A head without an end is read up to its bound alone, though the data goes on for ever.
    let endless = stream::repeat_with(|| Ok(Bytes::from_static(&[b'a'; 4096]))).boxed();
    let error = decrypt(&blocks(), &Ctx::system(), "vault", None, endless).await.err().unwrap();
    assert_eq!(error.message(), "invalid header: scheme name not found");
}

#[tokio::test]
async fn a_missing_key_looks_like_a_wrong_one_and_an_outage_does_not() {
    let made = encrypted(&asked(), b"x", 1).await;
    let code = async |key: &str| decrypted(&made, Some(key), 10).await.unwrap_err().code();
    assert_eq!(code("missing").await, &codes::CIPHERTEXT_INVALID);
    assert_eq!(code("down").await, &codes::VAULT_UNAVAILABLE);
    let ctx = Ctx::system();
    let missing = Encryption { key: "missing".to_owned(), ..asked() };
    let error = encrypt(&blocks(), &ctx, "vault", &missing, pieces(b"x", 1)).await.err().unwrap();
    assert_eq!(error.code(), &codes::KEY_NOT_FOUND);
    let error = encrypt(&blocks(), &ctx, "other", &asked(), pieces(b"x", 1)).await.err().unwrap();
    assert_eq!(error.code(), &codes::COMPONENT_NOT_FOUND);
    let long = Encryption { named: Some("k".repeat(70_000)), ..asked() };
    let error = encrypt(&blocks(), &ctx, "vault", &long, pieces(b"x", 1)).await.err().unwrap();
    assert_eq!(error.code(), &codes::INVALID_FIELD);
}

#[tokio::test]
async fn an_error_in_the_data_is_the_last_thing_that_comes_out() {
    let broken = pieces(&pattern(70_000), 1_000)
        .chain(stream::iter([Err(Error::new(&codes::INVALID_FIELD, "cut"))]))
        .boxed();
    let out: Vec<_> =
        encrypt(&blocks(), &Ctx::system(), "vault", &asked(), broken).await.unwrap().collect().await;
    let kinds: Vec<_> = out.iter().map(Result::is_ok).collect();
    assert_eq!(kinds, [true, true, false], "the head, a segment, and the error");
}
