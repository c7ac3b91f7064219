//! The two tasks of a member, and what happens when the group changes.

use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use krafka::consumer::{
    AutoOffsetReset, Consumer, ConsumerRebalanceListener, OffsetAndMetadata, TopicPartition,
};
use krafka::error::ErrorCode;
use krafka::{CloseOptions, Kafka, KrafkaError};
use tokio::sync::mpsc;

use super::{Commit, Group, Life, Result, Settled, Standing, failed, gone};

/// Records of one answer, and of what is read ahead of one partition.
const RECORDS_MAX: i32 = 64;
/// How long one question for messages may last; what changes meanwhile interrupts it.
const POLL_TIME: Duration = Duration::from_secs(1);
/// How long work that is under way may hold up a partition that goes to another member.
const LEAVING_TIME: Duration = Duration::from_secs(3);
/// How long a member that leaves tries to say so.
const CLOSE_TIME: Duration = Duration::from_secs(10);
/// How long the group waits for a member when it shares out its partitions anew.
const REBALANCE_TIME: Duration = Duration::from_secs(60);
/// How long a topic that is made by being asked for may take, and how often it is looked for.
const TOPIC_TIME: Duration = Duration::from_secs(15);
const TOPIC_LOOK_INTERVAL: Duration = Duration::from_millis(50);

/// A consumer that has subscribed and not joined, and where a group begins that is new. It joins when it is first asked
/// for messages. Its connections are its own: a broker answers a connection's requests one after the other, and one
/// that joins waits for the other members.
pub(super) async fn consumer(
    settled: &Settled,
    name: &str,
    group: &Arc<Group>,
) -> Result<(Arc<Consumer>, AutoOffsetReset)> {
    let kafka = settled.client.connect().await?;
    // All that a topic has that was not there is published from now on.
    let was_there = exists(&kafka, &group.topic).await?;
    let beginning = if was_there { settled.beginning } else { AutoOffsetReset::Earliest };
    let listener = Arc::new(Listener { group: Arc::clone(group), consumer: OnceLock::new(), beginning });
    let built = kafka
        .consumer(name)
        .auto_offset_reset(beginning)
        .enable_auto_commit(false)
        .heartbeat_interval(settled.heartbeat_interval)
        .session_timeout(settled.session_timeout)
        .max_poll_interval(REBALANCE_TIME)
        .fetch_min_bytes(settled.fetch_bytes_min)
        .max_partition_fetch_bytes(settled.fetch_bytes_max)
        .max_poll_records(RECORDS_MAX)
        // What a partition that is paused has left there must not keep others from fetching.
        .max_buffered_records(0)
        .metrics_push(false)
        .rebalance_listener(Arc::clone(&listener))
        .build()
        .await;
    let consumer = Arc::new(built.map_err(failed)?);
    // It is set once, here.
    let _ = listener.consumer.set(Arc::downgrade(&consumer));
    consumer.subscribe([group.topic.as_str()]).await.map_err(failed)?;
    Ok((consumer, beginning))
}

/// Waits until the topic has partitions: asked for, it is made where brokers do that. Whether it was there before.
async fn exists(kafka: &Kafka, topic: &str) -> Result<bool> {
    let probe = kafka.consumer_without_group().metrics_push(false).build().await.map_err(failed)?;
    let (deadline, mut was_there) = (Instant::now() + TOPIC_TIME, true);
    let outcome = loop {
        let error = match probe.fetch_metadata(Some(topic)).await {
            Ok(found) if found.topics.iter().any(|topic| topic.partition_count() > 0) => break Ok(was_there),
            Ok(_) => KrafkaError::unknown_topic(topic),
            Err(error @ (KrafkaError::UnknownTopic { .. } | KrafkaError::Broker { .. })) => error,
            Err(error) => break Err(failed(error)),
        };
        let unknown = ErrorCode::UnknownTopicOrPartition;
        was_there &= match &error {
            KrafkaError::Broker { code, .. } => *code != unknown,
            _ => false,
        };
        if Instant::now() >= deadline {
            break Err(failed(error));
        }
        tokio::time::sleep(TOPIC_LOOK_INTERVAL).await;
    };
    // It has joined nothing: there is nobody to tell.
    let _ = probe.close().await;
    outcome
}

/// Asks for messages until the stream is dropped, or it cannot go on; then leaves the group.
pub(super) async fn follow(consumer: Arc<Consumer>, group: Arc<Group>, beginning: AutoOffsetReset) {
    let mut end = None;
    while !matches!(*group.life.lock(), Life::Leaving) {
        turn(&consumer, &group).await;
        match consumer.poll(POLL_TIME).await {
            Ok(records) => {
                let mut lanes = group.lanes.lock();
                for record in records {
                    lanes.push(record.partition, record.offset, record);
                }
                drop(lanes);
                group.bell.notify_waiters();
            }
            Err(KrafkaError::Wakeup) => {}
            Err(error) if error.is_retriable() => tokio::time::sleep(group.retry_interval).await,
            Err(error) => {
                end = Some(failed(error));
                break;
            }
        }
        if matches!(*group.life.lock(), Life::Joining) && !group.lanes.lock().partitions().is_empty() {
            // Where they begin could not be said when they were assigned.
            join(&consumer, &group, beginning).await;
        }
    }
    // Whoever is slow to answer is told by the session's end.
    let _ = consumer.close_with(CloseOptions::new().timeout(CLOSE_TIME)).await;
    *group.life.lock() = Life::Ended(end);
    group.lanes.lock().clear();
    group.bell.notify_waiters();
}

