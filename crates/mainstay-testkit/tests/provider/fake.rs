//! A provider that is its own upstream, with a fault where one is planted.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_core::message::{Part, Reasoning};
use mainstay_core::model::{FinishReason, ModelEvent, ModelRequest, ModelStream, ResponseFormat, Usage};
use mainstay_core::provider::{Capabilities, Dialect, ModelCard, Provider, WireRequest, WireResponse};
use mainstay_core::{Ctx, Error, Result, Retry, codes};
use mainstay_testkit::conformance::provider::{Behaviour, MODEL, MODEL_ASKED, Open, Rig, USAGE};
use mainstay_testkit::fake_upstream::{Received, recorded};
use serde_json::json;
use tokio::sync::watch;

/// A way to break the port.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Fault {
    FinishesTwice,
    SpeaksInOnePiece,
    WholeAnswersDiffer,
    CountsCachedTwice,
    LosesArguments,
    MixesCallsUp,
    ThinksAloud,
    AlwaysStops,
    AlwaysTemporary,
    AlwaysUnavailable,
    RepeatsTheProvider,
    HidesCuts,
    MindsTheConnection,
    OutlivesItsCaller,
    Rewrites,
    NoticesNothing,
    KeepsUsage,
    SortsKeys,
    KeepsTheCallersModel,
    DropsHeaders,
    SwallowsMeaning,
    AnswersTooEarly,
    HidesLife,
    PassesAnything,
    SpeaksAnyDialect,
    ChangesItsMind,
    ReadsOnePage,
    SendsLess,
    LosesInSilence,
    TellsLossesLast,
    TakesWhatItDoesNotDeclare,
}

/// The dialect it passes through; its wire is that of the recorded answers.
pub(crate) const DIALECT: Dialect = Dialect("openai_chat");

pub(crate) fn opener(fault: Option<Fault>) -> Open {
    Arc::new(move |behaviour| {
        let seen = watch::channel(Seen::default()).0;
        let provider = Fake { behaviour, fault, seen, asked: AtomicBool::new(false) };
        let rig: Arc<dyn Rig> = Arc::new(FakeRig(Arc::new(provider)));
        Box::pin(std::future::ready(rig))
    })
}

/// What its upstream would have seen.
#[derive(Default)]
struct Seen {
    received: Vec<Received>,
    gone: usize,
}

pub(crate) struct Fake {
    pub(crate) behaviour: Behaviour,
    fault: Option<Fault>,
    seen: watch::Sender<Seen>,
    asked: AtomicBool,
}

/// Tells the upstream when its caller goes away.
pub(crate) struct Caller(Option<watch::Sender<Seen>>);

impl Drop for Caller {
    fn drop(&mut self) {
        if let Some(seen) = self.0.take() {
            seen.send_modify(|seen| seen.gone += 1);
        }
    }
}

impl Fake {
    pub(crate) fn has(&self, fault: Fault) -> bool {
        self.fault == Some(fault)
    }

    pub(crate) fn take(&self, received: Received) {
        self.asked.store(true, Ordering::SeqCst);
        self.seen.send_modify(|seen| seen.received.push(received));
    }

    /// Whether the answer goes on for ever.
    pub(crate) fn hangs(&self) -> bool {
        let thinks = self.behaviour == Behaviour::Thinks && !self.has(Fault::HidesLife);
        self.behaviour == Behaviour::Hangs || thinks
    }

    pub(crate) fn caller(&self) -> Caller {
        Caller((!self.has(Fault::OutlivesItsCaller)).then(|| self.seen.clone()))
    }

    /// The failure that this behaviour is, if it is one before anything is said.
    pub(crate) fn failure(&self) -> Option<Error> {
        let (code, retry) = match self.behaviour {
            Behaviour::Fails("auth") => (&codes::PROVIDER_AUTH, Retry::Permanent),
            Behaviour::Fails("quota") => (&codes::PROVIDER_QUOTA, Retry::Permanent),
            Behaviour::Fails("rate_limited") => {
                (&codes::PROVIDER_RATE_LIMITED, Retry::Temporary(Some(Duration::from_secs(2))))
            }
            Behaviour::Fails("refused") => (&codes::PROVIDER_CONTENT_FILTER, Retry::Permanent),
            Behaviour::Fails("invalid") => (&codes::PROVIDER_INVALID_REQUEST, Retry::Permanent),
            Behaviour::Fails("unknown_model") => (&codes::PROVIDER_MODEL_NOT_FOUND, Retry::Permanent),
            Behaviour::Fails(_) | Behaviour::Gone => (&codes::PROVIDER_UNAVAILABLE, Retry::Temporary(None)),
            Behaviour::Page | Behaviour::Moved | Behaviour::Empty => {
                (&codes::PROVIDER_BAD_RESPONSE, Retry::Temporary(None))
            }
            _ => return None,
        };
        let code = if self.has(Fault::AlwaysUnavailable) { &codes::PROVIDER_UNAVAILABLE } else { code };
        let retry = if self.has(Fault::AlwaysTemporary) { Retry::Temporary(None) } else { retry };
        let repeats = self.has(Fault::RepeatsTheProvider);
        let words = if repeats { "words with the prompt in them" } else { "the fake fails as told" };
        Some(Error::new(code, words).with_retry(retry))
    }

