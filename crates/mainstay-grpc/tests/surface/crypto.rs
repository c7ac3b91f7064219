//! Encryption and decryption by streams.

use futures_util::stream;
use mainstay_proto::common::v1::StreamPayload;
use mainstay_proto::runtime::v1::*;
use tonic::{Code, Status};

use crate::house::{House, MESSAGE_BYTES_MAX, With};

fn options() -> EncryptRequestOptions {
    EncryptRequestOptions {
        component_name: "keys".to_owned(),
        key_name: "aes".to_owned(),
        key_wrap_algorithm: "A256KW".to_owned(),
        ..Default::default()
    }
}

fn payloads(data: &[u8], size: usize) -> Vec<StreamPayload> {
    let pieces = data.chunks(size).enumerate();
    pieces.map(|(at, piece)| StreamPayload { data: piece.to_vec().into(), seq: at as u64 }).collect()
}

async fn encrypt(
    house: &House,
    options: Option<EncryptRequestOptions>,
    payloads: Vec<StreamPayload>,
) -> Result<Vec<u8>, Status> {
    let first = EncryptRequest { options, payload: None };
    let rest = payloads.into_iter().map(|payload| EncryptRequest { options: None, payload: Some(payload) });
    let messages: Vec<_> = std::iter::once(first).chain(rest).collect();
    let mut answers = house.client().await.encrypt_alpha1(stream::iter(messages)).await?.into_inner();
    let (mut made, mut count) = (Vec::new(), 0);
    while let Some(answer) = answers.message().await? {
        let payload = answer.payload.unwrap();
        assert_eq!(payload.seq, count, "pieces are counted");
        count += 1;
        made.extend_from_slice(&payload.data);
    }
    Ok(made)
}

async fn decrypt(house: &House, key: &str, data: &[u8]) -> Result<Vec<u8>, Status> {
    let options = DecryptRequestOptions { component_name: "keys".to_owned(), key_name: key.to_owned() };
    // Clients send options and the first piece together, or one after the other.
    let mut payloads = payloads(data, 5_000).into_iter();
    let first = DecryptRequest { options: Some(options), payload: payloads.next() };
    let rest = payloads.map(|payload| DecryptRequest { options: None, payload: Some(payload) });
    let messages: Vec<_> = std::iter::once(first).chain(rest).collect();
    let mut answers = house.client().await.decrypt_alpha1(stream::iter(messages)).await?.into_inner();
    let mut made = Vec::new();
    while let Some(answer) = answers.message().await? {
        made.extend_from_slice(&answer.payload.unwrap().data);
    }
    Ok(made)
}

async fn check(house: &House, options: Option<EncryptRequestOptions>, expect: (Code, &str)) {
    let status = encrypt(house, options, payloads(b"x", 1)).await.unwrap_err();
    assert_eq!(status.code(), expect.0, "{status}");
    assert!(status.message().contains(expect.1), "{status}");
}

#[tokio::test]
async fn data_larger_than_a_message_comes_back() {
    let house = House::new().await;
    for length in [0, 1, 3 * MESSAGE_BYTES_MAX, 200_000] {
        let data: Vec<u8> = (0..length).map(|at| at.to_le_bytes()[0]).collect();
        for (key, wrapping, cipher) in [("aes", "AES", ""), ("rsa", "RSA", "CHACHA20-POLY1305")] {
            let options = EncryptRequestOptions {
                key_name: key.to_owned(),
                key_wrap_algorithm: wrapping.to_owned(),
                data_encryption_cipher: cipher.to_owned(),
                ..options()
            };
            let made = encrypt(&house, Some(options), payloads(&data, 7_000)).await.unwrap();
            assert!(made.starts_with(b"dapr.io/enc/v1\n"));
            assert!(decrypt(&house, "", &made).await.unwrap() == data, "{length} {key}");
        }
    }
}

#[tokio::test]
async fn what_the_options_lack_is_told() {
    let house = House::new().await;
    let invalid = Code::InvalidArgument;
    check(&house, None, (invalid, "first message does not contain the required options")).await;
    let with = |change: fn(&mut EncryptRequestOptions)| {
        let mut options = options();
        change(&mut options);
        Some(options)
    };
    check(&house, with(|options| options.key_name.clear()), (invalid, "'keyName'")).await;
    check(&house, with(|options| options.key_wrap_algorithm.clear()), (invalid, "'keyWrapAlgorithm'")).await;
    check(&house, with(|options| options.component_name.clear()), (invalid, "missing component name")).await;
    check(&house, with(|options| options.component_name = "x".to_owned()), (invalid, "x not found")).await;
    let other = with(|options| options.key_wrap_algorithm = "X".to_owned());
    check(&house, other, (Code::Internal, "algorithm X is not supported")).await;
    check(&house, with(|options| options.key_name = "nobody".to_owned()), (Code::Internal, "nobody")).await;
    let bare = House::with(With { bare: true, ..With::default() }).await;
    check(&bare, Some(options()), (Code::Internal, "crypto providers not configured")).await;
}

#[tokio::test]
async fn changed_data_and_pieces_out_of_order_are_failures() {
    let house = House::new().await;
    let made = encrypt(&house, Some(options()), payloads(&[7; 100_000], 9_000)).await.unwrap();
    let mut changed = made.clone();
    *changed.last_mut().unwrap() ^= 1;
    let status = decrypt(&house, "", &changed).await.unwrap_err();
    assert_eq!(status.code(), Code::Internal);
    assert!(status.message().contains("error processing segment 1"), "{status}");
    let status = decrypt(&house, "aes-other", &made).await.unwrap_err();
    assert!(status.message().contains("failed to validate the document's signature"), "{status}");
    let mut wrong = payloads(b"abcdef", 2);
    wrong.swap(1, 2);
    let status = encrypt(&house, Some(options()), wrong).await.unwrap_err();
    assert!(status.message().contains("invalid sequence number received: 2 (expected: 1)"), "{status}");
}

#[tokio::test]
async fn a_head_is_silent_on_the_key_or_names_another() {
    let house = House::new().await;
    let silent = EncryptRequestOptions { omit_decryption_key_name: true, ..options() };
    let made = encrypt(&house, Some(silent), payloads(b"x", 1)).await.unwrap();
    assert_eq!(decrypt(&house, "", &made).await.unwrap_err().code(), Code::Internal);
    assert_eq!(decrypt(&house, "aes", &made).await.unwrap(), b"x");
    let public = EncryptRequestOptions {
        key_name: "rsa-public".to_owned(),
        key_wrap_algorithm: "RSA-OAEP-256".to_owned(),
        decryption_key_name: "rsa".to_owned(),
        ..options()
    };
    let made = encrypt(&house, Some(public), payloads(b"x", 1)).await.unwrap();
    assert_eq!(decrypt(&house, "", &made).await.unwrap(), b"x");
}

#[tokio::test]
async fn operations_of_single_keys_are_not_there() {
    let house = House::new().await;
    let status =
        house.client().await.subtle_get_key_alpha1(SubtleGetKeyRequest::default()).await.unwrap_err();
    assert_eq!(status.code(), Code::Unimplemented);
}
