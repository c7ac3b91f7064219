//! The outbox: events of a transaction that are saved with it, and published once it is made.
//!
//! ```text
//! app ── transaction ──► changes + a row for each event     one transaction of the store
//!                                  │
//!        relay ◄── rows in their order ── publishes ── broker acknowledges ── deletes the row
//! ```
//! So there is no event without its state and no state without its event, whatever ends the process in between. An
//! event can be published twice (when the process ends between the acknowledgement and the delete), with the same id.
//! Events of one key are published in the order in which this process made their transactions.

mod relay;
#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::hash::{BuildHasher as _, BuildHasherDefault, DefaultHasher};
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use mainstay_core::pubsub::Message;
use mainstay_core::state::{Change, Format, Precondition, RESERVED};
use mainstay_core::{Ctx, Error, Result, codes};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};
use tokio::sync::{Mutex as AsyncMutex, MutexGuard, Notify, OnceCell};

use super::{Item, Operation, Store, calls};
use crate::pubsub::{Event, is_json};
use crate::{App, Blocks};
pub use relay::Relays;

/// Metadata of an operation: it is not made, and its value is what is published for the one of the same key.
const PROJECTION: &str = "outbox.projection";
/// Metadata that is meant for the store, and not for the envelope.
const NOT_ATTRIBUTES: [&str; 9] = [
    "data",
    "id",
    "topic",
    "pubsubname",
    "specversion",
    "ttlInSeconds",
    "contentType",
    "rawPayload",
    PROJECTION,
];
/// Locks that keep transactions of the same keys apart.
const STRIPES: usize = 64;
/// Rows read at once.
const PAGE: usize = 64;

/// The outbox of a store.
#[derive(Debug)]
pub struct Outbox {
    pubsub: String,
    topic: String,
    /// What the keys of its rows begin with.
    rows: String,
    /// What they end with: another process, or this one after a reload, may give the same numbers.
    end: String,
    /// Where it is said who publishes, of several processes.
    lease: String,
    /// The number of the last row.
    last: Mutex<u64>,
    /// Set when `last` is beyond what an earlier process has left.
    raised: OnceCell<()>,
    stripes: Vec<AsyncMutex<()>>,
    /// Told when there are rows.
    work: Notify,
}

/// A row.
#[derive(Deserialize, Serialize)]
struct Row<'a> {
    /// The key that the event is of, as the app calls it.
    #[serde(borrow)]
    key: Cow<'a, str>,
    /// What the broker keeps in order, where the operation says it; else that is the key.
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    partition: Option<Cow<'a, str>>,
    #[serde(borrow)]
    event: &'a RawValue,
}

/// An event of a transaction.
struct Happened {
    /// The key that it is of, as the app calls it.
    key: String,
    partition: Option<String>,
    envelope: String,
}

/// Values that are published for others, by key.
type Projections = HashMap<String, (Item, Bytes, Format)>;

impl Outbox {
    /// An outbox of the state store `component` that publishes to a topic of a broker.
    #[must_use]
    pub fn new(app: &App, component: &str, pubsub: &str, topic: &str) -> Self {
        let app = match &app.namespace {
            Some(namespace) => format!("{namespace}.{}", app.id),
            None => app.id.clone(),
        };
        let base = format!("{RESERVED}outbox||{app}||{component}||");
        Self {
            pubsub: pubsub.to_owned(),
            topic: topic.to_owned(),
            rows: format!("{base}row||"),
            end: uuid::Uuid::now_v7().simple().to_string(),
            lease: format!("{base}lease"),
            last: Mutex::new(0),
            raised: OnceCell::new(),
            stripes: (0..STRIPES).map(|_| AsyncMutex::default()).collect(),
            work: Notify::new(),
        }
    }

    /// The next rows' numbers begin after this: later ones are larger, also after a restart.
    fn numbers(&self, now_ms: u64, count: u64) -> u64 {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let first = (now_ms << 20).max(*last + 1);
        *last = first + count;
        first
    }

    /// Raises the numbers beyond those of the rows that are there: the clock may have been set back.
    async fn raise(&self, store: &Store, ctx: &Ctx) -> Result<()> {
        let raise = async || {
            let mut token = None;
            loop {
                let scan = async |ctx| store.port.scan(&ctx, &self.rows, token.as_deref(), PAGE).await;
                let page = store.guard.run(ctx, scan).await?;
                if let Some((key, _)) = page.entries.last() {
                    let digits = key.strip_prefix(&self.rows).and_then(|key| key.get(..16));
                    let number = digits.and_then(|digits| u64::from_str_radix(digits, 16).ok()).unwrap_or(0);
                    let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
                    *last = number.max(*last);
                }
                token = page.token;
                if token.is_none() {
                    return Ok(());
                }
            }
        };
        self.raised.get_or_try_init(raise).await?;
        Ok(())
    }

    /// Keeps other transactions of the same keys away: the order of rows is then that of the changes.
    async fn alone(&self, events: &[Happened]) -> Vec<MutexGuard<'_, ()>> {
        let hasher = BuildHasherDefault::<DefaultHasher>::default();
        let stripes: BTreeSet<usize> =
            events.iter().map(|event| (hasher.hash_one(&event.key) % STRIPES as u64) as usize).collect();
        let mut held = Vec::with_capacity(stripes.len());
        // In one order for all, so that nobody waits in a circle.
        for stripe in stripes {
            if let Some(lock) = self.stripes.get(stripe) {
                held.push(lock.lock().await);
            }
        }
        held
    }
}

