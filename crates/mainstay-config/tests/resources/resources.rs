//! Good files and what they mean.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_config::resources::policies;
use mainstay_core::component::{Component, Setting, SettingValue};
use mainstay_core::http_endpoint::{HttpEndpoint, Renegotiation, Tls};
use mainstay_core::resiliency::{
    ActorTarget, AppTarget, Backoff, Breaker, BreakerScope, BuiltIn, ComponentTarget, Direction, PolicyNames,
    Retry,
};
use mainstay_core::runtime_config::{
    AccessControl, AccessPolicy, Action, ApiRule, CallLog, Exporter, Handler, NameResolution, Operation,
    RuntimeConfig, SecretScope,
};
use mainstay_core::subscription::{Bulk, Rule, Subscription};

use crate::fakes::{component, load_files, load_good, said, text};

fn plain(name: &str, value: &str) -> Setting {
    Setting { name: name.to_owned(), value: SettingValue::Text(value.to_owned()) }
}

fn list(items: &[&str]) -> Vec<String> {
    items.iter().map(|item| (*item).to_owned()).collect()
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

const RESILIENCY: &str = "
apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata: { name: resiliency }
scopes: [shop]
spec:
  policies:
    timeouts: { general: 5s, short: 250, DefaultAppTimeoutPolicy: 2s }
    retries:
      again: { policy: constant, duration: 100, maxRetries: 10, matching: { httpStatusCodes: '429,501-503', gRPCStatusCodes: 14 } }
      longer: { policy: Exponential, maxInterval: 15s, maxRetries: -1 }
      bare: {}
      DaprBuiltInServiceRetries: { duration: 2s, maxRetries: 1 }
      DaprBuiltInActorNotFoundRetries: { maxRetries: 100 }
    circuitBreakers:
      simple: { maxRequests: 2, interval: 8s, timeout: 45s, trip: consecutiveFailures > 8 }
      bare:
  targets:
    apps: { checkout: { timeout: general, retry: again, circuitBreaker: simple } }
    actors: { cart: { retry: longer, circuitBreaker: simple, circuitBreakerScope: both, circuitBreakerCacheSize: 7 } }
    components: { orders: { outbound: { retry: DaprBuiltInActorRetries }, inbound: { circuitBreaker: bare } } }
";

fn names(timeout: Option<&str>, retry: Option<&str>, breaker: Option<&str>) -> PolicyNames {
    let owned = |name: Option<&str>| name.map(str::to_owned);
    PolicyNames { timeout: owned(timeout), retry: owned(retry), breaker: owned(breaker) }
}

#[test]
fn policies_and_targets_are_what_the_file_says() {
    let loaded = load_good(RESILIENCY);
    let [document] = loaded.resources.resiliencies.as_slice() else { panic!("one document") };
    let named = &document.policies;
    assert_eq!(named.timeouts["short"], Duration::from_millis(250));
    let constant = |wait, retries_max| Retry {
        backoff: Backoff::Constant(wait),
        retries_max,
        statuses: None,
        codes: None,
    };
    let again = Retry {
        statuses: Some(vec![(429, 429), (501, 503)]),
        codes: Some(vec![(14, 14)]),
        ..constant(Duration::from_millis(100), Some(10))
    };
    assert_eq!(named.retries["again"], again);
    assert_eq!(named.retries["bare"], constant(Duration::from_secs(5), None));
    let Backoff::Exponential { initial, wait_max, .. } = named.retries["longer"].backoff else {
        panic!("exponential")
    };
    assert_eq!((initial, wait_max), (Duration::from_millis(500), Duration::from_secs(15)));
    let breaker = |requests_max, interval, timeout, trip: Option<&str>| Breaker {
        requests_max,
        interval: Duration::from_secs(interval),
        timeout: Duration::from_secs(timeout),
        trip: trip.map(str::to_owned),
    };
    assert_eq!(named.breakers["simple"], breaker(2, 8, 45, Some("consecutiveFailures > 8")));
    assert_eq!(named.breakers["bare"], breaker(1, 0, 60, None));
    let targets = &document.targets;
    let app =
        AppTarget { policies: names(Some("general"), Some("again"), Some("simple")), breakers_max: 100 };
    assert_eq!(targets.apps["checkout"], app);
    let actor = ActorTarget {
        policies: names(None, Some("longer"), Some("simple")),
        breaker_scope: BreakerScope::Both,
        breakers_max: 7,
    };
    assert_eq!(targets.actors["cart"], actor);
    let component = ComponentTarget {
        inbound: names(None, None, Some("bare")),
        outbound: names(None, Some("DaprBuiltInActorRetries"), None),
    };
    assert_eq!(targets.components["orders"], component);
}

#[test]
fn policies_of_an_app_are_what_is_built_in_and_its_documents_over_it() {
    let resources = load_good(RESILIENCY).resources;
    let shop = policies(&resources.resiliencies, "shop");
    let retries = |of: BuiltIn| (shop.built_in[&of].backoff, shop.built_in[&of].retries_max);
    let second = Duration::from_secs(1);
    assert_eq!(
        retries(BuiltIn::Invocation),
        (Backoff::Constant(2 * second), Some(3)),
        "never fewer than three"
    );
    assert_eq!(retries(BuiltIn::ActorPlace), (Backoff::Constant(second), Some(5)), "not to be changed");
    assert_eq!(retries(BuiltIn::Actor), (Backoff::Constant(second), Some(3)));
    assert_eq!(shop.built_in[&BuiltIn::Start].retries_max, Some(3));
    assert_eq!(shop.built_in[&BuiltIn::Reminder].retries_max, None);
    assert_eq!(shop.for_app("other").timeout, Some(2 * second));
    assert_eq!(shop.for_app("checkout").breaker.map(|(name, _)| name), Some("simple"));
    let outbound = shop.for_component("orders", "Statestore", Direction::Outbound);
    assert_eq!(outbound.retry, Some(&shop.built_in[&BuiltIn::Actor]));

    let audit = policies(&resources.resiliencies, "audit");
    assert_eq!(audit.built_in[&BuiltIn::Invocation].backoff, Backoff::Constant(second), "out of scope");
    assert!(audit.targets.apps.is_empty() && audit.for_app("other").timeout.is_none());
}

const CONFIGURATION: &str = r#"
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: config, namespace: default }
spec:
  features: [{ name: ActorStateTTL, enabled: true }, { name: HotReload, enabled: false }]
  tracing:
    samplingRate: 1
    stdout: ${TRACING}
    zipkin: { endpointAddress: "http://localhost:9411/api/v2/spans" }
    otel: { endpointAddress: "$COLLECTOR", isSecure: false, protocol: grpc, timeout: 5000, headers: "a=b" }
  metric: { enabled: false, recordErrorCodes: true }
  metrics: { enabled: true, http: { increasedCardinality: true, pathMatching: ["/orders/{id}"] }, latencyDistributionBuckets: [1, 5] }
  secrets: { scopes: [{ storeName: vault, defaultAccess: Deny, allowedSecrets: [a] }] }
  accessControl:
    defaultAction: deny
    trustDomain: public
    policies:
    - { appId: shop, trustDomain: public, namespace: default, operations: [{ name: "/op/*", httpVerb: [get], action: allow }] }
  api: { allowed: [{ name: state, version: v1.0, protocol: HTTP }], denied: [{ name: actors, version: v1.0, protocol: grpc }] }
  components: { deny: [bindings.smtp, state.in-memory/v1] }
  httpPipeline: { handlers: [{ name: auth, type: middleware.http.bearer }] }
  appHttpPipeline: { handlers: [{ name: up, type: middleware.http.uppercase, version: v1 }] }
  logging: { apiLogging: { enabled: true, omitHealthChecks: true } }
  nameResolution: { component: sqlite, version: v1, configuration: { connectionString: x } }
