//! A caller's request on its way to an app, and the answer on its way back: both bodies go through as they come.
//!
//! It adds nothing to the headers and believes nothing of them: who may call, and what is said of callers, was settled
//! before.

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::{HeaderMap, HeaderName, HeaderValue, Method};
use http_body_util::BodyExt as _;
use mainstay_core::forward::{Answer, Headers, Request};
use mainstay_core::{Ctx, Error, Result, codes};
use mainstay_dapr::invoke as wire;
use mainstay_net::client::{AnswerBody, Body, Client, SendError};
use mainstay_net::hops::strip_hop_by_hop;

use crate::channel::{self, within};

/// Beginnings of headers that runtimes write for apps, and for each other: nobody outside says such things.
const OF_RUNTIMES: [&str; 2] = ["dapr-", wire::BETWEEN_RUNTIMES];

/// Passes a request on to the app at `base`, which messages call `title`. Errors: as of
/// [`mainstay_core::forward::Forward::forward`].
pub(crate) async fn forward(
    (client, base): (&Client, &str),
    ctx: &Ctx,
    request: Request,
    title: &str,
) -> Result<Answer> {
    let Request { method, target, headers, body, length } = request;
    let mut outgoing = http::Request::new(Body::stream(body, length));
    *outgoing.method_mut() = Method::from_bytes(method.as_bytes()).map_err(|_| unfit("method"))?;
    *outgoing.uri_mut() = channel::join(base, &target)?;
    *outgoing.headers_mut() = read(headers);
    let late = || Error::new(&codes::DEADLINE_EXCEEDED, format!("{title} did not answer in time"));
    let sent = within(ctx.deadline(), client.send(outgoing)).await.map_err(|_| late())?;
    let (mut head, body) = sent.map_err(|error| unanswered(title, &error))?.into_parts();
    strip_hop_by_hop(&mut head.headers);
    let length = http_body::Body::size_hint(&body).exact();
    Ok(Answer { status: head.status.as_u16(), headers: written(&head.headers), body: pieces(body), length })
}

/// The headers that an app sees.
fn read(headers: Headers) -> HeaderMap {
    let mut map = HeaderMap::with_capacity(headers.len());
    for (name, value) in headers {
        if OF_RUNTIMES.iter().any(|start| name.starts_with(start)) {
            continue;
        }
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_maybe_shared(value)) {
            map.append(name, value);
        }
    }
    map
}

fn written(headers: &HeaderMap) -> Headers {
    let one = |(name, value): (&HeaderName, &HeaderValue)| {
        (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes()))
    };
    headers.iter().map(one).collect()
}

fn pieces(body: AnswerBody) -> mainstay_core::middleware::Pieces {
    body.into_data_stream().boxed()
}

fn unfit(what: &str) -> Error {
    Error::bug(format!("the request to pass on has no sound {what}"))
}

fn unanswered(title: &str, error: &SendError) -> Error {
    match error {
        SendError::Connect(_) | SendError::Refused(_) => {
            Error::new(&codes::APP_UNAVAILABLE, format!("{title} cannot be reached at its `url`"))
        }
        SendError::Transport(_) => {
            Error::new(&codes::APP_FAILED, format!("{title} gave no sound answer: the connection broke"))
        }
    }
    .with_internal(error.chain())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_outside_says_what_runtimes_say() {
        let given =
            [("dapr-api-token", "a"), ("dapr-caller-app-id", "b"), ("mainstay-call-status", "c"), ("x", "d")];
        let given = given.map(|(name, value)| (name.to_owned(), Bytes::from_static(value.as_bytes())));
        let seen = read(given.to_vec());
        assert_eq!(seen.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["x"]);
    }
}
