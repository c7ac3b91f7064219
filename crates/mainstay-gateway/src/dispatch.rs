//! Finding the target that answers.

use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::{StreamExt, stream};
use mainstay_core::model::{ModelClient, ModelEvent, ModelRequest, ModelStream};
use mainstay_core::plan::{Model, Target};
use mainstay_core::provider::{Dialect, Provider, WireRequest, WireResponse};
use mainstay_core::telemetry::Telemetry;
use mainstay_core::{Ctx, Error, Kind, Name, Result, codes, metric};

use crate::account::{Account, Accounted};
use crate::fallover;
use crate::silence::Attended;
use crate::table::Table;

/// The engine; cheap to clone.
#[derive(Clone)]
pub struct Gateway(Arc<Inner>);

struct Inner {
    table: ArcSwap<Table>,
    telemetry: Arc<dyn Telemetry>,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway").field("table", &self.0.table.load()).finish_non_exhaustive()
    }
}

/// A request of a front, in the front's dialect.
pub struct FrontRequest<'a> {
    /// The front's dialect.
    pub dialect: Dialect,
    /// The name asked for.
    pub model: &'a str,
    /// The body as received.
    pub body: Bytes,
    /// Where the value of `model` stands in it, quotes included.
    pub model_span: Range<usize>,
    /// Replacements that metering needs; see [`WireRequest::edits`].
    pub edits: Vec<(Range<usize>, &'static str)>,
    /// Whether a stream is asked for.
    pub stream: bool,
    /// Whether the usage event is for metering alone.
    pub strip_usage: bool,
    /// The caller's headers that the dialect passes on.
    pub headers: Vec<(&'static str, String)>,
    /// Whether the body carries what providers of its own dialect would refuse (another vendor's signatures): then it
    /// passes to none of them as it is.
    pub is_mixed: bool,
    /// Reads the body into canonical form; called anew for each target that gets a translation. The bytes are what is
    /// kept while a target is asked: in canonical form they can take a hundred times the space.
    pub decode: &'a (dyn Fn(&[u8]) -> Result<ModelRequest> + Send + Sync),
}

impl std::fmt::Debug for FrontRequest<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FrontRequest")
            .field("dialect", &self.dialect)
            .field("model", &self.model)
            .finish_non_exhaustive()
    }
}

/// An answer that has begun.
pub enum Answer {
    /// The provider's own bytes, in the front's dialect.
    Wire(WireResponse),
    /// Canonical events, to be encoded in the front's dialect.
    Events(ModelStream),
}

impl std::fmt::Debug for Answer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Wire(wire) => f.debug_tuple("Wire").field(wire).finish(),
            Self::Events(_) => f.write_str("Events"),
        }
    }
}

impl Gateway {
    /// A gateway over `table`.
    #[must_use]
    pub fn new(telemetry: Arc<dyn Telemetry>, table: Table) -> Self {
        Self(Arc::new(Inner { table: ArcSwap::from_pointee(table), telemetry }))
    }

    pub(crate) fn table(&self) -> Arc<Table> {
        self.0.table.load_full()
    }

    pub(crate) fn account(&self, model: &Name, provider: &Name) -> Account {
        Account::open(&self.0.telemetry, model, provider)
    }

    /// Takes a new table; calls under way keep the old one.
    pub fn reload(&self, table: Table) {
        self.0.table.store(Arc::new(table));
    }

    /// The names that can be asked for, sorted.
    #[must_use]
    pub fn models(&self) -> Vec<Name> {
        self.0.table.load().models.keys().cloned().collect()
    }

    /// What the first target of a model speaks, if it speaks any dialect.
    #[must_use]
    pub fn dialect(&self, model: &str) -> Option<Dialect> {
        let table = self.0.table.load();
        let target = table.model(model).ok()?.1.targets.first()?;
        table.provider(target).ok()?.capabilities().dialects.first().copied()
    }