"#;

fn exporter(kind: &str, endpoint: &str) -> Exporter {
    Exporter {
        kind: kind.to_owned(),
        endpoint: endpoint.to_owned(),
        protocol: None,
        secure: false,
        headers: None,
        timeout: None,
    }
}

#[test]
fn the_runtimes_configuration_is_what_its_file_says() {
    let read = load_good(CONFIGURATION).resources.runtime;
    let rule = |name: &str, protocol: &str| ApiRule {
        name: name.to_owned(),
        version: "v1.0".to_owned(),
        protocol: protocol.to_owned(),
    };
    let handler = |name: &str, kind: &str, version: &str| Handler {
        name: name.to_owned(),
        kind: kind.to_owned(),
        version: version.to_owned(),
    };
    let mut expected = RuntimeConfig {
        features: BTreeMap::from([("ActorStateTTL".to_owned(), true), ("HotReload".to_owned(), false)]),
        access: Some(AccessControl {
            default: Action::Deny,
            trust_domain: "public".to_owned(),
            policies: vec![AccessPolicy {
                app: "shop".to_owned(),
                default: None,
                trust_domain: "public".to_owned(),
                namespace: "default".to_owned(),
                operations: vec![Operation {
                    path: "/op/*".to_owned(),
                    methods: list(&["GET"]),
                    action: Action::Allow,
                }],
            }],
        }),
        api_allowed: vec![rule("state", "http")],
        api_denied: vec![rule("actors", "grpc")],
        denied_types: list(&["bindings.smtp", "state.in-memory/v1"]),
        inbound: vec![handler("auth", "middleware.http.bearer", "")],
        toward_app: vec![handler("up", "middleware.http.uppercase", "v1")],
        call_log: CallLog { enabled: true, obfuscated: false, without_health: true },
        name_resolution: Some(NameResolution {
            kind: "sqlite".to_owned(),
            version: "v1".to_owned(),
            settings: serde_json::json!({ "connectionString": "x" }),
        }),
        ..RuntimeConfig::default()
    };
    let scope = SecretScope { denied_by_default: true, allowed: list(&["a"]), denied: Vec::new() };
    expected.secrets.insert("vault".to_owned(), scope);
    (expected.metrics.error_codes, expected.metrics.by_path) = (true, true);
    expected.metrics.paths = list(&["/orders/{id}"]);
    expected.metrics.latency_buckets_ms = vec![1, 5];
    (expected.tracing.sampling_rate, expected.tracing.stdout) = (Some(1.0), true);
    expected.tracing.exporters = vec![
        exporter("zipkin", "http://localhost:9411/api/v2/spans"),
        Exporter {
            protocol: Some("grpc".to_owned()),
            headers: Some(mainstay_core::Redacted::new("a=b".to_owned())),
            timeout: Some(Duration::from_secs(5)),
            ..exporter("otel", "collector:4317")
        },
    ];
    assert_eq!(read, expected);
}

#[test]
fn later_configurations_are_laid_over_earlier_ones() {
    let more = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: { name: more }\n\
                spec: { tracing: { samplingRate: '0.5' }, components: { deny: [] } }\n";
    let loaded = load_files(&[("a.yaml", CONFIGURATION), ("b.yaml", more)]);
    assert_eq!(said(&loaded), "");
    let read = loaded.resources.runtime;
    assert_eq!((read.tracing.sampling_rate, read.tracing.stdout), (Some(0.5), true));
    assert!(read.denied_types.is_empty() && read.access.is_some());
}