    /// What is said, up to where the behaviour ends it.
    fn events(&self, stream: bool) -> (Vec<ModelEvent>, Option<Error>) {
        let text = |text: &str| ModelEvent::Text(text.to_owned());
        let mut events = vec![ModelEvent::Start { id: "1".to_owned(), model: MODEL.to_owned() }];
        let broken = |code| Some(Error::new(code, "the fake breaks off as told"));
        let failure = match self.behaviour {
            Behaviour::Breaks | Behaviour::EndsEarly => broken(&codes::PROVIDER_BAD_RESPONSE),
            Behaviour::FailsInside => broken(&codes::PROVIDER_UNAVAILABLE),
            _ => None,
        };
        if failure.is_some() || matches!(self.behaviour, Behaviour::Hangs | Behaviour::Thinks) {
            events.push(text("Hei "));
            if self.behaviour == Behaviour::Thinks && !self.has(Fault::HidesLife) {
                events.push(ModelEvent::Alive);
            }
            return (events, failure.filter(|_| !self.has(Fault::HidesCuts)));
        }
        let mut finish = FinishReason::Stop;
        match self.behaviour {
            Behaviour::Says("call") => {
                events.push(text("Looking."));
                events.extend(self.calls(&["Oslo"]));
                finish = FinishReason::ToolCalls;
            }
            Behaviour::Says("calls") => {
                events.extend(self.calls(&["Oslo", "Bergen"]));
                finish = FinishReason::ToolCalls;
            }
            Behaviour::Says("reasoning") if self.has(Fault::ThinksAloud) => {
                events.push(text("Let me see.Hei."));
            }
            Behaviour::Says("reasoning") => {
                let thought = Reasoning { text: "Let me see.".to_owned(), ..Reasoning::default() };
                events.extend([ModelEvent::Reasoning(thought), text("Hei.")]);
            }
            Behaviour::Says(name @ ("length" | "filtered")) => {
                events.push(text("Hei "));
                finish = if name == "length" { FinishReason::Length } else { FinishReason::ContentFilter };
            }
            _ if self.has(Fault::SpeaksInOnePiece) => events.push(text("Hei på deg.")),
            _ => events.extend([text("Hei "), text("på "), text("deg.")]),
        }
        if self.has(Fault::AlwaysStops) {
            finish = FinishReason::Stop;
        }
        events.push(ModelEvent::Usage(self.usage(stream)));
        events.push(ModelEvent::Finish(finish.clone()));
        if self.has(Fault::FinishesTwice) {
            events.push(ModelEvent::Finish(finish));
        }
        let minds = self.behaviour == Behaviour::BreaksAfterwards && self.has(Fault::MindsTheConnection);
        (events, broken(&codes::PROVIDER_BAD_RESPONSE).filter(|_| minds))
    }

    pub(crate) fn usage(&self, stream: bool) -> Usage {
        let twice = self.has(Fault::CountsCachedTwice);
        let differs = self.has(Fault::WholeAnswersDiffer) && !stream;
        let input_uncached = if twice { USAGE.input_total() } else { USAGE.input_uncached };
        Usage { input_uncached, output: USAGE.output + u64::from(differs), ..USAGE }
    }

    fn calls(&self, cities: &[&str]) -> Vec<ModelEvent> {
        let mut events = Vec::new();
        for (index, city) in (0..).zip(cities) {
            let index = if self.has(Fault::MixesCallsUp) { 0 } else { index };
            let (id, name) = (format!("call_{city}"), "weather".to_owned());
            events.push(ModelEvent::ToolCallStart { index, id, name, opaque: None });
        }
        for (index, city) in (0..).zip(cities) {
            let index = if self.has(Fault::MixesCallsUp) { 0 } else { index };
            let arguments =
                json!({"city": if self.has(Fault::LosesArguments) { "" } else { city }}).to_string();
            events.push(ModelEvent::ToolCallDelta { index, arguments });
        }
        events
    }

