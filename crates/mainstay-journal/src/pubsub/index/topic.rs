//! A topic with its messages by number, and a group. What they weigh together is the index's.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::Notify;

use super::TopicId;
use crate::blob::BlobRef;
use crate::log::Place;
use crate::pubsub::group::Progress;
use crate::pubsub::record::Stored;

/// A topic.
#[derive(Debug)]
pub(crate) struct Topic {
    pub(crate) broker: String,
    pub(crate) name: String,
    /// The number of the first slot.
    pub(super) base: u64,
    pub(super) slots: VecDeque<Slot>,
    /// Messages below are durable.
    pub(crate) durable: u64,
    /// Messages below are not needed.
    pub(super) needed_from: u64,
    pub(crate) groups: Vec<u32>,
}

/// A message.
#[derive(Clone, Debug)]
pub(crate) struct Slot {
    pub(crate) place: Place,
    pub(crate) lane: u32,
    pub(crate) cached: Option<Arc<Stored>>,
    pub(super) blob: Option<Box<BlobRef>>,
}

/// A group.
#[derive(Debug)]
pub(crate) struct Group {
    pub(crate) topic: TopicId,
    pub(crate) name: String,
    pub(crate) progress: Progress,
    /// Members that are there.
    pub(crate) members: usize,
    /// When it was last joined or left.
    pub(crate) seen_ms: u64,
    /// Rings when there may be something to hand out.
    pub(crate) bell: Arc<Notify>,
}

impl Slot {
    pub(super) fn weight(&self) -> u64 {
        u64::from(self.place.bytes).next_multiple_of(crate::log::record::ALIGN as u64)
    }
}

impl Topic {
    /// The number that the next message gets.
    pub(crate) fn next(&self) -> u64 {
        self.base + self.slots.len() as u64
    }

    pub(crate) fn slot(&self, seq: u64) -> Option<&Slot> {
        self.slots.get(usize::try_from(seq.checked_sub(self.base)?).ok()?).filter(|slot| slot.place.bytes > 0)
    }

    pub(super) fn slot_mut(&mut self, seq: u64) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(seq.checked_sub(self.base)?).ok()?)
    }

    /// The oldest message that is kept in a segment other than `dropping`.
    pub(crate) fn oldest(&self, dropping: Option<u32>) -> u64 {
        let goes = |slot: &&Slot| slot.place.bytes == 0 || Some(slot.place.segment) == dropping;
        self.base + self.slots.iter().take_while(goes).count() as u64
    }

    /// Needed messages in the segment, by number.
    pub(crate) fn needed_in(&self, segment: u32) -> impl Iterator<Item = (u64, Place)> {
        let skipped = self.needed_from.saturating_sub(self.base);
        let numbered = (self.base..).zip(&self.slots).skip(usize::try_from(skipped).unwrap_or(usize::MAX));
        numbered.filter(move |(_, slot)| slot.place.segment == segment).map(|(seq, slot)| (seq, slot.place))
    }
}
