//! What came over a session and waits: for a member of the subscription it is for, or for somebody to subscribe. The
//! broker sends a message again only to a new connection, so what is to come again sooner waits here, too.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::AcqRel};

use mainstay_core::pubsub::Message;
use parking_lot::Mutex;
use rumqttc::ManualAck;
use tokio::sync::Notify;

/// Messages of a subscription that wait although nobody answers for them (`qos` 0); more are dropped. Those that are
/// answered for the protocol bounds: 65,535 a session.
const UNANSWERED_MAX: usize = 10_000;

/// A message for one subscription.
#[derive(Clone)]
pub(super) struct Kept {
    pub(super) message: Message,
    /// How often it was handed out.
    pub(super) attempts: u32,
    pub(super) answer: Option<Arc<Answer>>,
}

/// What the broker waits for: the message is settled by every subscription that it is for.
pub(super) struct Answer {
    /// The connection it came by; on another one the broker knows nothing of it.
    pub(super) connection: u64,
    pub(super) ack: ManualAck,
    left: AtomicUsize,
}

impl Answer {
    /// Notes that a subscription has settled it; whether it was the last.
    pub(super) fn is_settled(&self) -> bool {
        self.left.fetch_sub(1, AcqRel) == 1
    }
}

/// The messages of one subscription, in the order they came.
#[derive(Default)]
pub(super) struct Waiting {
    queue: Mutex<VecDeque<Kept>>,
    /// Rings when there may be something to hand out.
    pub(super) bell: Notify,
    members: AtomicUsize,
}

impl Waiting {
    pub(super) fn pop(&self) -> Option<Kept> {
        self.queue.lock().pop_front()
    }

    /// Before what waits already, or behind it.
    pub(super) fn push(&self, kept: Kept, first: bool) {
        let mut queue = self.queue.lock();
        if first {
            queue.push_front(kept);
        } else if kept.answer.is_some() || queue.len() < UNANSWERED_MAX {
            queue.push_back(kept);
        }
        drop(queue);
        self.bell.notify_waiters();
    }

    /// Notes a member that leaves; whether it was the last.
    pub(super) fn leave(&self) -> bool {
        self.members.fetch_sub(1, AcqRel) == 1
    }
}

/// What a session has.
#[derive(Default)]
pub(super) struct Inbox {
    connection: u64,
    filters: BTreeMap<String, Arc<Waiting>>,
    /// For subscriptions that the broker remembers and nobody has taken up yet.
    unclaimed: VecDeque<(String, Kept)>,
}

impl Inbox {
    /// The number of the connection there is now.
    pub(super) fn connection(&self) -> u64 {
        self.connection
    }

    /// Begins another connection: the broker sends again what it has no answer for. The filters to subscribe to.
    pub(super) fn connected(&mut self) -> Vec<String> {
        self.connection += 1;
        self.unclaimed.clear();
        for waiting in self.filters.values() {
            waiting.queue.lock().retain(|kept| kept.answer.is_none());
        }
        self.filters.keys().cloned().collect()
    }

    /// Takes up a subscription, and what waits for it.
    pub(super) fn join(&mut self, filter: &str) -> Arc<Waiting> {
        let waiting = Arc::clone(self.filters.entry(filter.to_owned()).or_default());
        waiting.members.fetch_add(1, AcqRel);
        let (ours, others) =
            std::mem::take(&mut self.unclaimed).into_iter().partition(|(topic, _)| is_for(filter, topic));
        self.unclaimed = others;
        let ours: VecDeque<(String, Kept)> = ours;
        ours.into_iter().for_each(|(_, kept)| waiting.push(kept, false));
        waiting
    }

    /// Ends a subscription that has no member. What waits for it stays unanswered, unless it is to be forgotten: then
    /// the answers to give.
    pub(super) fn remove(&mut self, filter: &str, forgets: bool) -> Vec<ManualAck> {
        let Some(waiting) = self.filters.remove(filter) else { return Vec::new() };
        let left = std::mem::take(&mut *waiting.queue.lock());
        let left = left.into_iter().filter(|kept| kept.answer.is_some());
        if forgets {
            let settled = left.filter_map(|kept| kept.answer.filter(|answer| answer.is_settled()));
            return settled.map(|answer| answer.ack.clone()).collect();
        }
        self.unclaimed.extend(left.map(|kept| (kept.message.topic.clone(), kept)));
        Vec::new()
    }

