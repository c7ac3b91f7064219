//! What every request passes, in this order: its id, the method, leave, its place among those in flight, drain, the
//! handler; then the headers that every answer carries. One service a path, no stack of layers.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, Request, StatusCode, Version, header};
use mainstay_core::{Ctx, Error, Principal, RequestId, codes};
use mainstay_net::server::Peer;
use parking_lot::Mutex;

use crate::access::{Caller, Rate};
use crate::apps::{self, Door, Way};
use crate::body::{self, RequestBody};
use crate::call::Call;
use crate::cors;
use crate::error::{self, Failure, Shape};
use crate::reply::{self, Payload, Response, Tracked};
use crate::request_id;
use crate::router::PathParams;
use crate::routes::{Class, Route};
use crate::surface::{Live, Shared};
use crate::ticket::Ticket;

/// The label of requests outside the table.
const UNKNOWN: &str = "unknown";
/// What a caller may wait for a replacement of a server that is going down, in seconds.
const DRAINING_RETRY: std::time::Duration = std::time::Duration::from_secs(5);

/// The service of a path. The router clones it for each request, so it is one pointer.
#[derive(Clone)]
pub(crate) struct Endpoint(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    path: Arc<str>,
    /// Empty outside the table.
    routes: Vec<&'static Route>,
    allow: Option<HeaderValue>,
}

impl Endpoint {
    pub(crate) fn new(shared: Arc<Shared>, path: &'static str, routes: Vec<&'static Route>) -> Self {
        let allow = HeaderValue::from_str(&allowed(&routes)).expect("methods are header text");
        Self(Arc::new(Inner { shared, path: path.into(), routes, allow: Some(allow) }))
    }

    /// The service of every path outside the table.
    pub(crate) fn unknown(shared: Arc<Shared>) -> Self {
        Self(Arc::new(Inner { shared, path: UNKNOWN.into(), routes: Vec::new(), allow: None }))
    }
}

impl Inner {
    /// The route for a method; HEAD is GET without the body.
    fn route(&self, method: &Method) -> Result<&'static Route, Error> {
        let wanted = if *method == Method::HEAD { &Method::GET } else { method };
        let found = self.routes.iter().find(|route| route.method == *wanted);
        found.copied().ok_or_else(|| match &self.allow {
            None => Error::new(&codes::UNKNOWN_ROUTE, "find the route: no route has this path")
                .with_help("the routes are listed at `/docs`"),
            Some(allow) => {
                let allow = allow.to_str().unwrap_or_default();
                let message = "find the route: this path does not answer this method";
                Error::new(&codes::METHOD_NOT_ALLOWED, message).with_help(format!("its methods are: {allow}"))
            }
        })
    }

    /// The shape of errors on this path.
    fn shape(&self, headers: &HeaderMap) -> Shape {
        self.routes.first().map_or(Shape::Ours, |route| route.errors).resolve(headers)
    }
}

