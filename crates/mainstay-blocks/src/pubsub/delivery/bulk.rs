//! Delivery of a subscription in bulk: messages that wait for the same path go in one call, of which the app says of
//! each what became of it. One call is out at a time.
//!
//! Within a call the messages of a lane stand in their order. One that is to come again holds back what follows in its
//! lane and is not with the app yet. An app that takes no such calls gets the messages one by one.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use futures_util::{StreamExt as _, stream};
use mainstay_core::callback::{BulkEntry, BulkEvent, Verdict};
use mainstay_core::pubsub::Delivery;
use mainstay_core::{BoxStream, Ctx, Result, codes};
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::{Deliverer, Ending, IN_WORK_MAX, PAUSES};
use crate::hub::Broker;
use crate::layers::Outcome;
use crate::pubsub::CLOUD_EVENTS;
use crate::pubsub::routing::Routed;

/// Messages in one call, and how long the first of them waits for more, where the subscription says nothing.
const MESSAGES_MAX: usize = 100;
const WAIT_MAX: Duration = Duration::from_secs(1);
/// Messages in one call at most, whatever the subscription says.
const MESSAGES_BOUND: usize = 10_000;
/// What bytes without an envelope are, where nobody says.
const BYTES: &str = "application/octet-stream";

/// A message that waits for a call.
struct Waiting {
    delivery: Delivery,
    path: String,
    /// What the app gets.
    entry: BulkEntry,
    /// When it came; a call goes out when its first message has waited long enough.
    since: Instant,
    /// Not before; with the pause after the next failure.
    paused: Option<(Instant, Duration)>,
}

