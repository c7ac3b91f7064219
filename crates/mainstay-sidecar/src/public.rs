//! Health and metadata for probes and dashboards elsewhere: a listener of its own, without a token, where nothing else
//! answers and nothing can be changed.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Method, Request};
use mainstay_dapr::{Fault, Grpc};

use crate::answer::{self, Body};
use crate::call::{Call, context};
use crate::routes::{GET, Route, STABLE};
use crate::surface::Shared;
use crate::{health, metadata};

/// The service for that listener; cheap to clone.
#[derive(Clone)]
pub struct Public(Arc<Shared>);

impl std::fmt::Debug for Public {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Public")
    }
}

impl Public {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

/// What answers a path here.
fn route(method: &Method, path: &str) -> Option<&'static Route> {
    let name = path.trim_end_matches('/').strip_prefix("/v1.0/")?;
    let is_asked = |route: &&Route| {
        route.path == name && route.versions == STABLE && route.methods == GET && *method == Method::GET
    };
    health::ROUTES.iter().chain(metadata::ROUTES).find(is_asked)
}

impl<B> tower_service::Service<Request<B>> for Public
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
{
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let shared = Arc::clone(&self.0);
        let (parts, _) = request.into_parts();
        Box::pin(async move {
            let Some(route) = route(&parts.method, parts.uri.path()) else {
                let message = format!("no method answers {} {}", parts.method, parts.uri.path());
                return Ok(answer::fault(&Fault::new(404, Grpc::NotFound, "ERR_METHOD_NOT_FOUND", message)));
            };
            let ctx = context(&parts);
            let call = Call { shared, ctx, parts, body: Bytes::new(), params: Vec::new() };
            Ok((route.handler)(call).await.unwrap_or_else(|fault| answer::fault(&fault)))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_health_and_metadata_can_be_read() {
        let is_there = |method: Method, path: &str| route(&method, path).is_some();
        for path in ["/v1.0/healthz", "/v1.0/healthz/outbound", "/v1.0/metadata", "/v1.0/metadata/"] {
            assert!(is_there(Method::GET, path), "{path}");
        }
        for path in ["/v1.0/state/orders/k", "/v1.0/metadata/k", "/ready", "/v1.0/shutdown", "/"] {
            assert!(!is_there(Method::GET, path), "{path}");
        }
        assert!(!is_there(Method::PUT, "/v1.0/metadata/{key}") && !is_there(Method::POST, "/v1.0/shutdown"));
    }
}
