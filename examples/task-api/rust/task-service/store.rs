//! Tasks in the state store, and in one with them what happened to them: the store's outbox publishes that.

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
}

impl Store {
    pub fn new(sidecar: Sidecar) -> Self {
        Self { sidecar, name: setting("STORE", "statestore") }
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

    /// Stores a task and what happened to it, in one transaction: both or neither. The second operation is never made: it is
    /// what the store's outbox publishes for the first, whose metadata are the envelope's. Errors: 409, 503.
    pub async fn commit(
        &self,
        task: &Task,
        kind: &str,
        correlation: Option<String>,
        etag: Option<&str>,
    ) -> Result<(), Refused> {
        let metadata = json!({ "type": kind, "partitionKey": task.task_id });
        let mut stored = json!({ "key": key(&task.task_id), "value": task, "metadata": metadata });
        if let Some(etag) = etag {
            stored["etag"] = etag.into();
        }
        let metadata = json!({ "outbox.projection": "true", "contentType": "application/json" });
        let event = task.event(kind, correlation);
        let told = json!({ "key": key(&task.task_id), "value": event, "metadata": metadata });
        let operations = [stored, told].map(|request| json!({ "operation": "upsert", "request": request }));
        self.transact(&task.task_id, operations.into(), etag).await
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
