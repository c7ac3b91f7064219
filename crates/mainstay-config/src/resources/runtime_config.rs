//! The runtime's own configuration. Of several documents each is laid over those before: what it gives counts, lists
//! whole.

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::runtime_config::{
    AccessControl, AccessPolicy, Action, ApiRule, Exporter, Handler, MetricRule, Metrics, NameResolution,
    Operation, RuntimeConfig, SecretScope, Tracing,
};
use mainstay_core::{Redacted, codes};

use super::section::Section;
use crate::diagnostic::short;

/// What may be meant by a key without an effect.
const NO_MTLS: &str = "certificates between runtimes are not made here";
const NO_SANDBOX: &str = "there is no such component here";
const NO_RESOLUTION: &str =
    "apps on this host find each other by themselves, others are named by an `HTTPEndpoint`";
const NO_METRIC: &str = "of the settings of metrics, `enabled` counts";
const NO_WORKFLOW: &str = "limits of workflows are not taken from here";

/// Reads a document over what others said.
pub(super) fn read(document: &Section<'_, '_>, spec: Option<Section<'_, '_>>, config: &mut RuntimeConfig) {
    let Some(mut spec) = spec else {
        super::empty_spec(document);
        return;
    };
    for mut feature in spec.sections("features", None) {
        let (name, enabled) = (feature.text("name"), feature.flag("enabled"));
        feature.finish();
        config.features.extend(name.map(|said| (said.value, enabled.unwrap_or(false))));
    }
    if let Some(section) = spec.section("tracing") {
        tracing(section, &mut config.tracing);
    }
    // The older name first: the newer one counts.
    for key in ["metric", "metrics"] {
        if let Some(section) = spec.section(key) {
            metrics(section, &mut config.metrics);
        }
    }
    if let Some(mut section) = spec.section("secrets") {
        secrets(&mut section, &mut config.secrets);
        section.finish();
    }
    if let Some(section) = spec.section("accessControl") {
        config.access = access(section);
    }
    if let Some(mut section) = spec.section("api") {
        set_rules(&mut section, "allowed", &mut config.api_allowed);
        set_rules(&mut section, "denied", &mut config.api_denied);
        section.finish();
    }
    if let Some(mut section) = spec.section("components") {
        if section.entry("deny").is_some() {
            config.denied_types = section.texts("deny");
        }
        section.finish();
    }
    set_handlers(&mut spec, "httpPipeline", &mut config.inbound);
    set_handlers(&mut spec, "appHttpPipeline", &mut config.toward_app);
    if let Some(mut section) = spec.section("logging") {
        if let Some(mut calls) = section.section("apiLogging") {
            set(&mut config.call_log.enabled, calls.flag("enabled"));
            set(&mut config.call_log.obfuscated, calls.flag("obfuscateURLs"));
            set(&mut config.call_log.without_health, calls.flag("omitHealthChecks"));
            calls.finish();
        }
        section.finish();
    }
    if let Some(section) = spec.section("nameResolution") {
        config.name_resolution = Some(name_resolution(section));
    }
    spec.idle("nameResolution", NO_RESOLUTION);
    spec.idle("mtls", NO_MTLS);
    spec.idle("wasm", NO_SANDBOX);
    spec.idle("workflow", NO_WORKFLOW);
    spec.finish();
}

fn set<T>(place: &mut T, given: Option<T>) {
    if let Some(value) = given {
        *place = value;
    }
}

fn tracing(mut section: Section<'_, '_>, tracing: &mut Tracing) {
    if let Some(said) = section.text("samplingRate") {
        let rate = said.value.trim().parse::<f64>().ok().filter(|rate| rate.is_finite());
        if rate.is_none() {
            let message =
                format!("`spec.tracing.samplingRate` cannot be `{}`, and is ignored", short(&said.value));
            let help = "a share of requests from `0` to `1`, e.g. `\"0.1\"`".to_owned();
            section.warn(said.span, &codes::CONFIG_VALUE, message, Some(help));
        }
        tracing.sampling_rate = rate.map(|rate| rate.clamp(0.0, 1.0));
    }
    set(&mut tracing.stdout, section.flag("stdout"));
    let exporters = ["zipkin", "otel"].map(|kind| exporter(&mut section, kind));
    for exporter in exporters.into_iter().flatten() {
        tracing.exporters.retain(|other| other.kind != exporter.kind);
        tracing.exporters.push(exporter);
    }
    section.finish();
}

