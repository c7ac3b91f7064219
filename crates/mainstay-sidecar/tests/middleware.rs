//! Requests through pipelines: to the surface, and to the app.

#![expect(clippy::unwrap_used, reason = "a test stops where it cannot go on")]

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt as _, Full};
use mainstay_blocks::middleware::Pipeline;
use mainstay_blocks::state::{Prefix, Rules, Store};
use mainstay_blocks::{App, Blocks, Table};
use mainstay_core::clock::ManualClock;
use mainstay_core::middleware::{Answer, Capabilities, Middleware, Request as Seen, Step};
use mainstay_core::{Clock, Ctx, Error, Redacted, Result, codes};
use mainstay_net::client::{Client, ClientOptions};
use mainstay_sidecar::{Parts, Phase, Rules as Said, Surface, Target, Targets};
use mainstay_testkit::components;
use mainstay_testkit::loopback::{Loopback, whole};
use tower::ServiceExt as _;

const TOKEN: (&str, &str) = ("dapr-api-token", "secret");

/// Lets pass who shows `x-pass`, and says so in a header; fails for who shows `x-fail`.
struct Gate;

#[async_trait]
impl Middleware for Gate {
    fn capabilities(&self) -> Capabilities {
        Capabilities::default()
    }

    async fn request(&self, _: &Ctx, request: &mut Seen) -> Result<Step> {
        if request.header("x-fail").is_some() {
            return Err(Error::new(&codes::COMPONENT_UNAVAILABLE, "the gate is stuck"));
        }
        if request.header("x-pass").is_none() {
            let headers = vec![("x-gate".to_owned(), "shut".to_owned())];
            return Ok(Step::Answer(Answer { status: 403, headers, body: "no".into() }));
        }
        request.set_header("x-passed", &format!("{} {}", request.method, request.path));
        Ok(Step::Next)
    }
}

struct House {
    surface: Surface,
    _app: Loopback,
}

impl House {
    /// Beside an app that answers with what it got.
    async fn with(inbound: Vec<Arc<dyn Middleware>>, toward_app: Vec<Arc<dyn Middleware>>) -> Self {
        let loopback = Loopback::serve(Arc::new(|request| {
            Box::pin(async move {
                let (parts, body) = request.into_parts();
                let header =
                    |name: &str| parts.headers.get(name).map_or("-", |value| value.to_str().unwrap());
                let head = format!(
                    "{} {} passed={} length={} mine={}",
                    parts.method,
                    parts.uri,
                    header("x-passed"),
                    header("content-length"),
                    header("x-mine")
                );
                let body = body.collect().await.unwrap().to_bytes();
                whole(200, "text/plain", format!("{head}\n{}", String::from_utf8_lossy(&body)))
            })
        }))
        .await;
        let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000));
        let app = App { id: "shop".to_owned(), namespace: None };
        let rules = Rules { prefix: Prefix::of(None, "orders", &app), ..Rules::default() };
        let store = Store::new(components::state_store(&clock).await, rules);
        let table = Table {
            stores: BTreeMap::from([("orders".to_owned(), store)]),
            inbound: Pipeline::new(inbound),
            toward_app: Pipeline::new(toward_app),
            ..Table::default()
        };
        let target = Target { base: loopback.url(), ..Target::default() };
        let bare = target.clone();
        let surface = Surface::new(Parts {
            blocks: Blocks::new(app, clock, table),
            api_token: Some(Redacted::new(TOKEN.1.to_owned())),
            body_bytes_max: 1 << 20,
            targets: Targets { app: Some(mainstay_sidecar::OwnApp::Requests(target)), ..Targets::default() },
            client: Client::new(ClientOptions::default()),
            rules: Said { endpoints: BTreeMap::from([("outside".to_owned(), bare)]), ..Said::default() },
            origins: None,
            shutdown: Arc::new(|_| ()),
        });
        surface.reach(Phase::Ready);
        Self { surface, _app: loopback }
    }

    async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: &str) -> (u16, String) {
        let mut request = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(Full::new(Bytes::copy_from_slice(body.as_bytes()))).unwrap();
        let answer = self.surface.router().oneshot(request).await.unwrap();
        let status = answer.status().as_u16();
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        (status, String::from_utf8(body.to_vec()).unwrap())
    }
}

async fn handler(kind: &str, settings: &[(&str, &str)]) -> Arc<dyn Middleware> {
    let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000));
    components::middleware(kind, settings, &clock).await
}

const STATE: &str = "/v1.0/state/orders";
const APP: &str = "/v1.0/invoke/shop/method/echo?a=b";