    /// Takes a message in, for every subscription that it is for. Without one it waits for somebody to subscribe,
    /// unless it is to be forgotten: then the answer to give.
    pub(super) fn take(
        &mut self,
        message: Message,
        ack: Option<ManualAck>,
        forgets: bool,
    ) -> Option<ManualAck> {
        let topic = message.topic.clone();
        let takers: Vec<&Arc<Waiting>> = self
            .filters
            .iter()
            .filter(|(filter, _)| is_for(filter, &topic))
            .map(|(_, taker)| taker)
            .collect();
        if takers.is_empty() && forgets {
            return ack;
        }
        let left = AtomicUsize::new(takers.len().max(1));
        let answer = ack.map(|ack| Arc::new(Answer { connection: self.connection, ack, left }));
        let kept = Kept { message, attempts: 0, answer };
        if takers.is_empty() {
            if kept.answer.is_some() {
                self.unclaimed.push_back((topic, kept));
            }
            return None;
        }
        for taker in takers {
            taker.push(kept.clone(), false);
        }
        None
    }
}

/// Whether a subscription's filter is for a topic; `$share/NAME/` before it is the broker's matter.
fn is_for(filter: &str, topic: &str) -> bool {
    rumqttc::matches(topic, unshared(filter))
}

/// The filter without `$share/NAME/`.
pub(super) fn unshared(filter: &str) -> &str {
    let shared = filter.strip_prefix("$share/").and_then(|rest| rest.split_once('/'));
    shared.map_or(filter, |(_, filter)| filter)
}

#[cfg(test)]
mod tests {
    use rumqttc::PubAck;

    use super::*;

    fn message(topic: &str) -> Message {
        Message { topic: topic.to_owned(), ..Message::default() }
    }

    fn ack() -> Option<ManualAck> {
        Some(ManualAck::PubAck(PubAck::new(1)))
    }

    #[test]
    fn filters_have_wildcards_and_may_be_shared() {
        for (filter, topic, expect) in [
            ("a/b", "a/b", true),
            ("a/+", "a/b", true),
            ("a/#", "a/b/c", true),
            ("a/+", "a/b/c", false),
            ("$share/g/a/+", "a/b", true),
            ("$share/g/a/+", "b/b", false),
        ] {
            assert_eq!(is_for(filter, topic), expect, "{filter} {topic}");
        }
    }

    #[test]
    fn what_came_before_anybody_subscribed_is_handed_out_then() {
        let mut inbox = Inbox::default();
        inbox.take(message("a"), ack(), false);
        inbox.take(message("a"), None, false);
        let waiting = inbox.join("a");
        assert!(waiting.pop().is_some() && waiting.pop().is_none(), "what nobody answers for is gone");
    }

    #[test]
    fn a_message_for_several_subscriptions_is_answered_when_all_have_settled_it() {
        let mut inbox = Inbox::default();
        let (one, other) = (inbox.join("a"), inbox.join("+"));
        inbox.take(message("a"), ack(), false);
        let answers = [one, other].map(|waiting| waiting.pop().unwrap().answer.unwrap());
        assert_eq!(answers.map(|answer| answer.is_settled()), [false, true]);
    }

    #[test]
    fn what_nobody_wants_is_answered_where_it_is_to_be_forgotten() {
        let mut inbox = Inbox::default();
        assert!(inbox.take(message("a"), ack(), true).is_some());
        let waiting = inbox.join("a");
        assert!(waiting.pop().is_none() && inbox.take(message("a"), ack(), true).is_none());
        assert_eq!(inbox.remove("a", true).len(), 1);
    }

    #[test]
    fn another_connection_begins_with_what_the_broker_sends_again() {
        let mut inbox = Inbox::default();
        let waiting = inbox.join("a");
        inbox.take(message("a"), ack(), false);
        inbox.take(message("b"), ack(), false);
        assert_eq!((inbox.connected(), inbox.connection()), (vec!["a".to_owned()], 1));
        assert!(waiting.pop().is_none() && inbox.join("b").pop().is_none());
    }
}
