//! What we are and what is open.

use http::Method;
use mainstay_blocks::pubsub::Sort;
use mainstay_core::subscription::{Rule, Subscription};
use mainstay_dapr::{About, Fault};
use serde_json::{Map, Value, json};

use crate::answer;
use crate::call::{Call, Result};
use crate::routes::{GET, Route, STABLE};

pub(crate) const ROUTES: &[Route] = &[
    Route {
        methods: GET,
        path: "metadata",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(get(call)),
    },
    Route {
        methods: &[Method::PUT],
        path: "metadata/{key}",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(set(call)),
    },
];

async fn get(call: Call) -> Result {
    let in_force = call.shared.in_force();
    let about = &in_force.rules.about;
    let component = |component: &mainstay_blocks::Summary| {
        json!({
            "name": component.name,
            "type": component.kind,
            "version": component.version,
            "capabilities": component.capabilities,
        })
    };
    let mut extended: Map<String, Value> =
        about.extended.iter().map(|(name, value)| (name.clone(), value.as_str().into())).collect();
    extended.insert(About::RUNTIME_VERSION.to_owned(), about.runtime_version.as_str().into());
    extended.extend(call.blocks().extended().await.into_iter().map(|(name, value)| (name, value.into())));
    let mut body = json!({
        "id": call.app(),
        "runtimeVersion": about.runtime_version,
        "enabledFeatures": about.features,
        "components": call.blocks().table().summaries.iter().map(component).collect::<Vec<_>>(),
        "extended": extended,
        "actorRuntime": {"runtimeStatus": "DISABLED", "hostReady": false, "placement": ""},
    });
    let subscriptions: Vec<Value> = call.blocks().subscriptions().iter().map(subscription).collect();
    if !subscriptions.is_empty() {
        body["subscriptions"] = subscriptions.into();
    }
    if !about.http_endpoints.is_empty() {
        body["httpEndpoints"] = about.http_endpoints.iter().map(|name| json!({"name": name})).collect();
    }
    if !about.resiliencies.is_empty() {
        body["resiliencies"] = about.resiliencies.iter().map(|name| json!({"name": name})).collect();
    }
    if let Some(connection) = &about.app_connection {
        body["appConnectionProperties"] = connection.json();
    }
    Ok(answer::json(&body))
}

fn subscription((subscription, sort): &(Subscription, Sort)) -> Value {
    let rule = |rule: &Rule| match &rule.condition {
        Some(condition) => json!({"match": condition, "path": rule.path}),
        None => json!({"path": rule.path}),
    };
    let mut body = json!({
        "pubsubname": subscription.pubsub,
        "topic": subscription.topic,
        "rules": subscription.rules.iter().map(rule).collect::<Vec<_>>(),
        "deadLetterTopic": subscription.dead_letter_topic.as_deref().unwrap_or_default(),
        "type": match sort {
            Sort::Declared => "DECLARATIVE",
            Sort::Asked => "PROGRAMMATIC",
            Sort::Streaming => "STREAMING",
        },
    });
    if !subscription.metadata.is_empty() {
        body["metadata"] = json!(subscription.metadata);
    }
    body
}

async fn set(call: Call) -> Result {
    let value = String::from_utf8_lossy(&call.body).into_owned();
    let kept = call.blocks().extend(call.param("key").to_owned(), value).await;
    kept.map_err(|error| Fault::malformed(error.message()))?;
    Ok(answer::empty())
}
