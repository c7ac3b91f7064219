//! What happened to a task, as it is said on the topic.

use axum::Json;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::setting;

/// An event: what the envelope's `data` is.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Event {
    /// Its own id: who has seen it needs not look again.
    pub event_id: String,
    /// `task.created`, `task.updated` or `task.completed`.
    pub event_type: String,
    /// When, as RFC 3339 has it.
    pub occurred_at: String,
    /// The task.
    pub data: Value,
    /// Correlation and source.
    pub metadata: Value,
}

/// What the sidecar delivers.
#[derive(Debug, Deserialize)]
pub struct Envelope {
    /// The event.
    pub data: Event,
}

/// The answer to the sidecar's question what this app subscribes to.
pub async fn subscriptions() -> Json<Value> {
    let (pubsub, topic) = (setting("PUBSUB", "pubsub"), setting("TOPIC", "task-events"));
    Json(json!([{ "pubsubname": pubsub, "topic": topic, "route": "/events/tasks" }]))
}

/// The answer to a message that was taken.
#[must_use]
pub fn taken() -> Json<Value> {
    Json(json!({ "status": "SUCCESS" }))
}

/// The answer to a message that is to come again.
#[must_use]
pub fn again() -> Json<Value> {
    Json(json!({ "status": "RETRY" }))
}

/// The answer to who asks whether the service is well.
pub async fn health() -> Json<Value> {
    Json(json!({ "status": "ok" }))
}
