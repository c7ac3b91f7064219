//! Calls of services that are not ours: passed on, byte for byte and in both directions, to the app that their metadata
//! names. Each message is the app's and the caller's own affair. What an operator asks for calls of another app stands
//! around them; calls of the app beside us have nothing around them, as in Dapr.

mod guarded;
mod kept;

use std::collections::HashMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request};
use http_body::Frame;
use mainstay_blocks::access::{Caller, TRUST_DOMAIN};
use mainstay_blocks::door::{Door, Place};
use mainstay_core::Redacted;
use mainstay_dapr::{Token, invoke as wire};
use mainstay_net::client::{ClientOptions, SendError};
use mainstay_net::multiplexed::{Answer, Channel};
use mainstay_net::sockets::Sockets;
use parking_lot::Mutex;
use tonic::Status;
use tonic::body::Body;

use crate::head;
use crate::surface::Shared;

type Response = http::Response<Body>;
type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// Apps whose connections are kept.
const APPS_MAX: usize = 256;

/// The ways to apps.
#[derive(Debug, Default)]
pub struct Ways {
    /// To the app beside us, if it speaks gRPC.
    pub app: Option<Channel<Body>>,
    /// What it wants to see in `dapr-api-token`.
    pub app_token: Option<Redacted<String>>,
    /// What calls of it pass.
    pub door: Door,
    /// To the other apps on this host.
    pub neighbours: Option<Sockets>,
}

/// The ways, and what is open of them.
pub(crate) struct Proxy {
    ways: Ways,
    open: Mutex<HashMap<String, Channel<Body>>>,
}

impl Proxy {
    pub(crate) fn new(ways: Ways) -> Self {
        Self { ways, open: Mutex::default() }
    }

    /// Passes on a call of the app beside us.
    pub(crate) async fn pass(&self, shared: &Shared, mut request: Request<Body>) -> Result<Response, Status> {
        let me = shared.blocks.app();
        let here = me.namespace.as_deref().unwrap_or(wire::NAMESPACE);
        let headers = request.headers_mut();
        let (callee, app_id) = (headers.remove(wire::CALLEE), headers.remove(wire::APP_ID));
        let id = callee.or(app_id).and_then(|id| id.to_str().ok().map(str::to_owned)).ok_or_else(|| {
            let keys = (wire::CALLEE, wire::APP_ID);
            Status::unknown(format!(
                "failed to proxy request: required metadata {} or {} not found",
                keys.0, keys.1
            ))
        })?;
        let (app, namespace) = id.split_once('.').unwrap_or((&id, here));
        set(headers, wire::CALLER, &me.id);
        set(headers, wire::CALLER_NAMESPACE, here);
        set(headers, wire::CALLEE, app);
        if id == me.id || (app, namespace) == (me.id.as_str(), here) {
            return self.to_app(request).await;
        }
        let rules = shared.rules();
        let domain = &rules.trust_domain;
        set(headers, wire::CALLER_TRUST_DOMAIN, if domain.is_empty() { TRUST_DOMAIN } else { domain });
        let channel = self.neighbour(&Sockets::name(namespace, app));
        let channel = channel.ok_or_else(|| Status::unknown(format!("couldn't find service: {id}")))?;
        let guard = shared.blocks.app_guard(&id, request.uri().path()).asked;
        guarded::pass((&id, &guard), &channel, request, shared.message_bytes_max).await
    }

    /// Passes on a call of another app on this host.
    async fn pass_in(&self, shared: &Shared, mut request: Request<Body>) -> Result<Response, Status> {
        let headers = request.headers();
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let caller = Caller {
            app: text(wire::CALLER).unwrap_or_default(),
            namespace: text(wire::CALLER_NAMESPACE).unwrap_or_default(),
            trust_domain: text(wire::CALLER_TRUST_DOMAIN).unwrap_or(TRUST_DOMAIN),
        };
        let operation = request.uri().path();
        if !shared.rules().access.allows(caller, operation, None) {
            let app = caller.app;
            tracing::warn!(caller = %app, %operation, "access control refuses a call of another app");
            return Err(Status::permission_denied(format!(
                "access control policy has denied access to id: {app} operation: {operation} verb: NONE"
            )));
        }
        request.headers_mut().remove(wire::CALLER_TRUST_DOMAIN);
        set(request.headers_mut(), wire::CALLEE, &shared.blocks.app().id);
        self.to_app(request).await
    }

    async fn to_app(&self, mut request: Request<Body>) -> Result<Response, Status> {
        let Some(channel) = &self.ways.app else {
            return Err(Status::failed_precondition("failed to proxy request: the app does not speak gRPC"));
        };
        let place = self.ways.door.enter().await;
        let place = place.map_err(|error| Status::internal(error.message()))?;
        let headers = request.headers_mut();
        headers.remove(Token::HEADER);
        if let Some(token) = &self.ways.app_token
            && let Ok(mut value) = HeaderValue::from_str(token.expose())
        {
            value.set_sensitive(true);
            headers.insert(Token::HEADER, value);
        }
        let answer = channel.send(request).await.map_err(|error| unreached("the app", &error))?;
        Ok(answer.map(|body| Body::new(Placed { body, _place: place })))
    }

    /// The way to another app; `None` when nobody listens there.
    fn neighbour(&self, name: &str) -> Option<Channel<Body>> {
        let sockets = self.ways.neighbours.as_ref().filter(|sockets| sockets.has(name))?;
        let mut open = self.open.lock();
        if let Some(channel) = open.get(name) {
            return Some(channel.clone());
        }
        let url = format!("http://{name}").parse().ok()?;
        let channel = Channel::to_socket(url, ClientOptions::default(), sockets.clone());
        if open.len() >= APPS_MAX {
            // Calls at work keep theirs; the next open a new one.
            open.clear();
        }
        open.insert(name.to_owned(), channel.clone());
        Some(channel)
    }
}

fn set(headers: &mut HeaderMap, name: &'static str, value: &str) {
    headers.remove(name);
    if let Ok(value) = HeaderValue::from_str(value) {
        headers.insert(name, value);
    }
}

fn unreached(id: &str, error: &SendError) -> Status {
    tracing::warn!(target = %id, error = %error.chain(), "a call could not be passed on");
    Status::unavailable(format!("failed to proxy request to {id}: {error}"))
}

/// The body of an app's answer, which keeps its place.
struct Placed {
    body: Answer,
    _place: Place,
}

impl http_body::Body for Placed {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        Pin::new(&mut self.body).poll_frame(cx).map_err(Into::into)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> http_body::SizeHint {
        self.body.size_hint()
    }
}

/// The service for the socket by which other apps on this host call; cheap to clone.
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
        let shared = Arc::clone(&self.0);
        Box::pin(async move {
            if let Err(status) = head::check(&request) {
                let mut response = Response::new(Body::empty());
                *response.status_mut() = status;
                return Ok(response);
            }
            let answered = shared.proxy.pass_in(&shared, request.map(Body::new)).await;
            Ok(answered.unwrap_or_else(Status::into_http))
        })
    }
}