    /// The request as its wire would carry it.
    fn sent(&self, request: &ModelRequest) -> Bytes {
        let pictures = request.messages.iter().flat_map(|m| &m.parts).filter(|p| matches!(p, Part::Image(_)));
        let model = if self.has(Fault::KeepsTheCallersModel) { "fast" } else { &request.model };
        let mut body = json!({"model": model});
        if !self.has(Fault::SendsLess) {
            body["tools"] = request.tools.iter().map(|tool| tool.name.clone()).collect();
            body["pictures"] = json!(pictures.collect::<Vec<_>>());
        }
        body.to_string().into()
    }
}

#[async_trait]
impl Provider for Fake {
    fn capabilities(&self) -> Capabilities {
        let changes = self.has(Fault::ChangesItsMind) && self.asked.load(Ordering::SeqCst);
        Capabilities {
            dialects: &[DIALECT],
            tools: !changes,
            images: true,
            json_schema: false,
            lists_models: true,
            embeddings: false,
        }
    }

    async fn complete(&self, _: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        let has_schema = matches!(request.response_format, ResponseFormat::JsonSchema { .. });
        if has_schema && !self.has(Fault::TakesWhatItDoesNotDeclare) {
            return Err(Error::new(&codes::UNSUPPORTED, "the fake knows no schemas"));
        }
        if let Some(failure) = self.failure() {
            return Err(failure);
        }
        let caller = self.caller();
        self.take(Received {
            path: "/".to_owned(),
            headers: http::HeaderMap::new(),
            body: self.sent(&request),
        });
        if self.behaviour == Behaviour::Silent {
            std::future::pending::<()>().await;
        }
        let (mut events, failure) = self.events(request.stream);
        let lost: Vec<String> = request.rest.fields.keys().cloned().collect();
        if !lost.is_empty() && !self.has(Fault::LosesInSilence) {
            let place = if self.has(Fault::TellsLossesLast) { events.len() } else { 0 };
            events.insert(place, ModelEvent::Dropped(lost));
        }
        let hangs = self.hangs();
        let ending = failure.map(Err);
        let events = futures_util::stream::iter(events.into_iter().map(Ok).chain(ending));
        if hangs {
            let watched = events.chain(futures_util::stream::pending());
            return Ok(Box::pin(watched.map(move |event| {
                let _until_dropped = &caller;
                event
            })));
        }
        Ok(Box::pin(events))
    }

    async fn forward(&self, _: &Ctx, request: WireRequest) -> Result<WireResponse> {
        self.pass(request)
    }

    async fn models(&self, _: &Ctx) -> Result<Vec<ModelCard>> {
        let pages = if self.has(Fault::ReadsOnePage) { 1 } else { 2 };
        Ok((1..=pages).map(|page| ModelCard { id: format!("m-{page}") }).collect())
    }
}

struct FakeRig(Arc<Fake>);

impl FakeRig {
    async fn seen(&self, until: impl FnMut(&Seen) -> bool) {
        let mut seen = self.0.seen.subscribe();
        let waited = tokio::time::timeout(Duration::from_secs(2), seen.wait_for(until)).await;
        waited.expect("seen in time").expect("the fake lives");
    }
}

#[async_trait]
impl Rig for FakeRig {
    fn provider(&self) -> Arc<dyn Provider> {
        Arc::clone(&self.0) as _
    }

    fn wire(&self, stream: bool) -> Option<WireRequest> {
        let edit = (1..1, r#""stream_options":{"include_usage":true},"#);
        Some(WireRequest {
            dialect: DIALECT,
            model: MODEL_ASKED.to_owned(),
            body: Bytes::from(format!(r#"{{"z":1,"model":"fast","a":2,"stream":{stream}}}"#)),
            model_span: 15..21,
            edits: Vec::from_iter(stream.then_some(edit)),
            stream,
            strip_usage: stream,
            headers: Vec::new(),
        })
    }

    fn recorded(&self, stream: bool) -> Bytes {
        recorded(DIALECT.0, if stream { "text.sse" } else { "text.json" })
    }

    fn received(&self) -> Option<Vec<Received>> {
        Some(self.0.seen.borrow().received.clone())
    }

    async fn called(&self) {
        self.seen(|seen| !seen.received.is_empty()).await;
    }

    async fn caller_gone(&self) {
        self.seen(|seen| seen.gone > 0).await;
    }
}
