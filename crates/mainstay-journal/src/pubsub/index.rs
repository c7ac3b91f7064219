//! Where the messages are and how far the groups are: the view of the broker log, in memory. It is built anew from the
//! log at each start and does no I/O.
//!
//! A topic's messages are numbered without a gap. A message is *needed* until every group of its topic is done with it;
//! what is not needed stays as long as its segment does.

mod topic;

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio::sync::Notify;

use super::group::Progress;
use super::record::{Stored, StoredGroup};
use crate::blob::{BlobRef, Hash};
use crate::log::Place;

pub(crate) use self::topic::{Group, Slot, Topic};

/// A topic's number, of this process alone.
pub(crate) type TopicId = u32;

/// Nowhere yet: the batch that carries the message is not durable.
pub(crate) const NOWHERE: Place = Place { segment: 0, offset: 0, bytes: 0 };

/// All topics and groups.
#[derive(Debug, Default)]
pub(crate) struct Index {
    names: HashMap<(String, String), TopicId>,
    topics: HashMap<TopicId, Topic>,
    groups: HashMap<u32, Group>,
    /// Messages in batches that are not durable yet, in the order of the log.
    coming: VecDeque<Coming>,
    references: HashMap<Hash, u32>,
    /// Messages kept in memory, the oldest first.
    cached: VecDeque<(TopicId, u64, u32)>,
    cached_bytes: usize,
    /// When the newest message of each segment was published.
    newest_ms: BTreeMap<u32, u64>,
    pub(crate) needed_bytes: u64,
    pub(crate) needed_messages: u64,
    /// The segment that is about to be dropped.
    pub(crate) dropping: Option<u32>,
    last_topic: TopicId,
    last_group: u32,
    last_member: u64,
}

/// A message that was handed to the log.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Coming {
    pub(crate) batch: u64,
    /// Bytes from the batch's begin.
    pub(crate) at: usize,
    pub(crate) bytes: u32,
    pub(crate) topic: TopicId,
    pub(crate) seq: u64,
    pub(crate) published_ms: u64,
    /// Whether it is a copy of one that is durable already.
    pub(crate) is_copy: bool,
}

impl Index {
    /// The topic of this name, made if it is new.
    pub(crate) fn topic_of(&mut self, broker: &str, name: &str) -> TopicId {
        if let Some(id) = self.find_topic(broker, name) {
            return id;
        }
        self.last_topic += 1;
        let id = self.last_topic;
        self.names.insert((broker.to_owned(), name.to_owned()), id);
        let topic = Topic {
            broker: broker.to_owned(),
            name: name.to_owned(),
            base: 0,
            slots: VecDeque::new(),
            durable: 0,
            needed_from: 0,
            groups: Vec::new(),
        };
        self.topics.insert(id, topic);
        id
    }

    fn find_topic(&self, broker: &str, name: &str) -> Option<TopicId> {
        self.names.get(&(broker.to_owned(), name.to_owned())).copied()
    }

    pub(crate) fn topic(&self, id: TopicId) -> Option<&Topic> {
        self.topics.get(&id)
    }

    pub(crate) fn topics(&self) -> impl Iterator<Item = (TopicId, &Topic)> {
        self.topics.iter().map(|(id, topic)| (*id, topic))
    }

    pub(crate) fn group(&self, id: u32) -> Option<&Group> {
        self.groups.get(&id)
    }

    pub(crate) fn group_mut(&mut self, id: u32) -> Option<&mut Group> {
        self.groups.get_mut(&id)
    }

    pub(crate) fn group_ids(&self) -> Vec<u32> {
        self.groups.keys().copied().collect()
    }

    /// The group of this name.
    pub(crate) fn find_group(&self, topic: TopicId, name: &str) -> Option<u32> {
        let groups = &self.topics.get(&topic)?.groups;
        groups.iter().copied().find(|id| self.groups.get(id).is_some_and(|group| group.name == name))
    }

    /// Adds a group; one of the same number is replaced.
    pub(crate) fn put_group(&mut self, kept: &StoredGroup) {
        let topic = self.topic_of(&kept.broker, &kept.topic);
        let progress = Progress::new(kept.floor, kept.done.iter().copied());
        let group = Group {
            topic,
            name: kept.name.clone(),
            progress,
            members: 0,
            seen_ms: kept.seen_ms,
            bell: Arc::new(Notify::new()),
        };
        self.last_group = self.last_group.max(kept.id);
        if self.groups.insert(kept.id, group).is_none()
            && let Some(topic) = self.topics.get_mut(&topic)
        {
            topic.groups.push(kept.id);
        }
        self.weigh(topic);
    }

    /// A number for a group that is new.
    pub(crate) fn next_group(&mut self) -> u32 {
        self.last_group += 1;
        self.last_group
    }

    pub(crate) fn next_member(&mut self) -> u64 {
        self.last_member += 1;
        self.last_member
    }

