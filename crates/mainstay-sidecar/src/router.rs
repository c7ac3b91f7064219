//! From a path to its handler.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};

use mainstay_dapr::{Apis, Fault, Grpc, Token};
use mainstay_net::server::{Door, ServeOptions, Serving, serve_at};
use tokio_util::sync::CancellationToken;

use crate::answer::{self, Answer, Body};
use crate::call::{Call, context};
use crate::noting::{Noting, Taken};
use crate::routes::{self, Incoming, OURS, Route, Streamed};
use crate::rules::InForce;
use crate::surface::Shared;
use crate::{health, invoke, middleware};

/// The service for a listener; cheap to clone.
#[derive(Clone)]
pub struct Router(Arc<Shared>);

/// What there is under a path.
pub(crate) struct Paths {
    /// The path with names for what varies, for whoever counts.
    template: Arc<str>,
    rows: Vec<Row>,
}

/// A row of the table.
#[derive(Clone, Copy)]
pub(crate) enum Row {
    Whole(&'static Route),
    Streamed(&'static Streamed),
}

impl Row {
    fn methods(self) -> &'static [Method] {
        match self {
            Self::Whole(route) => route.methods,
            Self::Streamed(route) => route.methods,
        }
    }

    fn is_open(self) -> bool {
        matches!(self, Self::Whole(Route { open: true, .. }))
    }

    fn is_ours(self) -> bool {
        matches!(self, Self::Whole(Route { versions: OURS, .. }))
    }

    /// Its paths, with their versions. An API that may not be used has no routes; those of health are nobody's API.
    fn paths(self, apis: &Apis) -> impl Iterator<Item = String> {
        let (versions, path) = match self {
            Self::Whole(route) => (route.versions, route.path),
            Self::Streamed(route) => (route.versions, route.path),
        };
        let may = move |version: &&&str| self.is_open() || apis.allows_path(version, path);
        versions.iter().filter(may).map(move |version| cleaned(&format!("/{version}/{path}")))
    }
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Router")
    }
}

impl Router {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }

    /// Serves at a door until `stop`, as [`mainstay_net::server::serve`] does.
    #[must_use]
    pub fn serve(self, door: Door, options: ServeOptions, stop: CancellationToken) -> Serving {
        serve_at(door, self, options, stop)
    }
}

/// The paths of the APIs that may be used.
pub(crate) fn paths(apis: &Apis) -> matchit::Router<Paths> {
    let mut by_path: Vec<(String, Vec<Row>)> = Vec::new();
    let whole = routes::ALL.iter().copied().flatten().map(Row::Whole);
    for row in whole.chain(routes::STREAMED.iter().copied().flatten().map(Row::Streamed)) {
        for path in row.paths(apis) {
            match by_path.iter_mut().find(|(known, _)| *known == path) {
                Some((_, rows)) => rows.push(row),
                None => by_path.push((path, vec![row])),
            }
        }
    }
    let mut paths = matchit::Router::new();
    for (path, rows) in by_path {
        let template = path.as_str().into();
        paths
            .insert(path, Paths { template, rows })
            .expect("the paths of the table are well-formed and differ");
    }
    paths
}

/// A request's way: what it is answered with, and by which rules.
struct Table {
    shared: Arc<Shared>,
    in_force: Arc<InForce>,
    taken: Taken,
}

impl<B> tower_service::Service<Request<B>> for Router
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            let table = Table { in_force: shared.in_force(), shared, taken: Taken::default() };
            let (parts, body) = request.into_parts();
            let origins = table.shared.origins.clone();
            if let Some(answer) = origins.as_ref().and_then(|origins| origins.preflight(&parts)) {
                return Ok(answer);
            }
            let allowed = origins.as_ref().and_then(|origins| origins.allowed(&parts.headers));
            let noting = Noting::begin(&table.shared, table.in_force.rules.call_log, &parts);
            let answered = table.pass(parts, body).await;
            let mut answer = answered.unwrap_or_else(|fault| {
                // Whoever waits for the start asks often.
                if fault.http >= 500 && !health::NOT_READY.contains(&fault.code) {
                    tracing::warn!(code = fault.code, message = %fault.message, "a call failed");
                }
                answer::fault(&fault)
            });
            if let Some(origins) = &origins {
                origins.add(&mut answer, allowed);
            }
            if let Some(noting) = noting {
                noting.end(&table.shared, &table.taken, &answer);
            }
            Ok(answer)
        })
    }
}

