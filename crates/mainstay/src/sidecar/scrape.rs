//! The metrics of a sidecar, for whoever scrapes them.

use std::convert::Infallible;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body_util::Full;
use mainstay_core::meter::Meter;

/// The service; cheap to clone.
#[derive(Clone)]
pub(super) struct Scrape(pub(super) Arc<dyn Meter>);

impl<B> tower_service::Service<Request<B>> for Scrape {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let mut answer = Response::new(Full::default());
        // Scrapers are pointed at either.
        if request.method() == Method::GET && matches!(request.uri().path(), "/metrics" | "/") {
            let (kind, text) = self.0.scrape();
            answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
            *answer.body_mut() = Full::new(text.into());
        } else {
            *answer.status_mut() = StatusCode::NOT_FOUND;
        }
        std::future::ready(Ok(answer))
    }
}
