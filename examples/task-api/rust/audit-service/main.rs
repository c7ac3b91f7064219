//! The audit service: writes down every event of the topic, once, in the order it comes, in a file that only grows. An event
//! is acknowledged when its line is on the disk: what cannot be written is delivered again.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use task_api::events::{self, Envelope};
use task_api::lines::Lines;
use task_api::{serve, setting};

struct Audit {
    lines: Lines,
    /// Deliveries that this process has had.
    delivered: AtomicU64,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let path = setting("AUDIT_FILE", "../data/audit.jsonl");
    let lines = Lines::open(path, |line| line["event_id"].as_str().unwrap_or_default())?;
    let audit = Arc::new(Audit { lines, delivered: AtomicU64::new(0) });
    let router = Router::new()
        .route("/dapr/subscribe", get(events::subscriptions))
        .route("/events/tasks", post(happened))
        .route("/audit", get(shown))
        .route("/health", get(events::health));
    serve(router.with_state(audit)).await
}

async fn happened(
    State(audit): State<Arc<Audit>>,
    Json(envelope): Json<Envelope>,
) -> Result<Json<Value>, (StatusCode, String)> {
    audit.delivered.fetch_add(1, Ordering::Relaxed);
    let failed = |error: &dyn std::fmt::Display| (StatusCode::INTERNAL_SERVER_ERROR, error.to_string());
    let line = serde_json::to_value(&envelope.data).map_err(|error| failed(&error))?;
    audit.lines.add(&envelope.data.event_id, &line).map_err(|error| failed(&error))?;
    Ok(events::taken())
}

/// How many events were written, ever, and how many deliveries this process has had.
async fn shown(State(audit): State<Arc<Audit>>) -> Json<Value> {
    Json(json!({ "events": audit.lines.count(), "delivered": audit.delivered.load(Ordering::Relaxed) }))
}
