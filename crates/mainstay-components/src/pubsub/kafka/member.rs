//! A member of a consumer group: one task that asks for messages and follows the group, one that commits, and what both
//! share with the stream and the receipts.
//!
//! The stream takes what is there ([`Lanes`]), so nothing is on its way in a queue when it is dropped.

mod task;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use krafka::consumer::{Consumer, ConsumerRecord};
use mainstay_core::pubsub::{Delivery, Message, Receipt, Subscription};
use mainstay_core::{Error, Result, codes};
use parking_lot::Mutex;
use tokio::sync::{Notify, mpsc, oneshot};

use super::Settled;
use super::lanes::{Lanes, Place, Standing, Taken};
use crate::clients::kafka::failed;

/// Commits that may wait: no more than messages that are out.
const COMMITS_MAX: usize = 256;

pub(super) struct Member {
    consumer: Arc<Consumer>,
    group: Arc<Group>,
    commits: mpsc::Sender<Commit>,
    is_escaped: bool,
}

/// What the tasks, the stream and the receipts share.
struct Group {
    topic: String,
    lanes: Mutex<Lanes<ConsumerRecord>>,
    life: Mutex<Life>,
    /// Rings when something may have changed: a message, a settlement, the group, the end.
    bell: Notify,
    retry_interval: Duration,
}

/// How far a member has come.
enum Life {
    /// It does not know its partitions yet, or not where they begin.
    Joining,
    Joined,
    /// The stream was dropped.
    Leaving,
    /// Nothing comes any more; the reason, where it is told.
    Ended(Option<Error>),
}

/// A wish to commit all of a partition before `next`.
struct Commit {
    place: Place,
    next: i64,
    leader_epoch: Option<i32>,
    told: oneshot::Sender<Result<()>>,
}

impl Member {
    /// Joins, and waits until the group has said what is ours.
    pub(super) async fn join(settled: &Settled, subscription: Subscription) -> Result<Self> {
        let Subscription { topic, group: name, .. } = subscription;
        let group = Arc::new(Group {
            topic,
            lanes: Mutex::new(Lanes::new()),
            life: Mutex::new(Life::Joining),
            bell: Notify::new(),
            retry_interval: settled.retry_interval,
        });
        let name = settled.group.clone().unwrap_or(name);
        let consumer = task::consumer(settled, &name, &group).await?;
        let (commits, asked) = mpsc::channel(COMMITS_MAX);
        let is_escaped = settled.is_escaped;
        let member = Self { consumer: Arc::clone(&consumer), group: Arc::clone(&group), commits, is_escaped };
        tokio::spawn(task::commit_all(Arc::clone(&consumer), Arc::clone(&group), asked));
        tokio::spawn(task::follow(consumer, group, settled.beginning));
        member.joined().await?;
        Ok(member)
    }

    async fn joined(&self) -> Result<()> {
        loop {
            let rung = self.group.bell.notified();
            match &mut *self.group.life.lock() {
                Life::Joining => {}
                Life::Ended(error) => return Err(ended(error.take())),
                Life::Joined | Life::Leaving => return Ok(()),
            }
            rung.await;
        }
    }

