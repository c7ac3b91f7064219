//! Two models: one that answers by a rule, and a puppet whose every piece the test speaks.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use futures_util::stream;
use mainstay_core::message::{Part, Role};
use mainstay_core::model::{FinishReason, ModelClient, ModelEvent, ModelRequest, ModelStream, Usage};
use mainstay_core::{Code, Ctx, Error, Result};
use parking_lot::Mutex;
use tokio::sync::mpsc;

pub(crate) const USAGE: Usage = Usage {
    input_uncached: 10,
    cache_read: 0,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 3,
    reasoning: 0,
};

pub(crate) fn opening() -> ModelEvent {
    ModelEvent::Start { id: "id".into(), model: "m-1".into() }
}

pub(crate) fn call(index: u32, id: &str, tool: &str, arguments: &str) -> [ModelEvent; 2] {
    let (id, name) = (id.to_owned(), tool.to_owned());
    [
        ModelEvent::ToolCallStart { index, id, name, opaque: None },
        ModelEvent::ToolCallDelta { index, arguments: arguments.into() },
    ]
}

/// A whole answer: the pieces, usage and the end.
pub(crate) fn answer(pieces: impl IntoIterator<Item = ModelEvent>, finish: FinishReason) -> Reply {
    let end = [ModelEvent::Usage(USAGE), ModelEvent::Finish(finish)];
    Ok([opening()].into_iter().chain(pieces).chain(end).map(Ok).collect())
}

/// An answer of text.
pub(crate) fn says(text: &str) -> Reply {
    answer([ModelEvent::Text(text.into())], FinishReason::Stop)
}

/// An answer that asks for tools.
pub(crate) fn calls(pieces: impl IntoIterator<Item = [ModelEvent; 2]>) -> Reply {
    answer(pieces.into_iter().flatten(), FinishReason::ToolCalls)
}

/// What one call comes to.
pub(crate) type Reply = Result<Vec<Result<ModelEvent>>>;

type Rule = Box<dyn Fn(usize, &ModelRequest) -> Reply + Send + Sync>;

/// A model that answers by a rule over (number of the call from 0, request), and keeps what it was asked.
pub(crate) struct Ruled {
    rule: Rule,
    count: AtomicUsize,
    pub(crate) asked: Mutex<Vec<ModelRequest>>,
}

impl Ruled {
    pub(crate) fn new(rule: impl Fn(usize, &ModelRequest) -> Reply + Send + Sync + 'static) -> Arc<Self> {
        Arc::new(Self { rule: Box::new(rule), count: AtomicUsize::new(0), asked: Mutex::default() })
    }

    /// A model that repeats the question.
    pub(crate) fn echo() -> Arc<Self> {
        Self::new(|_, request| says(&format!("re: {}", question(request))))
    }

    /// A model that fails.
    pub(crate) fn failing(code: &'static Code) -> Arc<Self> {
        Self::new(move |_, _| Err(Error::new(code, "it failed")))
    }

    pub(crate) fn calls(&self) -> usize {
        self.count.load(Ordering::SeqCst)
    }
}

#[async_trait]
impl ModelClient for Ruled {
    async fn complete(&self, _: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        let reply = (self.rule)(self.count.fetch_add(1, Ordering::SeqCst), &request);
        self.asked.lock().push(request);
        Ok(Box::pin(stream::iter(reply?)))
    }
}

/// The last question of a request.
pub(crate) fn question(request: &ModelRequest) -> String {
    let last = request.messages.iter().rfind(|message| message.role == Role::User).unwrap();
    match last.parts.last().unwrap() {
        Part::Text(text) => text.clone(),
        other => panic!("{other:?}"),
    }
}

/// Every message as `role: parts` in short, for comparison.
pub(crate) fn transcript(request: &ModelRequest) -> Vec<String> {
    let part = |part: &Part| match part {
        Part::Text(text) => text.clone(),
        Part::ToolCall(call) => format!("<{} {}>", call.name, call.arguments),
        Part::ToolResult(result) => format!("<= {}>", result.content),
        other => format!("{other:?}"),
    };
    let parts = |parts: &[Part]| parts.iter().map(part).collect::<Vec<_>>().join("|");
    let role = |role: Role| format!("{role:?}").to_lowercase();
    request.messages.iter().map(|m| format!("{}: {}", role(m.role), parts(&m.parts))).collect()
}

/// Pieces that the puppet holds until the run takes them.
const PIECES: usize = 1;

/// A model whose calls are handed to the test.
pub(crate) struct Puppet(mpsc::Sender<Call>);

/// The test's end of the puppet.
pub(crate) struct Strings(mpsc::Receiver<Call>);

/// One call of the puppet.
pub(crate) struct Call {
    pub(crate) request: ModelRequest,
    pub(crate) feed: mpsc::Sender<Result<ModelEvent>>,
}

pub(crate) fn puppet() -> (Arc<Puppet>, Strings) {
    let (sender, receiver) = mpsc::channel(1_024);
    (Arc::new(Puppet(sender)), Strings(receiver))
}

#[async_trait]
impl ModelClient for Puppet {
    async fn complete(&self, _: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        let (feed, pieces) = mpsc::channel(PIECES);
        self.0.send(Call { request, feed }).await.expect("the test holds the strings");
        let next =
            |mut pieces: mpsc::Receiver<_>| async move { pieces.recv().await.map(|piece| (piece, pieces)) };
        Ok(Box::pin(stream::unfold(pieces, next)))
    }
}

impl Strings {
    /// The next call.
    pub(crate) async fn call(&mut self) -> Call {
        super::soon(self.0.recv()).await.expect("the engine holds the puppet")
    }

    pub(crate) fn nothing_asked(&mut self) -> bool {
        self.0.try_recv().is_err()
    }
}

impl Call {
    pub(crate) async fn send(&self, event: ModelEvent) {
        super::soon(self.feed.send(Ok(event))).await.expect("the run listens");
    }

    pub(crate) async fn say(&self, text: &str) {
        self.send(ModelEvent::Text(text.into())).await;
    }

    pub(crate) async fn fail(self, code: &'static Code) {
        super::soon(self.feed.send(Err(Error::new(code, "it failed")))).await.expect("the run listens");
    }

    /// Ends the answer.
    pub(crate) async fn end(self) {
        self.send(ModelEvent::Usage(USAGE)).await;
        self.send(ModelEvent::Finish(FinishReason::Stop)).await;
    }

    /// Waits until the run has taken every piece.
    pub(crate) async fn taken(&self) {
        super::until(|| self.feed.capacity() == PIECES).await;
    }

    /// Waits until the run has dropped the stream.
    pub(crate) async fn dropped(&self) {
        super::soon(self.feed.closed()).await;
    }
}
