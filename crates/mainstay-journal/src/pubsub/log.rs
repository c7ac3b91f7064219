//! The log of all brokers: takes messages in, says what a member gets, keeps what is done.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use mainstay_core::pubsub::Message;
use mainstay_core::{Clock, Error, Result, codes};
use parking_lot::Mutex;

use super::group::{Handed, Member};
use super::index::{Coming, Index, Slot};
use super::record::{self, Stored, StoredGroup};
use super::{CACHE_BYTES_MAX, GROUPS_MAX, MESSAGES_MAX, PubSubOptions, closed, unavailable};
use crate::blob::{Blobs, Large};
use crate::damage::{Damage, Fault};
use crate::engine::{BlobWrites, blocking};
use crate::lock::Lock;
use crate::log::queue::Acknowledged;
use crate::log::record::{Group as Records, HEADER_BYTES, kind as log_kind, u32_at};
use crate::log::shelf::Shelf;
use crate::log::writer::DurableListener;
use crate::log::{Log, Lsn, segment};
use crate::stats::{Counters, Stats};

/// Times that a read starts over because what it was about to read moved.
const READ_ATTEMPTS: u32 = 5;

/// The log, open.
#[derive(Debug)]
pub(crate) struct BrokerLog {
    pub(crate) log: Log,
    pub(crate) blobs: Arc<Blobs>,
    pub(crate) blob_writes: BlobWrites,
    pub(crate) counters: Arc<Counters>,
    pub(crate) shelf: Shelf,
    pub(crate) index: Arc<Mutex<Index>>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) options: PubSubOptions,
    pub(crate) is_closed: AtomicBool,
    pub(crate) torn_bytes: u64,
    pub(crate) lock: Lock,
}

/// Tells the index what became durable, on the log's thread.
#[derive(Debug)]
pub(crate) struct Arrivals(pub(crate) Arc<Mutex<Index>>);

impl DurableListener for Arrivals {
    fn durable(&self, _: Lsn) {}

    fn batch(&self, number: u64, segment: u32, offset: u64) {
        self.0.lock().arrive(number, segment, offset);
    }
}

/// What a member who asks gets.
#[derive(Debug)]
pub(crate) enum Taken {
    Handed(Handed),
    /// Nothing before the bell rings, or that time.
    Nothing(Option<Instant>),
    /// The group or the log is no more.
    Over,
}

impl BrokerLog {
    /// Hands a message to the log. Errors: `INVALID_FIELD`, `OVERLOADED`, `BROKER_UNAVAILABLE`.
    pub(crate) async fn begin(&self, broker: &str, message: Message) -> Result<Acknowledged> {
        let (mut stored, large) = self.stored(broker, message)?;
        let pins = match large {
            None => None,
            Some(data) => {
                let large = blocking(move || Large::new(data.to_vec())).await?;
                stored.blob = Some(large.blob());
                Some(self.blob_writes.put(vec![large]).await.map_err(unavailable)?)
            }
        };
        let mut records = Records::default();
        record::push_message(&mut records, &stored);
        let acknowledged = self.hand_over(records, stored);
        // Only now: the index refers to the blob, or nobody will.
        drop(pins);
        acknowledged
    }

    fn hand_over(&self, mut records: Records, mut stored: Stored) -> Result<Acknowledged> {
        let bytes = u32::try_from(HEADER_BYTES).expect("32") + u32_at(records.bytes(), 0);
        let mut index = self.index.lock();
        self.refuse_beyond_bounds(&index)?;
        let topic = index.topic_of(&stored.broker, &stored.message.topic);
        let seq = index.topic(topic).map_or(0, super::index::Topic::next);
        stored.seq = seq;
        record::stamp(&mut records, seq);
        let acknowledged = self.log.append(&records).map_err(unavailable)?;
        let (batch, at, published_ms) = (acknowledged.batch(), acknowledged.at(), stored.published_ms);
        let coming = Coming { batch, at, bytes, topic, seq, published_ms, is_copy: false };
        index.push(coming, stored, CACHE_BYTES_MAX);
        Ok(acknowledged)
    }

    /// The message as it is kept, and its data where that is to become a blob.
    fn stored(&self, broker: &str, mut message: Message) -> Result<(Stored, Option<Bytes>)> {
        let published_ms = self.clock.now_ms();
        let expires_at_ms = match message.metadata.get(Message::TTL) {
            None => None,
            Some(seconds) => {
                let seconds: u64 = seconds.parse().ok().filter(|s| *s > 0).ok_or_else(invalid_ttl)?;
                Some(published_ms.saturating_add(seconds.saturating_mul(1_000)))
            }
        };
        let lane = message.metadata.get(Message::KEY).map_or(0, |key| crc32c::crc32c(key.as_bytes()).max(1));
        let mut large = None;
        if message.data.len() > self.options.journal.inline_bytes_max {
            large = Some(std::mem::take(&mut message.data));
        } else {
            // Not a part of a larger buffer, which would stay in memory with it.
            message.data = Bytes::copy_from_slice(&message.data);
        }
        let broker = broker.to_owned();
        Ok((Stored { seq: 0, published_ms, expires_at_ms, lane, broker, message, blob: None }, large))
    }

