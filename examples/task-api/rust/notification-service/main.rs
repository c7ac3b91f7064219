//! The notification service: takes notifications by invocation, and listens to what happens to tasks. A notification here is a
//! line in a file. Messages come at least once, so each is taken once by its event's id.

use std::sync::Arc;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use task_api::events::{self, Envelope, Event};
use task_api::lines::Lines;
use task_api::sidecar::{Failure, Sidecar};
use task_api::{serve, setting};

type Refused = (StatusCode, String);

struct Notifications {
    lines: Lines,
    token: String,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Failure> {
    let path = setting("NOTIFICATIONS_FILE", "../data/notifications.jsonl");
    let lines = Lines::open(path, |line| line["id"].as_str().unwrap_or_default())?;
    let token = Sidecar::connect().await?.secret(&setting("SECRETS", "secrets"), "notification-token").await?;
    let router = Router::new()
        .route("/notify", post(notify))
        .route("/dapr/subscribe", get(events::subscriptions))
        .route("/events/tasks", post(happened))
        .route("/health", get(events::health));
    Ok(serve(router.with_state(Arc::new(Notifications { lines, token }))).await?)
}

impl Notifications {
    fn add(&self, id: &str, way: &str, event: &Event) -> Result<bool, Refused> {
        let line = json!({ "id": id, "way": way, "event": event });
        self.lines.add(id, &line).map_err(|error| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()))
    }
}

async fn notify(
    State(notifications): State<Arc<Notifications>>,
    headers: HeaderMap,
    Json(event): Json<Event>,
) -> Result<Json<Value>, Refused> {
    if headers.get("x-notification-token").is_none_or(|token| token.as_bytes() != notifications.token.as_bytes()) {
        return Err((StatusCode::FORBIDDEN, "who are you?".to_owned()));
    }
    let new = notifications.add(&format!("notify {}", event.event_id), "invoked", &event)?;
    Ok(Json(json!({ "notified": new })))
}

async fn happened(
    State(notifications): State<Arc<Notifications>>,
    Json(envelope): Json<Envelope>,
) -> Result<Json<Value>, Refused> {
    notifications.add(&envelope.data.event_id, "subscribed", &envelope.data)?;
    Ok(events::taken())
}
