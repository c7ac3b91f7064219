//! The production checklist on a running service: a good one passes every item, and one that does everything wrong fails
//! every item. What disturbs a service is done where it is allowed.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt as _;
use mainstay_e2e::app::{App, Wire};
use mainstay_e2e::{Place, numbered};
use mainstay_testkit::loopback::{Request, whole};
use mainstay_testkit::process::{Launch, Server};
use serde_json::Value;

use crate::production::{ids, report, repository};

/// A service with short bounds, so that those who wait for them need not wait long. Its agent has a tool whose server is
/// at a port: what it depends on.
fn bounded(replies: &[&str], port: u16) -> String {
    mainstay_e2e::spec(replies)
        .replace("drain: 10s", "drain: 10s, header_timeout: 1s, body_timeout: 1s, body_bytes_max: 64KiB")
        .replace("instructions: Answer.", "instructions: Answer., tools: [book]")
        + &format!(
            "access: {{ keys: [{{ name: web, key: \"env:WEB_KEY\", requests_per_minute: 600, concurrency: 100 }}, {{ name: other, key: \"env:OTHER_KEY\" }}] }}
tools:
  t: {{ http: {{ description: d, url: \"https://x.example/\", parameters: {{ type: object }}, headers: {{ authorization: \"Bearer ${{env:BAD_SECRET}}\" }} }} }}
  book: {{ chroma: {{ description: d, url: \"http://127.0.0.1:{port}\", collection: c, model: default, allow_private: true }} }}
"
        )
}

/// A service that is a gateway to models and nothing else: [`bounded`] without its agent and what that one needs.
fn gateway_alone(replies: &[&str]) -> String {
    let spec = bounded(replies, 1);
    let (before, after) =
        (spec.find("agents:").expect("it has one"), spec.find("access:").expect("it has keys"));
    let end = spec.find("\ntools:").expect("it has tools");
    format!("{}{}", &spec[..before], &spec[after..end])
}

/// A service that has no agent: an app at a port, and a route to it.
fn apps_alone(port: u16) -> String {
    format!(
        "name: e2e
server: {{ drain: 10s, header_timeout: 1s, body_timeout: 4s, body_bytes_max: 64KiB }}
access: {{ keys: [{{ name: web, key: \"env:WEB_KEY\", requests_per_minute: 600, concurrency: 100 }}, {{ name: other, key: \"env:OTHER_KEY\" }}] }}
apps:
  ledger: {{ url: \"http://127.0.0.1:{port}\", routes: [/ledger] }}
"
    )
}

/// Items that show nothing where nobody takes a question.
const OF_AGENTS: [&str; 4] =
    ["api/live-idempotency", "api/live-stream", "security/live-ssrf", "security/live-tenants"];

/// Longest run of a check, which waits for many things.
const PATIENCE: Duration = Duration::from_secs(120);

const KEY: (&str, &str) = ("WEB_KEY", "key-of-the-web-0123");
const OTHER: (&str, &str) = ("OTHER_KEY", "key-of-another-4567");
const LEAKED: (&str, &str) = ("BAD_SECRET", "hunter2-hunter2");

/// A server that is away as long as there is a file `away` in the folder. It answers what it has read to its end.
async fn dependency(place: &Place) -> App {
    let away = place.path().join("away");
    let answer = move |request: Request| {
        let status = if away.exists() { 503 } else { 200 };
        Box::pin(async move {
            let _ = request.into_body().collect().await;
            whole(status, "application/json", Bytes::from_static(b"{}"))
        }) as _
    };
    App::answering(Wire::plain(), std::sync::Arc::new(answer)).await
}

/// A service that is as it should be, and what it depends on.
async fn good() -> (Place, App, Server) {
    let reply = numbered(60, 40);
    // Who only looks at what is fetched need not wait.
    let quick = "{ when: read these pages, text: nothing }";
    serving(|port| bounded(&[quick, &reply], port)).await
}

/// A service of a spec that names the port of what it depends on.
async fn serving(spec: impl FnOnce(u16) -> String) -> (Place, App, Server) {
    let place = Place::new("");
    let app = dependency(&place).await;
    place.write(&spec(app.port()));
    let serve = place.command(&["serve", ".", "--listen", "127.0.0.1:0"]);
    let serve = serve.variable(KEY.0, KEY.1).variable(OTHER.0, OTHER.1);
    let server = serve.variable(LEAKED.0, LEAKED.1).start().await;
    (place, app, server)
}

/// The check of a running service, with its keys.
fn check(place: &Place, url: &str, more: &[&str]) -> Launch {
    let words = ["check", "--production", "--format", "json", "--url", url];
    let check = place.command(&[&words, more].concat());
    let check = check.variable("MAINSTAY_API_KEY", KEY.1).variable("MAINSTAY_OTHER_API_KEY", OTHER.1);
    check.variable(KEY.0, KEY.1).variable(OTHER.0, OTHER.1).variable(LEAKED.0, LEAKED.1)
}

const OUTAGE: [&str; 4] = ["--outage", "touch away", "--restore", "rm away"];

/// Asks a running service everything.
async fn asked(place: &Place, url: &str, process: u32) -> Value {
    let process = process.to_string();
    let more = [&OUTAGE[..], &["--exhaust", "--drain", &process]].concat();
    report(&check(place, url, &more).finish_within(PATIENCE).await)
}

/// Ids of live items, and what is said of each.
fn live(report: &Value, verdict: impl Fn(&str) -> bool) -> BTreeSet<String> {
    ids(report, |item| {
        item["layer"] == "live" && verdict(item["verdict"].as_str().expect("a verdict is text"))
    })
}

#[tokio::test]
async fn a_running_service_passes_every_item_and_ends_in_order() {
    let (place, _app, mut server) = good().await;
    let report = asked(&place, &format!("http://{}", server.address()), server.id()).await;
    assert_eq!(live(&report, |verdict| verdict != "pass"), BTreeSet::new(), "{report:#}\n{}", server.said());
    assert!(!place.path().join("away").exists(), "it was brought back");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_service_without_agents_is_judged_by_its_apps() {
    let (place, _app, mut server) = serving(apps_alone).await;
    let report = asked(&place, &format!("http://{}", server.address()), server.id()).await;
    let expected: BTreeSet<String> = OF_AGENTS.map(str::to_owned).into();
    assert_eq!(live(&report, |verdict| verdict != "pass"), expected, "{report:#}\n{}", server.said());
    assert_eq!(live(&report, |verdict| verdict == "unknown"), expected, "{report:#}");
    assert!(report.to_string().contains("the open request went to its end"), "{report:#}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_gateway_without_agents_is_judged_by_its_models() {
    let reply = numbered(60, 40);
    let (place, _app, mut server) = serving(|_| gateway_alone(&[&reply])).await;
    let report = asked(&place, &format!("http://{}", server.address()), server.id()).await;
    // It keeps no runs and no sessions, and needs nothing that could be taken away.
    let expected =
        ["api/live-idempotency", "resilience/live-dependency", "security/live-tenants"].map(str::to_owned);
    assert_eq!(live(&report, |verdict| verdict != "pass"), expected.into(), "{report:#}\n{}", server.said());
    assert!(report.to_string().contains("the open stream went to its end"), "{report:#}");
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn what_disturbs_a_service_is_not_done_unless_it_is_allowed() {
    let (place, _app, server) = good().await;
    let url = format!("http://{}", server.address());
    let report = report(&check(&place, &url, &[]).finish_within(PATIENCE).await);
    let disturbing = ["api/live-rate-limit", "resilience/live-dependency", "resilience/live-drain"];
    let expected = disturbing.map(str::to_owned).into();
    assert_eq!(live(&report, |verdict| verdict != "pass"), expected, "{report:#}");
    assert_eq!(live(&report, |verdict| verdict == "unknown"), expected, "{report:#}");
    for half in [&["--outage", "true"], &["--restore", "true"]] {
        let done = check(&place, &url, half).finish_within(PATIENCE).await;
        assert_eq!(done.code, Some(64), "{}", done.stderr);
    }
}

#[tokio::test]
async fn what_was_taken_away_is_brought_back_in_every_case() {
    let (place, _app, server) = good().await;
    let url = format!("http://{}", server.address());
    let restore = ["--restore", "rm -f away; echo restored >> log"];
    let log = || std::fs::read_to_string(place.path().join("log")).unwrap_or_default();
    let evidence = |report: &Value| {
        let items = report["items"].as_array().expect("there are items");
        let item = items.iter().find(|item| item["id"] == "resilience/live-dependency").expect("it is there");
        (item["verdict"].clone(), item["evidence"].to_string())
    };
    // The first command fails, and says why; with what must be shown nowhere.
    let failing = format!("touch away; echo {} is wrong; exit 3", KEY.1);
    let failed =
        check(&place, &url, &["--outage", &failing, restore[0], restore[1]]).finish_within(PATIENCE).await;
    let (verdict, said) = evidence(&report(&failed));
    assert_eq!((verdict, log().as_str()), ("unknown".into(), "restored\n"), "{said}");
    assert!(said.contains("exit status: 3") && said.contains("is wrong") && !said.contains(KEY.1), "{said}");
    // The check is stopped while the service is without it.
    let outage = ["--outage", "touch away began; sleep 60"];
    let words = [&outage[..], &restore].concat();
    let began = async || place.path().join("began").exists();
    let stopped = check(&place, &url, &words).interrupt_when("the outage began", began).await;
    assert_eq!(stopped.code, Some(130), "{}", stopped.stderr);
    assert!(stopped.stderr.contains("brought back"), "{}", stopped.stderr);
    assert_eq!(log(), "restored\nrestored\n");
    // What is away before is nothing to take away.
    std::fs::write(place.path().join("away"), "").expect("it can be written");
    let before = check(&place, &url, &OUTAGE).finish_within(PATIENCE).await;
    let (verdict, said) = evidence(&report(&before));
    assert_eq!(verdict, "unknown", "{said}");
    assert!(said.contains("before anything was away") && place.path().join("away").exists(), "{said}");
}

#[tokio::test]
async fn a_service_that_does_everything_wrong_fails_every_item() {
    let report = wrong(&bounded(&["{ text: x }"], 1)).await;
    assert_eq!(live(&report, |verdict| verdict != "fail"), BTreeSet::new(), "{report:#}");
    // What is below an app's route is asked as well as what the document describes.
    let text = report.to_string();
    for open in ["POST /v1/invoke answered 200 without a key", "GET /ledger answered 200 without a key"] {
        assert!(text.contains(open), "no word of {open}: {report:#}");
    }
    let report = wrong(&apps_alone(1)).await;
    let unknown = ["api/live-idempotency", "api/live-stream", "security/live-tenants"].map(str::to_owned);
    assert_eq!(live(&report, |verdict| verdict == "unknown"), unknown.into(), "{report:#}");
    let failed = live(&report, |verdict| verdict == "fail");
    for item in ["resilience/live-disconnect", "resilience/live-drain"] {
        assert!(failed.contains(item), "{item}: {report:#}");
    }
    assert!(report.to_string().contains("the open request was cut"), "{report:#}");
}

/// The report of a spec on the service that does everything wrong.
async fn wrong(spec: &str) -> Value {
    use tokio::io::{AsyncBufReadExt as _, BufReader};
    let place = Place::new(spec);
    let mut command = tokio::process::Command::new("python3");
    command.arg(repository("tests/ship/bad-service/app.py")).arg("--no-document").env(LEAKED.0, LEAKED.1);
    let mut app =
        command.stdout(std::process::Stdio::piped()).kill_on_drop(true).spawn().expect("python3 starts");
    let mut lines = BufReader::new(app.stdout.take().expect("stdout is piped")).lines();
    let port = lines.next_line().await.expect("it can be read").expect("it says its port");
    let report = asked(&place, &format!("http://127.0.0.1:{port}"), app.id().expect("it runs")).await;
    assert!(!report.to_string().contains(LEAKED.1), "the report shows the secret: {report:#}");
    report
}