/// Fetches no more of lanes that are full, and again of those that are low.
async fn turn(consumer: &Consumer, group: &Group) {
    let (pause, resume) = group.lanes.lock().turned();
    if !pause.is_empty() {
        consumer.pause(&group.topic, &pause).await;
    }
    if !resume.is_empty() {
        consumer.resume(&group.topic, &resume).await;
    }
}

/// Commits what is asked for, as much at once as waits.
pub(super) async fn commit_all(
    consumer: Arc<Consumer>,
    group: Arc<Group>,
    mut asked: mpsc::Receiver<Commit>,
) {
    while let Some(first) = asked.recv().await {
        let mut all = vec![first];
        while let Ok(more) = asked.try_recv() {
            all.push(more);
        }
        let (ours, theirs): (Vec<Commit>, Vec<Commit>) = {
            let lanes = group.lanes.lock();
            all.into_iter().partition(|commit| lanes.standing(commit.place).is_some())
        };
        for commit in theirs {
            // Whoever asked may have gone, here and below.
            let _ = commit.told.send(Err(gone()));
        }
        let offsets = ours.iter().map(|commit| {
            let mut position = OffsetAndMetadata::new(commit.next);
            position.leader_epoch = commit.leader_epoch;
            (TopicPartition::new(group.topic.clone(), commit.place.partition), position)
        });
        let offsets: Vec<_> = offsets.collect();
        let outcome = consumer.commit_offsets(offsets).await;
        for commit in ours {
            let _ = commit.told.send(outcome.clone().map_err(failed));
        }
    }
}

/// Commits where partitions begin that the group has no offset of, so that it goes on there whatever becomes of us;
/// then the member has joined.
async fn join(consumer: &Consumer, group: &Group, beginning: AutoOffsetReset) {
    if begin(consumer, group, beginning).await.is_err() {
        return;
    }
    let mut life = group.life.lock();
    if matches!(*life, Life::Joining) {
        *life = Life::Joined;
    }
    drop(life);
    group.bell.notify_waiters();
}

async fn begin(consumer: &Consumer, group: &Group, beginning: AutoOffsetReset) -> Result<()> {
    let partitions = group.lanes.lock().partitions();
    let all: Vec<(&str, i32)> =
        partitions.iter().map(|partition| (group.topic.as_str(), *partition)).collect();
    let known = consumer.committed(&all).await.map_err(failed)?;
    let new: Vec<(&str, i32)> = all
        .into_iter()
        .filter(|(topic, partition)| !known.contains_key(&((*topic).to_owned(), *partition)))
        .collect();
    if new.is_empty() {
        return Ok(());
    }
    // What Kafka calls the time of the first message, and that after the last.
    let time = if matches!(beginning, AutoOffsetReset::Earliest) { -2 } else { -1 };
    let mut offsets = Vec::with_capacity(new.len());
    for ((topic, partition), offset) in consumer.offsets_for_times(&new, time).await {
        offsets
            .push((TopicPartition::new(topic, partition), OffsetAndMetadata::new(offset.map_err(failed)?)));
    }
    consumer.commit_offsets(offsets).await.map_err(failed)
}

/// Hears what the group says. It is called by the task that asks for messages, between two questions.
struct Listener {
    group: Arc<Group>,
    /// Weak: the consumer has the listener.
    consumer: OnceLock<Weak<Consumer>>,
    beginning: AutoOffsetReset,
}

fn numbers(partitions: &[TopicPartition]) -> Vec<i32> {
    partitions.iter().map(TopicPartition::partition).collect()
}

impl ConsumerRebalanceListener for Listener {
    async fn on_partitions_assigned(&self, partitions: &[TopicPartition]) {
        self.group.lanes.lock().assigned(&numbers(partitions));
        self.group.bell.notify_waiters();
        if let Some(consumer) = self.consumer.get().and_then(Weak::upgrade) {
            join(&consumer, &self.group, self.beginning).await;
        }
    }

    /// Lets what is out be finished, for a while: what is not is worked on by another member too.
    async fn on_partitions_revoked(&self, partitions: &[TopicPartition]) {
        let partitions = numbers(partitions);
        self.group.lanes.lock().stand(&partitions, Standing::Leaving);
        let deadline = tokio::time::Instant::now() + LEAVING_TIME;
        loop {
            let rung = self.group.bell.notified();
            if !self.group.lanes.lock().are_out(&partitions) {
                break;
            }
            if tokio::time::timeout_at(deadline, rung).await.is_err() {
                break;
            }
        }
        self.group.lanes.lock().stand(&partitions, Standing::Between);
    }

    async fn on_partitions_lost(&self, _: &[TopicPartition]) {
        self.group.lanes.lock().clear();
        self.group.bell.notify_waiters();
    }
}
