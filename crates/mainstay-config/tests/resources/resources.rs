//! Good files and what they mean.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::component::{Component, Setting, SettingValue};
use mainstay_core::http_endpoint::{HttpEndpoint, Renegotiation, Tls};
use mainstay_core::subscription::{Bulk, Rule, Subscription};

use crate::fakes::{component, list, load_files, load_good, said, text};

fn plain(name: &str, value: &str) -> Setting {
    Setting { name: name.to_owned(), value: SettingValue::Text(value.to_owned()) }
}

#[test]
fn a_component_is_what_its_file_says() {
    let read = component(
        "
# State of the shop.
apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: orders
  namespace: production
  annotations: { team: shop }
  labels: { tier: data }
  creationTimestamp: null
spec:
  type: state.redis
  version: v1
  ignoreErrors: true
  initTimeout: 1m30s
  metadata:
  - name: redisHost
    value: redis:6379
  - name: redisPassword
    secretKeyRef: { name: redis, key: password }
  - name: token
    secretKeyRef:
      name: token
  - name: region
    envRef: AWS_REGION
  - name: enableTLS
    value: true
auth:
  secretStore: vault
scopes:
- shop
- audit
status: {}
",
    );
    let expected = Component {
        name: "orders".to_owned(),
        namespace: Some("production".to_owned()),
        kind: "state.redis".to_owned(),
        version: "v1".to_owned(),
        settings: vec![
            plain("redisHost", "redis:6379"),
            Setting {
                name: "redisPassword".to_owned(),
                value: SettingValue::Secret { name: "redis".to_owned(), key: "password".to_owned() },
            },
            Setting {
                name: "token".to_owned(),
                value: SettingValue::Secret { name: "token".to_owned(), key: "token".to_owned() },
            },
            Setting { name: "region".to_owned(), value: SettingValue::Env("AWS_REGION".to_owned()) },
            plain("enableTLS", "true"),
        ],
        secret_store: Some("vault".to_owned()),
        scopes: list(&["shop", "audit"]),
        ignore_errors: true,
        init_timeout: Duration::from_secs(90),
        origin: "good.yaml:3".to_owned(),
    };
    assert_eq!(read, expected);
}

#[test]
fn keys_have_no_case_and_what_is_not_given_has_its_default() {
    let read = component(
        "apiversion: dapr.io/v1alpha1\nKIND: Component\nMetadata: { Name: a }\nSpec: { Type: state.redis, metadata: null }\n",
    );
    assert_eq!((read.name.as_str(), read.version.as_str()), ("a", ""));
    assert_eq!(read.init_timeout, Duration::from_secs(5));
    assert!(
        !read.ignore_errors
            && read.settings.is_empty()
            && read.scopes.is_empty()
            && read.secret_store.is_none()
    );
}

#[test]
fn anchors_and_merge_keys_work() {
    let read = component(
        "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: { name: a, labels: &host { name: redisHost, value: a:1 } }
spec:
  type: state.redis
  metadata:
  - *host
  - { <<: *host, name: other }
  - { name: third, <<: [{ value: first }, { value: second }] }
",
    );
    assert_eq!(["redisHost", "other", "third"].map(|name| text(&read, name)), ["a:1", "a:1", "first"]);
}

#[test]
fn of_a_key_that_stands_twice_the_last_counts() {
    let loaded = load_files(&[(
        "a.yaml",
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: a, name: b }\nspec: { type: bindings.cron }\n",
    )]);
    assert_eq!(loaded.resources.components[0].name, "b");
    assert!(loaded.faults.is_empty() && said(&loaded).contains("`name` stands twice"));
}

#[test]
fn subscriptions_are_read_in_both_versions() {
    let loaded = load_good(
        "
apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: { name: inventory }
spec:
  pubsubname: pubsub
  topic: inventory
  routes:
    rules:
      - match: event.type == \"widget\"
        path: /widgets
    default: /products
  deadLetterTopic: poisoned
  metadata: { rawPayload: true, maxLen: 10 }
  bulkSubscribe: { enabled: true, maxMessagesCount: 100, maxAwaitDurationMs: 40 }
scopes: [shop]
---
apiVersion: dapr.io/v1alpha1
kind: Subscription
metadata: { name: plain }
spec: { topic: t, route: /t, pubsubname: pubsub }
",
    );
    let rule = |condition: Option<&str>, path: &str| Rule {
        condition: condition.map(str::to_owned),
        path: path.to_owned(),
    };
    let rich = Subscription {
        name: "inventory".to_owned(),
        namespace: None,
        pubsub: "pubsub".to_owned(),
        topic: "inventory".to_owned(),
        rules: vec![rule(Some("event.type == \"widget\""), "/widgets"), rule(None, "/products")],
        dead_letter_topic: Some("poisoned".to_owned()),
        metadata: BTreeMap::from(
            [("maxLen", "10"), ("rawPayload", "true")].map(|(k, v)| (k.to_owned(), v.to_owned())),
        ),
        bulk: Bulk { enabled: true, messages_max: Some(100), wait_max: Some(Duration::from_millis(40)) },
        scopes: list(&["shop"]),
        origin: "good.yaml:2".to_owned(),
    };
    let plain = Subscription {
        name: "plain".to_owned(),
        topic: "t".to_owned(),
        rules: vec![rule(None, "/t")],
        dead_letter_topic: None,
        metadata: BTreeMap::new(),
        bulk: Bulk::default(),
        scopes: Vec::new(),
        origin: "good.yaml:18".to_owned(),
        ..rich.clone()
    };
    assert_eq!(loaded.resources.subscriptions, [rich, plain]);
}

#[test]
fn an_external_service_is_what_its_file_says() {
    let loaded = load_good(
        "
apiVersion: dapr.io/v1alpha1
kind: HTTPEndpoint
metadata: { name: github }
spec:
  baseUrl: https://api.github.com
  headers:
  - { name: Accept-Language, value: en-US }
  - { name: Authorization, secretKeyRef: { name: token } }
  clientTLS:
    rootCA: { secretKeyRef: { name: tls, key: ca.crt } }
    certificate: { value: PEM }
    renegotiation: OnceAsClient
scopes: [shop]
auth: { secretStore: vault }
",
    );
    let secret = |name: &str, key: &str| SettingValue::Secret { name: name.to_owned(), key: key.to_owned() };
    let expected = HttpEndpoint {
        name: "github".to_owned(),
        namespace: None,
        base_url: "https://api.github.com".to_owned(),
        headers: vec![
            plain("Accept-Language", "en-US"),
            Setting { name: "Authorization".to_owned(), value: secret("token", "token") },
        ],
        tls: Some(Tls {
            root_ca: Some(secret("tls", "ca.crt")),
            certificate: Some(SettingValue::Text("PEM".to_owned())),
            private_key: None,
            renegotiation: Renegotiation::Once,
        }),
        secret_store: Some("vault".to_owned()),
        scopes: list(&["shop"]),
        origin: "good.yaml:2".to_owned(),
    };
    assert_eq!(loaded.resources.http_endpoints, [expected]);
}

#[test]
fn resources_without_content_are_taken_with_a_warning() {
    for kind in ["Resiliency", "Configuration"] {
        let loaded = load_files(&[("a.yaml", &format!("apiVersion: dapr.io/v1alpha1\nkind: {kind}\n"))]);
        assert_eq!((loaded.faults.len(), loaded.warnings.len()), (0, 1), "{kind}");
    }
}
