//! Small calls to other servers: one request, and an answer of a bounded length within a time.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use mainstay_core::Ctx;
use mainstay_net::client::{Body, Client};

/// The body of a `GET` that is answered with 200. Errors: why there is none, for the log.
pub(crate) async fn get(
    client: &Client,
    ctx: &Ctx,
    url: &str,
    timeout: Duration,
    bytes_max: usize,
) -> Result<Bytes, String> {
    let request = Request::get(url).header("accept", "application/json").body(Body::default());
    let request = request.map_err(|_| format!("`{url}` is no URL"))?;
    match call(client, ctx, request, timeout, bytes_max).await? {
        (StatusCode::OK, body) => Ok(body),
        (status, _) => Err(format!("`{url}` answers with {status}")),
    }
}

/// The answer to a request, within the context's time and the one given. Errors: why there is none, for the log.
pub(crate) async fn call(
    client: &Client,
    ctx: &Ctx,
    request: Request<Body>,
    timeout: Duration,
    bytes_max: usize,
) -> Result<(StatusCode, Bytes), String> {
    let time = ctx.remaining(Instant::now()).map_or(timeout, |left| left.min(timeout));
    let url = request.uri().clone();
    let answered = tokio::time::timeout(time, async {
        let answer = client.send(request).await.map_err(|error| format!("`{url}`: {}", error.chain()))?;
        let status = answer.status();
        let body = Limited::new(answer.into_body(), bytes_max).collect().await;
        let body = body.map_err(|error| format!("`{url}`: its answer cannot be read: {error}"))?;
        Ok((status, body.to_bytes()))
    });
    answered.await.unwrap_or_else(|_| Err(format!("`{url}` did not answer within {} s", time.as_secs_f32())))
}
