//! Agents: listed, invoked and streamed by name. How they answer is the engine's business.

use futures_util::StreamExt as _;
use http::{Method, StatusCode};
use mainstay_agents::Entry;
use mainstay_core::Name;
use mainstay_core::plan::{AgentKind, OnDisconnect};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::ask::{self, Begun, Bounds, Question};
use crate::call::Call;
use crate::error::{Result, Shape};
use crate::reply;
use crate::routes::{Class, Param, Place, Reply, Route, frame, of};
use crate::runs::events;
use crate::runs::view::{RunView, StartedView};
use crate::sse;

pub(crate) const ROUTES: &[Route] = &[
    Route {
        method: Method::GET,
        path: "/v1/agents",
        id: "listAgents",
        summary: "The agents that can be asked",
        tag: "agents",
        class: Class::Read,
        errors: Shape::Ours,
        params: &[],
        body: None,
        replies: &[Reply {
            status: 200,
            about: "The agents",
            content: &[("application/json", of::<AgentList>)],
        }],
        statuses: &[],
        handler: |call| Box::pin(list(call)),
    },
    Route {
        method: Method::POST,
        path: "/v1/agents/{agent}/invoke",
        id: "invokeAgent",
        summary: "Ask an agent and wait for the whole answer",
        tag: "agents",
        class: Class::Work,
        errors: Shape::Ours,
        params: &[IDEMPOTENCY_KEY],
        body: Some(of::<InvokeRequest>),
        replies: &[
            Reply { status: 200, about: "The answer", content: &[("application/json", of::<RunView>)] },
            Reply {
                status: 202,
                about: "The run goes on in the background; `location` says where to read it",
                content: &[("application/json", of::<StartedView>)],
            },
        ],
        statuses: STATUSES,
        handler: |call| Box::pin(invoke(call)),
    },
    Route {
        method: Method::POST,
        path: "/v1/agents/{agent}/stream",
        id: "streamAgent",
        summary: "Ask an agent and read the run's events as they come",
        tag: "agents",
        class: Class::Work,
        errors: Shape::Ours,
        params: &[IDEMPOTENCY_KEY],
        body: Some(of::<InvokeRequest>),
        replies: &[Reply {
            status: 200,
            about: "The run's events; the id of each is its number in the run, so that `Last-Event-ID` resumes",
            content: &[("text/event-stream", frame)],
        }],
        statuses: STATUSES,
        handler: |call| Box::pin(stream(call)),
    },
];

/// What asking an agent can fail with, besides what every request can.
pub(crate) const STATUSES: &[u16] = &[403, 404, 409, 422, 429, 502, 503, 504];

/// Makes a repeated request the same run.
pub(crate) const IDEMPOTENCY_KEY: Param = Param {
    place: Place::Header,
    name: "idempotency-key",
    about: "A request repeated under the same key is answered by the run that the first one started",
    schema: |_| json_schema!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$" }),
};

/// The bounds of the routes that name their agent; the body's bound is the server's.
const BOUNDS: Bounds =
    Bounds { query_chars_max: 1_000_000, context_chars_max: 1_000_000, max_tokens_max: 1_000_000 };

async fn list(call: Call) -> Result {
    let table = call.shared.engine.table();
    let agents = table.agents.iter().map(|(name, entry)| AgentView::new(name, entry)).collect();
    let default_agent = table.default_agent.as_ref().map(ToString::to_string);
    Ok(reply::json(&AgentList { agents, default_agent }))
}

async fn invoke(mut call: Call) -> Result {
    let question: Question = call.json::<InvokeRequest>().await?.into();
    let agent = call.path_param("agent");
    let start = question.start(BOUNDS, false, call.headers())?;
    let background = start.background;
    let handle = ask::begin(&call, &call.ctx, Some(agent), start).await?;
    let begun = Begun::from(&handle);
    let mut response = if background {
        let mut response = reply::json(&StartedView::new(&begun, agent));
        *response.status_mut() = StatusCode::ACCEPTED;
        ask::locate(response.headers_mut(), &begun.run);
        response
    } else {
        reply::json(&RunView::new(&ask::answer(&call, handle).await?))
    };
    ask::announce(response.headers_mut(), &begun);
    Ok(response)
}

