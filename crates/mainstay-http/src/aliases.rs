//! The short routes of the default agent, with the request, answer and error shapes of services that existed before.
//! Fields that they do not know are ignored, as those services do.

mod lines;

use http::Method;
use mainstay_core::clock::rfc3339;
use mainstay_core::run::Run;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::agents::{IDEMPOTENCY_KEY, STATUSES, session_id};
use crate::ask::{self, Begun, Bounds, Question};
use crate::call::Call;
use crate::error::{Result, Shape};
use crate::reply;
use crate::routes::{Class, Handler, Reply, Route, frame, of};
use crate::runs::view::latency_ms;
use crate::sse;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: Method::POST,
        path: "/v1/agent/infer",
        id: "infer",
        summary: "Ask the default agent: question, context, session",
        tag: "default agent",
        class: Class::Work,
        errors: Shape::Alias,
        params: &[IDEMPOTENCY_KEY],
        body: Some(of::<InferRequest>),
        replies: &[Reply {
            status: 200,
            about: "The answer",
            content: &[("application/json", of::<InferReply>)],
        }],
        statuses: STATUSES,
        handler: |call| Box::pin(infer(call)),
    },
    invoking("/v1/invoke", "invoke"),
    invoking("/invoke", "invokeUnversioned"),
    streaming("/v1/stream", "stream"),
    streaming("/stream", "streamUnversioned"),
];

const fn invoking(path: &'static str, id: &'static str) -> Route {
    const REPLIES: &[Reply] =
        &[Reply { status: 200, about: "The answer", content: &[("application/json", of::<ShortReply>)] }];
    short(path, id, "Ask the default agent and wait for the whole answer", REPLIES, |call| {
        Box::pin(invoke(call))
    })
}

const fn streaming(path: &'static str, id: &'static str) -> Route {
    const REPLIES: &[Reply] = &[Reply {
        status: 200,
        about: "Text as `data:` lines, then `data: [DONE]`; a failure is an `event: error` instead",
        content: &[("text/event-stream", frame)],
    }];
    short(path, id, "Ask the default agent and read the answer's text as it comes", REPLIES, |call| {
        Box::pin(stream(call))
    })
}

const fn short(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    replies: &'static [Reply],
    handler: Handler,
) -> Route {
    Route {
        method: Method::POST,
        path,
        id,
        summary,
        tag: "default agent",
        class: Class::Work,
        errors: Shape::Alias,
        params: &[IDEMPOTENCY_KEY],
        body: Some(of::<ShortRequest>),
        replies,
        statuses: STATUSES,
        handler,
    }
}

const INFER: Bounds = Bounds { query_chars_max: 4_096, context_chars_max: 8_192, max_tokens_max: 4_096 };
const SHORT: Bounds = Bounds { query_chars_max: 10_000, context_chars_max: 0, max_tokens_max: 4_096 };

async fn infer(mut call: Call) -> Result {
    let asked: InferRequest = call.json().await?;
    let question = Question {
        query: asked.query,
        context: asked.context.map_or(Value::Null, Value::String),
        session_id: asked.session_id,
        ..Question::default()
    };
    let run = whole(&call, question, INFER).await?;
    let body = InferReply {
        answer: run.answer.clone().unwrap_or_default(),
        model: run.model.clone().unwrap_or_default(),
        finish_reason: run.finish_reason.clone().unwrap_or_default(),
        session_id: run.session.as_ref().map(ToString::to_string),
    };
    Ok(marked(reply::json(&body), &run))
}

async fn invoke(mut call: Call) -> Result {
    let asked: ShortRequest = call.json().await?;
    let run = whole(&call, asked.into(), SHORT).await?;
    Ok(marked(reply::json(&ShortReply::new(&run)), &run))
}

async fn stream(mut call: Call) -> Result {
    let asked: ShortRequest = call.json().await?;
    let start = Question::from(asked).start(SHORT, true, call.headers())?;
    let handle = ask::begin(&call, &call.ctx, None, start).await?;
    let begun = Begun::from(&handle);
    let lines = lines::Lines::new(begun.run.clone(), call.request_id().clone());
    let frames = lines.of(handle.events());
    let mut response = sse::response(frames, &call.shared.telemetry, true);
    ask::announce(response.headers_mut(), &begun);
    Ok(response)
}

async fn whole(call: &Call, question: Question, bounds: Bounds) -> Result<Run> {
    let start = question.start(bounds, false, call.headers())?;
    let handle = ask::begin(call, &call.ctx, None, start).await?;
    ask::answer(call, handle).await
}

fn marked(mut response: reply::Response, run: &Run) -> reply::Response {
    ask::point_to(response.headers_mut(), &run.id, run.session.as_ref());
    response
}

/// A question, with context as text.
#[derive(Deserialize, JsonSchema)]
struct InferRequest {
    /// What is asked.
    #[schemars(length(min = 1, max = 4096))]
    query: String,
    /// Text beside the question.
    #[serde(default)]
    #[schemars(length(max = 8192))]
    context: Option<String>,
    /// The conversation to continue or to begin.
    #[serde(default)]
    #[schemars(schema_with = "session_id")]
    session_id: Option<String>,
}

/// An answer.
#[derive(Serialize, JsonSchema)]
struct InferReply {
    answer: String,
    model: String,
    finish_reason: String,
    session_id: Option<String>,
}

/// A question, with context as an object.
#[derive(Deserialize, JsonSchema)]
struct ShortRequest {
    /// What is asked.
    #[schemars(length(min = 1, max = 10000))]
    query: String,
    /// Context beside the question.
    #[serde(default)]
    context: Option<Map<String, Value>>,
    /// The conversation to continue or to begin.
    #[serde(default)]
    #[schemars(schema_with = "session_id")]
    session_id: Option<String>,
    /// Most tokens of output.
    #[serde(default)]
    #[schemars(range(min = 1, max = 4096))]
    max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f64>,
}

impl From<ShortRequest> for Question {
    fn from(asked: ShortRequest) -> Self {
        Self {
            query: asked.query,
            context: asked.context.map_or(Value::Null, Value::Object),
            session_id: asked.session_id,
            max_tokens: asked.max_tokens,
            temperature: asked.temperature,
            ..Self::default()
        }
    }
}

/// An answer.
#[derive(Serialize, JsonSchema)]
struct ShortReply {
    /// The run's id.
    id: String,
    response: String,
    /// Input and output tokens together.
    tokens_used: u64,
    model: String,
    latency_ms: u64,
    timestamp: String,
}

impl ShortReply {
    fn new(run: &Run) -> Self {
        Self {
            id: run.id.to_string(),
            response: run.answer.clone().unwrap_or_default(),
            tokens_used: run.usage.total(),
            model: run.model.clone().unwrap_or_default(),
            latency_ms: latency_ms(run),
            timestamp: rfc3339(run.updated_ms),
        }
    }
}