impl Table {
    /// Answers a request after it went through what the configuration lists. Those of health and those without the
    /// token go through nothing.
    async fn pass<B>(&self, mut parts: Parts, body: B) -> Result<Answer, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let pipeline = self.shared.blocks.table().inbound.clone();
        let token = parts.headers.get(Token::HEADER).map(http::HeaderValue::as_bytes);
        if pipeline.is_empty() || self.is_open(&parts) || self.shared.api_token.admit(token).is_err() {
            return self.answer(parts, body).await;
        }
        let ctx = context(&parts);
        if let Some(answer) = middleware::inbound(&pipeline, &ctx, &mut parts).await? {
            return Ok(answer);
        }
        if pipeline.changes_bodies() {
            return self.answer(parts, middleware::body(&pipeline, body)).await;
        }
        self.answer(parts, body).await
    }

    fn is_open(&self, parts: &Parts) -> bool {
        let path = cleaned(parts.uri.path());
        let found = self.in_force.paths.at(&path).ok();
        let route = found.and_then(|found| of_method(&found.value.rows, &parts.method));
        route.is_some_and(Row::is_open) && self.asked(route, parts).is_none()
    }

    /// The app that a request is for, if it is for one. What is ours does not hide what an app has under the same path.
    fn asked(&self, route: Option<Row>, parts: &Parts) -> Option<invoke::Asked> {
        let may = route.is_none_or(Row::is_ours) && self.in_force.rules.apis.allows_path("v1.0", "invoke");
        if may { invoke::asked(parts) } else { None }
    }

    async fn answer<B>(&self, parts: Parts, body: B) -> Result<Answer, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = cleaned(parts.uri.path());
        let found = self.in_force.paths.at(&path).ok();
        let route = found.as_ref().and_then(|found| of_method(&found.value.rows, &parts.method));
        let token = parts.headers.get(Token::HEADER).map(http::HeaderValue::as_bytes);
        let asked = self.asked(route, &parts);
        let is_open = asked.is_none() && route.is_some_and(Row::is_open);
        match (&asked, &found) {
            (Some(_), _) => self.taken.by_invocation(),
            (None, Some(found)) => self.taken.by(&found.value.template, is_open),
            (None, None) => {}
        }
        if !is_open && self.shared.api_token.admit(token).is_err() {
            return Ok(answer::text(StatusCode::UNAUTHORIZED, "invalid api token"));
        }
        if let Some(asked) = asked {
            let ctx = context(&parts);
            return invoke::invoke(&self.shared, &self.in_force.rules, &ctx, parts, body, asked).await;
        }
        let Some(found) = &found else {
            // What is no path of ours could only be a call of an app.
            let message = "failed getting app id either from the URL path or the header dapr-app-id";
            return Err(Fault::new(404, Grpc::NotFound, "ERR_DIRECT_INVOKE", message));
        };
        let Some(route) = route else {
            let message = format!("no method answers {} {path}", parts.method);
            return Err(Fault::new(405, Grpc::NotFound, "ERR_METHOD_NOT_FOUND", message));
        };
        let params = found.params.iter().map(|(name, value)| (name.to_owned(), decoded(value))).collect();
        let (shared, ctx) = (Arc::clone(&self.shared), context(&parts));
        match route {
            Row::Whole(route) => {
                let body = self.read(body).await?;
                (route.handler)(Call { shared, ctx, parts, body, params }).await
            }
            Row::Streamed(route) => {
                let body = self.stream(body)?;
                (route.handler)(Call { shared, ctx, parts, body: Bytes::new(), params }, body).await
            }
        }
    }

    /// The body as it comes. Errors: `ERR_BODY_TOO_LARGE` for one that is known to be.
    fn stream<B>(&self, body: B) -> Result<Incoming, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let length = body.size_hint().exact();
        if length.is_some_and(|length| length > self.shared.body_bytes_max as u64) {
            return Err(self.too_large());
        }
        Ok(Incoming { pieces: middleware::pieces(body), is_whole: length.is_some() })
    }

    async fn read<B>(&self, body: B) -> Result<Bytes, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let most = self.shared.body_bytes_max;
        match Limited::new(body, most).collect().await {
            Ok(read) => Ok(read.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => Err(self.too_large()),
            Err(_) => Err(Fault::malformed("the body ended before its length")),
        }
    }

    fn too_large(&self) -> Fault {
        let most = self.shared.body_bytes_max;
        let message = format!("the body is larger than {most} bytes; raise `max-body-size`");
        Fault::new(413, Grpc::ResourceExhausted, "ERR_BODY_TOO_LARGE", message)
    }
}

fn of_method(rows: &[Row], method: &Method) -> Option<Row> {
    rows.iter().copied().find(|row| row.methods().contains(method))
}

/// The path with single slashes and without one at its end.
fn cleaned(path: &str) -> String {
    let mut clean = String::with_capacity(path.len());
    for part in path.split('/').filter(|part| !part.is_empty()) {
        clean.push('/');
        clean.push_str(part);
    }
    clean
}

fn decoded(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slashes_too_many_do_not_matter() {
        assert_eq!(cleaned("/v1.0//state/orders/"), "/v1.0/state/orders");
        assert_eq!(cleaned("v1.0/a%2Fb"), "/v1.0/a%2Fb");
        assert_eq!(cleaned("//"), "");
    }
}
