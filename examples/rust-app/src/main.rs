//! An agent as an axum app: it finds the sum in a question and works it out, one operation a step.
//!
//! It needs no model, so that it runs anywhere. The two endpoints are all that Mainstay asks of an app: `/invoke` answers
//! whole, `/stream` as server-sent events that end with `complete`.

mod reckon;

use std::convert::Infallible;

use axum::http::StatusCode;
use axum::response::sse::{Event, Sse};
use axum::routing::{get, post};
use axum::{Json, Router};
use futures_util::stream::{self, Stream};
use serde::{Deserialize, Serialize};
use serde_json::json;

use reckon::{Reckoning, reckon};

/// What Mainstay sends, as far as this app reads it.
#[derive(Deserialize)]
struct Question {
    query: String,
}

/// What Mainstay reads; `steps` becomes an event of the run.
#[derive(Serialize)]
struct Answer {
    answer: String,
    model: &'static str,
    finish_reason: &'static str,
    steps: Vec<String>,
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:8001".to_owned());
    let app = Router::new()
        .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/invoke", post(invoke))
        .route("/stream", post(stream));
    let listener = tokio::net::TcpListener::bind(&address).await?;
    println!("listening on {address}");
    axum::serve(listener, app).with_graceful_shutdown(asked_to_stop()).await
}

async fn invoke(Json(question): Json<Question>) -> Result<Json<Answer>, Refusal> {
    let Reckoning { steps, result } = work_out(&question)?;
    Ok(Json(Answer { answer: said(&result), model: "reckoner", finish_reason: "stop", steps }))
}

async fn stream(
    Json(question): Json<Question>,
) -> Result<Sse<impl Stream<Item = Result<Event, Infallible>>>, Refusal> {
    let Reckoning { steps, result } = work_out(&question)?;
    let mut events: Vec<Event> =
        steps.into_iter().map(|step| Event::default().event("step").data(json!({ "did": step }).to_string())).collect();
    events.push(Event::default().event("token").data(json!({ "token": said(&result) }).to_string()));
    let end = json!({ "model": "reckoner", "finish_reason": "stop" });
    events.push(Event::default().event("complete").data(end.to_string()));
    Ok(Sse::new(stream::iter(events.into_iter().map(Ok))))
}

/// A status and a `detail`, which Mainstay shows to the caller for 4xx.
type Refusal = (StatusCode, Json<serde_json::Value>);

fn work_out(question: &Question) -> Result<Reckoning, Refusal> {
    reckon(&question.query).map_err(|why| (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "detail": why }))))
}

fn said(result: &Option<f64>) -> String {
    match result {
        Some(number) => format!("That makes {number}."),
        None => "There is no sum in that. Ask e.g. \"What is 3 * (4 + 5)?\"".to_owned(),
    }
}

/// Mainstay asks with SIGTERM and gives time to finish what is open.
async fn asked_to_stop() {
    let terminate = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate());
    match terminate {
        Ok(mut signal) => _ = signal.recv().await,
        Err(error) => eprintln!("cannot listen for SIGTERM: {error}"),
    }
}