impl Deliverer {
    /// As delivering one by one: until `stop`, or the stream's end.
    pub(super) async fn deliver_in_bulk(
        &self,
        mut stream: BoxStream<Result<Delivery>>,
        broker: &Broker,
        mut reloads: watch::Receiver<()>,
        stop: &CancellationToken,
    ) -> Result<()> {
        let bulk = &self.subscription.bulk;
        let most = bulk.messages_max.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0);
        let most = most.unwrap_or(MESSAGES_MAX).min(MESSAGES_BOUND);
        let wait = bulk.wait_max.filter(|wait| !wait.is_zero()).unwrap_or(WAIT_MAX);
        let mut waiting = VecDeque::new();
        loop {
            let now = Instant::now();
            let ready = next_call(&waiting, most, now);
            let due = ready.first().and_then(|at| waiting.get(*at)).map(|first| first.since + wait);
            if ready.len() >= most || due.is_some_and(|due| due <= now) {
                let called = take(&mut waiting, &ready);
                self.call(called, &mut waiting, broker, stop).await;
                continue;
            }
            let pauses = waiting.iter().filter_map(|one| Some(one.paused?.0)).filter(|until| *until > now);
            let wakes = due.into_iter().chain(pauses).min();
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                // Another broker has its name now, or none. What waits comes again.
                Ok(()) = reloads.changed() => if !self.is_there(broker) { return Ok(()) },
                next = stream.next(), if waiting.len() < IN_WORK_MAX.max(most) => match next {
                    Some(Ok(delivery)) => self.queue(delivery, &mut waiting, broker).await,
                    Some(Err(error)) => return Err(error),
                    None => return Ok(()),
                },
                () = tokio::time::sleep_until(wakes.unwrap_or(now)), if wakes.is_some() => {}
            }
        }
    }

    /// Puts a message where it waits for its call; settles one that no call is for.
    async fn queue(&self, delivery: Delivery, waiting: &mut VecDeque<Waiting>, broker: &Broker) {
        match self.prepare(&delivery) {
            Ok((path, entry)) => {
                waiting.push_back(Waiting { delivery, path, entry, since: Instant::now(), paused: None });
            }
            Err(why) => self.end(delivery, Ending::Dead(why), broker).await,
        }
    }

    /// The path of a message, and what the app gets. Errors: why it is for nobody.
    fn prepare(&self, delivery: &Delivery) -> std::result::Result<(String, BulkEntry), String> {
        let message = &delivery.message;
        let (_, event) = self.envelope(message)?;
        if self.has_expired(&event) {
            return Err("it has outlived its time".to_owned());
        }
        let path = match self.routes.route(&event) {
            Routed::To(path) => path.to_owned(),
            Routed::Nowhere => return Err("no rule of the subscription is for it".to_owned()),
            Routed::Failed(why) => return Err(format!("a condition of the subscription failed: {why}")),
        };
        let default = if self.is_raw { BYTES } else { CLOUD_EVENTS };
        let content_type = message.content_type.clone().filter(|text| !text.is_empty());
        let entry = BulkEntry {
            id: uuid::Uuid::now_v7().to_string(),
            content: message.data.clone(),
            is_envelope: !self.is_raw,
            content_type: content_type.unwrap_or_else(|| default.to_owned()),
            metadata: message.metadata.clone(),
        };
        Ok((path, entry))
    }

    /// Makes a call of messages for one path, and settles them. What is to be tried again here goes back to the front.
    async fn call(
        &self,
        called: Vec<Waiting>,
        waiting: &mut VecDeque<Waiting>,
        broker: &Broker,
        stop: &CancellationToken,
    ) {
        let endings = match self.ask(&called, broker, stop).await {
            Some(said) => said.into_iter().map(ending).collect(),
            None => self.one_by_one(&called, broker, stop).await,
        };
        let mut again = Vec::new();
        for (one, ending) in called.into_iter().zip(endings) {
            let is_tried_here = one.delivery.lane.is_some() && self.subscription.dead_letter_topic.is_none();
            match ending {
                // Not a failure of the message: dropped, it comes again when somebody is there to work on it.
                Ending::Again(_) if stop.is_cancelled() => {}
                Ending::Again(_) if is_tried_here => {
                    let pause = one.paused.map_or(PAUSES.0, |(_, pause)| pause);
                    let next = (pause * 2).min(PAUSES.1);
                    again.push(Waiting { paused: Some((Instant::now() + pause, next)), ..one });
                }
                ending => self.end(one.delivery, ending, broker).await,
            }
        }
        for one in again.into_iter().rev() {
            waiting.push_front(one);
        }
    }

    /// Asks the app, again for what it wants again where the component's policies say so: what it said of each message,
    /// or why it said nothing. `None` where it takes no calls of several messages.
    async fn ask(
        &self,
        called: &[Waiting],
        broker: &Broker,
        stop: &CancellationToken,
    ) -> Option<Vec<std::result::Result<Verdict, String>>> {
        let said = Mutex::new(vec![Err("the app did not say".to_owned()); called.len()]);
        let lock = || said.lock().unwrap_or_else(PoisonError::into_inner);
        let cannot = AtomicBool::new(false);
        let attempt = async |ctx: Ctx| {
            let left: Vec<usize> = (0..called.len())
                .filter(|at| !matches!(lock().get(*at), Some(Ok(Verdict::Done | Verdict::Drop))))
                .collect();
            let event = self.event(left.iter().filter_map(|at| called.get(*at)));
            let answered = self.app.deliver_bulk(&ctx, &event).await;
            if answered.as_ref().is_err_and(|error| error.code() == &codes::UNSUPPORTED) {
                cannot.store(true, Ordering::Relaxed);
                return Ok(true);
            }
            let mut said = lock();
            let mut is_over = true;
            for (place, at) in left.into_iter().enumerate() {
                let verdict = match &answered {
                    Ok(verdicts) => Ok(verdicts.get(place).copied().unwrap_or(Verdict::Again)),
                    Err(error) => Err(error.message().to_owned()),
                };
                is_over &= verdict.as_ref().is_ok_and(|verdict| *verdict != Verdict::Again);
                said[at] = verdict;
            }
            answered.map(|_| is_over)
        };
        let judge = |ended: &Result<bool>| match ended {
            Ok(true) => Outcome::Fine,
            Ok(false) => Outcome::Temporary(None),
            Err(error) => Outcome::Temporary(error.answer()),
        };
        if let Err(error) =
            self.now(broker).inbound.run_judged(&Ctx::system(), Some(stop), attempt, judge).await
        {
            let topic = &self.subscription.topic;
            tracing::warn!(%topic, error = ?error, "a call of several messages failed");
        }
        (!cannot.into_inner()).then(|| said.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    /// Works on each message by itself: lanes side by side, each in its order. Without a dead letter topic what is to
    /// come again holds back what follows in its lane.
    async fn one_by_one(&self, called: &[Waiting], broker: &Broker, stop: &CancellationToken) -> Vec<Ending> {
        let mut lanes: Vec<Vec<usize>> = Vec::new();
        let mut places = HashMap::new();
        for (at, one) in called.iter().enumerate() {
            let lane = one.delivery.lane.map(|lane| *places.entry(lane).or_insert(lanes.len()));
            match lane.and_then(|place| lanes.get_mut(place)) {
                Some(lane) => lane.push(at),
                None => lanes.push(vec![at]),
            }
        }
        let is_held_back = self.subscription.dead_letter_topic.is_none();
        let work = lanes.into_iter().map(|lane| async move {
            let mut ended = Vec::with_capacity(lane.len());
            for at in lane {
                let before = ended.last().map(|(_, ending)| ending);
                let ending = match before {
                    Some(Ending::Again(why)) if is_held_back => Ending::Again(why.clone()),
                    _ => self.work_on(&called[at].delivery.message, broker, stop).await,
                };
                ended.push((at, ending));
            }
            ended
        });
        let ended: Vec<Vec<(usize, Ending)>> =
            stream::iter(work).buffer_unordered(IN_WORK_MAX).collect().await;
        let mut ended: Vec<(usize, Ending)> = ended.into_iter().flatten().collect();
        ended.sort_by_key(|(at, _)| *at);
        ended.into_iter().map(|(_, ending)| ending).collect()
    }

    fn event<'a>(&self, called: impl Iterator<Item = &'a Waiting>) -> BulkEvent {
        let mut event = BulkEvent {
            id: uuid::Uuid::now_v7().to_string(),
            path: String::new(),
            pubsub: self.subscription.pubsub.clone(),
            topic: self.subscription.topic.clone(),
            entries: Vec::new(),
        };
        for one in called {
            event.path.clone_from(&one.path);
            event.entries.push(one.entry.clone());
        }
        event
    }

    /// Settles a message.
    async fn end(&self, delivery: Delivery, ending: Ending, broker: &Broker) {
        let Delivery { message, receipt, .. } = delivery;
        let settled = match ending {
            Ending::Done => receipt.done().await,
            Ending::Again(why) | Ending::Dead(why) if self.subscription.dead_letter_topic.is_some() => {
                match self.bury(&message, broker, &why).await {
                    Ok(()) => receipt.done().await,
                    Err(_) => receipt.again().await,
                }
            }
            Ending::Again(_) => receipt.again().await,
            Ending::Dead(why) => {
                let (topic, pubsub) = (&message.topic, &self.subscription.pubsub);
                tracing::warn!(%pubsub, %topic, %why, "a message is dropped: there is no dead letter topic");
                receipt.done().await
            }
        };
        if let Err(error) = settled {
            tracing::warn!(topic = %message.topic, error = ?error, "a message could not be settled; it comes again");
        }
    }
}

