//! What a member of a group has of each of its partitions, and what it hands out next. No I/O, no clock.
//!
//! A partition is a lane: of each lane one message is out at a time, and the next follows when that one is settled. So
//! what is done is always the beginning of what is there, and the offset after it can be committed.
//!
//! ```text
//!              revoked            assigned again
//!   ours ──► leaving ──► between ──► ours        (the same lane: what is out stays out)
//!                              └───► gone        (assigned to others, or lost)
//! ```

use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Most messages that a member has out.
const OUT_MAX: usize = 256;
/// With so many messages a lane fetches no more, until it has only that few.
const FULL: usize = 64;
const LOW: usize = 16;

/// The lanes of a member, by partition.
pub(super) struct Lanes<T> {
    lanes: BTreeMap<i32, Lane<T>>,
    /// The partition after the one that had its turn last.
    turn: i32,
    /// How often a lane was made: tells one that is back from one that stayed.
    made: u64,
}

struct Lane<T> {
    id: u64,
    /// What was fetched and is not done, in order. The first is out where `is_out` says so.
    waiting: VecDeque<(i64, T)>,
    is_out: bool,
    /// How often the first was delivered before.
    attempts: u32,
    /// Before this the first is not delivered again.
    not_before: Option<Instant>,
    standing: Standing,
    /// What comes up to this offset is here already: it is fetched anew after an assignment.
    known: Option<i64>,
    is_paused: bool,
}

/// Whose a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Ours: its messages are handed out.
    Ours,
    /// Being given up: what is out may be finished.
    Leaving,
    /// Given up, until it is said who has it next.
    Between,
}

/// A lane as long as it stays with its member.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) partition: i32,
    id: u64,
}

/// What [`Lanes::take`] found.
pub(super) enum Taken<T> {
    /// A message, its offset and how often it was delivered before. `is_low`: its lane may fetch again.
    Message { place: Place, offset: i64, message: T, attempts: u32, is_low: bool },
    /// Nothing now; look again at the time, or when something has changed.
    Nothing(Option<Instant>),
}

impl<T: Clone> Lanes<T> {
    pub(super) fn new() -> Self {
        Self { lanes: BTreeMap::new(), turn: 0, made: 0 }
    }

    /// Partitions are ours from now on. Lanes between that are not among them are gone.
    pub(super) fn assigned(&mut self, partitions: &[i32]) {
        self.lanes
            .retain(|partition, lane| lane.standing == Standing::Ours || partitions.contains(partition));
        for partition in partitions {
            let made = &mut self.made;
            let lane = self.lanes.entry(*partition).or_insert_with(|| {
                *made += 1;
                Lane::new(*made)
            });
            lane.standing = Standing::Ours;
            lane.is_paused = false;
            lane.known = lane.waiting.back().map(|(offset, _)| *offset);
        }
    }

    /// Partitions are being given up, and then given up.
    pub(super) fn stand(&mut self, partitions: &[i32], standing: Standing) {
        for partition in partitions {
            if let Some(lane) = self.lanes.get_mut(partition) {
                lane.standing = standing;
            }
        }
    }

    /// Whether one of these partitions has a message out.
    pub(super) fn are_out(&self, partitions: &[i32]) -> bool {
        partitions.iter().any(|partition| self.lanes.get(partition).is_some_and(|lane| lane.is_out))
    }

    /// Nothing is ours any more.
    pub(super) fn clear(&mut self) {
        self.lanes.clear();
    }

    /// Every partition.
    pub(super) fn partitions(&self) -> Vec<i32> {
        self.lanes.keys().copied().collect()
    }

    /// A message was fetched.
    pub(super) fn push(&mut self, partition: i32, offset: i64, message: T) {
        let Some(lane) = self.lanes.get_mut(&partition) else { return };
        if lane.known.is_some_and(|known| offset <= known) {
            return;
        }
        lane.known = None;
        lane.waiting.push_back((offset, message));
    }

    /// Partitions that are to fetch no more, and those that are to fetch again, since this was asked last.
    pub(super) fn turned(&mut self) -> (Vec<i32>, Vec<i32>) {
        let (mut pause, mut resume) = (Vec::new(), Vec::new());
        for (partition, lane) in &mut self.lanes {
            if !lane.is_paused && lane.waiting.len() >= FULL {
                lane.is_paused = true;
                pause.push(*partition);
            } else if lane.is_paused && lane.waiting.len() <= LOW {
                lane.is_paused = false;
                resume.push(*partition);
            }
        }
        (pause, resume)
    }

    /// Hands out the next message. Lanes have their turns.
    pub(super) fn take(&mut self, now: Instant) -> Taken<T> {
        if self.lanes.values().filter(|lane| lane.is_out).count() >= OUT_MAX {
            return Taken::Nothing(None);
        }
        let mut soonest = None;
        let from = self.turn;
        let order: Vec<i32> = self
            .lanes
            .range(from..)
            .chain(self.lanes.range(..from))
            .map(|(partition, _)| *partition)
            .collect();
        for partition in order {
            let Some(lane) = self.lanes.get_mut(&partition) else { continue };
            if lane.is_out || lane.standing != Standing::Ours {
                continue;
            }
            let Some((offset, message)) = lane.waiting.front() else { continue };
            if let Some(not_before) = lane.not_before.filter(|not_before| now < *not_before) {
                soonest = Some(soonest.map_or(not_before, |soonest: Instant| soonest.min(not_before)));
                continue;
            }
            let taken = Taken::Message {
                place: Place { partition, id: lane.id },
                offset: *offset,
                message: message.clone(),
                attempts: lane.attempts,
                is_low: lane.is_paused && lane.waiting.len() <= LOW + 1,
            };
            lane.is_out = true;
            self.turn = partition.wrapping_add(1);
            return taken;
        }
        Taken::Nothing(soonest)
    }

    /// How the lane of a message that is out stands; nothing where it is gone.
    pub(super) fn standing(&self, place: Place) -> Option<Standing> {
        self.lanes.get(&place.partition).filter(|lane| lane.id == place.id).map(|lane| lane.standing)
    }

    /// The message that is out is done.
    pub(super) fn done(&mut self, place: Place) {
        if let Some(lane) = self.lane(place) {
            lane.waiting.pop_front();
            (lane.is_out, lane.attempts, lane.not_before) = (false, 0, None);
        }
    }

    /// The message that is out is to come again.
    pub(super) fn again(&mut self, place: Place, not_before: Instant) {
        if let Some(lane) = self.lane(place) {
            (lane.is_out, lane.not_before) = (false, Some(not_before));
            lane.attempts = lane.attempts.saturating_add(1);
        }
    }

    fn lane(&mut self, place: Place) -> Option<&mut Lane<T>> {
        self.lanes.get_mut(&place.partition).filter(|lane| lane.id == place.id && lane.is_out)
    }
}

impl<T> Lane<T> {
    fn new(id: u64) -> Self {
        Self {
            id,
            waiting: VecDeque::new(),
            is_out: false,
            attempts: 0,
            not_before: None,
            standing: Standing::Ours,
            known: None,
            is_paused: false,
        }
    }
}

#[cfg(test)]
mod tests;
