//! A whole house around the surface, and a caller for it.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, Request, StatusCode};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use mainstay_agents::{Engine, Entry, Ports};
use mainstay_core::clock::ManualClock;
use mainstay_core::plan::{
    Agent, AgentKind, Anonymous, Declared, Fallback, OnDisconnect, Server, SessionPolicy, Target,
};
use mainstay_core::{Name, plan};
use mainstay_dialects::{anthropic, openai_chat};
use mainstay_gateway::Gateway;
use mainstay_http::{Access, BoxError, Parts, Settings, Surface, Tracked};
use mainstay_net::server::Peer;
use mainstay_testkit::memory_journal::MemoryJournal;
use mainstay_testkit::telemetry::Seen;
use serde_json::Value;
use tower::ServiceExt as _;

use crate::scripted::{Model, Script, Vendor};

/// The house.
pub(crate) struct House {
    pub(crate) surface: Surface,
    pub(crate) engine: Engine,
    pub(crate) journal: Arc<MemoryJournal>,
    pub(crate) model: Arc<Model>,
    /// Speaks OpenAI's dialect; behind the model `gpt`.
    pub(crate) openai: Arc<Vendor>,
    /// Speaks Anthropic's dialect; behind the model `claude`.
    pub(crate) anthropic: Arc<Vendor>,
    pub(crate) ledger: Arc<Seen>,
}

/// An answer, read to its end.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The code of an error in our shape.
    pub(crate) fn code(&self) -> String {
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The events of a stream: id, name, data.
    pub(crate) fn events(&self) -> Vec<Event> {
        self.body.split("\n\n").filter(|frame| !frame.is_empty()).map(Event::read).collect()
    }
}

/// An event as a client reads it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) id: Option<u64>,
    pub(crate) name: Option<String>,
    pub(crate) data: String,
}

impl Event {
    fn read(frame: &str) -> Self {
        let mut event = Self::default();
        let mut data = Vec::new();
        for line in frame.lines() {
            match line.split_once(": ").unwrap_or((line, "")) {
                ("id", id) => event.id = Some(id.parse().unwrap()),
                ("event", name) => event.name = Some(name.to_owned()),
                ("data", text) => data.push(text),
                other => assert!(line.starts_with(':'), "{other:?}"),
            }
        }
        event.data = data.join("\n");
        event
    }

    pub(crate) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.data).unwrap()
    }
}

pub(crate) fn name(text: &str) -> Name {
    Name::parse(text).unwrap()
}

pub(crate) fn settings() -> Settings {
    Settings {
        name: name("test-service"),
        version: "9.8.7".to_owned(),
        server: Server {
            listen: SocketAddr::from(([127, 0, 0, 1], 8080)),
            drain: Duration::from_secs(5),
            request_timeout: Duration::from_secs(5),
            body_timeout: Duration::from_secs(5),
            header_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(5),
            write_timeout: Duration::from_secs(5),
            body_bytes_max: 64 * 1024,
            connections_max: 100,
            requests_max: 100,
        },
        access: Access { keys: Vec::new(), anonymous: Anonymous::Loopback, cors_origins: Vec::new() },
    }
}

fn agent(description: &str) -> Agent {
    Agent {
        kind: AgentKind::Declared(Declared {
            model: name("scripted"),
            instructions: "Be brief. This is a secret prompt.".to_owned(),
            tools: Vec::new(),
            steps_max: 4,
            max_tokens: None,
            temperature: None,
            history_messages_max: 20,
            parallel_tools_max: 2,
        }),
        description: description.to_owned(),
        sessions: SessionPolicy::Reject,
        concurrency_max: 8,
        timeout: Duration::from_secs(30),
        on_disconnect: OnDisconnect::Continue,
        fallbacks: Vec::new(),
    }
}

fn agents() -> mainstay_agents::Table {
    let entry = |agent| Entry { agent, tools: BTreeMap::new(), app: None };
    let fallback = Fallback {
        on: vec!["PROVIDER_QUOTA".to_owned()],
        answer: "A demo answer.".to_owned(),
        model: "demo-fallback".to_owned(),
        finish_reason: "QUOTA_EXCEEDED_DEMO_FALLBACK".to_owned(),
    };
    let demo = Agent { fallbacks: vec![fallback], ..agent("Falls back.") };
    let leaving = Agent { on_disconnect: OnDisconnect::Cancel, ..agent("Stops when left.") };
    let agents = [("echo", agent("Repeats.")), ("demo", demo), ("leaving", leaving)];
    mainstay_agents::Table {
        agents: agents.into_iter().map(|(key, agent)| (name(key), entry(agent))).collect(),
        default_agent: Some(name("echo")),
    }
}