    fn refuse_beyond_bounds(&self, index: &Index) -> Result<()> {
        let bytes_max = self.options.backlog_bytes_max;
        if index.needed_bytes < bytes_max && index.needed_messages < MESSAGES_MAX {
            return Ok(());
        }
        let slowest = index.slowest();
        let who = slowest.map_or_else(String::new, |(topic, group, behind)| {
            format!("; group `{group}` of topic `{topic}` is {behind} messages behind")
        });
        let message = format!(
            "publish: {} messages of {} bytes wait for subscribers, and the broker keeps no more{who}",
            index.needed_messages, index.needed_bytes
        );
        Err(Error::new(&codes::OVERLOADED, message).with_help("let the subscribers catch up, or add some"))
    }

    /// Joins a group, making it if it is new; gives its number and the member's.
    pub(crate) async fn join(
        &self,
        broker: &str,
        topic: &str,
        group: &str,
        oldest: bool,
    ) -> Result<(u32, u64)> {
        let (id, member, joined) = {
            let mut index = self.index.lock();
            if self.is_closed.load(Ordering::Acquire) {
                return Err(closed());
            }
            let topic_id = index.topic_of(broker, topic);
            let known = index.find_group(topic_id, group);
            if known.is_none() && index.group_ids().len() >= GROUPS_MAX {
                let message =
                    format!("join group `{group}`: there are {GROUPS_MAX} groups, which is the bound");
                return Err(Error::new(&codes::OVERLOADED, message));
            }
            let seen_ms = self.clock.now_ms();
            let id = known.unwrap_or_else(|| {
                let id = index.next_group();
                let dropping = index.dropping;
                let start = |topic: &super::index::Topic| {
                    if oldest { topic.oldest(dropping) } else { topic.next() }
                };
                let floor = index.topic(topic_id).map_or(0, start);
                let (broker, topic, name) = (broker.to_owned(), topic.to_owned(), group.to_owned());
                index.put_group(&StoredGroup { id, broker, topic, name, floor, seen_ms, done: Vec::new() });
                id
            });
            if let Some(group) = index.group_mut(id) {
                group.members += 1;
                group.seen_ms = seen_ms;
            }
            (id, index.next_member(), self.append_group(&index, id))
        };
        let leaving = Leaving { log: self, group: id, member };
        joined.map_err(unavailable)?.await.map_err(unavailable)?;
        // It has joined: leaving is now the subscriber's.
        std::mem::forget(leaving);
        Ok((id, member))
    }

    /// Leaves a group: what the member held comes again.
    pub(crate) fn leave(&self, id: u32, member: u64) {
        let mut index = self.index.lock();
        let seen_ms = self.clock.now_ms();
        let Some(group) = index.group_mut(id) else { return };
        group.progress.leave(member);
        group.members = group.members.saturating_sub(1);
        group.seen_ms = seen_ms;
        group.bell.notify_waiters();
        if group.members == 0 {
            // Not waited for: it only tells how long the group has been without a member.
            drop(self.append_group(&index, id));
        }
    }

    /// Keeps where the group is.
    pub(crate) fn append_group(&self, index: &Index, id: u32) -> Result<Acknowledged> {
        let mut records = Records::default();
        if let Some(kept) = index.stored_group(id) {
            record::push_group(&mut records, &kept);
        }
        self.log.append(&records)
    }

    /// What the member gets, who may hold `held_max` messages.
    pub(crate) fn take(&self, id: u32, member: Member, held_max: usize) -> Taken {
        let mut index = self.index.lock();
        if self.is_closed.load(Ordering::Acquire) {
            return Taken::Over;
        }
        let taken = index.with_group(id, |topic, group| {
            if group.progress.held_by(member.id) >= held_max {
                return Taken::Nothing(group.progress.wakes_at());
            }
            let lane = |seq| topic.slot(seq).map(|slot| slot.lane);
            match group.progress.take(member, Instant::now(), topic.durable, lane) {
                Some(handed) => Taken::Handed(handed),
                None => Taken::Nothing(group.progress.wakes_at()),
            }
        });
        taken.unwrap_or(Taken::Over)
    }

