//! Policies of a `Resiliency` file around calls of the app, against the real binary.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use mainstay_testkit::loopback::{Loopback, Request, whole};
use mainstay_testkit::process::{Launch, Server};

const POLICIES: &str = "
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: { name: r }
spec:
  policies:
    timeouts: { short: 200ms }
    retries:
      again: { policy: constant, duration: 10ms, maxRetries: 3, matching: { httpStatusCodes: '500-503' } }
    circuitBreakers:
      careful: { maxRequests: 1, timeout: 60s, trip: consecutiveFailures > 4 }
  targets:
    apps:
      shop: { timeout: short, retry: again, circuitBreaker: careful }
";

async fn start(folder: &Path, policies: &str, app: &Loopback) -> Server {
    std::fs::create_dir(folder.join("resources")).expect("a folder can be made");
    std::fs::write(folder.join("resources/r.yaml"), policies).expect("a file can be written");
    let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
    let words = ["sidecar", "--app-id", "shop", "--resources-path", "resources", "--app-port", &port];
    let launch = words_and(Launch::new(folder, &words), &["--dapr-http-port", "0", "--dapr-grpc-port", "0"]);
    let server = launch.start().await;
    server.says("dapr initialized. Status: Running.").await;
    server
}

fn words_and(launch: Launch, words: &[&str]) -> Launch {
    words.iter().fold(launch, |launch, word| launch.word(word))
}

/// An app that fails twice at `/flaky`, always at `/down` and, in a way that is not tried again, at `/odd`; it never
/// answers at `/slow`. And how often it was asked.
async fn app() -> (Loopback, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let app = Loopback::serve(Arc::new(move |request: Request| {
        let path = request.uri().path().to_owned();
        let at = if path.starts_with("/dapr") { 0 } else { counted.fetch_add(1, Ordering::SeqCst) };
        Box::pin(async move {
            match path.as_str() {
                "/flaky" if at < 2 => whole(503, "text/plain", "not yet"),
                "/flaky" => whole(200, "text/plain", "well"),
                "/down" => whole(500, "text/plain", "broken"),
                "/odd" => whole(418, "text/plain", "a teapot"),
                "/slow" => std::future::pending().await,
                _ => whole(404, "text/plain", ""),
            }
        })
    }))
    .await;
    (app, asked)
}

#[tokio::test]
async fn calls_of_the_app_are_tried_again_ended_and_kept_away_as_the_file_says() {
    let (app, asked) = app().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), POLICIES, &app).await;
    let client = server.client();
    let call = async |path: &str, expect: (u16, &str), tries: usize| {
        let before = asked.load(Ordering::SeqCst);
        let read = client.get(&format!("/v1.0/invoke/shop/method/{path}")).await;
        let text = String::from_utf8_lossy(&read.body);
        assert!(read.status == expect.0 && text.contains(expect.1), "{path}: {} {text}", read.status);
        assert_eq!(asked.load(Ordering::SeqCst) - before, tries, "{path}");
    };
    call("flaky", (200, "well"), 3).await;
    call("odd", (418, "a teapot"), 1).await;
    call("slow", (500, "context deadline exceeded"), 4).await;
    // What fails for good is passed on as the app says it, until the breaker of the endpoint opens.
    call("down", (500, "broken"), 4).await;
    call("down", (500, "circuit breaker is open"), 1).await;
    call("down", (500, "circuit breaker is open"), 0).await;
    call("flaky", (200, "well"), 1).await;
}

const AT_THE_START: &str = "
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: { name: r }
spec:
  policies:
    retries:
      DaprBuiltInInitializationRetries: { policy: constant, duration: 10ms, maxRetries: 6 }
";

#[tokio::test]
async fn the_app_is_asked_what_it_subscribes_to_as_often_as_the_policy_says() {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    let app = Loopback::serve(Arc::new(move |request: Request| {
        let is_question = request.uri().path() == "/dapr/subscribe";
        counted.fetch_add(usize::from(is_question), Ordering::SeqCst);
        Box::pin(async move { whole(if is_question { 200 } else { 404 }, "text/plain", "not yet") })
    }))
    .await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let server = start(folder.path(), AT_THE_START, &app).await;
    assert_eq!(asked.load(Ordering::SeqCst), 7);
    server.says("the app does not say what it subscribes to").await;
}