    /// The next delivery.
    pub(super) async fn next(&self) -> Result<Delivery> {
        loop {
            let rung = self.group.bell.notified();
            if let Life::Ended(error) = &mut *self.group.life.lock() {
                return Err(ended(error.take()));
            }
            let taken = self.group.lanes.lock().take(Instant::now());
            match taken {
                Taken::Message { place, offset, message, attempts, is_low } => {
                    if is_low {
                        // It fetches again before the answer that is waited for.
                        self.consumer.wakeup();
                    }
                    return Ok(self.delivery(place, offset, message, attempts));
                }
                Taken::Nothing(None) => rung.await,
                Taken::Nothing(Some(until)) => {
                    tokio::select! {
                        () = rung => {}
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                }
            }
        }
    }

    fn delivery(&self, place: Place, offset: i64, record: ConsumerRecord, attempts: u32) -> Delivery {
        let leader_epoch = record.leader_epoch;
        let message = message(record, self.is_escaped);
        let slip = Slip {
            group: Arc::clone(&self.group),
            commits: self.commits.clone(),
            place,
            next: offset.saturating_add(1),
            leader_epoch,
            is_settled: false,
        };
        // A partition's number is its lane; none is negative.
        let lane = u64::try_from(place.partition).ok();
        Delivery { message, lane, attempts, receipt: Box::new(slip) }
    }
}

impl Drop for Member {
    fn drop(&mut self) {
        let mut life = self.group.life.lock();
        if !matches!(*life, Life::Ended(_)) {
            *life = Life::Leaving;
        }
        drop(life);
        self.group.bell.notify_waiters();
        self.consumer.wakeup();
    }
}

/// A message as Dapr's sidecar shows it: its headers, and where it was, under names of their own.
fn message(record: ConsumerRecord, is_escaped: bool) -> Message {
    let shown = |bytes: &[u8]| {
        if is_escaped {
            form_urlencoded::byte_serialize(bytes).collect()
        } else {
            String::from_utf8_lossy(bytes).into_owned()
        }
    };
    let mut metadata = BTreeMap::from([
        ("__offset".to_owned(), record.offset.to_string()),
        ("__partition".to_owned(), record.partition.to_string()),
        ("__timestamp".to_owned(), record.timestamp.to_string()),
        ("__topic".to_owned(), record.topic.to_string()),
    ]);
    if let Some(key) = &record.key {
        metadata.insert("__key".to_owned(), shown(key));
    }
    for (name, value) in record.headers {
        metadata.insert(name, value.as_deref().map(&shown).unwrap_or_default());
    }
    let data = record.value.unwrap_or_else(|| "null".into());
    Message { topic: record.topic.to_string(), data, content_type: None, metadata }
}

fn ended(error: Option<Error>) -> Error {
    error.unwrap_or_else(|| Error::new(&codes::BROKER_UNAVAILABLE, "receive: the member has left its group"))
}

/// Settles a message; dropped without, it comes again.
struct Slip {
    group: Arc<Group>,
    commits: mpsc::Sender<Commit>,
    place: Place,
    next: i64,
    leader_epoch: Option<i32>,
    is_settled: bool,
}

impl Slip {
    /// Commits it. While it is not known whose the partition is, that is waited for.
    async fn commit(&self) -> Result<()> {
        loop {
            let rung = self.group.bell.notified();
            let standing = self.group.lanes.lock().standing(self.place);
            match standing {
                None => return Err(gone()),
                Some(Standing::Between) => rung.await,
                Some(Standing::Ours | Standing::Leaving) => {
                    let outcome = self.ask().await;
                    let standing = self.group.lanes.lock().standing(self.place);
                    if outcome.is_ok() || standing != Some(Standing::Between) {
                        return outcome;
                    }
                }
            }
        }
    }

    async fn ask(&self) -> Result<()> {
        let (told, answer) = oneshot::channel();
        let Self { place, next, leader_epoch, .. } = *self;
        let commit = Commit { place, next, leader_epoch, told };
        // Both fail only when the task is gone, as all is that the member had.
        self.commits.send(commit).await.map_err(|_| gone())?;
        answer.await.map_err(|_| gone())?
    }
}

fn gone() -> Error {
    let message =
        "settle: its partition was given to another member meanwhile, to whom the message comes again";
    Error::new(&codes::BROKER_UNAVAILABLE, message)
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        let outcome = self.commit().await;
        self.is_settled = true;
        // What could not be committed was worked on all the same: the next of its lane commits it too.
        self.group.lanes.lock().done(self.place);
        self.group.bell.notify_waiters();
        outcome
    }

    async fn again(self: Box<Self>) -> Result<()> {
        // Dropped, it says just that.
        Ok(())
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if !self.is_settled {
            self.group.lanes.lock().again(self.place, Instant::now() + self.group.retry_interval);
            self.group.bell.notify_waiters();
        }
    }
}
