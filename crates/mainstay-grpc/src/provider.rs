//! The stores inside this process as pluggable components, for the runtime of another: a state store and a broker, each
//! instance of which (`x-component-instance`) is a store of its own.

mod pubsub;
mod state;

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::Request;
use mainstay_core::embedded::Embedded;
use mainstay_core::{Ctx, Error, Kind, Principal, RequestId, codes};
use mainstay_dapr::{Fault, Grpc};
use mainstay_proto::FILE_DESCRIPTOR_SET;
use mainstay_proto::components::v1 as wire;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_reflection::server::Builder;
use tower_service::Service as _;

use crate::{head, status};
use pubsub::Brokers;
use state::States;
use wire::pub_sub_server::PubSubServer;
use wire::state_store_server::StateStoreServer;
use wire::transactional_state_store_server::TransactionalStateStoreServer;
use wire::transactional_store_multi_max_size_server::TransactionalStoreMultiMaxSizeServer;

/// Bytes of a message.
const MESSAGE_BYTES_MAX: usize = 64 << 20;
/// The instance of a caller who names none.
const INSTANCE: &str = "default";

type Response = http::Response<Body>;
type Call = Box<dyn Fn(Request<Body>) -> BoxFuture<'static, Result<Response, Infallible>> + Send + Sync>;

/// The service for a listener; cheap to clone.
#[derive(Clone)]
pub struct Provider(Arc<Vec<(&'static str, Call)>>);

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Provider")
    }
}

impl Provider {
    /// Offers these stores.
    #[must_use]
    pub fn new(embedded: Arc<dyn Embedded>) -> Self {
        let states = States::new(Arc::clone(&embedded));
        let sized = StateStoreServer::new(states.clone())
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let brokers = PubSubServer::new(Brokers::new(embedded))
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let transactional =
            TransactionalStateStoreServer::new(states.clone()).max_decoding_message_size(MESSAGE_BYTES_MAX);
        let bounded = TransactionalStoreMultiMaxSizeServer::new(states);
        let names = [name(&sized), name(&transactional), name(&bounded), name(&brokers)];
        let builder = || {
            let builder = Builder::configure().register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET);
            names.iter().fold(builder, |builder, name| builder.with_service_name(*name))
        };
        let well_formed = "the descriptors are our own";
        let v1 = builder().build_v1().expect(well_formed);
        let v1alpha = builder().build_v1alpha().expect(well_formed);
        Self(Arc::new(vec![
            (names[0], Box::new(move |request| sized.clone().call(request))),
            (names[1], Box::new(move |request| transactional.clone().call(request))),
            (names[2], Box::new(move |request| bounded.clone().call(request))),
            (names[3], Box::new(move |request| brokers.clone().call(request))),
            (name(&v1), Box::new(move |request| v1.clone().call(request))),
            (name(&v1alpha), Box::new(move |request| v1alpha.clone().call(request))),
        ]))
    }
}

fn name<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

impl<B> tower_service::Service<Request<B>> for Provider
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let services = Arc::clone(&self.0);
        Box::pin(async move {
            if let Err(status) = head::check(&request) {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = status;
                return Ok(response);
            }
            let ctx = head::context(request.headers());
            request.extensions_mut().insert(ctx);
            let asked = request.uri().path().trim_start_matches('/').split('/').next().unwrap_or_default();
            match services.iter().find(|(name, _)| *name == asked) {
                Some((_, call)) => call(request.map(Body::new)).await,
                None => Ok(Status::unimplemented(format!("unknown service {asked}")).into_http()),
            }
        })
    }
}

/// The context of a call, the name of its instance, and its message.
fn open<T>(request: tonic::Request<T>) -> (Ctx, String, T) {
    let (metadata, extensions, message) = request.into_parts();
    let ctx = extensions.get::<Ctx>().cloned();
    let instance = metadata.get("x-component-instance").and_then(|value| value.to_str().ok());
    let instance = instance.filter(|name| !name.is_empty()).unwrap_or(INSTANCE).to_owned();
    (ctx.unwrap_or_else(|| Ctx::new(RequestId::generate(), Principal::Anonymous)), instance, message)
}

/// The status of a failure, as the runtime on the other side reads it: an etag that does not hold is a violation of the
/// field `etag`.
fn refused(error: &Error) -> Status {
    let said = mainstay_dapr::fault::said(error);
    let fault = |grpc| Fault::new(500, grpc, "", said.clone());
    if error.code() == &codes::ETAG_MISMATCH {
        return status::of(&fault(Grpc::FailedPrecondition).with_field("etag", &said));
    }
    if error.code() == &codes::ETAG_INVALID {
        return status::of(&fault(Grpc::InvalidArgument).with_field("etag", &said));
    }
    let code = match error.kind() {
        Kind::InvalidArgument => Code::InvalidArgument,
        Kind::Unsupported => Code::Unimplemented,
        Kind::Timeout => Code::DeadlineExceeded,
        Kind::RateLimited => Code::ResourceExhausted,
        Kind::Unavailable => Code::Unavailable,
        _ => Code::Internal,
    };
    if code == Code::Internal || code == Code::Unavailable {
        tracing::warn!(error = ?error, "a call of a pluggable component failed");
    }
    Status::new(code, said)
}