/// Makes a transaction with its events. Errors: as [`super::transact`].
pub(super) async fn transact(
    blocks: &Blocks,
    ctx: &Ctx,
    store: &Store,
    outbox: &Outbox,
    operations: Vec<Operation>,
) -> Result<()> {
    let now_ms = blocks.clock().now_ms();
    let (operations, projections) = split(operations);
    let mut events = Vec::new();
    for operation in &operations {
        if let Operation::Upsert(item, value, format) = operation {
            let (value, format, content_type) = match projections.get(&item.key) {
                Some((projection, value, format)) => (value, *format, projection.metadata.get("contentType")),
                None => (value, *format, item.metadata.get("contentType")),
            };
            let (data, content_type) = payload(value, format, content_type.map(String::as_str));
            let event = Event {
                app: &blocks.app().id,
                pubsub: &outbox.pubsub,
                topic: &outbox.topic,
                traceparent: ctx.traceparent(),
                tracestate: ctx.tracestate(),
                now_ms,
            };
            events.push(Happened {
                key: item.key.clone(),
                partition: item.metadata.get(Message::KEY).cloned(),
                envelope: envelope(&event, &data, content_type.as_deref(), item)?,
            });
        }
    }
    let mut changes = operations
        .into_iter()
        .map(|operation| super::change(&store.rules, operation))
        .collect::<Result<Vec<_>>>()?;
    super::check_count(store, changes.len() + events.len())?;
    outbox.raise(store, ctx).await?;
    let alone = outbox.alone(&events).await;
    let first = outbox.numbers(now_ms, events.len() as u64);
    for (number, event) in (first..).zip(&events) {
        changes.push(row(store, outbox, number, event)?);
    }
    let made = calls::transact(store, ctx, changes).await;
    drop(alone);
    // Also after a failure: it may have been made all the same.
    outbox.work.notify_one();
    made
}

/// The operations that are made, and the values that are published for others.
fn split(operations: Vec<Operation>) -> (Vec<Operation>, Projections) {
    let mut projections = Projections::new();
    let mut made = Vec::with_capacity(operations.len());
    for operation in operations {
        match operation {
            Operation::Upsert(item, value, format) if is_true(item.metadata.get(PROJECTION)) => {
                projections.insert(item.key.clone(), (item, value, format));
            }
            other => made.push(other),
        }
    }
    (made, projections)
}

fn is_true(text: Option<&String>) -> bool {
    let text = text.map(|text| text.trim().to_ascii_lowercase());
    matches!(text.as_deref(), Some("y" | "yes" | "true" | "t" | "on" | "1"))
}

/// What is published of a value, and what it is: JSON is JSON, but for a text, which is itself.
fn payload(value: &Bytes, format: Format, content_type: Option<&str>) -> (Bytes, Option<String>) {
    let content_type = content_type.filter(|text| !text.is_empty());
    let is_json = content_type.is_some_and(is_json);
    if format == Format::Bytes || is_json {
        return (value.clone(), content_type.map(str::to_owned));
    }
    match (serde_json::from_slice(value), content_type) {
        (Ok(Value::String(text)), given) => (text.into(), given.map(str::to_owned)),
        (_, None) => (value.clone(), Some("application/json".to_owned())),
        (_, given) => (value.clone(), given.map(str::to_owned)),
    }
}

/// The event's envelope. The operation's metadata are attributes of it; those called `cloudevent.<name>` stand for
/// `<name>`.
fn envelope(event: &Event<'_>, data: &[u8], content_type: Option<&str>, item: &Item) -> Result<String> {
    let mut metadata: BTreeMap<String, String> = item.metadata.clone();
    // How long the value lives says nothing of the event.
    metadata.remove("ttlInSeconds");
    metadata.entry("cloudevent.id".to_owned()).or_insert_with(|| format!("outbox-{}", uuid::Uuid::now_v7()));
    let mut object: Map<String, Value> = event.object(data, content_type, &metadata)?;
    for (name, value) in metadata {
        if !name.starts_with("cloudevent.") && !NOT_ATTRIBUTES.contains(&name.as_str()) {
            object.insert(name, value.into());
        }
    }
    Ok(Value::Object(object).to_string())
}

fn row(store: &Store, outbox: &Outbox, number: u64, happened: &Happened) -> Result<Change> {
    let bug = |error: serde_json::Error| Error::bug("an event is no JSON").with_source(error);
    let event = serde_json::from_str(&happened.envelope).map_err(bug)?;
    let partition = happened.partition.as_deref().map(Cow::Borrowed);
    let value =
        serde_json::to_vec(&Row { key: Cow::Borrowed(&happened.key), partition, event }).map_err(bug)?;
    let (value, format) = calls::sealed(&store.rules, value.into(), Format::Bytes)?;
    let key = format!("{}{number:016x}-{}", outbox.rows, outbox.end);
    Ok(Change::Set { key, value, format, precondition: Precondition::None, ttl: None })
}

/// Whether a store can have an outbox. Errors: `UNSUPPORTED`.
pub fn check(able: &mainstay_core::state::Capabilities) -> Result<()> {
    if able.transaction_changes_max.is_some() && able.scan_reserved {
        return Ok(());
    }
    Err(Error::new(&codes::UNSUPPORTED, "this state store cannot have an outbox")
        .with_help("it takes transactions, and a list of what is to be published"))
}

/// The keys that events of this pass must not overtake.
type Stuck = HashSet<String>;