    /// The models of which no target can be asked, as far as this process knows, with the first target's reason.
    #[must_use]
    pub fn unready(&self) -> Vec<(Name, Error)> {
        self.0.table.load().unready()
    }

    /// Asks the targets of `request.model` in order until one begins to answer. A target of the front's dialect gets
    /// the bytes; for any other the request is decoded.
    ///
    /// # Errors
    /// `MODEL_NOT_FOUND`; what `decode` says, where no target failed before; the last target's `PROVIDER_*` code. An
    /// answer that blames the request (4xx) is no error here: it is passed on as it came.
    pub async fn dispatch(&self, ctx: &Ctx, request: FrontRequest<'_>) -> Result<Answer> {
        let name = request.model;
        self.first_to_answer(ctx, name, Ask::Front(&request)).await
    }

    async fn first_to_answer(&self, ctx: &Ctx, name: &str, mut ask: Ask<'_>) -> Result<Answer> {
        let table = self.0.table.load_full();
        let (name, model) = table.model(name)?;
        let mut last = None;
        for (position, target) in model.targets.iter().enumerate() {
            let is_last = position + 1 == model.targets.len();
            let provider = table.provider(target)?.as_ref();
            let request = match ask.request(provider, model, target, is_last) {
                Ok(request) => request,
                // That this target cannot be asked says less than how those before it failed.
                Err(error) => return Err(last.unwrap_or(error)),
            };
            let mut account = Account::open(&self.0.telemetry, name, &target.provider);
            match request.ask(ctx, provider, model, is_last).await {
                Ok(begun) => return Ok(accounted(begun, account, model.idle_timeout)),
                Err(error) => {
                    account.settle(error.code().id);
                    if is_last || !fallover::may_help(&error) || expired(ctx) {
                        return Err(error);
                    }
                    let (provider, code) = (&target.provider, error.code().id);
                    tracing::warn!(model = %name, %provider, code, "target failed; trying the next");
                    last = Some(error);
                }
            }
        }
        Err(last.unwrap_or_else(|| Error::bug(format!("model `{name}` has no targets"))))
    }
}

#[async_trait]
impl ModelClient for Gateway {
    async fn complete(&self, ctx: &Ctx, request: ModelRequest) -> Result<ModelStream> {
        let name = request.model.clone();
        match self.first_to_answer(ctx, &name, Ask::Canonical(Box::new(request))).await? {
            Answer::Events(events) => Ok(events),
            Answer::Wire(_) => Err(Error::bug("a canonical request was answered with bytes")),
        }
    }
}

/// What is asked: a front's bytes, or the canonical form.
enum Ask<'a> {
    Front(&'a FrontRequest<'a>),
    Canonical(Box<ModelRequest>),
}

/// What one target is asked.
enum Request {
    Wire(WireRequest),
    Canonical(Box<ModelRequest>),
}

impl Ask<'_> {
    /// The request for a target. Errors: what decoding it says.
    fn request(
        &mut self,
        provider: &dyn Provider,
        model: &Model,
        target: &Target,
        is_last: bool,
    ) -> Result<Request> {
        let mut canonical = match self {
            Self::Front(front) if front.passes_to(provider) => {
                return Ok(Request::Wire(wire_request(front, target)));
            }
            Self::Front(front) => Box::new((front.decode)(&front.body)?),
            Self::Canonical(request) if is_last => std::mem::take(request),
            Self::Canonical(request) => request.clone(),
        };
        canonical.model.clone_from(&target.model);
        canonical.max_tokens_default = Some(model.max_tokens_default);
        Ok(Request::Canonical(canonical))
    }
}

impl Request {
    /// Asks a target, until its answer begins.
    async fn ask(self, ctx: &Ctx, provider: &dyn Provider, model: &Model, is_last: bool) -> Result<Answer> {
        match self {
            Self::Wire(request) => {
                let begun = within(ctx, model, provider.forward(ctx, request)).await?;
                judge(begun, is_last).map(Answer::Wire)
            }
            Self::Canonical(request) => {
                within(ctx, model, begin(provider.complete(ctx, *request))).await.map(Answer::Events)
            }
        }
    }
}

