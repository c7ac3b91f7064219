//! Apps that are no agents: requests below a route of one are passed on to it, through the access layer and the bounds
//! that every request has. It reads no body and knows nothing of what apps do.

mod head;
mod path;
mod upload;

use std::collections::BTreeMap;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use mainstay_core::forward::{self, Forward};
use mainstay_core::middleware::Pieces;
use mainstay_core::{Ctx, Error, Name, codes, metric};

use crate::body::RequestBody;
use crate::call::Call;
use crate::error::Result;
use crate::health::Dependency;
use crate::reply::{Payload, Response};
use path::Prefixes;

/// An app as the surface serves it.
#[derive(Clone)]
pub struct Served {
    /// Its name.
    pub name: Name,
    /// What it is for; may be empty.
    pub description: String,
    /// Paths that lead to it, each with everything below it; no other app has one of them.
    pub routes: Vec<String>,
    /// Longest answer, streams included.
    pub timeout: Duration,
    /// The way to it.
    pub app: Arc<dyn Forward>,
}

impl std::fmt::Debug for Served {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Served")
            .field("name", &self.name)
            .field("routes", &self.routes)
            .finish_non_exhaustive()
    }
}

/// The apps at work.
#[derive(Default)]
pub(crate) struct Apps {
    all: Vec<Served>,
    doors: BTreeMap<Vec<u8>, Arc<Door>>,
    /// Segments of the longest route.
    depth: usize,
}

/// A route of an app.
pub(crate) struct Door {
    /// The route, as the spec has it: what metrics and logs call whatever lies below it.
    pub(crate) route: Arc<str>,
    timeout: Duration,
    app: Arc<dyn Forward>,
}

/// Where a path leads.
pub(crate) enum Way {
    /// Below the route of an app.
    Door(Arc<Door>),
    /// To no app.
    Nowhere,
    /// It can be read in two ways; how.
    Unclear(&'static str),
}

impl Apps {
    pub(crate) fn new(all: Vec<Served>) -> Self {
        let (mut doors, mut depth) = (BTreeMap::new(), 0);
        for app in &all {
            for route in &app.routes {
                let door =
                    Door { route: route.as_str().into(), timeout: app.timeout, app: Arc::clone(&app.app) };
                doors.insert(route.as_bytes().to_vec(), Arc::new(door));
                depth = depth.max(route.matches('/').count());
            }
        }
        Self { all, doors, depth }
    }

    /// Where a path leads, as it came. The longest route that it lies below decides, segment by segment.
    pub(crate) fn find(&self, path: &str) -> Way {
        if self.doors.is_empty() {
            return Way::Nowhere;
        }
        let prefixes = match Prefixes::of(path, self.depth) {
            Ok(prefixes) => prefixes,
            Err(why) => return Way::Unclear(why),
        };
        let found = prefixes.longest_first().find_map(|prefix| self.doors.get(prefix));
        found.map_or(Way::Nowhere, |door| Way::Door(Arc::clone(door)))
    }

    pub(crate) fn all(&self) -> &[Served] {
        &self.all
    }

    /// Which of them can work.
    pub(crate) async fn ready(&self, ctx: &Ctx) -> Vec<Dependency> {
        let looks = self.all.iter().map(|served| async move {
            let state = served.app.ready(ctx).await;
            Dependency::new(format!("{}{}", metric::DEPENDENCY_APP, served.name), state.err())
        });
        futures_util::future::join_all(looks).await
    }
}

/// Methods that are passed on, as the `allow` header says them.
pub(crate) const METHODS: HeaderValue =
    HeaderValue::from_static("GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS");

/// What no app is asked. Errors: `METHOD_NOT_ALLOWED`, `UNSUPPORTED`.
pub(crate) fn can_be_passed_on(parts: &http::request::Parts) -> mainstay_core::Result<()> {
    // An echo of a request would show a page what only the server was to see; a tunnel would pass every rule.
    if matches!(parts.method, Method::TRACE | Method::CONNECT) {
        let message = "find the route: this method is passed on to no app";
        return Err(Error::new(&codes::METHOD_NOT_ALLOWED, message));
    }
    // Other protocols are offered besides HTTP, and whoever offers them goes on without (RFC 9110, section 7.8).
    let upgrades = parts.headers.get_all(header::UPGRADE).into_iter();
    if upgrades
        .filter_map(|value| value.to_str().ok())
        .any(|text| text.to_ascii_lowercase().contains("websocket"))
    {
        let message = "pass the request on: a connection does not become a WebSocket here";
        let help = "requests, streamed bodies and server-sent events are passed on";
        return Err(Error::new(&codes::UNSUPPORTED, message).with_help(help));
    }
    Ok(())
}

/// Passes a request on and gives the app's answer. Errors: as of [`Forward::forward`]; `BODY_TOO_LARGE`,
/// `BODY_TIMEOUT`.
pub(crate) async fn pass_on(mut call: Call, door: Arc<Door>) -> Result {
    let begun = Instant::now();
    let body = std::mem::replace(call.body.get_mut(), RequestBody::Empty);
    let server = &call.live.settings.server;
    let bounds = upload::Bounds { bytes_max: server.body_bytes_max, time_max: server.body_timeout };
    let (body, length, fault) = upload::of(body, &call.parts.headers, bounds).await?;
    let method = call.parts.method.as_str().to_owned();
    let target = call.parts.uri.path_and_query().map_or("/", |target| target.as_str()).to_owned();
    let headers = head::forwarded(&mut call);
    let ctx = call.ctx.clone().with_deadline(begun + call.patience().min(door.timeout));
    let request = forward::Request { method, target, headers, body, length };
    // A body that broke off is why there is no answer, whatever the app made of it.
    let answer = door.app.forward(&ctx, request).await;
    let answer = answer.map_err(|error| fault.get().map_or(error, |fault| fault.again()))?;
    let until = begun + door.timeout;
    response(answer, &call, |body| bounded(body, until, Arc::clone(&door.route)))
}

/// The answer as callers get it.
fn response(answer: forward::Answer, call: &Call, bounded: impl FnOnce(Pieces) -> Pieces) -> Result {
    let forward::Answer { status, headers, body, length } = answer;
    let mut response = Response::new(Payload::Passed { pieces: bounded(body), left: length });
    *response.status_mut() = StatusCode::from_u16(status)
        .map_err(|_| Error::new(&codes::APP_FAILED, "the app's answer has no sound status"))?;
    let of_head = call.parts.method == Method::HEAD;
    for (name, value) in headers {
        let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_maybe_shared(value))
        else {
            continue;
        };
        // Lengths are the connection's to say, where there is a body; who may call from a page is the spec's.
        let is_ours = (name == header::CONTENT_LENGTH && !of_head)
            || name.as_str().starts_with("access-control-")
            || name == crate::request_id::HEADER;
        if !is_ours {
            response.headers_mut().append(name, value);
        }
    }
    Ok(response)
}