fn models(openai: &Arc<Vendor>, anthropic: &Arc<Vendor>) -> mainstay_gateway::Table {
    let model = |providers: &[&str]| plan::Model {
        targets: providers
            .iter()
            .map(|provider| Target { provider: name(provider), model: format!("up/{provider}") })
            .collect(),
        first_byte_timeout: Duration::from_secs(10),
        idle_timeout: Duration::from_secs(10),
        max_tokens_default: 1_000,
    };
    mainstay_gateway::Table {
        models: BTreeMap::from([
            (name("gpt"), model(&["openai"])),
            (name("claude"), model(&["anthropic"])),
            (name("either"), model(&["openai", "anthropic"])),
        ]),
        providers: BTreeMap::from([
            (name("openai"), Arc::clone(openai) as _),
            (name("anthropic"), Arc::clone(anthropic) as _),
        ]),
    }
}

impl House {
    pub(crate) fn new() -> Self {
        Self::with(settings())
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let ledger = Arc::new(Seen::default());
        let journal = Arc::new(MemoryJournal::new());
        let model = Arc::new(Model::default());
        let clock = Arc::new(ManualClock::at(1_700_000_000_000));
        let openai = Vendor::new(&[openai_chat::DIALECT]);
        let anthropic = Vendor::new(&[anthropic::DIALECT]);
        let ports = Ports {
            journal: Arc::clone(&journal) as _,
            models: Arc::clone(&model) as _,
            clock: Arc::clone(&clock) as _,
            telemetry: Arc::clone(&ledger) as _,
        };
        let engine = Engine::new(ports, agents());
        let gateway = Gateway::new(Arc::clone(&ledger) as _, models(&openai, &anthropic));
        let telemetry = Arc::clone(&ledger) as _;
        let surface = Surface::new(Parts {
            engine: engine.clone(),
            gateway,
            telemetry,
            clock,
            settings,
            apps: Vec::new(),
        });
        Self { surface, engine, journal, model, openai, anthropic, ledger }
    }

    /// What the agents' model does next.
    pub(crate) fn next(&self, script: Script) {
        self.model.scripts.lock().push_back(script);
    }

    /// Makes a request from this machine; gives the answer with its body still to come.
    pub(crate) async fn open(&self, mut request: Request<Body>) -> http::Response<Tracked> {
        if request.extensions().get::<Peer>().is_none() {
            request.extensions_mut().insert(Peer(SocketAddr::from(([127, 0, 0, 1], 1))));
        }
        self.surface.router().oneshot(request).await.unwrap()
    }

    /// Makes a request and reads the answer to its end.
    pub(crate) async fn send(&self, request: Request<Body>) -> Answer {
        let (parts, body) = self.open(request).await.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        Answer {
            status: parts.status,
            headers: parts.headers,
            body: String::from_utf8(body.to_vec()).unwrap(),
        }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send(Request::get(path).body(empty()).unwrap()).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send(Request::delete(path).body(empty()).unwrap()).await
    }

    pub(crate) async fn post(&self, path: &str, body: impl ToString) -> Answer {
        self.send(post(path, body)).await
    }
}

/// A body that tests make.
pub(crate) type Body = UnsyncBoxBody<Bytes, BoxError>;

pub(crate) fn empty() -> Body {
    text("")
}

pub(crate) fn text(text: impl Into<Bytes>) -> Body {
    Full::new(text.into()).map_err(|never| match never {}).boxed_unsync()
}

pub(crate) fn streamed<E: Into<BoxError>>(
    pieces: impl Stream<Item = Result<String, E>> + Send + 'static,
) -> Body {
    let framed = pieces.map(|piece| piece.map(|text| Frame::data(text.into())).map_err(Into::into));
    StreamBody::new(framed).boxed_unsync()
}

/// A POST of JSON.
pub(crate) fn post(path: &str, body: impl ToString) -> Request<Body> {
    let request = Request::post(path).header("content-type", "application/json");
    request.body(text(body.to_string())).unwrap()
}

/// The same request with another header.
pub(crate) fn with(mut request: Request<Body>, header: &'static str, value: &str) -> Request<Body> {
    request.headers_mut().insert(header, value.parse().unwrap());
    request
}

/// Waits until `met`, for ten seconds at most.
pub(crate) async fn until(what: &str, mut met: impl AsyncFnMut() -> bool) {
    let waited = async {
        while !met().await {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    assert!(tokio::time::timeout(Duration::from_secs(10), waited).await.is_ok(), "never came: {what}");
}
