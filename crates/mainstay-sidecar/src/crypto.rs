//! Encryption and decryption of bodies. A body of a known length is answered when all of it is done, so that a failure
//! has a status; one that comes in chunks is answered as it comes, and a failure cuts the answer.

use bytes::{Bytes, BytesMut};
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::Method;
use http::header::{CONTENT_TYPE, HeaderValue};
use mainstay_blocks::crypto::{self, Encryption, Pieces};
use mainstay_core::{Error, codes};
use mainstay_dapr::Fault;
use mainstay_dapr::crypto as names;

use crate::answer::{Answer, Body};
use crate::call::{Call, Result};
use crate::routes::{Incoming, Route, Streamed, WRITE};

const VERSIONS: &[&str] = &["v1.0-alpha1"];
const BYTES: HeaderValue = HeaderValue::from_static("application/octet-stream");

pub(crate) const STREAMED: &[Streamed] = &[
    Streamed {
        methods: &[Method::PUT],
        path: "crypto/{name}/encrypt",
        versions: VERSIONS,
        handler: |call, body| Box::pin(encrypt(call, body)),
    },
    Streamed {
        methods: &[Method::PUT],
        path: "crypto/{name}/decrypt",
        versions: VERSIONS,
        handler: |call, body| Box::pin(decrypt(call, body)),
    },
];

pub(crate) const ROUTES: &[Route] = &[Route {
    methods: WRITE,
    path: "subtlecrypto/{name}/{operation}",
    versions: VERSIONS,
    open: false,
    handler: |_| Box::pin(async { Err(names::unimplemented()) }),
}];

async fn encrypt(call: Call, body: Incoming) -> Result {
    found(&call)?;
    let key = needed(&call, "dapr-key-name")?.to_owned();
    let wrapping = names::wrapping(needed(&call, "dapr-key-wrap-algorithm")?)?;
    let cipher = names::cipher(given(&call, "dapr-data-encryption-cipher"))?;
    let named = match given(&call, "dapr-decryption-key-name") {
        _ if is_true(given(&call, "dapr-omit-decryption-key-name")) => None,
        "" => Some(key.clone()),
        other => Some(other.to_owned()),
    };
    let asked = Encryption { key, wrapping, cipher, named };
    let is_whole = body.is_whole;
    let made = crypto::encrypt(call.blocks(), &call.ctx, call.param("name"), &asked, data(body)).await;
    answer(&call, made.map_err(|error| fault(&call, &error))?, is_whole).await
}

async fn decrypt(call: Call, body: Incoming) -> Result {
    found(&call)?;
    let key = Some(given(&call, "dapr-key-name")).filter(|name| !name.is_empty());
    let is_whole = body.is_whole;
    let made = crypto::decrypt(call.blocks(), &call.ctx, call.param("name"), key, data(body)).await;
    answer(&call, made.map_err(|error| fault(&call, &error))?, is_whole).await
}

/// Whether the vault is there comes before everything else that can be wrong.
fn found(call: &Call) -> Result<()> {
    let name = call.param("name");
    if call.blocks().table().vaults.contains_key(name) {
        return Ok(());
    }
    Err(fault(call, &Error::new(&codes::COMPONENT_NOT_FOUND, name)))
}

async fn answer(call: &Call, mut made: Pieces, is_whole: bool) -> Result {
    let body = if is_whole {
        let mut whole = BytesMut::new();
        while let Some(piece) = made.next().await {
            whole.extend_from_slice(&piece.map_err(|error| fault(call, &error))?);
        }
        Body::Whole(whole.freeze())
    } else {
        let made = made
            .inspect_err(|error| tracing::warn!(error = ?error, "an answer is cut: its data is at fault"));
        Body::streamed(made.map_err(|error| std::io::Error::other(error.to_string())).boxed())
    };
    let mut answer = Answer::new(body);
    answer.headers_mut().insert(CONTENT_TYPE, BYTES);
    Ok(answer)
}

fn data(body: Incoming) -> Pieces {
    let cut = |_| Error::new(&codes::INVALID_FIELD, "the body ended before its length");
    body.pieces.map(move |piece: std::io::Result<Bytes>| piece.map_err(cut)).boxed()
}

fn given<'a>(call: &'a Call, header: &str) -> &'a str {
    call.header(header).unwrap_or_default()
}

fn needed<'a>(call: &'a Call, header: &str) -> Result<&'a str> {
    let missing = || names::bad_request(&format!("missing header '{header}'"));
    Some(given(call, header)).filter(|text| !text.is_empty()).ok_or_else(missing)
}

fn is_true(text: &str) -> bool {
    matches!(text.trim().to_ascii_lowercase().as_str(), "y" | "yes" | "true" | "t" | "on" | "1")
}

fn fault(call: &Call, error: &Error) -> Fault {
    let any = !call.blocks().table().vaults.is_empty();
    names::fault(call.param("name"), any, error)
}
