//! How a sidecar ends: when it is asked to, when it is forced to, and how an end is put off
//! (`--dapr-block-shutdown-duration`).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use bytes::Bytes;
use http::Method;
use mainstay_e2e::sidecar::{STORE_AND_BROKER, start};
use mainstay_testkit::loopback::{Loopback, Request, whole};
use mainstay_testkit::process::until;
use mainstay_testkit::process::{Answer, Client};
use serde_json::json;

/// An app that never answers at `/stuck`, is well or not at `/healthz`, and takes messages.
#[derive(Clone, Default)]
struct Shop {
    ill: Arc<AtomicBool>,
    stuck: Arc<AtomicUsize>,
    told: Arc<AtomicUsize>,
}

impl Shop {
    async fn serve(&self) -> (Loopback, String) {
        let shop = self.clone();
        let app = Loopback::serve(Arc::new(move |request: Request| {
            let (shop, path) = (shop.clone(), request.uri().path().to_owned());
            Box::pin(async move {
                match path.as_str() {
                    "/stuck" => {
                        shop.stuck.fetch_add(1, Ordering::SeqCst);
                        std::future::pending().await
                    }
                    "/healthz" if shop.ill.load(Ordering::SeqCst) => whole(503, "text/plain", ""),
                    "/healthz" => whole(200, "text/plain", ""),
                    "/paid" => {
                        shop.told.fetch_add(1, Ordering::SeqCst);
                        whole(200, "application/json", "{}")
                    }
                    _ => whole(404, "text/plain", ""),
                }
            })
        }))
        .await;
        let port = app.url().rsplit(':').next().unwrap_or_default().to_owned();
        (app, port)
    }
}

async fn shut_down(client: &Client, force: bool) -> Answer {
    let mut request = client.request(Method::POST, "/v1.0/shutdown", Bytes::new());
    if force {
        request.headers_mut().insert("dapr-force-shutdown", http::HeaderValue::from_static("true"));
    }
    client.send(request).await
}

#[tokio::test]
async fn one_that_is_forced_waits_for_nobody_and_ends_with_1() {
    let shop = Shop::default();
    let (_app, port) = shop.serve().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    // Longer than any test waits.
    let words = ["--app-port", &port, "--dapr-graceful-shutdown-seconds", "600"];
    let mut server = start(folder.path(), STORE_AND_BROKER, &words).await;
    let client = server.client();
    let caller = client.clone();
    let call = tokio::spawn(async move { caller.get("/v1.0/invoke/shop/method/stuck").await });
    until("the call is with the app", async || shop.stuck.load(Ordering::SeqCst) == 1).await;
    assert_eq!(shut_down(&client, true).await.status, 204, "whoever asks is answered first");
    assert_eq!(server.ended().await.code(), Some(1));
    call.abort();
}

#[tokio::test]
async fn an_end_that_is_put_off_lets_the_app_call_until_it_is_not_well() {
    let shop = Shop::default();
    let (_app, port) = shop.serve().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let probes =
        ["--enable-app-health-check", "--app-health-probe-interval", "1", "--app-health-threshold", "1"];
    let words = ["--app-port", &port, "--dapr-block-shutdown-duration", "600s"];
    let mut server = start(folder.path(), STORE_AND_BROKER, &[&words[..], &probes].concat()).await;
    server.says("the app is well").await;
    let client = server.client();
    let publish = async || client.post("/v1.0/publish/bus/paid", &json!({})).await.status;
    assert_eq!(publish().await, 204);
    until("the message comes", async || shop.told.load(Ordering::SeqCst) == 1).await;
    server.terminate();
    server.says("serving on").await;
    // The app's own calls go on; nothing is delivered to it.
    let saved = client.post("/v1.0/state/orders", &json!([{"key": "k", "value": 7}])).await;
    assert_eq!((saved.status, publish().await), (204, 204));
    assert_eq!(client.get("/v1.0/state/orders/k").await.json(), json!(7));
    assert_eq!(client.get("/v1.0/healthz").await.status, 204);
    shop.ill.store(true, Ordering::SeqCst);
    server.says("the app is not well").await;
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.said());
    assert_eq!(shop.told.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn an_end_that_is_put_off_comes_with_its_time_or_when_the_app_asks_for_it() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut server = start(folder.path(), STORE_AND_BROKER, &["--dapr-block-shutdown-duration", "1s"]).await;
    server.terminate();
    server.says("serving on").await;
    assert_eq!(server.ended().await.code(), Some(0));
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut server =
        start(folder.path(), STORE_AND_BROKER, &["--dapr-block-shutdown-duration", "600s"]).await;
    assert_eq!(shut_down(&server.client(), false).await.status, 204);
    assert_eq!(server.ended().await.code(), Some(0), "{}", server.said());
}

#[tokio::test]
async fn a_second_signal_ends_it_on_the_spot() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let mut server =
        start(folder.path(), STORE_AND_BROKER, &["--dapr-block-shutdown-duration", "600s"]).await;
    server.terminate();
    server.says("serving on").await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(1), "{}", server.said());
    server.says("a second signal").await;
}
