//! Policies of a `Resiliency` file around a key vault, against the real binary.

use bytes::Bytes;
use http::Method;
use mainstay_e2e::sidecar::start;
use mainstay_testkit::process::{Answer, Client};

/// Two vaults of one folder, of which one has policies.
const RESOURCES: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: careful }
spec: { type: crypto.dapr.localstorage, version: v1, metadata: [{ name: path, value: keys }] }
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: plain }
spec: { type: crypto.dapr.localstorage, version: v1, metadata: [{ name: path, value: keys }] }
---
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: { name: r }
spec:
  policies:
    retries:
      again: { policy: constant, duration: 10ms, maxRetries: 3 }
    circuitBreakers:
      third: { maxRequests: 1, timeout: 1s, trip: consecutiveFailures > 2 }
  targets:
    components:
      careful: { outbound: { retry: again, circuitBreaker: third } }
";

async fn encrypt(client: &Client, vault: &str, key: &'static str) -> Answer {
    let path = format!("/v1.0-alpha1/crypto/{vault}/encrypt");
    let mut request = client.request(Method::PUT, &path, Bytes::from_static(b"in the clear"));
    for (name, value) in [("dapr-key-name", key), ("dapr-key-wrap-algorithm", "A256KW")] {
        request.headers_mut().insert(name, http::HeaderValue::from_static(value));
    }
    client.send(request).await
}

#[tokio::test]
async fn a_vault_that_fails_is_tried_again_and_then_left_alone_until_it_is_well() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let keys = folder.path().join("keys");
    std::fs::create_dir(&keys).expect("a folder can be made");
    std::fs::write(keys.join("good"), [7; 32]).expect("a file can be written");
    // What leads to itself is there, and cannot be read.
    std::os::unix::fs::symlink("stuck", keys.join("stuck")).expect("a link can be made");
    let server = start(folder.path(), RESOURCES, &[]).await;
    let client = server.client();
    let said = async |vault: &str, key: &'static str| {
        let answer = encrypt(&client, vault, key).await;
        (answer.status, String::from_utf8_lossy(&answer.body).into_owned())
    };
    for vault in ["careful", "plain"] {
        let (status, text) = said(vault, "good").await;
        assert!(status == 200 && text.starts_with("dapr.io/enc/v1"), "{vault}: {status} {text}");
    }
    // A name that no key has is the caller's fault: it is not tried again, and counts for nothing.
    for _ in 0..4 {
        let (status, text) = said("careful", "none").await;
        assert!(status >= 400 && !text.contains("circuit breaker"), "{status} {text}");
    }
    // The third try opens the breaker, so the fourth does not reach the vault.
    let (status, text) = said("careful", "stuck").await;
    assert_eq!(status, 500, "{text}");
    assert!(text.contains("circuit breaker is open"), "{text}");
    assert!(said("careful", "good").await.1.contains("circuit breaker is open"));
    let (_, text) = said("plain", "stuck").await;
    assert!(!text.contains("circuit breaker"), "{text}");
    assert_eq!(said("plain", "good").await.0, 200);
    let well = async {
        while said("careful", "good").await.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(50)).await;
        }
    };
    let patience = mainstay_testkit::process::PATIENCE;
    tokio::time::timeout(patience, well).await.expect("the breaker closes again");
}
