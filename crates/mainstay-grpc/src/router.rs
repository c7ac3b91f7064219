//! From a path to its service.

use std::convert::Infallible;
use std::panic::AssertUnwindSafe;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::{HeaderValue, Request, StatusCode};
use mainstay_core::Ctx;
use mainstay_dapr::Token;
use mainstay_net::server::{Door, ServeOptions, Serving, serve_at};
use mainstay_proto::FILE_DESCRIPTOR_SET;
use mainstay_proto::runtime::v1::dapr_server::{DaprServer, SERVICE_NAME};
use tokio_util::sync::CancellationToken;
use tonic::body::Body;
use tonic::server::NamedService;
use tonic::{Code, Status};
use tonic_reflection::server::Builder;
use tower_service::Service as _;

use crate::dapr::Service;
use crate::noting::Noting;
use crate::surface::Shared;
use crate::{head, status};

type Response = http::Response<Body>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The service for a listener; cheap to clone.
#[derive(Clone)]
pub struct Router(Arc<Services>);

struct Services {
    shared: Arc<Shared>,
    dapr: DaprServer<Service>,
    reflection: Vec<(&'static str, Reflection)>,
}

/// A service of reflection. Its type has no name.
type Reflection =
    Box<dyn Fn(Request<Body>) -> BoxFuture<'static, Result<Response, Infallible>> + Send + Sync>;

impl std::fmt::Debug for Router {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Router")
    }
}

impl Router {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let most = shared.message_bytes_max;
        let dapr = DaprServer::new(Service::new(shared))
            .max_decoding_message_size(most)
            .max_encoding_message_size(most);
        let reflection = if shared.reflection { reflection() } else { Vec::new() };
        Self(Arc::new(Services { shared: Arc::clone(shared), dapr, reflection }))
    }

    /// Serves at a door until `stop`, as [`mainstay_net::server::serve`] does.
    #[must_use]
    pub fn serve(self, door: Door, options: ServeOptions, stop: CancellationToken) -> Serving {
        serve_at(door, self, options, stop)
    }
}

impl<B> tower_service::Service<Request<B>> for Router
where
    B: http_body::Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError> + Send + 'static,
{
    type Response = Response;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let services = Arc::clone(&self.0);
        Box::pin(async move { Ok(services.answer(request).await) })
    }
}

impl Services {
    async fn answer<B>(&self, mut request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + Send + 'static,
    {
        if let Err(status) = head::check(&request) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = status;
            return response;
        }
        // Removed, for what serves the call has no use for it and must not pass it on.
        let token = request.headers_mut().remove(Token::HEADER);
        if let Err(denied) = self.shared.api_token.admit(token.as_ref().map(HeaderValue::as_bytes)) {
            return status::of_denied(denied).into_http();
        }
        let ctx = head::context(request.headers());
        request.extensions_mut().insert(ctx.clone());
        let noting = Noting::begin(&self.shared, &request);
        let response = within(&ctx, self.dispatch(request)).await;
        if let Some(noting) = noting {
            noting.end(&self.shared, &response);
        }
        response
    }

    async fn dispatch<B>(&self, request: Request<B>) -> Response
    where
        B: http_body::Body<Data = Bytes> + Send + 'static,
        B::Error: Into<BoxError> + Send + 'static,
    {
        let path = request.uri().path().trim_start_matches('/');
        let (service, method) = path.split_once('/').unwrap_or((path, ""));
        let answered = if service == SERVICE_NAME {
            if !self.shared.rules().apis.allows_method(method) {
                let why = "requested endpoint is not available";
                return status::of_http(StatusCode::NOT_IMPLEMENTED, why).into_http();
            }
            self.dapr.clone().call(request).await.map(with_status_of_size)
        } else if let Some((_, reflection)) = self.reflection.iter().find(|(name, _)| *name == service) {
            reflection(request.map(Body::new)).await
        } else {
            let passed = self.shared.proxy.pass(&self.shared, request.map(Body::new)).await;
            Ok(passed.unwrap_or_else(Status::into_http))
        };
        answered.unwrap_or_else(|never| match never {})
    }
}

/// Both versions, for clients still ask for the older one.
fn reflection() -> Vec<(&'static str, Reflection)> {
    let builder = || {
        // Of the services described, the one that is served.
        Builder::configure()
            .register_encoded_file_descriptor_set(FILE_DESCRIPTOR_SET)
            .with_service_name(SERVICE_NAME)
    };
    let well_formed = "the descriptors are our own";
    let v1 = builder().build_v1().expect(well_formed);
    let v1alpha = builder().build_v1alpha().expect(well_formed);
    vec![
        (name(&v1), Box::new(move |request| v1.clone().call(request))),
        (name(&v1alpha), Box::new(move |request| v1alpha.clone().call(request))),
    ]
}

fn name<S: NamedService>(_: &S) -> &'static str {
    S::NAME
}

/// Answers by the end of the context's time, and also when the work panics: the caller waits for a status.
async fn within(ctx: &Ctx, work: impl Future<Output = Response>) -> Response {
    let work = AssertUnwindSafe(work).catch_unwind();
    let done = match ctx.deadline() {
        Some(end) => match tokio::time::timeout_at(end.into(), work).await {
            Ok(done) => done,
            Err(_) => return Status::deadline_exceeded("the call's deadline passed").into_http(),
        },
        None => work.await,
    };
    done.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<&str>().copied();
        let said =
            said.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)");
        tracing::error!(request_id = %ctx.request_id(), panic = said, "a call panicked");
        Status::internal("an internal fault; the log has the details").into_http()
    })
}

/// A message that is too large is told as the protocol's own server tells it; tonic says OUT_OF_RANGE, which nothing
/// else here does.
fn with_status_of_size(mut response: Response) -> Response {
    if let Some(code) = response.headers_mut().get_mut("grpc-status")
        && Code::from_bytes(code.as_bytes()) == Code::OutOfRange
    {
        *code = HeaderValue::from(Code::ResourceExhausted as i32);
    }
    response
}
