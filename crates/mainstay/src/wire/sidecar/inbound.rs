//! What other apps on this host call: one socket for both formats, told apart by what a call says it is.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Request, Response};
use http_body_util::Either;

/// The service for the socket; cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Inbound {
    pub(super) requests: mainstay_sidecar::Inbound,
    pub(super) services: mainstay_grpc::Inbound,
}

impl<B> tower_service::Service<Request<B>> for Inbound
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = Response<Either<mainstay_sidecar::Body, tonic::body::Body>>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let content_type = request.headers().get(CONTENT_TYPE).map_or(&b""[..], |value| value.as_bytes());
        if request.version() == http::Version::HTTP_2 && content_type.starts_with(b"application/grpc") {
            let answer = self.services.call(request);
            return Box::pin(async move { Ok(answer.await?.map(Either::Right)) });
        }
        let answer = self.requests.call(request);
        Box::pin(async move { Ok(answer.await?.map(Either::Left)) })
    }
}