/// The methods of a path, as the `allow` header says them.
fn allowed(routes: &[&'static Route]) -> String {
    let mut methods: Vec<&str> = routes.iter().map(|route| route.method.as_str()).collect();
    if methods.contains(&"GET") {
        methods.push("HEAD");
    }
    methods.join(", ")
}

impl Endpoint {
    /// Answers a request to this path.
    pub(crate) async fn serve(
        self,
        request: Request<RequestBody>,
        params: PathParams,
    ) -> http::Response<Tracked> {
        self.0.serve(request, params).await
    }

    /// Answers a request to a path outside the table: it may be an app's.
    pub(crate) async fn serve_outside(self, request: Request<RequestBody>) -> http::Response<Tracked> {
        let live = self.0.shared.live();
        match live.apps.find(request.uri().path()) {
            Way::Nowhere => self.0.serve(request, PathParams::default()).await,
            Way::Door(door) => self.0.pass_on(live, door, request).await,
            Way::Unclear(why) => {
                let (parts, body) = request.into_parts();
                let visit = Visit::begin(&self.0.shared, live, &self.0.path, Shape::Ours, &parts);
                body::discard(body, &parts.headers).await;
                let error = Error::new(
                    &codes::INVALID_REQUEST,
                    format!("find the route: the path can be read in two ways: {why}"),
                );
                let error = error.with_help("write each segment of the path plainly, and encode it once");
                let response = visit.refusal(&Failure::from(error), UNKNOWN, None);
                visit.finish(response)
            }
        }
    }
}

impl Inner {
    async fn serve(&self, request: Request<RequestBody>, params: PathParams) -> http::Response<Tracked> {
        let (parts, body) = request.into_parts();
        let shape = self.shape(&parts.headers);
        let mut visit = Visit::begin(&self.shared, self.shared.live(), &self.path, shape, &parts);
        if visit.origin.is_some() && cors::is_preflight(&parts.method, &parts.headers) {
            return visit.preflight(&parts.headers);
        }
        let admitted = self.route(&parts.method).and_then(|route| {
            let principal = visit.admit(&self.shared, route.class, &parts)?;
            Ok((route, principal))
        });
        let response = match admitted {
            Ok((route, principal)) => {
                let call = visit.call(&self.shared, principal, parts, body, params);
                visit.handled(route.path, (route.handler)(call)).await
            }
            Err(error) => {
                body::discard(body, &parts.headers).await;
                visit.refusal(&Failure::from(error), &self.path, self.allow.as_ref())
            }
        };
        visit.finish(response)
    }

    /// Passes a request on to the app that has its path.
    async fn pass_on(
        &self,
        live: Arc<Live>,
        door: Arc<Door>,
        request: Request<RequestBody>,
    ) -> http::Response<Tracked> {
        let (parts, body) = request.into_parts();
        let mut visit = Visit::begin(&self.shared, live, &door.route, Shape::Ours, &parts);
        if visit.origin.is_some() && cors::is_preflight(&parts.method, &parts.headers) {
            return visit.preflight(&parts.headers);
        }
        let admitted = visit.admit(&self.shared, Class::Work, &parts);
        let admitted = admitted.and_then(|principal| apps::can_be_passed_on(&parts).map(|()| principal));
        let response = match admitted {
            Ok(principal) => {
                let call = visit.call(&self.shared, principal, parts, body, PathParams::default());
                let route = Arc::clone(&door.route);
                visit.handled(&route, apps::pass_on(call, door)).await
            }
            Err(error) => {
                body::discard(body, &parts.headers).await;
                visit.refusal(&Failure::from(error), &door.route, Some(&apps::METHODS))
            }
        };
        visit.finish(response)
    }
}

/// One request on its way through.
struct Visit {
    live: Arc<Live>,
    id: RequestId,
    ticket: Ticket,
    shape: Shape,
    version: Version,
    is_head: bool,
    /// The page's origin, if it may read the answer.
    origin: Option<HeaderValue>,
    rate: Option<Rate>,
}

impl Visit {
    fn begin(shared: &Arc<Shared>, live: Arc<Live>, route: &Arc<str>, shape: Shape, parts: &Parts) -> Self {
        let id = request_id::of(&parts.headers);
        Self {
            origin: live.cors.allow(&parts.headers),
            shape,
            version: parts.version,
            is_head: parts.method == Method::HEAD,
            ticket: Ticket::open(shared, Arc::clone(route), &parts.method, &id),
            live,
            id,
            rate: None,
        }
    }

    /// Lets the request in, or not.
    fn admit(&mut self, shared: &Shared, class: Class, parts: &Parts) -> Result<Principal, Error> {
        if !class.needs_leave() {
            return Ok(Principal::Anonymous);
        }
        let caller = Caller {
            headers: &parts.headers,
            authority: parts.uri.authority().map(http::uri::Authority::as_str),
            version: parts.version,
            peer: parts.extensions.get::<Peer>().map(|peer| peer.0),
            is_allowed_page: self.origin.is_some(),
        };
        let pass = self.live.gate.admit(caller).map_err(|denied| {
            self.rate = denied.rate;
            if denied.error.code() == &codes::RATE_LIMITED {
                shared.telemetry.shed("rate");
            } else if denied.error.code() == &codes::CONCURRENCY_LIMITED {
                shared.telemetry.shed("concurrency");
            }
            denied.error
        })?;
        self.rate = pass.rate;
        self.ticket.hold(pass.seat);
        // After the leave: who has none must not be able to fill the places of those who have.
        if class.is_counted() {
            self.ticket.count(self.live.settings.server.requests_max as usize)?;
        }
        if class == Class::Work && shared.load.is_draining() {
            shared.telemetry.shed("drain");
            let error = Error::new(&codes::DRAINING, "take new work: the server is shutting down");
            return Err(error.with_retry(mainstay_core::Retry::Temporary(Some(DRAINING_RETRY))));
        }
        Ok(pass.principal)
    }

    /// What a handler gets.
    fn call(
        &self,
        shared: &Arc<Shared>,
        principal: Principal,
        parts: Parts,
        body: RequestBody,
        params: PathParams,
    ) -> Call {
        let mut ctx = Ctx::new(self.id.clone(), principal);
        if let Some(trace) = parts.headers.get("traceparent").and_then(|value| value.to_str().ok()) {
            ctx = ctx.with_traceparent(trace);
        }
        let (shared, live, body) = (Arc::clone(shared), Arc::clone(&self.live), Mutex::new(body));
        Call { shared, live, ctx, parts, body, params }
    }

    /// What a handler makes of it. A panic in one is this request's alone.
    async fn handled(&self, route: &str, handler: impl Future<Output = error::Result>) -> Response {
        match AssertUnwindSafe(handler).catch_unwind().await {
            Ok(Ok(response)) => response,
            Ok(Err(failure)) => self.refusal(&failure, route, None),
            Err(panic) => {
                let error = Error::bug(format!("a handler panicked: {}", said(panic.as_ref())));
                self.refusal(&Failure::from(error), route, None)
            }
        }
    }

    fn refusal(&self, failure: &Failure, route: &str, allow: Option<&HeaderValue>) -> Response {
        error::log(route, &self.id, &failure.error);
        let mut response = error::response(self.shape, failure, &self.id);
        let code = failure.error.code();
        if code == &codes::METHOD_NOT_ALLOWED
            && let Some(allow) = allow
        {
            response.headers_mut().insert(header::ALLOW, allow.clone());
        }
        let is_last = code == &codes::DRAINING || code == &codes::BODY_TIMEOUT;
        if is_last && self.version < Version::HTTP_2 {
            response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        response
    }

    fn preflight(self, request: &HeaderMap) -> http::Response<Tracked> {
        let mut response = reply::empty(StatusCode::NO_CONTENT);
        cors::allow_request(request, response.headers_mut());
        self.finish(response)
    }

    /// Adds what every answer carries, and keeps the ticket until its last byte.
    fn finish(mut self, mut response: Response) -> http::Response<Tracked> {
        self.ticket.answered(response.status().as_u16());
        // What an app answers with it has chosen.
        let is_passed = matches!(response.body(), Payload::Passed { .. });
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(self.id.as_str()) {
            if self.shape == Shape::Anthropic {
                headers.insert("request-id", id.clone());
            }
            headers.insert(request_id::HEADER, id);
        }
        if !is_passed {
            protect(headers);
        }
        if let Some(rate) = self.rate {
            show(rate, headers);
        }
        self.live.cors.sign(self.origin.take(), headers);
        if self.is_head {
            response = without_body(response);
        }
        response.map(|payload| Tracked::new(payload, self.ticket))
    }
}

/// What browsers and caches are not to do with answers of ours.
fn protect(headers: &mut HeaderMap) {
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
}

/// The answer to HEAD: the headers of GET, its length included.
fn without_body(response: Response) -> Response {
    let (mut head, payload) = response.into_parts();
    if let Payload::Whole(bytes) = &payload {
        head.headers.insert(header::CONTENT_LENGTH, bytes.len().into());
    }
    Response::from_parts(head, Payload::Whole(Bytes::new()))
}

/// Shows the key's rate, unless a provider's passed-on one is tighter.
fn show(rate: Rate, headers: &mut HeaderMap) {
    const REMAINING: &str = "x-ratelimit-remaining-requests";
    let theirs = headers.get(REMAINING).and_then(|value| value.to_str().ok()?.parse::<u32>().ok());
    if theirs.is_none_or(|theirs| rate.remaining <= theirs) {
        headers.insert("x-ratelimit-limit-requests", rate.limit.into());
        headers.insert(REMAINING, rate.remaining.into());
    }
}

/// What a panic says; for the log.
fn said(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("(no message)")
}
