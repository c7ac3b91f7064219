//! Encryption and decryption by streams: options in the app's first message, data in pieces both ways.

use std::time::Duration;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use mainstay_blocks::crypto::{self, Encryption, Pieces};
use mainstay_core::{BoxStream, Error, codes};
use mainstay_dapr::crypto as names;
use mainstay_proto::common::v1::StreamPayload;
use mainstay_proto::runtime::v1 as wire;
use prost::Message;
use tonic::codegen::BoxStream as Answers;
use tonic::{Status, Streaming};

use crate::call::{self, Call, Result};
use crate::status;

/// How long the first message may take.
const FIRST_TIMEOUT: Duration = Duration::from_secs(5);
/// What a message adds to the data in it.
const FRAME_BYTES_MAX: usize = 32;

pub(crate) async fn encrypt(
    call: &Call,
    mut messages: Streaming<wire::EncryptRequest>,
) -> Result<Answers<wire::EncryptResponse>> {
    let first = first(&mut messages).await?;
    let options = first.options.ok_or_else(no_options)?;
    let needed = |text: &str, name: &str| {
        let why = format!("missing property '{name}' in the options message");
        if text.is_empty() { Err(status::of(&names::bad_request(&why))) } else { Ok(()) }
    };
    needed(&options.key_name, "keyName")?;
    needed(&options.key_wrap_algorithm, "keyWrapAlgorithm")?;
    let vault = found(call, &options.component_name)?;
    let named = match options.decryption_key_name {
        _ if options.omit_decryption_key_name => None,
        name if name.is_empty() => Some(options.key_name.clone()),
        name => Some(name),
    };
    let asked = Encryption {
        key: options.key_name,
        wrapping: names::wrapping(&options.key_wrap_algorithm).map_err(|fault| status::of(&fault))?,
        cipher: names::cipher(&options.data_encryption_cipher).map_err(|fault| status::of(&fault))?,
        named,
    };
    let data = data(first.payload, messages, |message| (message.options.is_some(), message.payload));
    let made = crypto::encrypt(call.blocks(), &call.ctx, &vault, &asked, data).await;
    let made = made.map_err(|error| failed(call, &vault, &error))?;
    Ok(answers(call, &vault, made, |payload| wire::EncryptResponse { payload: Some(payload) }))
}

pub(crate) async fn decrypt(
    call: &Call,
    mut messages: Streaming<wire::DecryptRequest>,
) -> Result<Answers<wire::DecryptResponse>> {
    let first = first(&mut messages).await?;
    let options = first.options.ok_or_else(no_options)?;
    let vault = found(call, &options.component_name)?;
    let key = Some(options.key_name.as_str()).filter(|name| !name.is_empty());
    let data = data(first.payload, messages, |message| (message.options.is_some(), message.payload));
    let made = crypto::decrypt(call.blocks(), &call.ctx, &vault, key, data).await;
    let made = made.map_err(|error| failed(call, &vault, &error))?;
    Ok(answers(call, &vault, made, |payload| wire::DecryptResponse { payload: Some(payload) }))
}

async fn first<T>(messages: &mut Streaming<T>) -> Result<T> {
    let waited = tokio::time::timeout(FIRST_TIMEOUT, messages.message()).await;
    let late = |_| status::of(&names::bad_request("error waiting for first message: it did not come"));
    let ended = || status::of(&names::failed("error receiving the first message: there is none"));
    waited.map_err(late)??.ok_or_else(ended)
}

fn no_options() -> Status {
    status::of(&names::bad_request("first message does not contain the required options"))
}

/// The vault's name, once it is known to be there.
fn found(call: &Call, name: &str) -> Result<String> {
    let table = call.blocks().table();
    if name.is_empty() && !table.vaults.is_empty() {
        return Err(status::of(&names::bad_request("missing component name")));
    }
    if !table.vaults.contains_key(name) {
        return Err(failed(call, name, &Error::new(&codes::COMPONENT_NOT_FOUND, name)));
    }
    Ok(name.to_owned())
}

/// The pieces in messages, which count them. `read` takes a message apart: whether it has options, and its piece.
fn data<T: Send + 'static>(
    first: Option<StreamPayload>,
    messages: Streaming<T>,
    read: fn(T) -> (bool, Option<StreamPayload>),
) -> Pieces {
    let state = Some((first, messages, 0_u64));
    let pieces = stream::unfold(state, move |state| async move {
        let (mut waiting, mut messages, count) = state?;
        loop {
            if let Some(piece) = waiting.take() {
                if piece.seq == count {
                    return Some((Ok(piece.data), Some((None, messages, count + 1))));
                }
                let why = format!("invalid sequence number received: {} (expected: {count})", piece.seq);
                return Some((Err(broken(&why)), None));
            }
            match messages.message().await {
                Ok(None) => return None,
                Ok(Some(message)) => match read(message) {
                    (true, _) => return Some((Err(broken("options found in non-leading message")), None)),
                    (false, piece) => waiting = piece,
                },
                Err(error) => {
                    return Some((
                        Err(broken(&format!("error receiving message: {}", error.message()))),
                        None,
                    ));
                }
            }
        }
    });
    pieces.boxed()
}

fn broken(why: &str) -> Error {
    Error::new(&codes::INVALID_FIELD, why)
}

/// Messages of what was made, none larger than messages may be.
fn answers<T: Message + 'static>(
    call: &Call,
    vault: &str,
    made: Pieces,
    message: fn(StreamPayload) -> T,
) -> Answers<T> {
    let most = call.shared.message_bytes_max.saturating_sub(FRAME_BYTES_MAX).max(1);
    let (shared, vault) = (std::sync::Arc::clone(&call.shared), vault.to_owned());
    let parts = made.flat_map(move |piece| cut(piece, most));
    let answers = parts.enumerate().map(move |(at, part)| match part {
        Ok(data) => Ok(message(StreamPayload { data, seq: at as u64 })),
        Err(error) => {
            let any = !shared.blocks.table().vaults.is_empty();
            Err(call::failed(&names::fault(&vault, any, &error), &error))
        }
    });
    Box::pin(answers)
}

fn cut(piece: mainstay_core::Result<Bytes>, most: usize) -> BoxStream<mainstay_core::Result<Bytes>> {
    let parts = stream::unfold(Some(piece), move |piece| async move {
        match piece? {
            Ok(mut piece) if piece.len() > most => {
                let part = piece.split_to(most);
                Some((Ok(part), Some(Ok(piece))))
            }
            last => Some((last, None)),
        }
    });
    parts.boxed()
}

fn failed(call: &Call, vault: &str, error: &Error) -> Status {
    let any = !call.blocks().table().vaults.is_empty();
    call::failed(&names::fault(vault, any, error), error)
}
