//! A member of a consumer group: takes over what others have left, reads what is new, and settles.
//!
//! An entry that was handed out and not acknowledged is pending on the server until somebody claims it. So whatever
//! becomes of a member, what it held comes again; nothing has to be said when it goes.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::pubsub::{Delivery, Message, Receipt, Subscription};
use mainstay_core::{Error, Result};
use parking_lot::Mutex;
use redis::{RedisError, RedisResult};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{Broker, OLDEST, Redelivery, failed};
use crate::clients::redis::Redis;

/// How long the server waits for an entry before it answers that there is none.
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Pending entries that are looked at in one round trip.
const PAGE: usize = 100;

/// An entry as the server tells it: its id, and its fields. Nothing where it was deleted meanwhile.
type Row = Option<(String, HashMap<String, Bytes>)>;
/// Streams with their entries, as one read tells them. Nothing where there was nothing to read.
type Streams = Option<Vec<Option<(String, Vec<Row>)>>>;

pub(super) struct Member {
    /// A connection of its own: the server holds back its answers while it waits for entries.
    waiting: Redis,
    group: Arc<Group>,
    redelivery: Option<Redelivery>,
    read_max: usize,
    /// What was read and not handed out: never more than there is room for.
    read: VecDeque<Entry>,
    sweep: Sweep,
    room: Arc<Semaphore>,
}

/// What a member shares with its receipts.
struct Group {
    redis: Redis,
    topic: String,
    name: String,
    is_error_done: bool,
    /// The ids of what is read and not settled: not to be taken over by ourselves.
    held: Mutex<HashSet<String>>,
}

struct Entry {
    id: String,
    fields: HashMap<String, Bytes>,
    attempts: u32,
}

/// Looking for entries that nobody has settled in time.
struct Sweep {
    /// When the next one begins.
    due: Instant,
    /// From where the present one goes on.
    from: Option<String>,
}

impl Member {
    pub(super) async fn join(broker: &Broker, subscription: Subscription) -> Result<Self> {
        let settled = &broker.settled;
        let Subscription { topic, group, .. } = subscription;
        let group = Group {
            redis: broker.redis.clone(),
            topic,
            name: group,
            is_error_done: settled.is_error_done,
            held: Mutex::default(),
        };
        group.create(settled.beginning).await?;
        Ok(Self {
            waiting: Redis::open(&settled.client.blocking(WAIT_MAX)).await.map_err(failed)?,
            group: Arc::new(group),
            redelivery: settled.redelivery,
            read_max: settled.read_max,
            read: VecDeque::new(),
            sweep: Sweep { due: Instant::now(), from: None },
            room: Arc::new(Semaphore::new(settled.concurrency)),
        })
    }

    /// The next delivery, once there is room for one.
    pub(super) async fn next(&mut self) -> Result<Delivery> {
        loop {
            let room = Arc::clone(&self.room).acquire_owned().await;
            let room = room.map_err(|_| Error::bug("a member's room was closed"))?;
            if let Some(entry) = self.read.pop_front() {
                return Ok(self.delivery(entry, room));
            }
            let wanted = (1 + self.room.available_permits()).min(self.read_max);
            drop(room);
            match self.fill(wanted).await {
                Ok(()) => {}
                // The stream was deleted, or the server lost its data: all that is there now is new.
                Err(error) if error.code() == Some("NOGROUP") => self.group.create(OLDEST).await?,
                Err(error) => return Err(failed(error)),
            }
        }
    }

    /// Reads up to `wanted` entries: those that others have left, and where there are none, new ones.
    async fn fill(&mut self, wanted: usize) -> std::result::Result<(), RedisError> {
        let mut wait = WAIT_MAX;
        if let Some(redelivery) = self.redelivery {
            if self.sweep.from.is_some() || Instant::now() >= self.sweep.due {
                self.take_over(redelivery, wanted).await?;
            }
            if !self.read.is_empty() {
                return Ok(());
            }
            wait = wait.min(self.sweep.due.saturating_duration_since(Instant::now()));
        }
        let mut read = redis::cmd("XREADGROUP");
        read.arg("GROUP").arg(&self.group.name).arg(&self.group.name).arg("COUNT").arg(wanted);
        // Zero would be for ever.
        read.arg("BLOCK").arg(wait.as_millis().max(1).to_string());
        read.arg("STREAMS").arg(&self.group.topic).arg(">");
        let streams: Streams = read.query_async(&mut self.waiting).await?;
        let rows = streams.into_iter().flatten().flatten().flat_map(|(_, rows)| rows);
        let entries = rows.flatten().map(|(id, fields)| Entry { id, fields, attempts: 0 });
        self.hold(entries.collect());
        Ok(())
    }

    fn hold(&mut self, entries: Vec<Entry>) {
        self.group.held.lock().extend(entries.iter().map(|entry| entry.id.clone()));
        self.read.extend(entries);
    }

