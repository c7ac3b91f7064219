//! Service invocation: a call to the app beside us, to another app on this host, to an external service of a file, or
//! to any URL, passed on as it comes and answered as it comes, in both directions. Chunked calls are not kept, so they
//! are tried once; others again as policies ask for it.

mod app;
mod guarded;
mod headers;
mod methods;
mod status;
mod target;

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, Uri};
use http_body_util::{BodyExt as _, Full, Limited};
use mainstay_blocks::access::TRUST_DOMAIN;
use mainstay_blocks::door::Door;
use mainstay_blocks::layers::AppGuard;
use mainstay_core::methods::{AppMethods, CallStatus};
use mainstay_core::{Ctx, Redacted};
use mainstay_dapr::{Fault, Grpc, invoke as wire};
use mainstay_net::client::{AnswerBody, Body as Outgoing, Client, ClientOptions, SendError};
use mainstay_net::hops::strip_hop_by_hop;
use mainstay_net::server::Peer;
use mainstay_net::sockets::Sockets;

use crate::answer::{Answer, Body};
use crate::call::{Result, context};
use crate::rules::Rules;
use crate::surface::Shared;
pub(crate) use app::{Call, call};
use guarded::Failed;
pub use target::Target;
pub(crate) use target::{Asked, asked, without_dots};

/// What calls can be passed on to.
#[derive(Debug, Default)]
pub struct Targets {
    /// The app beside us.
    pub app: Option<OwnApp>,
    /// What the app wants to see in `dapr-api-token`.
    pub app_token: Option<Redacted<String>>,
    /// What calls of the app pass.
    pub door: Door,
    /// The other apps on this host.
    pub neighbours: Option<Neighbours>,
}

/// How the app beside us is called.
pub enum OwnApp {
    /// By requests.
    Requests(Target),
    /// By its methods.
    Methods(Arc<dyn AppMethods>),
}

impl std::fmt::Debug for OwnApp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if matches!(self, Self::Requests(_)) { "Requests" } else { "Methods" })
    }
}

/// The other apps on this host.
#[derive(Debug)]
pub struct Neighbours {
    sockets: Sockets,
    client: Client,
}

impl Neighbours {
    /// Those who listen in a folder.
    #[must_use]
    pub fn new(sockets: Sockets) -> Self {
        Self { client: Client::to_sockets(ClientOptions::default(), sockets.clone()), sockets }
    }
}

/// Passes a call on.
pub(crate) async fn invoke<B>(
    shared: &Shared,
    rules: &Rules,
    ctx: &Ctx,
    parts: Parts,
    body: B,
    asked: Asked,
) -> Result
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let (targets, me) = (&shared.targets, shared.blocks.app());
    let (found, query) = (target::find(targets, rules, me, &asked.id)?, parts.uri.query());
    let path = without_dots(&asked.path).map_err(|why| failed(&asked.id, &why))?;
    let namespace = me.namespace.as_deref().unwrap_or(wire::NAMESPACE);
    let mut heads = headers::forwarded(&parts, &me.id, namespace, &asked.id);
    let guard = shared.blocks.app_guard(&asked.id, &asked.path);
    let (client, base, id) = match &found {
        target::Found::Own => {
            let peer = parts.extensions.get::<Peer>().map(|peer| peer.0.ip());
            let call = Call { method: parts.method.clone(), path, query, headers: heads, peer };
            return app::call(shared, ctx, &guard, call, body).await;
        }
        target::Found::Neighbour(neighbours, name) => {
            let domain = if rules.trust_domain.is_empty() { TRUST_DOMAIN } else { &rules.trust_domain };
            headers::set(&mut heads, wire::CALLER_TRUST_DOMAIN, domain);
            (&neighbours.client, format!("http://{name}"), &asked.id)
        }
        target::Found::Other(target) => {
            headers::strip_own(&mut heads);
            heads.extend(target.headers.clone());
            (target.client.as_ref().unwrap_or(&shared.client), target.base.clone(), &asked.id)
        }
    };
    let url = target::url(&base, &path, query).map_err(|why| failed(id, &why))?;
    let way = Way { client, guard: &guard, bytes_max: shared.body_bytes_max };
    let answer = way.send(&parts.method, &url, heads, body).await;
    let mut answer = passed_back(answer?.map_err(|error| unreached(id, &error))?, None);
    let told = status::take(answer.headers_mut());
    if let (target::Found::Neighbour(..), Some(told)) = (&found, told) {
        answer.extensions_mut().insert(told);
    }
    Ok(answer)
}