#[tokio::test]
async fn whom_a_handler_refuses_gets_its_answer_and_goes_no_further() {
    let house = House::with(vec![Arc::new(Gate)], Vec::new()).await;
    let body = r#"[{"key":"a","value":1}]"#;
    assert_eq!(house.send("POST", STATE, &[TOKEN], body).await, (403, "no".to_owned()));
    assert_eq!(house.send("GET", "/v1.0/state/orders/a", &[TOKEN, ("x-pass", "1")], "").await.0, 204);
    assert_eq!(house.send("POST", STATE, &[TOKEN, ("x-pass", "1")], body).await.0, 204);
    // An invocation is a request too, by whatever way it is asked for.
    assert_eq!(house.send("GET", APP, &[TOKEN], "").await.0, 403);
    assert_eq!(house.send("GET", "/any", &[TOKEN, ("dapr-app-id", "shop")], "").await.0, 403);
    let (status, said) = house.send("GET", APP, &[TOKEN, ("x-pass", "1")], "").await;
    assert!(status == 200 && said.contains("passed=GET /v1.0/invoke/shop/method/echo"), "{said}");
    let (status, said) = house.send("GET", STATE, &[TOKEN, ("x-fail", "1"), ("x-pass", "1")], "").await;
    assert!(status == 500 && said.contains("the gate is stuck"), "{said}");
}

#[tokio::test]
async fn the_token_comes_first_and_health_is_for_everybody() {
    let house = House::with(vec![Arc::new(Gate)], Vec::new()).await;
    assert_eq!(house.send("GET", STATE, &[("x-pass", "1")], "").await.0, 401);
    assert_eq!(house.send("GET", STATE, &[], "").await.0, 401);
    assert_eq!(house.send("GET", "/v1.0/healthz", &[], "").await.0, 204);
    assert_eq!(house.send("GET", "/v1.0//healthz/outbound/", &[], "").await.0, 204);
    assert_eq!(house.send("GET", "/v1.0/healthz/other", &[TOKEN], "").await.0, 403);
}

#[tokio::test]
async fn a_path_is_found_after_the_handlers_gave_it_its_name() {
    let routes = r#"{"/orders/{key}": "/v1.0/state/orders/known", "/bank/{id}/balance": "/v1.0/invoke/shop/method/balance"}"#;
    let alias = handler("middleware.http.routeralias", &[("routes", routes)]).await;
    let house = House::with(vec![alias], Vec::new()).await;
    house.send("POST", STATE, &[TOKEN], r#"[{"key":"known","value":"v"}]"#).await;
    assert_eq!(house.send("GET", "/orders/7", &[TOKEN], "").await, (200, "\"v\"".to_owned()));
    let (_, said) = house.send("GET", "/bank/a%20b/balance?x=1", &[TOKEN], "").await;
    assert!(said.starts_with("GET /balance?x=1&id=a+b "), "{said}");
}

#[tokio::test]
async fn bodies_are_changed_on_either_way() {
    let upper = || handler("middleware.http.uppercase", &[]);
    let house = House::with(vec![upper().await], Vec::new()).await;
    house.send("POST", STATE, &[TOKEN], r#"[{"KEY":1,"key":"a"}]"#).await;
    let (status, _) = house.send("POST", STATE, &[TOKEN], r#"[{"key":"a","value":1}]"#).await;
    assert_eq!(status, 400, "what arrives is no item any more");
    let (_, said) = house.send("POST", APP, &[TOKEN, ("x-mine", "a")], "grüße").await;
    assert_eq!(said, "POST /echo?a=b passed=- length=- mine=a\nGRÜSSE");
    let house = House::with(Vec::new(), vec![upper().await]).await;
    let (_, said) = house.send("POST", APP, &[TOKEN, ("x-mine", "a")], "grüße").await;
    assert_eq!(said, "POST /echo?a=b passed=- length=- mine=a\nGRÜSSE");
    assert_eq!(house.send("POST", STATE, &[TOKEN], r#"[{"key":"a","value":1}]"#).await.0, 204);
}

#[tokio::test]
async fn calls_to_the_app_pass_its_pipeline_and_others_do_not() {
    let routes = r#"{"/echo": "/other", "/up": "/../../etc"}"#;
    let alias = handler("middleware.http.routeralias", &[("routes", routes)]).await;
    let house = House::with(Vec::new(), vec![Arc::new(Gate), alias]).await;
    assert_eq!(house.send("GET", APP, &[TOKEN], "").await, (403, "no".to_owned()));
    let (_, said) = house.send("GET", APP, &[TOKEN, ("x-pass", "1")], "").await;
    assert!(said.starts_with("GET /other?a=b passed=GET /echo "), "{said}");
    let (status, _) = house.send("GET", "/v1.0/invoke/shop/method/up", &[TOKEN, ("x-pass", "1")], "").await;
    assert_eq!(status, 500, "no alias leads out of the app");
    let (status, said) = house.send("GET", "/v1.0/invoke/outside/method/echo", &[TOKEN], "").await;
    assert!(status == 200 && said.starts_with("GET /echo passed=- "), "{said}");
}

#[tokio::test]
async fn a_bound_of_requests_answers_with_429() {
    let limit = handler("middleware.http.ratelimit", &[("maxRequestsPerSecond", "2")]).await;
    let house = House::with(vec![limit], Vec::new()).await;
    let from = |address: &'static str| [TOKEN, ("x-forwarded-for", address)];
    let mut statuses = Vec::new();
    for address in ["1.1.1.1", "1.1.1.1", "1.1.1.1", "2.2.2.2"] {
        statuses.push(house.send("GET", "/v1.0/metadata", &from(address), "").await.0);
    }
    assert_eq!(statuses, [200, 200, 429, 200]);
}