/// An answer's body for as long as it may take. One that breaks off is said in the log; the caller sees it cut.
fn bounded(body: Pieces, until: Instant, route: Arc<str>) -> Pieces {
    let state = (body, Box::pin(tokio::time::sleep_until(until.into())), route);
    stream::unfold(Some(state), |state| async move {
        let (mut body, mut end, route) = state?;
        let next: Option<io::Result<Bytes>> = tokio::select! {
            biased;
            next = body.next() => next,
            () = &mut end => Some(Err(io::Error::new(io::ErrorKind::TimedOut, "it took longer than its `timeout`"))),
        };
        match next? {
            Ok(piece) => Some((Ok(piece), Some((body, end, route)))),
            Err(error) => {
                tracing::warn!(route = &*route, %error, "an app's answer was cut");
                Some((Err(error), None))
            }
        }
    })
    .boxed()
}

#[cfg(test)]
mod tests {
    use mainstay_core::plan::RESERVED;

    use super::*;
    use crate::routes;

    struct Nobody;

    #[async_trait::async_trait]
    impl Forward for Nobody {
        async fn forward(&self, _: &Ctx, _: forward::Request) -> mainstay_core::Result<forward::Answer> {
            Err(Error::new(&codes::APP_UNAVAILABLE, "nobody is there"))
        }

        async fn ready(&self, _: &Ctx) -> mainstay_core::Result<()> {
            Ok(())
        }
    }

    fn apps(routes: &[&[&str]]) -> Apps {
        let served = |(n, routes): (usize, &&[&str])| Served {
            name: Name::parse(&format!("a{n}")).unwrap(),
            description: String::new(),
            routes: routes.iter().map(|&route| route.to_owned()).collect(),
            timeout: Duration::from_secs(1),
            app: Arc::new(Nobody),
        };
        Apps::new(routes.iter().enumerate().map(served).collect())
    }

    fn leads(apps: &Apps, path: &str, to: &str) {
        let found = match apps.find(path) {
            Way::Door(door) => door.route.to_string(),
            Way::Nowhere => "nowhere".to_owned(),
            Way::Unclear(_) => "unclear".to_owned(),
        };
        assert_eq!(found, to, "{path}");
    }

    #[test]
    fn the_longest_route_that_a_path_lies_below_decides() {
        let apps = apps(&[&["/tasks", "/a/b/c"], &["/tasks/mine"]]);
        for (path, to) in [
            ("/tasks", "/tasks"),
            ("/tasks/", "/tasks"),
            ("/tasks/7/notes", "/tasks"),
            ("/tasks/mine", "/tasks/mine"),
            ("/tasks/mine/", "/tasks/mine"),
            ("/tasks/mine/7", "/tasks/mine"),
            ("/tasks/miner", "/tasks"),
            ("/tasks7", "nowhere"),
            ("/Tasks", "nowhere"),
            ("/a/b", "nowhere"),
            ("/a/b/c/d", "/a/b/c"),
            ("/", "nowhere"),
            ("*", "nowhere"),
            // What it means decides, not how it is written.
            ("/t%61sks/7", "/tasks"),
            ("/tasks/m%69ne", "/tasks/mine"),
            ("/tasks/50%25", "/tasks"),
        ] {
            leads(&apps, path, to);
        }
    }

    #[test]
    fn a_path_that_can_be_read_in_two_ways_leads_nowhere() {
        let apps = apps(&[&["/tasks"]]);
        for path in [
            "//tasks",
            "/tasks//7",
            "/tasks/../v1/agents",
            "/tasks/%2e%2e/admin",
            "/tasks/.%2E/admin",
            "/x/../tasks",
            "/tasks/./7",
            "/tasks%2f7",
            "/tasks/a%2Fb",
            "/tasks/a%5cb",
            "/tasks/a\\b",
            "/tasks/..;/admin",
            "/tasks/..;x=1/admin",
            "/tasks/%252e%252e/admin",
            "/tasks/%00",
            "/tasks/%0d%0a",
            "/tasks/%zz",
            "/tasks/%2",
        ] {
            leads(&apps, path, "unclear");
        }
    }

    #[test]
    fn without_routes_every_path_leads_nowhere() {
        leads(&apps(&[&[]]), "/tasks/../x", "nowhere");
    }

    #[test]
    fn every_path_of_ours_is_reserved() {
        for route in routes::all() {
            let first = route.path.split('/').nth(1).unwrap_or_default();
            assert!(first.is_empty() || RESERVED.contains(&first), "{}", route.path);
        }
    }
}