/// Passes on a call that came as a message, for whoever reads no HTTP: how a failure is told as a code is in the
/// answer's extensions, except where the app answered by HTTP itself.
pub(crate) async fn by_message(shared: &Shared, request: Request<Bytes>) -> http::Response<Bytes> {
    let (parts, body) = request.into_parts();
    let nobody = Asked { id: String::new(), path: String::new() };
    let asked = asked(&parts).unwrap_or(nobody);
    let (ctx, in_force) = (context(&parts), shared.in_force());
    let answered = match invoke(shared, &in_force.rules, &ctx, parts, Full::new(body), asked).await {
        Ok(answer) => whole(shared, answer).await,
        Err(fault) => Err(fault),
    };
    answered.unwrap_or_else(|fault| {
        let mut answer = http::Response::default();
        answer.extensions_mut().insert(told(&fault));
        answer
    })
}

async fn whole(shared: &Shared, answer: Answer) -> Result<http::Response<Bytes>> {
    let (head, body) = answer.into_parts();
    let read = Limited::new(body, shared.body_bytes_max).collect().await;
    let read = read.map_err(|error| {
        let why = format!("the answer was cut, or is larger than {} bytes: {error}", shared.body_bytes_max);
        Fault::new(500, Grpc::ResourceExhausted, "ERR_DIRECT_INVOKE", why)
    })?;
    Ok(http::Response::from_parts(head, read.to_bytes()))
}

/// A failure as a code.
pub(crate) fn told(fault: &Fault) -> CallStatus {
    CallStatus { code: fault.grpc as u8, message: fault.message.clone(), details: Bytes::new() }
}

/// Tells another runtime on this host how an answer is to be told as a code.
pub(crate) fn tell(answer: &mut Answer) {
    if let Some(status) = answer.extensions_mut().remove::<CallStatus>() {
        status::put(answer.headers_mut(), &status);
    }
}

fn failed(id: &str, why: &str) -> Fault {
    Fault::new(500, Grpc::Internal, "ERR_DIRECT_INVOKE", format!("failed to invoke, id: {id}, err: {why}"))
}

fn unreached(id: &str, error: &Failed) -> Fault {
    tracing::warn!(target = %id, error = %error.chain(), "a call could not be passed on");
    failed(id, &error.to_string())
}

type Sent = std::result::Result<http::Response<AnswerBody>, Failed>;

/// How a call is sent.
struct Way<'a> {
    client: &'a Client,
    guard: &'a AppGuard,
    /// Of a body that is kept, so that it can be sent again.
    bytes_max: usize,
}

impl Way<'_> {
    /// Sends a call. Errors: its own body cannot be read.
    async fn send<B>(&self, method: &Method, url: &Uri, headers: HeaderMap, body: B) -> Result<Sent>
    where
        B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
    {
        match body.size_hint().exact() {
            Some(length) if length <= self.bytes_max as u64 => {
                let body = read(body).await?;
                // Boxed, for what stands around a call moves it about.
                let send = || Box::pin(once(self.client, method, url, headers.clone(), body.clone().into()));
                Ok(guarded::again(self.guard, send).await)
            }
            Some(_) => Err(too_large(self.bytes_max)),
            None => {
                let sent = Box::pin(once(self.client, method, url, headers, streamed(body)));
                Ok(guarded::once(self.guard, sent).await)
            }
        }
    }
}

async fn read<B>(body: B) -> Result<Bytes>
where
    B: http_body::Body<Data = Bytes>,
{
    let read = body.collect().await.map_err(|_| Fault::malformed("the body ended before its length"))?;
    Ok(read.to_bytes())
}

fn too_large(most: usize) -> Fault {
    let message = format!("the body is larger than {most} bytes; raise `max-body-size`");
    Fault::new(413, Grpc::ResourceExhausted, "ERR_BODY_TOO_LARGE", message)
}

async fn once(
    client: &Client,
    method: &Method,
    url: &Uri,
    headers: HeaderMap,
    body: Outgoing,
) -> std::result::Result<http::Response<AnswerBody>, SendError> {
    let mut request = Request::new(body);
    (*request.method_mut(), *request.uri_mut(), *request.headers_mut()) =
        (method.clone(), url.clone(), headers);
    client.send(request).await
}

fn streamed<B>(body: B) -> Outgoing
where
    B: http_body::Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn std::error::Error + Send + Sync>>,
{
    let pieces = body.into_data_stream().map(|piece| piece.map_err(std::io::Error::other));
    Outgoing::stream(Box::pin(pieces), None)
}

fn passed_back(answer: http::Response<AnswerBody>, place: Option<mainstay_blocks::door::Place>) -> Answer {
    let (mut parts, body) = answer.into_parts();
    strip_hop_by_hop(&mut parts.headers);
    let mut answer = Answer::new(Body::Passed(body, place));
    (*answer.status_mut(), *answer.headers_mut()) = (parts.status, parts.headers);
    answer
}

/// A secret as a header's value, which nothing logs.
fn sensitive(secret: &Redacted<String>) -> Option<HeaderValue> {
    let mut value = HeaderValue::from_str(secret.expose()).ok()?;
    value.set_sensitive(true);
    Some(value)
}