    /// What is to be kept of a group.
    pub(crate) fn stored_group(&self, id: u32) -> Option<StoredGroup> {
        let group = self.groups.get(&id)?;
        let topic = self.topics.get(&group.topic)?;
        Some(StoredGroup {
            id,
            broker: topic.broker.clone(),
            topic: topic.name.clone(),
            name: group.name.clone(),
            floor: group.progress.floor,
            // Whoever is a member now was one at the crash, should there be one.
            seen_ms: if group.members > 0 { u64::MAX } else { group.seen_ms },
            done: group.progress.done_above(),
        })
    }

    /// Looks at a group with its topic.
    pub(crate) fn with_group<R>(&mut self, id: u32, look: impl FnOnce(&Topic, &mut Group) -> R) -> Option<R> {
        let group = self.groups.get_mut(&id)?;
        let topic = self.topics.get(&group.topic)?;
        Some(look(topic, group))
    }

    /// A message of the group's topic.
    pub(crate) fn slot_of(&self, group: u32, seq: u64) -> Option<&Slot> {
        self.topics.get(&self.groups.get(&group)?.topic)?.slot(seq)
    }

    /// Topic and group that are furthest behind, and by how many messages.
    pub(crate) fn slowest(&self) -> Option<(&str, &str, u64)> {
        let behind = |group: &Group| {
            let topic = self.topics.get(&group.topic);
            topic.map_or(0, |topic| topic.next().saturating_sub(group.progress.floor))
        };
        let group = self.groups.values().max_by_key(|group| behind(group))?;
        Some((self.topics.get(&group.topic)?.name.as_str(), group.name.as_str(), behind(group)))
    }

    /// Rings for every group: the log is closed.
    pub(crate) fn ring_all(&self) {
        self.groups.values().for_each(|group| group.bell.notify_waiters());
    }

    /// Removes a group. Its members, if any, find that out when they ask.
    pub(crate) fn forget_group(&mut self, id: u32) {
        let Some(group) = self.groups.remove(&id) else { return };
        if let Some(topic) = self.topics.get_mut(&group.topic) {
            topic.groups.retain(|known| *known != id);
        }
        group.bell.notify_waiters();
        self.weigh(group.topic);
    }

    /// Adds a message that was handed to the log, the next of its topic.
    pub(crate) fn push(&mut self, coming: Coming, stored: Stored, cache_bytes_max: usize) {
        self.refer(stored.blob.as_ref());
        let Some(topic) = self.topics.get_mut(&coming.topic) else { return };
        let is_needed = !topic.groups.is_empty();
        let is_small = stored.blob.is_none() && is_needed;
        let (lane, blob) = (stored.lane, stored.blob.map(Box::new));
        let cached = is_small.then(|| Arc::new(stored));
        let place = Place { bytes: coming.bytes, ..NOWHERE };
        let slot = Slot { place, lane, cached, blob };
        if is_needed {
            self.needed_bytes += slot.weight();
            self.needed_messages += 1;
        } else {
            topic.needed_from = coming.seq + 1;
        }
        if slot.cached.is_some() {
            self.cached.push_back((coming.topic, coming.seq, coming.bytes));
            self.cached_bytes += coming.bytes as usize;
        }
        topic.slots.push_back(slot);
        self.coming.push_back(coming);
        self.shed(cache_bytes_max);
    }

    /// Adds a copy that was handed to the log.
    pub(crate) fn push_copy(&mut self, coming: Coming) {
        self.coming.push_back(coming);
    }

    /// The batch is durable and begins there: its messages are, and their groups may have them.
    pub(crate) fn arrive(&mut self, batch: u64, segment: u32, offset: u64) {
        while self.coming.front().is_some_and(|coming| coming.batch <= batch) {
            let Some(coming) = self.coming.pop_front() else { return };
            let Some(topic) = self.topics.get_mut(&coming.topic) else { continue };
            let offset = u32::try_from(offset + coming.at as u64).expect("segments end below 4 GiB");
            if let Some(slot) = topic.slot_mut(coming.seq) {
                slot.place = Place { segment, offset, bytes: coming.bytes };
            }
            let newest = self.newest_ms.entry(segment).or_default();
            *newest = coming.published_ms.max(*newest);
            if coming.is_copy {
                continue;
            }
            topic.durable = coming.seq + 1;
            for id in &topic.groups {
                if let Some(group) = self.groups.get(id) {
                    group.bell.notify_waiters();
                }
            }
        }
    }

    /// Notes how far the group is: what no group needs any more is not needed.
    pub(crate) fn moved(&mut self, topic: TopicId) {
        let floors = self.topics.get(&topic).map(|topic| &topic.groups);
        let floor = floors
            .into_iter()
            .flatten()
            .filter_map(|id| self.groups.get(id).map(|group| group.progress.floor))
            .min();
        let Some(topic) = self.topics.get_mut(&topic) else { return };
        let floor = floor.unwrap_or_else(|| topic.next());
        while topic.needed_from < floor {
            let seq = topic.needed_from;
            topic.needed_from += 1;
            let Some(slot) = topic.slot_mut(seq) else { continue };
            // Its place in the list of what is cached stays until it is shed.
            slot.cached = None;
            if slot.place.bytes > 0 {
                self.needed_bytes -= slot.weight();
                self.needed_messages -= 1;
            }
        }
    }