    /// The message; `None` where it is not there any more. Errors: `JOURNAL_CORRUPT`, `BROKER_UNAVAILABLE`.
    pub(crate) async fn message(self: &Arc<Self>, id: u32, seq: u64) -> Result<Option<Arc<Stored>>> {
        for attempt in 1..=READ_ATTEMPTS {
            let slot: Option<Slot> = self.index.lock().slot_of(id, seq).cloned();
            let Some(slot) = slot else { return Ok(None) };
            if let Some(stored) = slot.cached {
                return Ok(Some(stored));
            }
            let log = self.clone();
            let read = blocking(move || log.read(&slot, attempt == READ_ATTEMPTS)).await?;
            if let Some(stored) = read.map_err(|fault| unavailable(fault.refuse_read()))? {
                return Ok(Some(Arc::new(stored)));
            }
        }
        Err(Error::bug("the last look takes what is gone for lost"))
    }

    /// Reads a message from the disk; `None` where it has moved. Blocks.
    fn read(&self, slot: &Slot, is_last_look: bool) -> Result<Option<Stored>, Fault> {
        let path = segment::path(&self.options.journal.log_folder(), slot.place.segment);
        let at = u64::from(slot.place.offset);
        let damaged = |path: &std::path::Path, fault: &str| {
            Fault::from(Damage::new(path, at, 0, fault, "it was acknowledged"))
        };
        let Some(payload) = self.shelf.payload(slot.place)? else {
            return if is_last_look { Err(damaged(&path, "the file is missing")) } else { Ok(None) };
        };
        let mut stored =
            record::message(&payload).ok_or_else(|| damaged(&path, "the record is another one"))?;
        if let Some(blob) = &stored.blob {
            let Some(data) = self.blobs.get(blob)? else {
                return Err(damaged(&self.blobs.path(&blob.hash), "the file is missing"));
            };
            stored.message.data = Bytes::from(data);
        }
        Ok(Some(stored))
    }

    /// The group is done with the message; `None` if it was already. Durable when the first of what it gives ends; the
    /// second holds the lane until it is dropped.
    pub(crate) fn done(self: &Arc<Self>, id: u32, seq: u64) -> Result<Option<(Acknowledged, HeldLane)>> {
        let mut index = self.index.lock();
        let Some(group) = index.group_mut(id) else { return Ok(None) };
        let Some(lane) = group.progress.settle(seq) else { return Ok(None) };
        group.bell.notify_waiters();
        let topic = group.topic;
        index.moved(topic);
        let taken = self.log.append(&record::done(id, seq)).map_err(unavailable);
        drop(index);
        let held = HeldLane { log: self.clone(), group: id, lane };
        Ok(Some((taken?, held)))
    }

    /// The message is to come again.
    pub(crate) fn again(&self, id: u32, seq: u64, turn: u64, pause: Option<Duration>) {
        let mut index = self.index.lock();
        if let Some(group) = index.group_mut(id) {
            group.progress.again(seq, turn, Instant::now(), pause);
            group.bell.notify_waiters();
        }
    }

    /// Makes sure that a write becomes durable now.
    pub(crate) async fn probe(&self) -> Result<()> {
        let taken = self.log.append(&Records::of(log_kind::PROBE, &[])).map_err(unavailable)?;
        taken.await.map_err(unavailable)
    }

    /// What the log has done and holds; what waits for groups is what lives.
    pub(crate) fn stats(&self) -> Stats {
        let published = self.log.published();
        Stats {
            log_bytes: published.log_bytes(),
            segments: published.segments().len() as u64,
            live_bytes: self.index.lock().needed_bytes,
            durable_lsn: published.durable_lsn(),
            applied_lsn: published.durable_lsn(),
            torn_bytes: self.torn_bytes,
            ..self.counters.read()
        }
    }

    /// Writes what waits, ends all streams and lets go of the folder. Idempotent.
    pub(crate) fn close(&self) {
        let was_closed = self.is_closed.swap(true, Ordering::AcqRel);
        self.index.lock().ring_all();
        if was_closed {
            return;
        }
        self.log.close();
        self.lock.release();
    }
}

impl Drop for BrokerLog {
    fn drop(&mut self) {
        self.close();
    }
}

/// Keeps what follows in a lane from being handed out.
#[derive(Debug)]
pub(crate) struct HeldLane {
    log: Arc<BrokerLog>,
    group: u32,
    lane: u32,
}

impl Drop for HeldLane {
    fn drop(&mut self) {
        if self.lane == 0 {
            return;
        }
        let mut index = self.log.index.lock();
        if let Some(group) = index.group_mut(self.group) {
            group.progress.free_lane(self.lane);
            group.bell.notify_waiters();
        }
    }
}

/// Leaves again, should joining not come to its end.
struct Leaving<'a> {
    log: &'a BrokerLog,
    group: u32,
    member: u64,
}

impl Drop for Leaving<'_> {
    fn drop(&mut self) {
        self.log.leave(self.group, self.member);
    }
}

fn invalid_ttl() -> Error {
    let message = format!("publish: `{}` must be a whole number of seconds above zero", Message::TTL);
    Error::new(&codes::INVALID_FIELD, message).with_field(format!("metadata.{}", Message::TTL))
}