impl FrontRequest<'_> {
    fn passes_to(&self, provider: &dyn Provider) -> bool {
        !self.is_mixed && provider.capabilities().dialects.contains(&self.dialect)
    }
}

/// The rest of an answer, watched and reported.
fn accounted(begun: Answer, account: Account, idle_timeout: Duration) -> Answer {
    match begun {
        Answer::Events(events) => {
            let events = Attended::new(events, idle_timeout);
            Answer::Events(Box::pin(Accounted::new(events, account, metric::OUTCOME_OK)))
        }
        Answer::Wire(mut wire) => {
            let outcome = wire.failure.as_ref().map_or(metric::OUTCOME_OK, |error| error.code().id);
            let body = Attended::new(wire.body, idle_timeout);
            wire.body = Box::pin(Accounted::new(body, account, outcome));
            Answer::Wire(wire)
        }
    }
}

fn wire_request(request: &FrontRequest<'_>, target: &Target) -> WireRequest {
    WireRequest {
        dialect: request.dialect,
        model: target.model.clone(),
        body: request.body.clone(),
        model_span: request.model_span.clone(),
        edits: request.edits.clone(),
        stream: request.stream,
        strip_usage: request.strip_usage,
        headers: request.headers.clone(),
    }
}

/// An answer that blames the request goes to the caller as it came, for it names what to change; so does the last
/// target's word that it does not have the model. One that blames the provider or our credentials becomes an error,
/// which the next target or a fallback answer may cure.
fn judge(mut wire: WireResponse, is_last: bool) -> Result<WireResponse> {
    let passes = |error: &Error| !fallover::may_help(error) || (is_last && error.kind() == Kind::NotFound);
    match wire.failure.take() {
        Some(error) if !passes(&error) => Err(error),
        failure => Ok(WireResponse { failure, ..wire }),
    }
}

/// Waits for an answer's first event that says something, so that a call which fails at once can still fall over.
async fn begin(call: impl Future<Output = Result<ModelStream>>) -> Result<ModelStream> {
    let mut events = call.await?;
    let mut held = Vec::with_capacity(2);
    while let Some(event) = events.next().await {
        let event = event?;
        if event == ModelEvent::Alive {
            continue;
        }
        let says_nothing =
            matches!(event, ModelEvent::Dropped(_) | ModelEvent::Start { .. } | ModelEvent::Usage(_));
        held.push(Ok(event));
        if !says_nothing || held.len() >= HELD_EVENTS_MAX {
            break;
        }
    }
    if held.is_empty() {
        return Err(Error::new(
            &codes::PROVIDER_BAD_RESPONSE,
            "the provider ended its answer without saying anything",
        ));
    }
    Ok(Box::pin(stream::iter(held).chain(events)))
}

/// Events held back while waiting for one that says something.
const HELD_EVENTS_MAX: usize = 8;

/// Bounds the wait for the beginning of an answer by the model's and the caller's patience, whichever is less.
pub(crate) async fn within<T>(ctx: &Ctx, model: &Model, call: impl Future<Output = Result<T>>) -> Result<T> {
    let remaining = ctx.remaining(Instant::now()).unwrap_or(Duration::MAX);
    let ours = model.first_byte_timeout;
    match tokio::time::timeout(ours.min(remaining), call).await {
        Ok(done) => done,
        Err(_) if remaining < ours => Err(Error::new(
            &codes::DEADLINE_EXCEEDED,
            "the request's deadline passed while waiting for the model",
        )),
        Err(_) => Err(Error::new(
            &codes::PROVIDER_TIMEOUT,
            format!("the provider sent nothing for {} s", ours.as_secs_f32()),
        )),
    }
}

pub(crate) fn expired(ctx: &Ctx) -> bool {
    ctx.remaining(Instant::now()) == Some(Duration::ZERO)
}

#[cfg(test)]
mod tests;
