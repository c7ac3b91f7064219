//! What waits in one group. Of a lane one message is out at a time, so its order holds whatever the members do. Pure:
//! time is given.

use std::collections::hash_map::DefaultHasher;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::{Duration, Instant};

use mainstay_core::pubsub::Message;

/// How long a member may hold a message.
const PATIENCE: Duration = Duration::from_secs(60);
/// The pause before a message comes again, for each time that it did; up to the longest.
const AGAIN_PAUSE: Duration = Duration::from_millis(20);
const AGAIN_PAUSE_MAX: Duration = Duration::from_secs(1);

/// A message.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) message: Message,
    pub(super) lane: Option<u64>,
    pub(super) expires_at_ms: Option<u64>,
}

/// The lane of a key.
pub(super) fn lane(key: &str) -> u64 {
    let mut hasher = DefaultHasher::new();
    key.hash(&mut hasher);
    hasher.finish()
}

/// A group.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// What is not done, in the order of publishing.
    waiting: BTreeMap<u64, Waiting>,
    last_number: u64,
    last_turn: u64,
    last_member: u64,
    held: HashMap<u64, usize>,
}

#[derive(Debug)]
struct Waiting {
    kept: Arc<Kept>,
    attempts: u32,
    state: State,
}

#[derive(Clone, Copy, Debug)]
enum State {
    /// To be handed out from then on; at once if `None`.
    Ready(Option<Instant>),
    /// With a member, until then.
    Held { member: u64, turn: u64, until: Instant },
}

/// What a member who asks gets.
#[derive(Debug)]
pub(super) enum Taken {
    Message {
        number: u64,
        turn: u64,
        kept: Arc<Kept>,
        attempts: u32,
    },
    /// Nothing before something changes, or that time.
    Nothing(Option<Instant>),
}

impl Group {
    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn push(&mut self, kept: Arc<Kept>) {
        self.last_number += 1;
        self.waiting.insert(self.last_number, Waiting { kept, attempts: 0, state: State::Ready(None) });
    }

    /// A new member.
    pub(super) fn join(&mut self) -> u64 {
        self.last_member += 1;
        self.last_member
    }

    /// The member is gone: what it held comes again.
    pub(super) fn leave(&mut self, gone: u64) {
        for waiting in self.waiting.values_mut() {
            if matches!(waiting.state, State::Held { member, .. } if member == gone) {
                waiting.attempts += 1;
                waiting.state = State::Ready(None);
            }
        }
        self.held.remove(&gone);
    }

    /// The oldest message that may be handed out now.
    pub(super) fn take(&mut self, member: u64, held_max: usize, now: Instant, now_ms: u64) -> Taken {
        let is_full = self.held.get(&member).is_some_and(|held| *held >= held_max);
        let (mut lanes, mut wakes_at, mut found) = (HashSet::new(), None::<Instant>, None);
        let mut expired = Vec::new();
        for (number, waiting) in &self.waiting {
            let is_held = matches!(waiting.state, State::Held { until, .. } if until > now);
            if !is_held && waiting.kept.expires_at_ms.is_some_and(|end| end <= now_ms) {
                expired.push(*number);
                continue;
            }
            // The first of its lane decides for all of it.
            let is_free = waiting.kept.lane.is_none_or(|lane| lanes.insert(lane));
            let from = match waiting.state {
                State::Ready(from) => from,
                State::Held { until, .. } => Some(until),
            };
            if !is_free {
                continue;
            }
            match from.filter(|from| *from > now) {
                Some(later) => wakes_at = Some(wakes_at.map_or(later, |known| known.min(later))),
                None if is_full => {}
                None => {
                    found = Some(*number);
                    break;
                }
            }
        }
        expired.into_iter().for_each(|number| self.done(number));
        match found {
            Some(number) => self.hand_out(number, member, now),
            None => Taken::Nothing(wakes_at),
        }
    }

    fn hand_out(&mut self, number: u64, member: u64, now: Instant) -> Taken {
        let Some(waiting) = self.waiting.get_mut(&number) else { return Taken::Nothing(None) };
        if let State::Held { member, .. } = waiting.state {
            waiting.attempts += 1;
            release(&mut self.held, member);
        }
        self.last_turn += 1;
        waiting.state = State::Held { member, turn: self.last_turn, until: now + PATIENCE };
        *self.held.entry(member).or_insert(0) += 1;
        let (kept, attempts) = (Arc::clone(&waiting.kept), waiting.attempts);
        Taken::Message { number, turn: self.last_turn, kept, attempts }
    }

    /// The message is done, whoever says so.
    pub(super) fn done(&mut self, number: u64) {
        let gone = self.waiting.remove(&number);
        if let Some(Waiting { state: State::Held { member, .. }, .. }) = gone {
            release(&mut self.held, member);
        }
    }

    /// The message is to come again after a pause; only for the handing out that was last.
    pub(super) fn again(&mut self, number: u64, turn: u64, now: Instant) {
        let Some(waiting) = self.waiting.get_mut(&number) else { return };
        let State::Held { member, turn: last, .. } = waiting.state else { return };
        if last != turn {
            return;
        }
        waiting.attempts += 1;
        let pause = AGAIN_PAUSE.saturating_mul(waiting.attempts).min(AGAIN_PAUSE_MAX);
        waiting.state = State::Ready(Some(now + pause));
        release(&mut self.held, member);
    }
}

fn release(held: &mut HashMap<u64, usize>, member: u64) {
    if let Some(held) = held.get_mut(&member) {
        *held = held.saturating_sub(1);
    }
}
