//! The handler beside an issuer.

use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_core::clock::ManualClock;
use mainstay_net::client::ClientOptions;
use mainstay_testkit::loopback::{Loopback, whole};
use parking_lot::Mutex;
use serde_json::{Value, json};

use super::super::token::tests::{Issuer, NOW_S, claims};
use super::*;

/// An issuer's server: its document, and the keys that it has at the moment.
struct Server {
    loopback: Loopback,
    set: Arc<Mutex<Value>>,
    asked: Arc<AtomicUsize>,
}

impl Server {
    /// One that calls itself so; by its own URL without a name.
    async fn start(called: Option<&'static str>, set: Value) -> Self {
        let (set, asked) = (Arc::new(Mutex::new(set)), Arc::new(AtomicUsize::new(0)));
        let (given, counted) = (Arc::clone(&set), Arc::clone(&asked));
        let loopback = Loopback::serve(Arc::new(move |request| {
            let host = request.headers()["host"].to_str().unwrap().to_owned();
            let own = called.map_or_else(|| format!("http://{host}"), str::to_owned);
            let body = match request.uri().path() {
                "/keys" => {
                    counted.fetch_add(1, Ordering::SeqCst);
                    given.lock().to_string()
                }
                "/.well-known/openid-configuration" => {
                    json!({"issuer": own, "jwks_uri": format!("http://{host}/keys")}).to_string()
                }
                _ => return Box::pin(async { whole(404, "text/plain", "") }),
            };
            Box::pin(async { whole(200, "application/json", body) })
        }))
        .await;
        Self { loopback, set, asked }
    }
}

async fn open(settings: &[(&str, &str)], clock: &Arc<ManualClock>) -> Result<Arc<dyn Middleware>> {
    let pairs = settings.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
    let (checked, faults) = parse(&Settings::new(pairs));
    assert_eq!(faults, []);
    super::open(checked, Client::new(ClientOptions::default()), Arc::clone(clock) as _).await
}

fn clock() -> Arc<ManualClock> {
    Arc::new(ManualClock::at(1_700_000_000_000))
}

/// The status that this header gets; 200 for one that is let in.
async fn status(bearer: &Arc<dyn Middleware>, headers: &[&str]) -> u16 {
    let headers = headers.iter().map(|value| ("authorization".to_owned(), value.to_string().into()));
    let mut request = Request::new("GET", "/", None, headers.collect());
    match bearer.request(&Ctx::system(), &mut request).await.unwrap() {
        Step::Next => 200,
        Step::Answer(answer) => answer.status,
    }
}

#[tokio::test]
async fn who_bears_a_token_of_the_issuer_is_let_in() {
    let issuer = Issuer::new();
    let server = Server::start(None, issuer.set()).await;
    let url = server.loopback.url();
    let bearer = open(&[("issuerURL", &url), ("clientID", "shop")], &clock()).await.unwrap();
    let mut claims = claims();
    claims["iss"] = url.as_str().into();
    let good = issuer.token("RS256", Some("rsa"), &claims);
    assert_eq!(status(&bearer, &[&format!("Bearer {good}")]).await, 200);
    assert_eq!(status(&bearer, &[&format!("bearer  {good} ")]).await, 200);
    claims["exp"] = (NOW_S - 400.0).into();
    let late = issuer.token("RS256", Some("rsa"), &claims);
    let refused =
        [format!("Bearer {late}"), good.clone(), format!("Basic {good}"), "Bearer".to_owned(), String::new()];
    for header in &refused {
        assert_eq!(status(&bearer, &[header]).await, 401, "{header:.20}");
    }
    assert_eq!(status(&bearer, &[]).await, 401);
    let twice = [format!("Bearer {good}"), format!("Bearer {good}")];
    assert_eq!(status(&bearer, &[&twice[0], &twice[1]]).await, 401, "of two, one may be somebody else's");
    assert_eq!(server.asked.load(Ordering::SeqCst), 1, "forged tokens ask no server");
}

#[tokio::test]
async fn keys_that_change_are_asked_for_and_not_at_each_forgery() {
    let (old, new) = (Issuer::new(), Issuer::new());
    let server = Server::start(None, old.set()).await;
    let url = format!("{}/keys", server.loopback.url());
    let clock = clock();
    let settings = [("issuer", "https://id.example"), ("audience", "shop"), ("jwksURL", url.as_str())];
    let bearer = open(&settings, &clock).await.unwrap();
    let mut set = new.set();
    for key in set["keys"].as_array_mut().unwrap() {
        key["kid"] = format!("new-{}", key["kid"].as_str().unwrap()).into();
    }
    *server.set.lock() = set;
    let token = format!("Bearer {}", new.token("ES256", Some("new-p256"), &claims()));
    for _ in 0..50 {
        assert_eq!(status(&bearer, &[&token]).await, 401);
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 1, "the set is too young to be asked for again");
    clock.advance(30_000);
    assert_eq!(status(&bearer, &[&token]).await, 200);
    assert_eq!(server.asked.load(Ordering::SeqCst), 2);
    let gone = format!("Bearer {}", old.token("ES256", Some("p256"), &claims()));
    assert_eq!(status(&bearer, &[&gone]).await, 401, "a key that was taken out lets nobody in");
}

#[tokio::test]
async fn an_issuer_that_is_not_there_or_another_does_not_open() {
    let server = Server::start(Some("https://else.example"), json!({"keys": []})).await;
    let url = server.loopback.url();
    let error = open(&[("issuer", &url), ("audience", "shop")], &clock()).await.err().unwrap();
    assert_eq!(error.code(), &codes::COMPONENT_UNAVAILABLE);
    let error =
        open(&[("issuer", "http://127.0.0.1:1"), ("audience", "shop")], &clock()).await.err().unwrap();
    assert_eq!(error.code(), &codes::COMPONENT_UNAVAILABLE);
}

#[test]
fn settings_have_older_names_and_must_be_there() {
    let faults = |pairs: &[(&str, &str)]| {
        let pairs = pairs.iter().map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        parse(&Settings::new(pairs)).1.len()
    };
    assert_eq!(faults(&[]), 2);
    assert_eq!(faults(&[("issuerURL", "https://a"), ("clientID", "b")]), 0);
    assert_eq!(faults(&[("issuer", "a"), ("audience", "b")]), 1);
    assert_eq!(faults(&[("issuer", "a"), ("audience", "b"), ("jwksURL", "https://c")]), 0);
    assert_eq!(faults(&[("issuer", "a"), ("audience", "b"), ("jwksURL", "c")]), 1);
}
