//! What publishes the rows of an outbox. Of several processes that share a store one does, under a lease that ends by
//! itself.

use std::borrow::Cow;
use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use mainstay_core::pubsub::Message;
use mainstay_core::state::{Change, Entry, Format, Precondition};
use mainstay_core::{Ctx, Error, Result, codes};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Happened, Outbox, PAGE, Row, Store, Stuck, calls};
use crate::Blocks;
use crate::layers::Outcome;
use crate::pubsub::{self, CLOUD_EVENTS};

/// How often rows are looked for that nobody told us of.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);
/// First and longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(30));
/// How long the lease holds without being renewed.
const LEASE: Duration = Duration::from_secs(5);
/// Keys that a pass goes around because the broker does not take their event.
const STUCK_MAX: usize = 1_024;
/// What a call may take.
const CALL_TIMEOUT: Duration = Duration::from_secs(15);

/// The relays of a process, one for each outbox that is open.
#[derive(Debug, Default)]
pub struct Relays {
    running: BTreeMap<String, (Arc<Outbox>, CancellationToken)>,
}

impl Relays {
    /// Begins relays for the outboxes that are new in the hub, and ends those of what is gone. They run on `work` until
    /// `stop`.
    pub fn follow(&mut self, blocks: &Blocks, work: &TaskTracker, stop: &CancellationToken) {
        let table = blocks.table();
        self.running.retain(|name, (outbox, ending)| {
            let now = table.stores.get(name).and_then(|store| store.rules.outbox.as_ref());
            let stays = now.is_some_and(|now| Arc::ptr_eq(now, outbox));
            if !stays {
                ending.cancel();
            }
            stays
        });
        for (name, store) in &table.stores {
            let Some(outbox) = &store.rules.outbox else { continue };
            if self.running.contains_key(name) {
                continue;
            }
            let ending = stop.child_token();
            self.running.insert(name.clone(), (Arc::clone(outbox), ending.clone()));
            let relay = Relay {
                blocks: blocks.clone(),
                name: name.clone(),
                store: store.clone(),
                outbox: Arc::clone(outbox),
                holder: uuid::Uuid::now_v7().to_string(),
                held: None,
            };
            work.spawn(relay.run(ending));
        }
    }
}

/// A row that is to be published.
struct Waiting {
    /// Where it is in the store.
    place: String,
    event: Happened,
}

struct Relay {
    blocks: Blocks,
    name: String,
    store: Store,
    outbox: Arc<Outbox>,
    /// What the lease says when it is ours.
    holder: String,
    /// Since when it is.
    held: Option<Instant>,
}

