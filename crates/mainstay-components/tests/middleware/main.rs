//! Every type of middleware against the conformance suite, and the suite against faults planted into a handler. A type
//! without a rig below fails.

#![expect(clippy::unwrap_used, reason = "a test binary, in which no function bears the attribute of a test")]

mod planted;

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use libtest_mimic::{Arguments, Trial};
use mainstay_components::middleware::{self, Def};
use mainstay_core::Clock;
use mainstay_core::clock::ManualClock;
use mainstay_core::middleware::Middleware;
use mainstay_testkit::conformance::middleware::{self as suite, Open, Rig};
use mainstay_testkit::loopback::{Loopback, whole};

fn main() {
    // Planted faults panic by design; a failed trial still shows its message.
    std::panic::set_hook(Box::new(|_| ()));
    let arguments = Arguments::from_args();
    let mut trials: Vec<Trial> = middleware::ALL.iter().flat_map(conformance).collect();
    trials.extend(planted::trials());
    libtest_mimic::run(&arguments, trials).exit();
}

fn conformance(def: &'static Def) -> Vec<Trial> {
    let kind = def.kind.trim_start_matches("middleware.http.");
    match member(def) {
        Some(open) => suite::trials(kind, &open),
        None => vec![Trial::test(format!("{kind}::has_a_rig"), || {
            Err("no rig for this type in tests/middleware".into())
        })],
    }
}

/// The rigs: what settings a type gets, given the URL of a server. A new type has a line here.
fn member(def: &'static Def) -> Option<Open> {
    let settings: fn(&str) -> Vec<(&'static str, String)> = match def.kind {
        "middleware.http.bearer" => |url| {
            vec![
                ("issuer", "https://id.example".to_owned()),
                ("audience", "shop".to_owned()),
                ("jwksURL", format!("{url}/keys")),
            ]
        },
        "middleware.http.oauth2clientcredentials" => |url| {
            vec![
                ("clientID", "me".to_owned()),
                ("clientSecret", "x".to_owned()),
                ("tokenURL", format!("{url}/token")),
                ("headerName", "x-token".to_owned()),
            ]
        },
        "middleware.http.routeralias" => {
            |_| vec![("routes", r#"{"/{a}/nothing/of/{b}": "/other"}"#.to_owned())]
        }
        "middleware.http.ratelimit" | "middleware.http.uppercase" => |_| Vec::new(),
        _ => return None,
    };
    Some(Arc::new(move || {
        Box::pin(async move {
            let server = Loopback::serve(Arc::new(|request| {
                let body = match request.uri().path() {
                    "/keys" => KEYS,
                    _ => r#"{"access_token":"t","expires_in":3600}"#,
                };
                Box::pin(async move { whole(200, "application/json", body) })
            }))
            .await;
            let settings = settings(&server.url());
            let settings: Vec<_> = settings.iter().map(|(name, value)| (*name, value.as_str())).collect();
            let clock: Arc<dyn Clock> = Arc::new(ManualClock::at(1_700_000_000_000));
            let opened = mainstay_testkit::components::open_in(def, &settings, Path::new("."), &clock).await;
            let pass =
                (def.kind == "middleware.http.bearer").then(|| ("authorization", format!("Bearer {TOKEN}")));
            Arc::new(Handler { handler: opened.unwrap(), pass, _server: server }) as Arc<dyn Rig>
        })
    }))
}

/// An issuer's key, and a token without an end that it signed; made once with another implementation (Python,
/// `cryptography`).
const KEYS: &str = include_str!("keys.json");
const TOKEN: &str = include_str!("token.txt");

struct Handler {
    handler: Arc<dyn Middleware>,
    pass: Option<(&'static str, String)>,
    _server: Loopback,
}

#[async_trait]
impl Rig for Handler {
    fn handler(&self) -> Arc<dyn Middleware> {
        Arc::clone(&self.handler)
    }

    fn pass(&self) -> Option<(&'static str, String)> {
        self.pass.clone()
    }
}