async fn stream(mut call: Call) -> Result {
    let question: Question = call.json::<InvokeRequest>().await?.into();
    let agent = call.path_param("agent");
    let start = question.start(BOUNDS, true, call.headers())?;
    let handle = ask::begin(&call, &call.ctx, Some(agent), start).await?;
    let begun = Begun::from(&handle);
    let source = events::Source {
        run: begun.run.clone(),
        session: begun.session.clone(),
        agent: agent.to_owned(),
        request_id: call.request_id().clone(),
    };
    let frames = handle.events().scan(false, move |ended, event| {
        let frame = (!*ended).then(|| source.frame(event, ended));
        std::future::ready(frame)
    });
    let mut response = sse::response(Box::pin(frames), &call.shared.telemetry, true);
    ask::announce(response.headers_mut(), &begun);
    Ok(response)
}

/// A question to an agent.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct InvokeRequest {
    /// What is asked.
    #[schemars(length(min = 1, max = 1_000_000))]
    query: String,
    /// Context beside the question: text, or any JSON that nests at most 64 arrays and objects.
    #[serde(default)]
    context: Value,
    /// The conversation to continue or to begin.
    #[serde(default)]
    #[schemars(schema_with = "session_id")]
    session_id: Option<String>,
    /// Most tokens of output.
    #[serde(default)]
    #[schemars(range(min = 1, max = 1_000_000))]
    max_tokens: Option<u32>,
    /// Sampling temperature.
    #[serde(default)]
    #[schemars(range(min = 0.0, max = 2.0))]
    temperature: Option<f64>,
    /// Labels of the caller's own, kept with the run and returned; they nest at most 64 arrays and objects.
    #[serde(default)]
    metadata: Option<Map<String, Value>>,
    /// Whether to answer at once with the run's id and go on alone.
    #[serde(default)]
    background: bool,
    /// What becomes of the run if the caller leaves; the agent's policy when absent.
    #[serde(default)]
    on_disconnect: Option<OnDisconnectWord>,
}

/// What becomes of a run whose caller leaves.
#[derive(Clone, Copy, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum OnDisconnectWord {
    /// It goes on.
    Continue,
    /// It is cancelled.
    Cancel,
}

/// The schema of a session id in a request; empty means none.
pub(crate) fn session_id(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "maxLength": 128, "pattern": "^[!-.0-~]*$" })
}

impl From<InvokeRequest> for Question {
    fn from(asked: InvokeRequest) -> Self {
        Self {
            query: asked.query,
            context: asked.context,
            session_id: asked.session_id,
            max_tokens: asked.max_tokens,
            temperature: asked.temperature,
            metadata: asked.metadata.map_or(Value::Null, Value::Object),
            background: asked.background,
            on_disconnect: asked.on_disconnect.map(|word| match word {
                OnDisconnectWord::Continue => OnDisconnect::Continue,
                OnDisconnectWord::Cancel => OnDisconnect::Cancel,
            }),
        }
    }
}

/// The agents.
#[derive(Serialize, JsonSchema)]
struct AgentList {
    agents: Vec<AgentView>,
    /// The agent behind the routes that name none.
    default_agent: Option<String>,
}

/// An agent.
#[derive(Serialize, JsonSchema)]
struct AgentView {
    name: String,
    /// What it is for.
    description: String,
    kind: AgentKindWord,
    /// The model that a declared agent asks.
    model: Option<String>,
    /// The tools that a declared agent may call.
    tools: Vec<String>,
}

/// How an agent is run.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
enum AgentKindWord {
    /// By Mainstay.
    Declared,
    /// By the user's own service.
    App,
}

impl AgentView {
    fn new(name: &Name, entry: &Entry) -> Self {
        let (kind, model, tools) = match &entry.agent.kind {
            AgentKind::Declared(declared) => {
                let tools = declared.tools.iter().map(ToString::to_string).collect();
                (AgentKindWord::Declared, Some(declared.model.to_string()), tools)
            }
            AgentKind::App(_) => (AgentKindWord::App, None, Vec::new()),
        };
        Self { name: name.to_string(), description: entry.agent.description.clone(), kind, model, tools }
    }
}
