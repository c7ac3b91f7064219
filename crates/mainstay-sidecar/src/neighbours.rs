//! Calls of other apps on this host, which come from their runtimes by a socket of this user's. Their runtimes say who
//! calls; nobody else can connect there. What passes here is held to the access control of this app.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, HeaderMap};
use http::request::Parts;
use http::{HeaderValue, Request};
use mainstay_blocks::access::{Caller, TRUST_DOMAIN};
use mainstay_blocks::layers::AppGuard;
use mainstay_core::methods::CallStatus;
use mainstay_dapr::{Fault, Grpc, invoke as wire};

use crate::answer::{self, Answer, Body};
use crate::call::context;
use crate::invoke::{self, OwnApp};
use crate::surface::Shared;

/// The service for the socket; cheap to clone.
#[derive(Clone)]
pub struct Inbound(Arc<Shared>);

impl std::fmt::Debug for Inbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Inbound")
    }
}

impl Inbound {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        Self(Arc::clone(shared))
    }
}

impl<B> tower_service::Service<Request<B>> for Inbound
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
            let (parts, body) = request.into_parts();
            let mut answered = pass(&shared, parts, body).await.unwrap_or_else(|fault| {
                tracing::warn!(code = fault.code, message = %fault.message, "a call of another app failed");
                let mut answer = answer::fault(&fault);
                answer.extensions_mut().insert::<CallStatus>(invoke::told(&fault));
                answer
            });
            invoke::tell(&mut answered);
            Ok(answered)
        })
    }
}

async fn pass<B>(shared: &Shared, parts: Parts, body: B) -> Result<Answer, Fault>
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let id = &shared.blocks.app().id;
    let text = |name: &str| parts.headers.get(name).and_then(|value: &HeaderValue| value.to_str().ok());
    let caller = Caller {
        app: text(wire::CALLER).unwrap_or_default(),
        namespace: text(wire::CALLER_NAMESPACE).unwrap_or_default(),
        trust_domain: text(wire::CALLER_TRUST_DOMAIN).unwrap_or(TRUST_DOMAIN),
    };
    let (operation, verb) = (parts.uri.path(), parts.method.as_str());
    let is_methods = matches!(shared.targets.app, Some(OwnApp::Methods(_)));
    if !shared.in_force().rules.access.allows(caller, operation, (!is_methods).then_some(verb)) {
        let app = caller.app;
        let message = format!(
            "failed to invoke, id: {id}, err: rpc error: code = PermissionDenied desc = access control policy has denied access to id: {app} operation: {operation} verb: {verb}"
        );
        return Err(Fault::new(403, Grpc::PermissionDenied, "ERR_DIRECT_INVOKE", message));
    }
    let path = invoke::without_dots(operation.trim_start_matches('/'));
    let path = path.map_err(|why| Fault::new(500, Grpc::Internal, "ERR_DIRECT_INVOKE", why))?;
    let (ctx, peer) = (context(&parts), None);
    let headers = passed_on(parts.headers);
    let call = invoke::Call { method: parts.method, path, query: parts.uri.query(), headers, peer };
    // What policies ask for, the caller's own runtime has done.
    invoke::call(shared, &ctx, &AppGuard::default(), call, body).await
}

/// What the app sees of the headers: those of the connection are left out.
fn passed_on(mut headers: HeaderMap) -> HeaderMap {
    mainstay_net::hops::strip_hop_by_hop(&mut headers);
    headers.remove(HOST);
    headers.remove(CONTENT_LENGTH);
    headers
}
