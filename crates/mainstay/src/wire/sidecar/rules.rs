//! What files say of who may do what, as each surface takes it: at the start, and again with every reload.

use std::collections::BTreeMap;

use mainstay_blocks::access::Access;
use mainstay_core::resources::Resources;
use mainstay_core::runtime_config::RuntimeConfig;
use mainstay_dapr::{About, Apis};
use mainstay_sidecar::Target;

use super::app;
use crate::sidecar::flags::Options;

/// The wire format that is spoken.
pub(crate) const RUNTIME_VERSION: &str = "1.18.3";
/// The feature that turns reloading on and off, as a `Configuration` names it. On where nothing is said.
pub(crate) const HOT_RELOAD: &str = "HotReload";

/// The rules of both surfaces. What they say together is the same.
pub(super) fn of(
    options: &Options,
    resources: &Resources,
    endpoints: BTreeMap<String, Target>,
) -> (mainstay_sidecar::Rules, mainstay_grpc::Rules) {
    let runtime = &resources.runtime;
    let access = Access::new(runtime.access.clone());
    let trust_domain = runtime.access.as_ref().map(|access| access.trust_domain.clone()).unwrap_or_default();
    let apis = |protocol: &str| Apis::of(protocol, &runtime.api_allowed, &runtime.api_denied);
    let about = About {
        runtime_version: RUNTIME_VERSION.to_owned(),
        features: features(runtime),
        app_connection: options.app.as_ref().map(app::connection),
        http_endpoints: endpoints.keys().cloned().collect(),
        resiliencies: policies(options, resources),
        ..About::default()
    };
    let mut call_log = runtime.call_log;
    call_log.enabled = options.call_log.unwrap_or(call_log.enabled);
    let grpc = mainstay_grpc::Rules {
        access: access.clone(),
        trust_domain: trust_domain.clone(),
        apis: apis("grpc"),
        about: about.clone(),
        call_log,
    };
    (mainstay_sidecar::Rules { access, trust_domain, endpoints, apis: apis("http"), about, call_log }, grpc)
}

/// The documents of policies that are for this app, by name.
fn policies(options: &Options, resources: &Resources) -> Vec<String> {
    let is_for = |scopes: &[String]| scopes.is_empty() || scopes.contains(&options.app_id);
    let ours = resources.resiliencies.iter().filter(|one| is_for(&one.scopes) && !one.name.is_empty());
    ours.map(|one| one.name.clone()).collect()
}

/// The features that are on, by name.
fn features(runtime: &RuntimeConfig) -> Vec<String> {
    let named = runtime.features.iter().filter(|(_, on)| **on).map(|(name, _)| name.clone());
    let by_default = (!runtime.features.contains_key(HOT_RELOAD)).then(|| HOT_RELOAD.to_owned());
    let mut features: Vec<String> = named.chain(by_default).collect();
    features.sort_unstable();
    features
}

/// Whether something changed that holds from the next start on.
pub(super) fn waits_for_a_start(before: &RuntimeConfig, now: &RuntimeConfig) -> bool {
    let fixed = |runtime: &RuntimeConfig| {
        let RuntimeConfig { features, tracing, metrics, name_resolution, .. } = runtime.clone();
        (features, tracing, metrics, name_resolution)
    };
    fixed(before) != fixed(now)
}

#[cfg(test)]
mod tests {
    use mainstay_core::runtime_config::{AccessControl, ApiRule};

    use super::*;

    #[test]
    fn reloading_is_on_unless_a_file_turns_it_off() {
        let of = |named: &[(&str, bool)]| {
            let features = named.iter().map(|(name, on)| ((*name).to_owned(), *on)).collect();
            super::features(&RuntimeConfig { features, ..RuntimeConfig::default() })
        };
        assert_eq!(of(&[]), ["HotReload"]);
        assert_eq!(of(&[("HotReload", false), ("ActorStateTTL", true)]), ["ActorStateTTL"]);
        assert_eq!(of(&[("HotReload", true)]), ["HotReload"]);
    }

    #[test]
    fn what_protects_never_waits_for_a_start() {
        let rule =
            ApiRule { name: "state".to_owned(), version: "v1".to_owned(), protocol: "http".to_owned() };
        let now = RuntimeConfig {
            access: Some(AccessControl::default()),
            api_denied: vec![rule],
            denied_types: vec!["state.redis".to_owned()],
            ..RuntimeConfig::default()
        };
        assert!(!waits_for_a_start(&RuntimeConfig::default(), &now));
        let features = [("HotReload".to_owned(), false)].into();
        let other = RuntimeConfig { features, ..RuntimeConfig::default() };
        assert!(waits_for_a_start(&RuntimeConfig::default(), &other));
    }
}
