//! What we are and what is open; and the end of it.

use std::collections::BTreeMap;

use mainstay_blocks::Summary;
use mainstay_blocks::pubsub::Sort;
use mainstay_core::subscription::{Rule, Subscription};
use mainstay_dapr::{About, AppConnection, Fault};
use mainstay_proto::runtime::v1 as wire;
use wire::actor_runtime::ActorRuntimeStatus;

use crate::call::{self, Call, Result};

/// Metadata: whether to end without waiting for anything.
const FORCE: &str = "dapr-force-shutdown";

pub(crate) async fn get(call: &Call, _: wire::GetMetadataRequest) -> Result<wire::GetMetadataResponse> {
    let rules = call.shared.rules();
    let about = &rules.about;
    let mut extended: BTreeMap<String, String> = about.extended.iter().cloned().collect();
    extended.insert(About::RUNTIME_VERSION.to_owned(), about.runtime_version.clone());
    extended.extend(call.blocks().extended().await);
    let actors =
        wire::ActorRuntime { runtime_status: ActorRuntimeStatus::Disabled.into(), ..Default::default() };
    Ok(wire::GetMetadataResponse {
        id: call.app().to_owned(),
        runtime_version: about.runtime_version.clone(),
        enabled_features: about.features.clone(),
        registered_components: call.blocks().table().summaries.iter().map(component).collect(),
        extended_metadata: extended,
        subscriptions: call.blocks().subscriptions().into_iter().map(subscription).collect(),
        http_endpoints: about
            .http_endpoints
            .iter()
            .map(|name| wire::MetadataHttpEndpoint { name: name.clone() })
            .collect(),
        resiliencies: about
            .resiliencies
            .iter()
            .map(|name| wire::MetadataResiliency { name: name.clone() })
            .collect(),
        actor_runtime: Some(actors),
        app_connection_properties: about.app_connection.as_ref().map(app_connection),
        ..Default::default()
    })
}

fn subscription((subscription, sort): (Subscription, Sort)) -> wire::PubsubSubscription {
    let rule = |rule: Rule| wire::PubsubSubscriptionRule {
        r#match: rule.condition.unwrap_or_default(),
        path: rule.path,
    };
    let sort = match sort {
        Sort::Declared => wire::PubsubSubscriptionType::Declarative,
        Sort::Asked => wire::PubsubSubscriptionType::Programmatic,
        Sort::Streaming => wire::PubsubSubscriptionType::Streaming,
    };
    wire::PubsubSubscription {
        pubsub_name: subscription.pubsub,
        topic: subscription.topic,
        metadata: subscription.metadata,
        rules: Some(wire::PubsubSubscriptionRules {
            rules: subscription.rules.into_iter().map(rule).collect(),
        }),
        dead_letter_topic: subscription.dead_letter_topic.unwrap_or_default(),
        r#type: sort.into(),
    }
}

fn component(summary: &Summary) -> wire::RegisteredComponents {
    wire::RegisteredComponents {
        name: summary.name.clone(),
        r#type: summary.kind.clone(),
        version: summary.version.clone(),
        capabilities: summary.capabilities.iter().map(|&word| word.to_owned()).collect(),
    }
}

fn app_connection(app: &AppConnection) -> wire::AppConnectionProperties {
    let health = app.health.as_ref().map(|health| wire::AppConnectionHealthProperties {
        health_check_path: health.path.clone(),
        health_probe_interval: health.interval.clone(),
        health_probe_timeout: health.timeout.clone(),
        health_threshold: health.threshold.try_into().unwrap_or(i32::MAX),
    });
    wire::AppConnectionProperties {
        port: app.port.into(),
        protocol: app.protocol.clone(),
        channel_address: app.channel_address.clone(),
        max_concurrency: app.concurrency_max.try_into().unwrap_or(i32::MAX),
        health,
    }
}

pub(crate) async fn set(call: &Call, asked: wire::SetMetadataRequest) -> Result<()> {
    // A value without a name is nobody's; the protocol lets it pass.
    if asked.key.is_empty() {
        return Ok(());
    }
    let kept = call.blocks().extend(asked.key, asked.value).await;
    kept.map_err(|error| call::failed(&Fault::malformed(error.message()), &error))
}

pub(crate) async fn shutdown(call: &Call, _: wire::ShutdownRequest) -> Result<()> {
    let words = call.metadata.get_all(FORCE);
    (call.shared.shutdown)(words.iter().any(|word| word.as_bytes().eq_ignore_ascii_case(b"true")));
    Ok(())
}
