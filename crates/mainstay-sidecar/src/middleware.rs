//! Requests on their way through a pipeline: what the handlers see of them, and what becomes of it.

use std::net::IpAddr;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _};
use http::header::{CONTENT_LENGTH, HeaderName, HeaderValue};
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, Method, StatusCode};
use http_body::Frame;
use http_body_util::{BodyExt as _, StreamBody};
use mainstay_blocks::middleware::Pipeline;
use mainstay_core::middleware::{Pieces, Request};
use mainstay_core::{BoxStream, Ctx, Error};
use mainstay_dapr::{Fault, Grpc};
use mainstay_net::server::Peer;

use crate::answer::{Answer, Body};
use crate::call::Result;

/// A body that comes out of a pipeline.
pub(crate) type Through = StreamBody<BoxStream<std::io::Result<Frame<Bytes>>>>;

/// Takes a request to us through. Gives the answer where a handler has one. Errors: a handler that failed.
pub(crate) async fn inbound(pipeline: &Pipeline, ctx: &Ctx, parts: &mut Parts) -> Result<Option<Answer>> {
    let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
    let (path, query) = (parts.uri.path().to_owned(), parts.uri.query().map(str::to_owned));
    let mut way = Way { method: &parts.method, path: path.clone(), query: query.clone(), peer };
    if let Some(answer) = way.pass(pipeline, ctx, &mut parts.headers).await? {
        return Ok(Some(answer));
    }
    if (&way.path, &way.query) != (&path, &query) {
        let target = match way.query {
            Some(query) => format!("{}?{query}", way.path),
            None => way.path,
        };
        let target =
            PathAndQuery::try_from(target).map_err(|_| failed(&Error::bug("a path that is none")))?;
        let mut uri = std::mem::take(&mut parts.uri).into_parts();
        uri.path_and_query = Some(target);
        parts.uri = uri.try_into().map_err(|_| failed(&Error::bug("a URL that is none")))?;
    }
    if pipeline.changes_bodies() {
        parts.headers.remove(CONTENT_LENGTH);
    }
    Ok(None)
}

/// A body through a pipeline that changes bodies.
pub(crate) fn body<B>(pipeline: &Pipeline, body: B) -> Through
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    StreamBody::new(pipeline.body(pieces(body)).map_ok(Frame::data).boxed())
}

/// A body as the pieces of its data.
pub(crate) fn pieces<B>(body: B) -> Pieces
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    Box::pin(body.into_data_stream().map(|piece| piece.map_err(std::io::Error::other)))
}

/// A request on its way, but for its headers and body.
pub(crate) struct Way<'a> {
    pub(crate) method: &'a Method,
    pub(crate) path: String,
    pub(crate) query: Option<String>,
    pub(crate) peer: Option<IpAddr>,
}

impl Way<'_> {
    /// Takes it through. Errors: as [`inbound`].
    pub(crate) async fn pass(
        &mut self,
        pipeline: &Pipeline,
        ctx: &Ctx,
        headers: &mut HeaderMap,
    ) -> Result<Option<Answer>> {
        let seen = headers
            .iter()
            .map(|(name, value)| (name.as_str().to_owned(), Bytes::copy_from_slice(value.as_bytes())));
        let mut request =
            Request::new(self.method.as_str(), &self.path, self.query.as_deref(), seen.collect());
        request.peer = self.peer;
        let answered = pipeline.request(ctx, &mut request).await.map_err(|error| failed(&error))?;
        if let Some(answer) = answered {
            return answer_of(answer).map(Some);
        }
        for (name, value) in request.set_headers() {
            let (Ok(name), Ok(mut value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) else {
                return Err(failed(&Error::bug("a handler set a header that is none")));
            };
            value.set_sensitive(true);
            headers.insert(name, value);
        }
        (self.path, self.query) = (request.path, request.query);
        Ok(None)
    }
}

fn answer_of(answer: mainstay_core::middleware::Answer) -> Result<Answer> {
    let mut made = Answer::new(Body::Whole(answer.body));
    *made.status_mut() = StatusCode::from_u16(answer.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    for (name, value) in &answer.headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            made.headers_mut().append(name, value);
        }
    }
    Ok(made)
}

/// A handler that cannot do its work lets nobody pass.
fn failed(error: &Error) -> Fault {
    tracing::warn!(error = ?error, "a handler of a pipeline failed");
    Fault::new(500, Grpc::Internal, "ERR_MIDDLEWARE", format!("a handler failed: {}", error.message()))
}
