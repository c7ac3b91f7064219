//! Health and shutdown.

use http::StatusCode;
use mainstay_dapr::{Fault, Grpc};
use serde_json::{Value, json};

use crate::answer;
use crate::call::{Call, Result};
use crate::routes::{GET, OURS, Route, STABLE};
use crate::surface::Phase;

pub(crate) const ROUTES: &[Route] = &[
    Route { methods: GET, path: "ready", versions: OURS, open: true, handler: |call| Box::pin(ready(call)) },
    Route {
        methods: GET,
        path: "healthz",
        versions: STABLE,
        open: true,
        handler: |call| Box::pin(health(call)),
    },
    Route {
        methods: GET,
        path: "healthz/outbound",
        versions: STABLE,
        open: true,
        handler: |call| Box::pin(outbound(call)),
    },
    Route {
        methods: &[http::Method::POST],
        path: "shutdown",
        versions: STABLE,
        open: false,
        handler: |call| Box::pin(shutdown(call)),
    },
];

/// The codes of answers before the start is over: of the whole, and of what the app can call.
pub(crate) const NOT_READY: [&str; 2] = ["ERR_HEALTH_NOT_READY", "ERR_OUTBOUND_HEALTH_NOT_READY"];

/// Whether everything is up, the app included.
async fn health(call: Call) -> Result {
    if let Some(asked) = call.query("appid").filter(|asked| asked != call.app()) {
        let message = format!("dapr app-id does not match: this is not {asked}");
        return Err(Fault::new(500, Grpc::Internal, "ERR_HEALTH_APPID_NOT_MATCH", message));
    }
    reached(&call, Phase::Ready, NOT_READY[0], "dapr is not ready")
}

/// Whether the app can call us.
async fn outbound(call: Call) -> Result {
    reached(&call, Phase::Outbound, NOT_READY[1], "dapr outbound is not ready")
}

/// Whether every component answers, and which does not and why. Ours: the protocol's own health says nothing of
/// backends.
async fn ready(call: Call) -> Result {
    let asked = mainstay_blocks::ready::ready(call.blocks()).await;
    let is_up = call.shared.is_at_least(Phase::Ready);
    let all = is_up && asked.iter().all(|one| one.failure.is_none());
    let components: Vec<Value> = asked
        .iter()
        .map(|one| match &one.failure {
            None => json!({"name": one.name, "type": one.kind, "status": "up"}),
            Some(error) => json!({
                "name": one.name,
                "type": one.kind,
                "status": "down",
                "error": {"code": error.code().id, "message": error.message()},
            }),
        })
        .collect();
    let word = match (all, is_up) {
        (true, _) => "ready",
        (false, true) => "degraded",
        (false, false) => "not_ready",
    };
    let mut answer = answer::json(&json!({"status": word, "components": components}));
    if !all {
        *answer.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    Ok(answer)
}

fn reached(call: &Call, phase: Phase, code: &'static str, message: &str) -> Result {
    if call.shared.is_at_least(phase) {
        return Ok(answer::empty());
    }
    Err(Fault::new(500, Grpc::Internal, code, message))
}

async fn shutdown(call: Call) -> Result {
    let force = call.header("dapr-force-shutdown").is_some_and(|text| text.eq_ignore_ascii_case("true"));
    (call.shared.shutdown)(force);
    Ok(answer::empty())
}
