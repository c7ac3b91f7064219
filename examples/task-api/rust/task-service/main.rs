//! The task service: create, read, change and delete tasks, and tell what happened on a topic. It knows its sidecar and nothing
//! else of the outside: where tasks and events go is said by component files.

mod store;
mod task;

use std::sync::Arc;

use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::{get, post, put};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::Value;
use task_api::events::{self, Envelope};
use task_api::sidecar::{Failure, Sidecar};
use task_api::{serve, setting};

use store::{Refused, Store, refuse};
use task::{Draft, Status, Task};

/// The service, and what it needs to tell the notification service.
struct Service {
    store: Store,
    sidecar: Sidecar,
    notifications: String,
    token: String,
}

type Shared = State<Arc<Service>>;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let sidecar = Sidecar::connect().await?;
    let token = sidecar.secret(&setting("SECRETS", "secrets"), "notification-token").await?;
    let (store, notifications) = (Store::new(sidecar.clone()), setting("NOTIFICATIONS", "notification-service"));
    let router = Router::new()
        .route("/tasks", post(create))
        .route("/tasks/{id}", get(show).put(change).delete(delete))
        .route("/tasks/{id}/status", put(set_status))
        .route("/dapr/subscribe", get(events::subscriptions))
        .route("/events/tasks", post(happened))
        .route("/health", get(events::health));
    let service = Service { store, sidecar, notifications, token };
    Ok(serve(router.with_state(Arc::new(service))).await?)
}

async fn create(
    State(service): Shared,
    headers: HeaderMap,
    draft: Json<Value>,
) -> Result<(StatusCode, Json<Task>), Refused> {
    let task = Task::new(draft_of(draft)?);
    service.store.commit(&task, "task.created", correlation(&headers), None).await?;
    Ok((StatusCode::CREATED, Json(task)))
}

async fn show(State(service): Shared, Path(id): Path<String>) -> Result<impl IntoResponse, Refused> {
    let found = service.store.read(&id).await?;
    Ok(([(header::ETAG, format!("\"{}\"", found.etag))], Json(found.value)))
}

async fn change(
    State(service): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    draft: Json<Value>,
) -> Result<Json<Task>, Refused> {
    let draft = draft_of(draft)?;
    let found = service.store.read_for_change(&id, if_match(&headers)).await?;
    let task = found.value.with(draft);
    service.store.commit(&task, "task.updated", correlation(&headers), Some(&found.etag)).await?;
    Ok(Json(task))
}

#[derive(Deserialize)]
struct Wanted {
    status: Status,
}

/// One change, one event: completing publishes `task.completed` and no `task.updated`; a status that the task has already
/// changes nothing and publishes nothing, so a task is completed once however often it is said.
async fn set_status(
    State(service): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
    wanted: Result<Query<Wanted>, axum::extract::rejection::QueryRejection>,
) -> Result<Json<Task>, Refused> {
    let Query(Wanted { status }) =
        wanted.map_err(|error| refuse(StatusCode::UNPROCESSABLE_ENTITY, error.body_text()))?;
    let found = service.store.read_for_change(&id, if_match(&headers)).await?;
    if found.value.status == status {
        return Ok(Json(found.value));
    }
    let task = found.value.at(status);
    let kind = if status == Status::Completed { "task.completed" } else { "task.updated" };
    service.store.commit(&task, kind, correlation(&headers), Some(&found.etag)).await?;
    Ok(Json(task))
}

async fn delete(
    State(service): Shared,
    Path(id): Path<String>,
    headers: HeaderMap,
) -> Result<StatusCode, Refused> {
    let found = service.store.read_for_change(&id, if_match(&headers)).await?;
    service.store.delete(&id, &found.etag).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Tells the notification service of every task that is completed. What it does not take is delivered again.
async fn happened(State(service): Shared, Json(envelope): Json<Envelope>) -> Json<Value> {
    if envelope.data.event_type != "task.completed" {
        return events::taken();
    }
    let event = serde_json::to_value(&envelope.data).unwrap_or_default();
    let token = ("x-notification-token", service.token.as_str());
    match service.sidecar.invoke(&service.notifications, "notify", &event, token).await {
        Ok(()) => events::taken(),
        Err(error) => {
            eprintln!("the notification service was not told: {error}");
            events::again()
        }
    }
}

fn draft_of(Json(draft): Json<Value>) -> Result<Draft, Refused> {
    let draft: Result<Draft, _> = serde_json::from_value(draft);
    let draft = draft.map_err(|error| error.to_string()).and_then(Draft::checked);
    draft.map_err(|why| refuse(StatusCode::UNPROCESSABLE_ENTITY, why))
}

fn if_match(headers: &HeaderMap) -> Option<&str> {
    headers.get(header::IF_MATCH)?.to_str().ok().map(|etag| etag.trim_matches('"'))
}

fn correlation(headers: &HeaderMap) -> Option<String> {
    headers.get("x-correlation-id")?.to_str().ok().map(str::to_owned)
}