    /// Claims up to `wanted` entries that were handed out too long ago. A sweep goes over all that are pending once,
    /// over several calls if it must.
    async fn take_over(
        &mut self,
        redelivery: Redelivery,
        wanted: usize,
    ) -> std::result::Result<(), RedisError> {
        loop {
            let from = self.sweep.from.take().unwrap_or_else(|| "-".to_owned());
            // Without a filter for their idle time, which Redis 5 does not know.
            let pending: Vec<(String, String, u64, u32)> = redis::cmd("XPENDING")
                .arg(&self.group.topic)
                .arg(&self.group.name)
                .arg(from)
                .arg("+")
                .arg(PAGE)
                .query_async(&mut self.waiting)
                .await?;
            let mut due: HashMap<String, u32> = HashMap::new();
            let (page, mut last) = (pending.len(), None);
            for (id, _, idle_ms, deliveries) in pending {
                if due.len() == wanted {
                    break;
                }
                last = Some(id.clone());
                let is_late = Duration::from_millis(idle_ms) >= redelivery.timeout;
                if is_late && !self.group.held.lock().contains(&id) {
                    due.insert(id, deliveries);
                }
            }
            let is_through = page < PAGE && due.len() < wanted;
            self.sweep.from = last.filter(|_| !is_through).and_then(|last| after(&last));
            if self.sweep.from.is_none() {
                self.sweep.due = Instant::now() + redelivery.interval;
            }
            if !due.is_empty() {
                self.claim(redelivery, due).await?;
            }
            if !self.read.is_empty() || self.sweep.from.is_none() {
                return Ok(());
            }
        }
    }

    /// Takes these entries over, unless somebody else was faster. `due` says how often each was delivered.
    async fn claim(
        &mut self,
        redelivery: Redelivery,
        mut due: HashMap<String, u32>,
    ) -> std::result::Result<(), RedisError> {
        let Group { topic, name, .. } = &*self.group;
        let mut claim = redis::cmd("XCLAIM");
        claim.arg(topic).arg(name).arg(name).arg(redelivery.timeout.as_millis().to_string());
        due.keys().for_each(|id| {
            claim.arg(id);
        });
        let rows: Vec<Row> = claim.query_async(&mut self.waiting).await?;
        let mut entries: Vec<Entry> = rows
            .into_iter()
            .flatten()
            .map(|(id, fields)| Entry { attempts: due.remove(&id).unwrap_or(1), id, fields })
            .collect();
        // What the stream does not hold any more stays pending for ever with servers before Redis 7.
        for id in due.into_keys() {
            let found: Vec<Row> =
                redis::cmd("XRANGE").arg(topic).arg(&id).arg(&id).query_async(&mut self.waiting).await?;
            if found.is_empty() {
                let _: u64 =
                    redis::cmd("XACK").arg(topic).arg(name).arg(&id).query_async(&mut self.waiting).await?;
            }
        }
        entries.sort_by_cached_key(|entry| parts(&entry.id));
        self.hold(entries);
        Ok(())
    }

    fn delivery(&self, entry: Entry, room: OwnedSemaphorePermit) -> Delivery {
        let Entry { id, mut fields, attempts } = entry;
        let metadata = fields.get("metadata").and_then(|text| serde_json::from_slice(text).ok());
        let message = Message {
            topic: self.group.topic.clone(),
            data: fields.remove("data").unwrap_or_default(),
            content_type: None,
            metadata: metadata.unwrap_or_default(),
        };
        let receipt = Box::new(Slip { group: Arc::clone(&self.group), id, _room: room });
        Delivery { message, lane: None, attempts, receipt }
    }
}

impl Group {
    /// Makes it, unless it is there.
    async fn create(&self, beginning: &str) -> Result<()> {
        let mut create = redis::cmd("XGROUP");
        create.arg("CREATE").arg(&self.topic).arg(&self.name).arg(beginning).arg("MKSTREAM");
        let created: RedisResult<()> = create.query_async(&mut self.redis.clone()).await;
        match created {
            Err(error) if error.code() == Some("BUSYGROUP") => Ok(()),
            other => other.map_err(failed),
        }
    }

    async fn acknowledge(&self, id: &str) -> Result<()> {
        let mut settle = redis::cmd("XACK");
        settle.arg(&self.topic).arg(&self.name).arg(id);
        let settled: RedisResult<u64> = settle.query_async(&mut self.redis.clone()).await;
        settled.map(|_| ()).map_err(failed)
    }
}

/// An id as two numbers, by which ids are ordered.
fn parts(id: &str) -> Option<(u64, u64)> {
    let (time, number) = id.split_once('-')?;
    Some((time.parse().ok()?, number.parse().ok()?))
}

/// The first id after this one.
fn after(id: &str) -> Option<String> {
    let (time, number) = parts(id)?;
    Some(match number.checked_add(1) {
        Some(number) => format!("{time}-{number}"),
        None => format!("{}-0", time.checked_add(1)?),
    })
}

/// Settles an entry; dropped without, it stays pending, and comes again in its time.
struct Slip {
    group: Arc<Group>,
    id: String,
    /// Its place among those that are worked on.
    _room: OwnedSemaphorePermit,
}

#[async_trait]
impl Receipt for Slip {
    async fn done(self: Box<Self>) -> Result<()> {
        self.group.acknowledge(&self.id).await
    }

    async fn again(self: Box<Self>) -> Result<()> {
        if self.group.is_error_done { self.group.acknowledge(&self.id).await } else { Ok(()) }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        self.group.held.lock().remove(&self.id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_id_after_an_id_is_the_next_one() {
        let check = |id: &str, expect: Option<&str>| assert_eq!(after(id).as_deref(), expect, "{id}");
        check("5-0", Some("5-1"));
        check("1700000000000-41", Some("1700000000000-42"));
        check("5-18446744073709551615", Some("6-0"));
        check("nothing", None);
    }
}
