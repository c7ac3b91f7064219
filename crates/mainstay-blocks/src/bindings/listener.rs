//! An input binding at work: asks whether the app wants its events, takes them, tells the app, settles, and does what
//! the app's answer asks for.
//!
//! An app that says no is asked again, for it may have been asked before it was whole; so is one that cannot be
//! reached.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::{BoxFuture, join_all};
use futures_util::stream::FuturesUnordered;
use mainstay_core::binding::{Event, Operation};
use mainstay_core::callback::{AppCallback, BindingEvent, Follow, FollowState};
use mainstay_core::state::Format;
use mainstay_core::{Ctx, Error, Result, codes};
use tokio_util::sync::CancellationToken;

use super::Binding;
use crate::metering::metered;
use crate::state::{self, Concurrency, Item};
use crate::{Blocks, bindings};

/// Events of a binding that are with the app.
const IN_WORK_MAX: usize = 64;
/// First and longest pause before an app is asked again, and before a binding is listened to again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));

fn is_source(binding: &Binding) -> bool {
    binding.rules.is_input && binding.port.capabilities().events
}

/// A binding that is listened to.
pub struct Listener {
    blocks: Blocks,
    app: Arc<dyn AppCallback>,
    name: String,
    /// How long the app may take to say whether it wants events.
    patience: Duration,
}

impl std::fmt::Debug for Listener {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Listener").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Listener {
    /// The names of the bindings that events come from.
    #[must_use]
    pub fn all(blocks: &Blocks) -> Vec<String> {
        let table = blocks.table();
        table
            .bindings
            .iter()
            .filter(|(_, binding)| is_source(binding))
            .map(|(name, _)| name.clone())
            .collect()
    }

    /// The one for a binding; `None` where no events come from it. `patience` is how long the app may take to say
    /// whether it wants them.
    #[must_use]
    pub fn of(blocks: &Blocks, app: &Arc<dyn AppCallback>, name: &str, patience: Duration) -> Option<Self> {
        blocks.table().bindings.get(name).filter(|binding| is_source(binding))?;
        Some(Self {
            blocks: blocks.clone(),
            app: metered(blocks, Arc::clone(app)),
            name: name.to_owned(),
            patience,
        })
    }

    /// Listens until `stop`, then lets what is with the app finish.
    pub async fn run(self, stop: CancellationToken) {
        if self.is_wanted(&stop).await {
            tracing::info!(binding = %self.name, "the app hears of this binding");
            self.listen(&stop).await;
        }
    }