/// An exporter that has an address.
fn exporter(tracing: &mut Section<'_, '_>, kind: &'static str) -> Option<Exporter> {
    let mut section = tracing.section(kind)?;
    let endpoint = section.text("endpointAddress").map(|said| said.value);
    let mut exporter = Exporter {
        kind: kind.to_owned(),
        endpoint: endpoint.unwrap_or_default(),
        protocol: None,
        secure: false,
        headers: None,
        timeout: None,
    };
    if kind == "otel" {
        exporter.protocol = section.text("protocol").map(|said| said.value.to_lowercase());
        exporter.secure = section.flag("isSecure").unwrap_or(true);
        exporter.headers = section.text("headers").map(|said| {
            section.hide(said.span);
            Redacted::new(said.value)
        });
        // Milliseconds, without a unit.
        let timeout = section.integer("timeout").and_then(|said| u64::try_from(said.value).ok());
        exporter.timeout = timeout.filter(|ms| *ms > 0).map(Duration::from_millis);
    }
    section.finish();
    (!exporter.endpoint.is_empty()).then_some(exporter)
}

fn metrics(mut section: Section<'_, '_>, metrics: &mut Metrics) {
    set(&mut metrics.enabled, section.flag("enabled"));
    set(&mut metrics.error_codes, section.flag("recordErrorCodes"));
    if let Some(mut http) = section.section("http") {
        set(&mut metrics.by_path, http.flag("increasedCardinality"));
        set(&mut metrics.without_method, http.flag("excludeVerbs"));
        if http.entry("pathMatching").is_some() {
            metrics.paths = http.texts("pathMatching");
        }
        http.finish();
    }
    if section.entry("latencyDistributionBuckets").is_some() {
        let items = section.items("latencyDistributionBuckets", None);
        let each = items.into_iter().filter_map(|(path, node)| section.as_integer(node, &path));
        metrics.latency_buckets_ms = each.filter_map(|said| u64::try_from(said.value).ok()).collect();
    }
    if section.entry("rules").is_some() {
        metrics.rules = metric_rules(&mut section);
    }
    for key in ["recordErrorCodes", "http", "latencyDistributionBuckets", "rules"] {
        section.idle(key, NO_METRIC);
    }
    section.idle("workflow", "metrics of workflows have no switches here");
    section.finish();
}

fn metric_rules(section: &mut Section<'_, '_>) -> Vec<MetricRule> {
    let mut rules = Vec::new();
    for mut rule in section.sections("rules", None) {
        let metric = rule.text("name").map(|said| said.value).unwrap_or_default();
        for mut label in rule.sections("labels", None) {
            let name = label.text("name").map(|said| said.value).unwrap_or_default();
            let patterns = label.texts_by_name("regex").into_iter();
            let patterns = patterns.map(|(new, said)| (new.to_owned(), said.value)).collect();
            label.finish();
            rules.push(MetricRule { metric: metric.clone(), label: name, patterns });
        }
        rule.finish();
    }
    rules
}

fn secrets(section: &mut Section<'_, '_>, scopes: &mut BTreeMap<String, SecretScope>) {
    if section.entry("scopes").is_none() {
        return;
    }
    scopes.clear();
    for mut scope in section.sections("scopes", None) {
        let store = scope.text("storeName");
        let denied = scope.choice("defaultAccess", &[("allow", false), ("deny", true)]);
        let (allowed, refused) = (scope.texts("allowedSecrets"), scope.texts("deniedSecrets"));
        let scope_key = scope.key;
        scope.finish();
        let Some(store) = store else {
            let help = "`storeName`: the secret store that the scope is of".to_owned();
            let message = "this scope has no `storeName`, and is ignored".to_owned();
            section.warn(scope_key, &codes::CONFIG_MISSING_KEY, message, Some(help));
            continue;
        };
        if scopes.contains_key(&store.value) {
            let message = format!("`{}` has two scopes", short(&store.value));
            let help = "make one of them".to_owned();
            section.fault(store.span, &codes::CONFIG_VALUE, message, Some(help));
            continue;
        }
        let scope = SecretScope { denied_by_default: denied.unwrap_or(false), allowed, denied: refused };
        scopes.insert(store.value, scope);
    }
}