impl Relay {
    async fn run(mut self, stop: CancellationToken) {
        let (mut pause, longest) = PAUSES;
        while !stop.is_cancelled() {
            match self.pass(&stop).await {
                Ok(()) => {
                    pause = PAUSES.0;
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = self.outbox.work.notified() => {}
                        () = tokio::time::sleep(LOOK_INTERVAL) => {}
                    }
                }
                Err(error) => {
                    let name = &self.name;
                    tracing::warn!(store = %name, error = ?error, "events of the outbox wait; trying again");
                    tokio::select! {
                        () = stop.cancelled() => {}
                        () = tokio::time::sleep(pause) => {}
                    }
                    pause = (pause * 2).min(longest);
                }
            }
        }
        self.leave().await;
    }

    /// Publishes what there is, page by page. Errors: those of the store, and of the broker that may take it later.
    async fn pass(&mut self, stop: &CancellationToken) -> Result<()> {
        let (mut token, mut stuck) = (None, Stuck::new());
        loop {
            let page = {
                let scan =
                    async |ctx| self.store.port.scan(&ctx, &self.outbox.rows, token.as_deref(), PAGE).await;
                self.store.guard.run(&ctx(), scan).await?
            };
            if page.entries.is_empty() {
                self.leave().await;
                return Ok(());
            }
            if stop.is_cancelled() || !self.lead().await? {
                return Ok(());
            }
            self.publish(page.entries, &mut stuck).await?;
            if stuck.len() > STUCK_MAX {
                return Err(Error::new(&codes::BROKER_UNAVAILABLE, "the broker takes none of many events"));
            }
            token = page.token;
            if token.is_none() {
                return if stuck.is_empty() { Ok(()) } else { Err(refused(&stuck)) };
            }
        }
    }

    /// Publishes rows: at once those of different keys, of one key one after the other.
    async fn publish(&self, rows: Vec<(String, Entry)>, stuck: &mut Stuck) -> Result<()> {
        let mut left = Vec::with_capacity(rows.len());
        for (place, entry) in rows {
            match self.read(&entry) {
                Ok(event) => left.push(Waiting { place, event }),
                Err(error) => {
                    tracing::error!(row = %place, error = ?error, "an event of the outbox cannot be read; it stays");
                    stuck.insert(place);
                }
            }
        }
        while !left.is_empty() {
            left.retain(|row| !stuck.contains(&row.event.key));
            let (mut now, mut later, mut seen) = (Vec::new(), Vec::new(), HashSet::new());
            for row in left {
                if seen.insert(row.event.key.clone()) { now.push(row) } else { later.push(row) }
            }
            self.round(now, stuck).await?;
            left = later;
        }
        Ok(())
    }

    /// Publishes rows of different keys, and deletes those that the broker has.
    async fn round(&self, rows: Vec<Waiting>, stuck: &mut Stuck) -> Result<()> {
        if rows.is_empty() {
            return Ok(());
        }
        let broker = pubsub::find(&self.blocks, &self.outbox.pubsub)?;
        let message = |Waiting { event, .. }: &Waiting| Message {
            topic: self.outbox.topic.clone(),
            data: event.envelope.clone().into(),
            content_type: Some(CLOUD_EVENTS.to_owned()),
            metadata: BTreeMap::from([(
                Message::KEY.to_owned(),
                event.partition.as_ref().unwrap_or(&event.key).clone(),
            )]),
        };
        let messages = rows.iter().map(message).collect();
        let call = async |ctx, messages| broker.port.publish_each(&ctx, messages).await;
        let ended = broker.guard.run_each(&ctx(), messages, call).await;
        let (mut done, mut failed) = (Vec::new(), None);
        for (Waiting { place, event: Happened { key, .. } }, ended) in rows.into_iter().zip(ended) {
            match ended {
                Ok(()) => done.push(Change::Delete { key: place, precondition: Precondition::None }),
                Err(error) if matches!(Outcome::of(&error), Outcome::Temporary(_)) => failed = Some(error),
                Err(error) => {
                    tracing::error!(%key, error = ?error, "the broker does not take an event of the outbox; it stays");
                    stuck.insert(key);
                }
            }
        }
        calls::make(&self.store, &ctx(), done).await?;
        failed.map_or(Ok(()), Err)
    }

    fn read(&self, entry: &Entry) -> Result<Happened> {
        let value = match &self.store.rules.cipher {
            Some(cipher) => cipher.open(&entry.value)?,
            None => entry.value.clone(),
        };
        let row: Row<'_> = serde_json::from_slice(&value).map_err(|error| {
            Error::new(&codes::VALUE_UNREADABLE, "it is no event of an outbox").with_source(error)
        })?;
        Ok(Happened {
            key: row.key.into_owned(),
            partition: row.partition.map(Cow::into_owned),
            envelope: row.event.get().to_owned(),
        })
    }

    /// Whether we are the one who publishes; renews that when it is time.
    async fn lead(&mut self) -> Result<bool> {
        if self.held.is_some_and(|since| since.elapsed() < LEASE / 3) {
            return Ok(true);
        }
        let read = async |ctx| self.store.port.get(&ctx, &self.outbox.lease).await;
        let precondition = match self.store.guard.run(&ctx(), read).await? {
            None => Precondition::Absent,
            Some(entry) if entry.value == self.holder.as_bytes() => Precondition::Etag(entry.etag),
            Some(_) => {
                self.held = None;
                return Ok(false);
            }
        };
        let taken = Change::Set {
            key: self.outbox.lease.clone(),
            value: self.holder.clone().into(),
            format: Format::Bytes,
            precondition,
            ttl: Some(LEASE),
        };
        let since = Instant::now();
        match self.store.port.apply(&ctx(), taken).await {
            Ok(()) => self.held = Some(since),
            Err(error) if error.code() == &codes::ETAG_MISMATCH => self.held = None,
            Err(error) => return Err(error),
        }
        Ok(self.held.is_some())
    }

    /// Gives the lease back, if it is ours. Nobody needs to know when that fails: it ends by itself.
    async fn leave(&mut self) {
        if self.held.take().is_none() {
            return;
        }
        let ctx = ctx();
        if let Ok(Some(entry)) = self.store.port.get(&ctx, &self.outbox.lease).await
            && entry.value == self.holder.as_bytes()
        {
            let precondition = Precondition::Etag(entry.etag);
            let gone = Change::Delete { key: self.outbox.lease.clone(), precondition };
            let _ = self.store.port.apply(&ctx, gone).await;
        }
    }
}

fn ctx() -> Ctx {
    Ctx::system().with_deadline((Instant::now() + CALL_TIMEOUT).into_std())
}

fn refused(stuck: &Stuck) -> Error {
    Error::new(&codes::BROKER_UNAVAILABLE, format!("the broker does not take events of {} keys", stuck.len()))
}