    /// Counts anew what the topic needs, as its groups are others now.
    fn weigh(&mut self, id: TopicId) {
        let Some(topic) = self.topics.get_mut(&id) else { return };
        let needed = |topic: &Topic| {
            let from = usize::try_from(topic.needed_from.saturating_sub(topic.base)).unwrap_or(usize::MAX);
            let slots = topic.slots.iter().skip(from).filter(|slot| slot.place.bytes > 0);
            slots.fold((0, 0), |(bytes, count), slot| (bytes + slot.weight(), count + 1))
        };
        let before = needed(topic);
        let floors =
            topic.groups.iter().filter_map(|id| self.groups.get(id)).map(|group| group.progress.floor);
        topic.needed_from = floors.min().unwrap_or_else(|| topic.next());
        let after = needed(topic);
        self.needed_bytes = self.needed_bytes + after.0 - before.0;
        self.needed_messages = self.needed_messages + after.1 - before.1;
    }

    /// Lets go of messages in memory beyond the bound.
    fn shed(&mut self, bytes_max: usize) {
        while self.cached_bytes > bytes_max {
            let Some((topic, seq, bytes)) = self.cached.pop_front() else { return };
            self.cached_bytes -= bytes as usize;
            if let Some(slot) = self.topics.get_mut(&topic).and_then(|topic| topic.slot_mut(seq)) {
                slot.cached = None;
            }
        }
    }

    /// The segment is gone: forgets the messages in it. Gives blobs that nothing refers to now.
    pub(crate) fn drop_segment(&mut self, segment: u32) -> Vec<Hash> {
        self.newest_ms.remove(&segment);
        let mut gone = Vec::new();
        for topic in self.topics.values_mut() {
            while topic.slots.front().is_some_and(|slot| {
                slot.place.bytes == 0 || (slot.place.segment > 0 && slot.place.segment <= segment)
            }) {
                let Some(slot) = topic.slots.pop_front() else { break };
                topic.base += 1;
                gone.extend(slot.blob);
            }
        }
        let gone: Vec<Hash> =
            gone.into_iter().filter(|blob| self.release(&blob.hash)).map(|b| b.hash).collect();
        self.forget_empty_topics();
        gone
    }

    fn forget_empty_topics(&mut self) {
        let is_empty = |topic: &Topic| topic.slots.is_empty() && topic.groups.is_empty();
        let names = &mut self.names;
        self.topics.retain(|_, topic| {
            let stays = !is_empty(topic);
            if !stays {
                names.remove(&(topic.broker.clone(), topic.name.clone()));
            }
            stays
        });
    }

    /// Counts a reference to a blob.
    pub(crate) fn refer(&mut self, blob: Option<&BlobRef>) {
        if let Some(blob) = blob {
            *self.references.entry(blob.hash).or_insert(0) += 1;
        }
    }

    fn release(&mut self, hash: &Hash) -> bool {
        let Some(count) = self.references.get_mut(hash) else { return true };
        *count -= 1;
        if *count == 0 {
            self.references.remove(hash);
        }
        !self.references.contains_key(hash)
    }

    pub(crate) fn refers_to(&self, hash: &Hash) -> bool {
        self.references.contains_key(hash)
    }

    /// When the newest message of the segment was published; `None` where it has none.
    pub(crate) fn newest_ms(&self, segment: u32) -> Option<u64> {
        self.newest_ms.get(&segment).copied()
    }

    /// Takes over a topic of which a walk through the log found no message.
    pub(crate) fn load_empty(&mut self, id: TopicId) {
        if self.topics.get(&id).is_some_and(|topic| topic.slots.is_empty()) {
            self.load(id, BTreeMap::new());
        }
    }

    /// Takes over what a walk through the log found of a topic: its messages by number.
    pub(crate) fn load(&mut self, id: TopicId, found: BTreeMap<u64, (Place, u32, Option<BlobRef>)>) {
        let Some(topic) = self.topics.get_mut(&id) else { return };
        let floor =
            topic.groups.iter().filter_map(|id| self.groups.get(id)).map(|group| group.progress.floor);
        let floor = floor.max().unwrap_or(0);
        topic.base = found.first_key_value().map_or(floor, |(first, _)| *first);
        for (seq, (place, lane, blob)) in found {
            let hole = Slot { place: NOWHERE, lane: 0, cached: None, blob: None };
            while topic.next() < seq {
                topic.slots.push_back(hole.clone());
            }
            topic.slots.push_back(Slot { place, lane, cached: None, blob: blob.map(Box::new) });
        }
        let hole = Slot { place: NOWHERE, lane: 0, cached: None, blob: None };
        while topic.next() < floor {
            topic.slots.push_back(hole.clone());
        }
        topic.durable = topic.next();
        topic.needed_from = topic.durable;
        self.weigh(id);
    }

    /// Notes when a message of the segment was published.
    pub(crate) fn note_published(&mut self, segment: u32, published_ms: u64) {
        let newest = self.newest_ms.entry(segment).or_default();
        *newest = published_ms.max(*newest);
    }
}