/// An action; what is none refuses.
fn action(section: &mut Section<'_, '_>, key: &'static str) -> Option<Action> {
    let said = section.text(key)?;
    if said.value.eq_ignore_ascii_case("allow") {
        return Some(Action::Allow);
    }
    if !said.value.eq_ignore_ascii_case("deny") {
        let message =
            format!("`{}` cannot be `{}`, and is taken for `deny`", section.path(key), short(&said.value));
        section.warn(
            said.span,
            &codes::CONFIG_VALUE,
            message,
            Some("it is one of `allow`, `deny`".to_owned()),
        );
    }
    Some(Action::Deny)
}

/// Who may call. Nothing at all is no access control; a list of policies, or a trust domain alone, lets in whom it
/// names and nobody else.
fn access(mut section: Section<'_, '_>) -> Option<AccessControl> {
    let default = action(&mut section, "defaultAction");
    let trust_domain = section.text("trustDomain").map(|said| said.value).unwrap_or_default();
    let has_list = section.entry("policies").is_some();
    let mut policies = Vec::new();
    for mut policy in section.sections("policies", None) {
        let app = policy.required_text("appId", "the caller that the policy is for");
        let default = action(&mut policy, "defaultAction");
        let trust_domain = policy.required_text("trustDomain", "the caller's trust domain, e.g. `public`");
        let namespace = policy.required_text("namespace", "the caller's namespace, e.g. `default`");
        let operations = policy.sections("operations", None).into_iter().map(operation).collect();
        policy.finish();
        let (Some(app), Some(trust_domain), Some(namespace)) = (app, trust_domain, namespace) else {
            continue;
        };
        policies.push(AccessPolicy {
            app: app.value,
            default,
            trust_domain: trust_domain.value,
            namespace: namespace.value,
            operations,
        });
    }
    section.finish();
    let is_empty = policies.is_empty();
    if default.is_none() && is_empty && trust_domain.is_empty() {
        return None;
    }
    let lets_in = has_list && is_empty;
    let default = default.unwrap_or(if lets_in { Action::Allow } else { Action::Deny });
    Some(AccessControl { default, trust_domain, policies })
}

fn operation(mut section: Section<'_, '_>) -> Operation {
    let path = section.text("name").map(|said| said.value).unwrap_or_default();
    let mut methods = section.texts("httpVerb");
    methods.iter_mut().for_each(|method| method.make_ascii_uppercase());
    let action = action(&mut section, "action");
    section.finish();
    let path = if path.starts_with('/') { path } else { format!("/{path}") };
    Operation { path, methods, action: action.unwrap_or(Action::Deny) }
}

fn set_rules(section: &mut Section<'_, '_>, key: &'static str, rules: &mut Vec<ApiRule>) {
    if section.entry(key).is_none() {
        return;
    }
    rules.clear();
    for mut rule in section.sections(key, None) {
        let name = rule.text("name").map(|said| said.value).unwrap_or_default();
        let version = rule.text("version").map(|said| said.value).unwrap_or_default();
        let protocol = rule.text("protocol").map(|said| said.value.to_lowercase()).unwrap_or_default();
        rule.finish();
        rules.push(ApiRule { name, version, protocol });
    }
}

fn set_handlers(spec: &mut Section<'_, '_>, key: &'static str, handlers: &mut Vec<Handler>) {
    let Some(mut section) = spec.section(key) else { return };
    if section.entry("handlers").is_some() {
        handlers.clear();
    }
    for mut handler in section.sections("handlers", None) {
        let name = handler.required_text("name", "the component that requests pass through");
        let kind = handler.required_text("type", "its type, e.g. `middleware.http.bearer`");
        let version = handler.text("version").map(|said| said.value).unwrap_or_default();
        handler.idle("selector", "requests pass through all of a pipeline");
        handler.finish();
        let named = name.zip(kind);
        handlers.extend(named.map(|(name, kind)| Handler { name: name.value, kind: kind.value, version }));
    }
    section.finish();
}

fn name_resolution(mut section: Section<'_, '_>) -> NameResolution {
    let kind = section.text("component").map(|said| said.value).unwrap_or_default();
    let version = section.text("version").map(|said| said.value).unwrap_or_default();
    let settings =
        section.entry("configuration").map_or(serde_json::Value::Null, |entry| entry.node.to_json());
    section.finish();
    NameResolution { kind, version, settings }
}