    /// Waits until the app wants the events. `false` at the end of the process.
    async fn is_wanted(&self, stop: &CancellationToken) -> bool {
        let (mut pause, longest) = PAUSES;
        let mut told = false;
        loop {
            let Some(binding) = self.binding() else { return false };
            if binding.rules.is_wanted {
                return true;
            }
            let ctx = Ctx::system().with_deadline(Instant::now() + self.patience);
            let asked = tokio::select! {
                () = stop.cancelled() => return false,
                asked = self.app.hears(&ctx, &self.name, &binding.rules.route) => asked,
            };
            match asked {
                Ok(true) => return true,
                Ok(false) if !told => {
                    told = true;
                    tracing::info!(binding = %self.name, "the app does not ask for the events of this binding; it is asked again");
                }
                Ok(false) => {}
                Err(error) => {
                    tracing::warn!(binding = %self.name, error = ?error, "the app does not say whether it wants events; asking again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return false,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(longest);
        }
    }

    async fn listen(&self, stop: &CancellationToken) {
        let (mut pause, longest) = PAUSES;
        while let Some(binding) = self.binding().filter(|_| !stop.is_cancelled()) {
            match self.listen_until(&binding, stop).await {
                Ok(()) => pause = PAUSES.0,
                Err(error) => {
                    tracing::warn!(binding = %self.name, error = ?error, "a binding is interrupted; listening again");
                }
            }
            tokio::select! {
                () = stop.cancelled() => return,
                () = tokio::time::sleep(pause) => {}
            }
            pause = (pause * 2).min(longest);
        }
    }

    fn binding(&self) -> Option<Binding> {
        self.blocks.table().bindings.get(&self.name).cloned()
    }

    async fn listen_until(&self, binding: &Binding, stop: &CancellationToken) -> Result<()> {
        let mut stream = binding.port.events(&Ctx::system()).await?;
        let mut running: FuturesUnordered<BoxFuture<'_, ()>> = FuturesUnordered::new();
        let ended = loop {
            tokio::select! {
                biased;
                () = stop.cancelled() => break Ok(()),
                Some(()) = running.next(), if !running.is_empty() => {}
                next = stream.next(), if running.len() < IN_WORK_MAX => match next {
                    Some(Ok(event)) => running.push(Box::pin(self.settle(event, binding))),
                    Some(Err(error)) => break Err(error),
                    None => break Ok(()),
                },
            }
        };
        while running.next().await.is_some() {}
        ended
    }

    async fn settle(&self, event: Event, binding: &Binding) {
        let Event { data, metadata, receipt } = event;
        let settled = match self.tell(data, metadata, binding).await {
            Ok(answer) => receipt.done(answer).await,
            Err(error) => {
                tracing::warn!(binding = %self.name, error = ?error, "the app failed on an event");
                receipt.failed(error.message()).await
            }
        };
        if let Err(error) = settled {
            tracing::warn!(binding = %self.name, error = ?error, "an event could not be settled; it may come again");
        }
    }

    async fn tell(
        &self,
        data: Bytes,
        metadata: std::collections::BTreeMap<String, String>,
        binding: &Binding,
    ) -> Result<Bytes> {
        let mut ctx = Ctx::system();
        if let Some(trace) = metadata.get("traceparent") {
            ctx = ctx.with_traceparent(trace);
            ctx = ctx.with_tracestate(metadata.get("tracestate").map(String::as_str).unwrap_or_default());
        }
        let event =
            BindingEvent { binding: self.name.clone(), route: binding.rules.route.clone(), data, metadata };
        let call = async |ctx| self.app.tell(&ctx, &event).await;
        // Policies may have changed since it is listened to.
        let inbound = self.binding().map_or_else(|| binding.inbound.clone(), |now| now.inbound);
        let answer = inbound.run(&ctx, call).await?;
        // The app has worked on the event: what follows and fails does not bring it back.
        if let Err(error) = self.follow(&ctx, answer.follow).await {
            tracing::error!(binding = %self.name, error = ?error, "what the app's answer asked for failed");
        }
        Ok(answer.data)
    }

    async fn follow(&self, ctx: &Ctx, follow: Follow) -> Result<()> {
        let Follow { store, state, to, parallel, data } = follow;
        let saved = if state.is_empty() { Ok(()) } else { self.save(ctx, &store, state).await };
        let create = || Operation { name: "create".to_owned(), data: data.clone(), ..Operation::default() };
        if parallel {
            let calls = to.iter().map(|name| bindings::invoke(&self.blocks, ctx, name, create()));
            join_all(calls).await.into_iter().collect::<Result<Vec<_>>>()?;
        } else {
            for name in &to {
                bindings::invoke(&self.blocks, ctx, name, create()).await?;
            }
        }
        saved
    }

    async fn save(&self, ctx: &Ctx, store: &str, state: Vec<FollowState>) -> Result<()> {
        let items = state.into_iter().map(item).collect::<Result<Vec<_>>>()?;
        state::save(&self.blocks, ctx, store, items).await
    }
}

fn item(asked: FollowState) -> Result<(Item, Bytes, Format)> {
    let concurrency = match asked.concurrency.as_str() {
        "" => Concurrency::Unspecified,
        "first-write" => Concurrency::FirstWrite,
        "last-write" => Concurrency::LastWrite,
        other => {
            let message = format!("set `{}`: `{other}` is no concurrency", asked.key);
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
    };
    let format = if asked.is_json { Format::Json } else { Format::Bytes };
    let item = Item { key: asked.key, etag: asked.etag, concurrency, metadata: asked.metadata };
    Ok((item, asked.value, format))
}
