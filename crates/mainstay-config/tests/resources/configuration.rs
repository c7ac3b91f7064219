//! The runtime's own configuration.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::runtime_config::{
    AccessControl, AccessPolicy, Action, ApiRule, CallLog, Exporter, Handler, NameResolution, Operation,
    RuntimeConfig, SecretScope,
};

use crate::fakes::{list, load_files, said};

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
    let read = load_files(&[("a.yaml", CONFIGURATION)]).resources.runtime;
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
    assert!(loaded.faults.is_empty(), "{}", said(&loaded));
    let read = loaded.resources.runtime;
    assert_eq!((read.tracing.sampling_rate, read.tracing.stdout), (Some(0.5), true));
    assert!(read.denied_types.is_empty() && read.access.is_some());
}

#[test]
fn what_is_taken_and_has_no_effect_is_a_warning() {
    let loaded = load_files(&[("a.yaml", CONFIGURATION)]);
    assert!(loaded.faults.is_empty());
    let said = said(&loaded);
    let idle = |key: &str| format!("`spec.{key}` has no effect here");
    let keys =
        ["metric.recordErrorCodes", "metrics.http", "metrics.latencyDistributionBuckets", "nameResolution"];
    for key in keys {
        assert!(said.contains(&idle(key)), "{key}: {said}");
    }
    assert_eq!(said.matches("has no effect here").count(), keys.len(), "{said}");
}
