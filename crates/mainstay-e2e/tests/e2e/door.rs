//! The door to the app: how many calls are with it at once (`--app-max-concurrency`), and that it is left alone while
//! it is not well (`--enable-app-health-check`).

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use http_body_util::BodyExt as _;
use mainstay_e2e::sidecar::{STORE_AND_BROKER, start};
use mainstay_testkit::loopback::{Loopback, Request, whole};
use mainstay_testkit::process::until;
use serde_json::{Value, json};
use tokio::sync::Semaphore;

fn port(app: &Loopback) -> String {
    app.url().rsplit(':').next().unwrap_or_default().to_owned()
}

/// An app whose calls wait until they are let, and how many there are and were at most.
#[derive(Clone)]
struct Busy {
    now: Arc<AtomicUsize>,
    most: Arc<AtomicUsize>,
    done: Arc<AtomicUsize>,
    lets: Arc<Semaphore>,
}

impl Busy {
    fn new() -> Self {
        let zero = || Arc::new(AtomicUsize::new(0));
        Self { now: zero(), most: zero(), done: zero(), lets: Arc::new(Semaphore::new(0)) }
    }

    async fn work(&self) {
        let now = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most.fetch_max(now, Ordering::SeqCst);
        self.lets.acquire().await.expect("it stays open").forget();
        self.now.fetch_sub(1, Ordering::SeqCst);
        self.done.fetch_add(1, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn so_many_calls_and_messages_are_with_the_app_and_no_more() {
    let busy = Busy::new();
    let working = busy.clone();
    let app = Loopback::serve(Arc::new(move |request: Request| {
        let (busy, path) = (working.clone(), request.uri().path().to_owned());
        Box::pin(async move {
            if path == "/work" || path == "/paid" {
                busy.work().await;
            }
            whole(200, "application/json", "{}")
        })
    }))
    .await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let words = ["--app-port", &port(&app), "--app-max-concurrency", "2"];
    let server = start(folder.path(), STORE_AND_BROKER, &words).await;
    server.says("the app is subscribed").await;
    let client = server.client();
    let known = client.get("/v1.0/metadata").await.json();
    assert_eq!(known["appConnectionProperties"]["maxConcurrency"], json!(2), "{known}");
    let calls: Vec<_> = (0..6)
        .map(|_| {
            let client = client.clone();
            tokio::spawn(async move { client.get("/v1.0/invoke/shop/method/work").await.status })
        })
        .collect();
    for n in 0..4 {
        assert_eq!(client.post("/v1.0/publish/bus/paid", &json!({ "n": n })).await.status, 204);
    }
    for done in 0..10 {
        // One leaves when the app is as full as it gets, so whoever comes in too many has had the time for it.
        let full = (10 - done).min(2);
        until("the app is full", async || busy.now.load(Ordering::SeqCst) >= full).await;
        busy.lets.add_permits(1);
        until("one has left", async || busy.done.load(Ordering::SeqCst) > done).await;
    }
    for call in calls {
        assert_eq!(call.await.expect("it ends"), 200);
    }
    assert_eq!(busy.most.load(Ordering::SeqCst), 2);
}

/// An app that is well or not, and what it was told and how often it was probed.
#[derive(Clone, Default)]
struct Patient {
    ill: Arc<AtomicBool>,
    /// Probes that are to fail before it is well again by itself.
    faints: Arc<AtomicUsize>,
    probes: Arc<AtomicUsize>,
    told: Arc<Mutex<Vec<Value>>>,
}

impl Patient {
    fn told(&self) -> Vec<Value> {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn probe(&self) -> u16 {
        let faints = self.faints.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        let status = if self.ill.load(Ordering::SeqCst) || faints.is_ok() { 503 } else { 200 };
        self.probes.fetch_add(1, Ordering::SeqCst);
        status
    }

    async fn serve(&self) -> Loopback {
        let patient = self.clone();
        Loopback::serve(Arc::new(move |request: Request| {
            let (patient, path) = (patient.clone(), request.uri().path().to_owned());
            Box::pin(async move {
                match path.as_str() {
                    "/am/i/well" => whole(patient.probe(), "text/plain", ""),
                    "/paid" => {
                        let body =
                            request.into_body().collect().await.map(http_body_util::Collected::to_bytes);
                        let event: Value =
                            serde_json::from_slice(&body.unwrap_or_default()).unwrap_or_default();
                        let mut told = patient.told.lock().unwrap_or_else(PoisonError::into_inner);
                        told.push(event["data"]["n"].clone());
                        whole(200, "application/json", "{}")
                    }
                    "/hello" => whole(200, "text/plain", "hello"),
                    _ => whole(404, "text/plain", ""),
                }
            })
        }))
        .await
    }

    /// Waits for so many further probes.
    async fn probed(&self, times: usize) {
        let wanted = self.probes.load(Ordering::SeqCst) + times;
        until("it is probed", async || self.probes.load(Ordering::SeqCst) >= wanted).await;
    }
}

#[tokio::test]
async fn an_app_that_is_not_well_is_left_alone_and_told_everything_once_it_is() {
    let patient = Patient::default();
    let app = patient.serve().await;
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let port = port(&app);
    let probes = ["--app-health-check-path", "/am/i/well", "--app-health-probe-interval", "1"];
    let words = ["--app-port", &port, "--enable-app-health-check", "--app-health-threshold", "2"];
    let server = start(folder.path(), STORE_AND_BROKER, &[&words[..], &probes].concat()).await;
    server.says("the app is well").await;
    let client = server.client();
    let publish = async |n: u32| {
        assert_eq!(client.post("/v1.0/publish/bus/paid", &json!({ "n": n })).await.status, 204);
    };
    let call = async || client.get("/v1.0/invoke/shop/method/hello").await;
    let health = client.get("/v1.0/metadata").await.json()["appConnectionProperties"]["health"].clone();
    let expect = json!({
        "healthCheckPath": "/am/i/well",
        "healthProbeInterval": "1s",
        "healthProbeTimeout": "500ms",
        "healthThreshold": 2,
    });
    assert_eq!(health, expect);
    publish(1).await;
    until("the message comes", async || patient.told() == [1]).await;
    // One failure is below the threshold.
    patient.faints.store(1, Ordering::SeqCst);
    patient.probed(2).await;
    assert_eq!(call().await.status, 200);
    assert!(!server.said().contains("the app is not well"), "{}", server.said());
    patient.ill.store(true, Ordering::SeqCst);
    server.says("the app is not well").await;
    publish(2).await;
    let refused = call().await;
    let said = String::from_utf8_lossy(&refused.body).into_owned();
    assert_eq!(refused.status, 500, "{said}");
    assert!(said.contains("ERR_DIRECT_INVOKE") && said.contains("app is not in a healthy state"), "{said}");
    // The sidecar is well whatever the app is.
    assert_eq!(client.get("/v1.0/healthz").await.status, 204);
    patient.probed(2).await;
    assert_eq!(patient.told(), [1], "nothing is delivered meanwhile");
    patient.ill.store(false, Ordering::SeqCst);
    until("the message that waited comes", async || patient.told() == [1, 2]).await;
    publish(3).await;
    until("the next message comes", async || patient.told() == [1, 2, 3]).await;
    assert_eq!(call().await.body, "hello");
}
