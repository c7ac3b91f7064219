//! Service invocation: a call to an app, an external service of a file, or any URL, passed on as it comes and answered as it
//! comes, in both directions. Chunked calls are not kept, so they are tried once; others again as policies ask for it.

mod guarded;
mod headers;
mod target;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, Method, Request, Uri};
use http_body_util::BodyExt as _;
use mainstay_core::Redacted;
use mainstay_dapr::{Fault, Grpc};
use mainstay_net::client::{AnswerBody, Body as Outgoing, Client, SendError};

use crate::answer::{Answer, Body};
use crate::call::Result;
use crate::surface::Shared;
pub use target::Target;
pub(crate) use target::{Asked, asked};

/// What calls can be passed on to.
#[derive(Debug, Default)]
pub struct Targets {
    /// The app beside us.
    pub app: Option<Target>,
    /// What the app wants to see in `dapr-api-token`.
    pub app_token: Option<Redacted<String>>,
    /// External services of files, by name.
    pub endpoints: std::collections::BTreeMap<String, Target>,
}

/// Passes a call on.
pub(crate) async fn invoke<B>(shared: &Shared, parts: Parts, body: B, asked: Asked) -> Result
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let id = asked.id.clone();
    let target = target::find(&shared.targets, &shared.blocks.app().id, &id)?;
    let url = target.url(&asked, parts.uri.query()).map_err(|why| failed(&id, &why))?;
    let mut heads = headers::forwarded(&parts, &shared.blocks.app().id, &id);
    heads.extend(target.headers.clone());
    if target.is_app
        && let Some(token) = &shared.targets.app_token
        && let Ok(mut value) = http::HeaderValue::from_str(token.expose())
    {
        value.set_sensitive(true);
        heads.insert("dapr-api-token", value);
    }
    let guard = shared.blocks.app_guard(&id, &asked.path);
    let sent = match body.size_hint().exact() {
        Some(length) if length <= shared.body_bytes_max as u64 => {
            let body =
                body.collect().await.map_err(|_| Fault::malformed("the body ended before its length"))?;
            let body = body.to_bytes();
            let send =
                async || once(&shared.client, &parts.method, &url, heads.clone(), body.clone().into()).await;
            guarded::again(&guard, send).await
        }
        Some(_) => {
            let message =
                format!("the body is larger than {} bytes; raise `max-body-size`", shared.body_bytes_max);
            return Err(Fault::new(413, Grpc::ResourceExhausted, "ERR_BODY_TOO_LARGE", message));
        }
        None => guarded::once(&guard, once(&shared.client, &parts.method, &url, heads, streamed(body))).await,
    };
    let answer = sent.map_err(|error| {
        tracing::warn!(target = %id, error = %error.chain(), "a call could not be passed on");
        failed(&id, &error.to_string())
    })?;
    Ok(passed_back(answer))
}

fn failed(id: &str, why: &str) -> Fault {
    Fault::new(500, Grpc::Internal, "ERR_DIRECT_INVOKE", format!("failed to invoke, id: {id}, err: {why}"))
}

async fn once(
    client: &Client,
    method: &Method,
    url: &Uri,
    headers: HeaderMap,
    body: Outgoing,
) -> std::result::Result<http::Response<AnswerBody>, SendError> {
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) =
        (method.clone(), url.clone(), headers);
    client.send(request).await
}

fn streamed<B>(body: B) -> Outgoing
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let pieces = body.into_data_stream().map(|piece| piece.map_err(std::io::Error::other));
    Outgoing::stream(Box::pin(pieces), None)
}

fn passed_back(answer: http::Response<AnswerBody>) -> Answer {
    let (mut parts, body) = answer.into_parts();
    headers::strip_hop_by_hop(&mut parts.headers);
    let mut answer = Answer::new(Body::Passed(body));
    (*answer.status_mut(), *answer.headers_mut()) = (parts.status, parts.headers);
    answer
}
