//! From a path to its handler.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::request::Parts;
use http::{Method, Request, StatusCode};
use http_body_util::{BodyExt as _, Limited};
use mainstay_core::{Ctx, Principal, RequestId};
use mainstay_dapr::{Fault, Grpc, Token};

use crate::answer::{self, Answer, Body};
use crate::call::Call;
use crate::routes::{self, Route};
use crate::surface::Shared;
use crate::{health, invoke};

/// The service for a listener; cheap to clone.
#[derive(Clone)]
pub struct Router(Arc<Table>);

struct Table {
    shared: Arc<Shared>,
    paths: matchit::Router<Vec<&'static Route>>,
}

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Router")
    }
}

impl Router {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let mut by_path: Vec<(String, Vec<&'static Route>)> = Vec::new();
        for route in routes::ALL.iter().copied().flatten() {
            // An API that may not be used has no routes; those of health are nobody's API.
            let may = |version: &&&str| route.open || shared.apis.allows_path(version, route.path);
            for version in route.versions.iter().filter(may) {
                let path = format!("/{version}/{}", route.path);
                match by_path.iter_mut().find(|(known, _)| *known == path) {
                    Some((_, routes)) => routes.push(route),
                    None => by_path.push((path, vec![route])),
                }
            }
        }
        let mut paths = matchit::Router::new();
        for (path, routes) in by_path {
            paths.insert(path, routes).expect("the paths of the table are well-formed and differ");
        }
        Self(Arc::new(Table { shared: Arc::clone(shared), paths }))
    }
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
        let table = Arc::clone(&self.0);
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let origins = table.shared.origins.clone();
            if let Some(answer) = origins.as_ref().and_then(|origins| origins.preflight(&parts)) {
                return Ok(answer);
            }
            let allowed = origins.as_ref().and_then(|origins| origins.allowed(&parts.headers));
            let answered = table.answer(parts, body).await;
            let mut answer = answered.unwrap_or_else(|fault| {
                // Whoever waits for the start asks often.
                if fault.http >= 500 && fault.code != health::NOT_READY {
                    tracing::warn!(code = fault.code, message = %fault.message, "a call failed");
                }
                answer::fault(&fault)
            });
            if let Some(origins) = &origins {
                origins.add(&mut answer, allowed);
            }
            Ok(answer)
        })
    }
}

impl Table {
    async fn answer<B>(&self, parts: Parts, body: B) -> Result<Answer, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let path = cleaned(parts.uri.path());
        let found = self.paths.at(&path).ok();
        let route = found.as_ref().and_then(|found| of_method(found.value, &parts.method));
        let token = parts.headers.get(Token::HEADER).map(http::HeaderValue::as_bytes);
        if !route.is_some_and(|route| route.open) && self.shared.api_token.admit(token).is_err() {
            return Ok(answer::text(StatusCode::UNAUTHORIZED, "invalid api token"));
        }
        if route.is_none()
            && self.shared.apis.allows_path("v1.0", "invoke")
            && let Some(asked) = invoke::asked(&parts)
        {
            return invoke::invoke(&self.shared, parts, body, asked).await;
        }
        let (Some(found), Some(route)) = (&found, route) else {
            let status = if found.is_some() { 405 } else { 404 };
            let message = format!("no method answers {} {path}", parts.method);
            return Err(Fault::new(status, Grpc::NotFound, "ERR_METHOD_NOT_FOUND", message));
        };
        let params = found.params.iter().map(|(name, value)| (name.to_owned(), decoded(value))).collect();
        let body = self.read(body).await?;
        let mut ctx = Ctx::new(RequestId::generate(), Principal::Anonymous);
        if let Some(trace) = parts.headers.get("traceparent").and_then(|value| value.to_str().ok()) {
            ctx = ctx.with_traceparent(trace);
        }
        (route.handler)(Call { shared: Arc::clone(&self.shared), ctx, parts, body, params }).await
    }

    async fn read<B>(&self, body: B) -> Result<Bytes, Fault>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        let most = self.shared.body_bytes_max;
        match Limited::new(body, most).collect().await {
            Ok(read) => Ok(read.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let message = format!("the body is larger than {most} bytes; raise `max-body-size`");
                Err(Fault::new(413, Grpc::ResourceExhausted, "ERR_BODY_TOO_LARGE", message))
            }
            Err(_) => Err(Fault::malformed("the body ended before its length")),
        }
    }
}

fn of_method(routes: &[&'static Route], method: &Method) -> Option<&'static Route> {
    routes.iter().copied().find(|route| route.methods.contains(method))
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
