//! Encryption and decryption through the router: headers, statuses, and bodies of either sort.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt as _, Full, StreamBody};
use mainstay_blocks::crypto::Vault;
use mainstay_blocks::{App, Blocks, Table};
use mainstay_core::Clock;
use mainstay_core::clock::ManualClock;
use mainstay_net::client::{Client, ClientOptions};
use mainstay_sidecar::{Body, Parts, Rules, Surface, Targets};
use serde_json::Value;
use tower::ServiceExt as _;

const MOST: usize = 200 << 10;
const ENCRYPT: &str = "/v1.0-alpha1/crypto/keys/encrypt";
const DECRYPT: &str = "/v1.0-alpha1/crypto/keys/decrypt";
const AES: [(&str, &str); 2] = [("dapr-key-name", "aes"), ("dapr-key-wrap-algorithm", "A256KW")];

async fn surface(has_vault: bool) -> Surface {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000));
    let vault = Vault::new(mainstay_testkit::components::key_vault(&clock).await, ());
    let vaults = if has_vault { BTreeMap::from([("keys".to_owned(), vault)]) } else { BTreeMap::new() };
    Surface::new(Parts {
        blocks: Blocks::new(App::default(), clock, Table { vaults, ..Table::default() }),
        api_token: None,
        body_bytes_max: MOST,
        targets: Targets::default(),
        client: Client::new(ClientOptions::default()),
        rules: Rules::default(),
        origins: None,
        shutdown: Arc::new(|_| ()),
    })
}

