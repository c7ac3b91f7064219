//! Tasks in the state store, and what happened to them on the topic.

use axum::Json;
use axum::http::StatusCode;
use serde_json::{Value, json};
use task_api::setting;
use task_api::sidecar::{Sidecar, Versioned};

use crate::task::Task;

/// What a client is told instead of an answer.
pub type Refused = (StatusCode, Json<Value>);

pub fn refuse(status: StatusCode, why: impl Into<String>) -> Refused {
    (status, Json(json!({ "detail": why.into() })))
}

pub struct Store {
    sidecar: Sidecar,
    name: String,
    pubsub: String,
    topic: String,
    /// Whether the store publishes events itself, in one with the change (`outboxPublishTopic` in its component file).
    outbox: bool,
}

impl Store {
    pub fn new(sidecar: Sidecar) -> Self {
        Self {
            sidecar,
            name: setting("STORE", "statestore"),
            pubsub: setting("PUBSUB", "pubsub"),
            topic: setting("TOPIC", "task-events"),
            outbox: setting("OUTBOX", "false") == "true",
        }
    }

    /// A task and its etag. Errors: 404; 503 when the store cannot be reached.
    pub async fn read(&self, id: &str) -> Result<Versioned<Task>, Refused> {
        let found = self.sidecar.get(&self.name, &key(id)).await.map_err(unavailable)?;
        found.ok_or_else(|| refuse(StatusCode::NOT_FOUND, format!("there is no task {id}")))
    }

    /// The same, for a change that rests on the version the client has seen, if it says which. Errors: 404, 409.
    pub async fn read_for_change(&self, id: &str, if_match: Option<&str>) -> Result<Versioned<Task>, Refused> {
        let found = self.read(id).await?;
        if if_match.is_some_and(|etag| etag != found.etag) {
            return Err(refuse(StatusCode::CONFLICT, "somebody else has changed the task since you read it"));
        }
        Ok(found)
    }

    /// Stores a task and publishes what happened to it. With the outbox both or neither happens: the store publishes the
    /// projection. Without it a crash in between loses the event. Errors: 409, 503.
    pub async fn commit(
        &self,
        task: &Task,
        kind: &str,
        correlation: Option<String>,
        etag: Option<&str>,
    ) -> Result<(), Refused> {
        let event = serde_json::to_value(task.event(kind, correlation)).unwrap_or_default();
        let mut stored = json!({ "key": key(&task.task_id), "value": task });
        if let Some(etag) = etag {
            stored["etag"] = etag.into();
        }
        let mut operations = vec![json!({ "operation": "upsert", "request": stored })];
        if self.outbox {
            let metadata = json!({
                "outbox.projection": "true",
                "datacontenttype": "application/json",
                "cloudevent.type": kind,
                "partitionKey": task.task_id,
            });
            let projection = json!({ "key": key(&task.task_id), "value": event, "metadata": metadata });
            operations.push(json!({ "operation": "upsert", "request": projection }));
        }
        self.transact(&task.task_id, operations, etag).await?;
        if !self.outbox {
            let metadata = [("cloudevent.type", kind), ("partitionKey", task.task_id.as_str())];
            let published = self.sidecar.publish(&self.pubsub, &self.topic, &event, &metadata).await;
            published.map_err(unavailable)?;
        }
        Ok(())
    }

    pub async fn delete(&self, id: &str, etag: &str) -> Result<(), Refused> {
        let gone = json!({ "operation": "delete", "request": { "key": key(id), "etag": etag } });
        self.transact(id, vec![gone], Some(etag)).await
    }

    async fn transact(&self, id: &str, operations: Vec<Value>, etag: Option<&str>) -> Result<(), Refused> {
        let Err(error) = self.sidecar.transact(&self.name, operations).await else { return Ok(()) };
        // A transaction that fails does not say why; whether the task has moved on does.
        if let Some(etag) = etag
            && self.read(id).await?.etag != etag
        {
            return Err(refuse(StatusCode::CONFLICT, "somebody else has changed the task meanwhile"));
        }
        Err(unavailable(error))
    }
}

fn key(id: &str) -> String {
    format!("task-{id}")
}

fn unavailable(error: task_api::sidecar::Failure) -> Refused {
    eprintln!("the sidecar failed: {error}");
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the task could not be stored")
}