/// What becomes of a message of which the app said this, or nothing for this reason.
fn ending(said: std::result::Result<Verdict, String>) -> Ending {
    match said {
        Ok(Verdict::Done) => Ending::Done,
        Ok(Verdict::Drop) => Ending::Dead("the app does not want it".to_owned()),
        Ok(Verdict::Again) => Ending::Again("the app asked to try again".to_owned()),
        Err(why) => Ending::Again(why),
    }
}

/// The places of the messages that can go in the next call: those of the path that has waited longest, none of which
/// would overtake another of its lane.
fn next_call(waiting: &VecDeque<Waiting>, most: usize, now: Instant) -> Vec<usize> {
    let (mut held, mut path, mut ready) = (HashSet::new(), None, Vec::new());
    for (at, one) in waiting.iter().enumerate() {
        let lane = one.delivery.lane;
        let is_free = lane.is_none_or(|lane| !held.contains(&lane));
        let is_paused = one.paused.is_some_and(|(until, _)| until > now);
        if is_free && !is_paused && *path.get_or_insert(&one.path) == &one.path {
            ready.push(at);
            if ready.len() >= most {
                break;
            }
        } else {
            held.extend(lane);
        }
    }
    ready
}

/// Takes the messages at these places, which are in order.
fn take(waiting: &mut VecDeque<Waiting>, places: &[usize]) -> Vec<Waiting> {
    let mut places = places.iter().copied().peekable();
    let (mut taken, mut left) = (Vec::new(), VecDeque::with_capacity(waiting.len()));
    for (at, one) in waiting.drain(..).enumerate() {
        if places.next_if_eq(&at).is_some() { taken.push(one) } else { left.push_back(one) }
    }
    *waiting = left;
    taken
}