async fn answer(surface: &Surface, path: &str, headers: &[(&str, &str)], body: Bytes) -> Response<Body> {
    let mut request = Request::put(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    surface.router().oneshot(request.body(Full::new(body)).unwrap()).await.unwrap()
}

async fn send(
    surface: &Surface,
    path: &str,
    headers: &[(&str, &str)],
    body: impl Into<Bytes>,
) -> (u16, Bytes) {
    let answer = answer(surface, path, headers, body.into()).await;
    if answer.status() == 200 {
        assert_eq!(answer.headers()["content-type"], "application/octet-stream");
    }
    (answer.status().as_u16(), answer.into_body().collect().await.unwrap().to_bytes())
}

async fn check(
    surface: &Surface,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
    expect: (u16, &str, &str),
) {
    let (status, answer) = send(surface, path, headers, body.to_vec()).await;
    let answer: Value = serde_json::from_slice(&answer).unwrap();
    let (code, message) = (answer["errorCode"].as_str().unwrap(), answer["message"].as_str().unwrap());
    assert_eq!((status, code), (expect.0, expect.1), "{message}");
    assert!(message.contains(expect.2), "{message}");
}

/// A body in chunks, of a length that nobody knows.
async fn streamed(
    surface: &Surface,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> (u16, Result<Bytes, String>) {
    let pieces: Vec<_> = body.chunks(5_000).map(Bytes::copy_from_slice).collect();
    let pieces = stream::iter(pieces).map(|piece| Ok::<_, std::io::Error>(Frame::data(piece)));
    let mut request = Request::put(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let request = request.body(StreamBody::new(pieces)).unwrap();
    let answer = surface.router().oneshot(request).await.unwrap();
    let status = answer.status().as_u16();
    (
        status,
        answer.into_body().collect().await.map(|body| body.to_bytes()).map_err(|error| error.to_string()),
    )
}

#[tokio::test]
async fn a_body_comes_back_after_either_wrapping_and_cipher() {
    let surface = surface(true).await;
    let data: Vec<u8> = (0..150_000_u32).map(|at| at.to_le_bytes()[0]).collect();
    for (key, wrapping) in [("aes", "A256KW"), ("aes", "aes"), ("rsa", "RSA"), ("rsa", "rsa-oaep-256")] {
        for cipher in ["", "aes-gcm", "chacha20-poly1305"] {
            let headers = [
                ("dapr-key-name", key),
                ("dapr-key-wrap-algorithm", wrapping),
                ("dapr-data-encryption-cipher", cipher),
            ];
            let (status, made) = send(&surface, ENCRYPT, &headers, data.clone()).await;
            assert_eq!(status, 200, "{key} {wrapping} {cipher}: {}", String::from_utf8_lossy(&made));
            assert!(made.starts_with(b"dapr.io/enc/v1\n{\"k\":\""));
            assert!(send(&surface, DECRYPT, &[], made).await == (200, data.clone().into()));
        }
    }
    let (_, nothing) = send(&surface, ENCRYPT, &AES, "").await;
    assert_eq!(send(&surface, DECRYPT, &[], nothing).await, (200, Bytes::new()));
}

#[tokio::test]
async fn the_head_names_another_key_or_none() {
    let surface = surface(true).await;
    let with = |name: &'static str, value: &'static str| [AES[0], AES[1], (name, value)];
    let line = |made: &Bytes| String::from_utf8_lossy(made).lines().nth(1).unwrap().to_owned();
    let public = [
        ("dapr-key-name", "rsa-public"),
        ("dapr-key-wrap-algorithm", "RSA"),
        ("dapr-decryption-key-name", "rsa"),
    ];
    let (_, made) = send(&surface, ENCRYPT, &public, "x").await;
    assert!(line(&made).starts_with(r#"{"k":"rsa","kw":5"#), "{}", line(&made));
    assert_eq!(send(&surface, DECRYPT, &[], made).await, (200, "x".into()));
    let (_, made) = send(&surface, ENCRYPT, &with("dapr-omit-decryption-key-name", "true"), "x").await;
    assert!(line(&made).starts_with(r#"{"kw":1"#), "{}", line(&made));
    check(&surface, DECRYPT, &[], &made, (500, "ERR_CRYPTO", "no key name was provided")).await;
    assert_eq!(send(&surface, DECRYPT, &[AES[0]], made).await, (200, "x".into()));
}

#[tokio::test]
async fn what_cannot_be_done_has_the_protocols_status() {
    let house = surface(true).await;
    check(&house, ENCRYPT, &AES[1..], b"x", (400, "ERR_BAD_REQUEST", "'dapr-key-name'")).await;
    check(&house, ENCRYPT, &AES[..1], b"x", (400, "ERR_BAD_REQUEST", "'dapr-key-wrap-algorithm'")).await;
    let other = "/v1.0-alpha1/crypto/other/encrypt";
    check(&house, other, &AES, b"x", (400, "ERR_CRYPTO_PROVIDER_NOT_FOUND", "other")).await;
    let bare = surface(false).await;
    check(&bare, ENCRYPT, &AES, b"x", (500, "ERR_CRYPTO_PROVIDERS_NOT_CONFIGURED", "")).await;
    let with = |key: &'static str, wrapping: &'static str| {
        [("dapr-key-name", key), ("dapr-key-wrap-algorithm", wrapping)]
    };
    check(&house, ENCRYPT, &with("nobody", "AES"), b"x", (500, "ERR_CRYPTO", "wrap the file key")).await;
    check(&house, ENCRYPT, &with("rsa", "AES"), b"x", (500, "ERR_CRYPTO", "A256KW")).await;
    check(&house, ENCRYPT, &with("aes", "A128CBC"), b"x", (500, "ERR_CRYPTO", "A128CBC")).await;
    let (_, made) = send(&house, ENCRYPT, &AES, "x").await;
    let wrong = [("dapr-key-name", "aes-other")];
    check(&house, DECRYPT, &wrong, &made, (500, "ERR_CRYPTO", "failed to validate the document's signature"))
        .await;
    check(&house, DECRYPT, &[], &made[..made.len() - 1], (500, "ERR_CRYPTO", "segment 0")).await;
    check(&house, DECRYPT, &[], b"hello", (500, "ERR_CRYPTO", "scheme name not found")).await;
    let large = vec![0; MOST + 1];
    check(&house, ENCRYPT, &AES, &large, (413, "ERR_BODY_TOO_LARGE", "")).await;
    for operation in ["getkey", "encrypt", "decrypt", "wrapkey", "unwrapkey", "sign", "verify"] {
        let (status, body) = {
            let path = format!("/v1.0-alpha1/subtlecrypto/keys/{operation}");
            let request = Request::post(path).body(Full::new(Bytes::from_static(b"{}"))).unwrap();
            let answer = house.router().oneshot(request).await.unwrap();
            (answer.status(), answer.into_body().collect().await.unwrap().to_bytes())
        };
        assert_eq!(status, 501);
        assert!(String::from_utf8_lossy(&body).contains("ERR_API_UNIMPLEMENTED"));
    }
}

#[tokio::test]
async fn a_body_in_chunks_may_be_larger_than_bodies_are_and_is_cut_where_it_is_at_fault() {
    let surface = surface(true).await;
    let data = vec![7; 3 * MOST];
    let (status, made) = streamed(&surface, ENCRYPT, &AES, &data).await;
    let made = made.unwrap();
    assert_eq!(status, 200);
    assert!(streamed(&surface, DECRYPT, &[], &made).await == (200, Ok(data.into())));
    let mut changed = made.to_vec();
    let last = changed.len() - 1;
    changed[last] ^= 1;
    let (status, body) = streamed(&surface, DECRYPT, &[], &changed).await;
    assert!(status == 200 && body.is_err(), "the answer does not end as a whole one does");
    changed[20] ^= 1;
    assert_eq!(
        streamed(&surface, DECRYPT, &[], &changed).await.0,
        500,
        "a head is judged before there is an answer"
    );
}
