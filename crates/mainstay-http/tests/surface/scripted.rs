//! Models and providers that do what a test tells them.

use std::collections::VecDeque;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_core::model::{FinishReason, ModelClient, ModelEvent, ModelRequest, ModelStream, Usage};
use mainstay_core::provider::{
    Capabilities, Dialect, ModelCard, Provider, WireFrame, WireRequest, WireResponse,
};
use mainstay_core::{Code, Ctx, Error, Result, codes};
use parking_lot::Mutex;

/// What the next call does.
pub(crate) enum Script {
    /// Answers with these events.
    Events(Vec<Result<ModelEvent>>),
    /// Answers with these frames, in the provider's own dialect.
    Wire(u16, Vec<(&'static str, &'static str)>, Vec<Result<&'static str>>),
    /// Fails before the first byte.
    Fail(&'static Code),
    /// Never answers.
    Hang,
    /// Begins, and never ends.
    Stall(&'static str),
    /// Panics.
    Panic,
}

/// A model that answers by script, and else repeats the question.
#[derive(Default)]
pub(crate) struct Model {
    pub(crate) scripts: Mutex<VecDeque<Script>>,
    pub(crate) seen: Mutex<Vec<ModelRequest>>,
}

/// The events of an answer.
pub(crate) fn saying(pieces: &[&str]) -> Vec<Result<ModelEvent>> {
    let mut events = vec![Ok(ModelEvent::Start { id: "up-1".into(), model: "up-model".into() })];
    events.extend(pieces.iter().map(|piece| Ok(ModelEvent::Text((*piece).to_owned()))));
    events.push(Ok(ModelEvent::Usage(Usage { input_uncached: 7, output: 5, ..Usage::default() })));
    events.push(Ok(ModelEvent::Finish(FinishReason::Stop)));
    events
}

pub(crate) fn error(code: &'static Code) -> Error {
    Error::new(code, format!("reach the scripted end of `{}`", code.id)).with_internal("secret detail")
}

async fn play(script: Script) -> Result<ModelStream> {
    match script {
        Script::Events(events) => Ok(Box::pin(futures_util::stream::iter(events))),
        Script::Fail(code) => Err(error(code)),
        Script::Hang => std::future::pending().await,
        Script::Stall(text) => {
            let first = vec![
                Ok(ModelEvent::Start { id: "up-1".into(), model: "up-model".into() }),
                Ok(ModelEvent::Text(text.to_owned())),
            ];
            Ok(Box::pin(futures_util::stream::iter(first).chain(futures_util::stream::pending())))
        }
        Script::Panic => panic!("scripted panic"),
        Script::Wire(..) => Err(Error::bug("a wire script on the canonical path")),
    }
}

#[async_trait]
impl ModelClient for Model {
    async fn complete(&self, _: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        let asked = request.messages.last().map(|message| message.joined_text()).unwrap_or_default();
        self.seen.lock().push(request);
        let script = self.scripts.lock().pop_front();
        play(script.unwrap_or_else(|| Script::Events(saying(&["You said: ", &asked])))).await
    }
}

/// A provider that answers by script.
pub(crate) struct Vendor {
    dialects: &'static [Dialect],
    pub(crate) scripts: Mutex<VecDeque<Script>>,
    pub(crate) canonical: Mutex<Vec<ModelRequest>>,
    pub(crate) wire: Mutex<Vec<WireRequest>>,
    /// Lives as long as an answer does.
    pub(crate) answers: Arc<()>,
}

impl Vendor {
    pub(crate) fn new(dialects: &'static [Dialect]) -> Arc<Self> {
        Arc::new(Self {
            dialects,
            scripts: Mutex::default(),
            canonical: Mutex::default(),
            wire: Mutex::default(),
            answers: Arc::default(),
        })
    }

    pub(crate) fn next(&self, script: Script) {
        self.scripts.lock().push_back(script);
    }

    fn pop(&self) -> Script {
        self.scripts.lock().pop_front().unwrap_or_else(|| Script::Events(saying(&["Hello"])))
    }
}

#[async_trait]
impl Provider for Vendor {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            dialects: self.dialects,
            tools: true,
            images: true,
            json_schema: true,
            lists_models: false,
            embeddings: false,
        }
    }

    async fn complete(&self, _: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        self.canonical.lock().push(request);
        play(self.pop()).await
    }

    async fn forward(&self, _: &Ctx, request: WireRequest) -> Result<WireResponse> {
        self.wire.lock().push(request);
        match self.pop() {
            Script::Wire(status, headers, frames) => {
                let alive = Arc::clone(&self.answers);
                let frames = frames.into_iter().map(|frame| {
                    frame.map(|text| WireFrame { bytes: Bytes::from_static(text.as_bytes()), tap: None })
                });
                let body = futures_util::stream::iter(frames.collect::<Vec<_>>());
                let stalls = headers.iter().any(|(name, _)| *name == "x-stall");
                let body =
                    if stalls { body.chain(futures_util::stream::pending()).boxed() } else { body.boxed() };
                let body = body.inspect(move |_| {
                    let _alive = &alive;
                });
                let headers = headers.into_iter().map(|(n, v)| (n.to_owned(), v.to_owned())).collect();
                let failure = (status >= 400).then(|| error(&codes::PROVIDER_INVALID_REQUEST));
                Ok(WireResponse { status, headers, failure, body: Box::pin(body) })
            }
            Script::Fail(code) => Err(error(code)),
            Script::Hang => std::future::pending().await,
            Script::Panic => panic!("scripted panic"),
            Script::Events(_) | Script::Stall(_) => Err(Error::bug("a canonical script on the wire path")),
        }
    }

    async fn models(&self, _: &Ctx) -> Result<Vec<ModelCard>> {
        Err(error(&codes::UNSUPPORTED))
    }
}
