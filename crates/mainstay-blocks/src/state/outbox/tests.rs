//! The outbox over a store in memory, with a broker that a test writes.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::BoxStream;
use mainstay_core::clock::ManualClock;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Subscription};
use mainstay_core::state::{self, Entry, Page, StateStore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::*;
use crate::hub::{Broker, Opened, Table};
use crate::pubsub::Scopes;
use crate::state::{Cipher, Concurrency, Key, Rules, get, query, transact};

/// A store of sorted keys; `cut` makes a transaction fail after it was made.
#[derive(Default)]
struct Memory {
    kept: Mutex<BTreeMap<String, (Bytes, u64)>>,
    cut: AtomicBool,
}

impl Memory {
    fn change(kept: &mut BTreeMap<String, (Bytes, u64)>, change: Change) -> Result<()> {
        let known = kept.get(change.key()).map(|(_, version)| *version);
        let holds = match change.precondition() {
            Precondition::None => true,
            Precondition::Absent => known.is_none(),
            Precondition::Etag(etag) => known.is_some_and(|version| version.to_string() == *etag),
        };
        if !holds {
            return Err(Error::new(&codes::ETAG_MISMATCH, "changed"));
        }
        match change {
            Change::Set { key, value, .. } => kept.insert(key, (value, known.unwrap_or(0) + 1)),
            Change::Delete { key, .. } => kept.remove(&key),
        };
        Ok(())
    }

    fn rows(&self) -> usize {
        self.kept.lock().unwrap().keys().filter(|key| key.contains("||row||")).count()
    }
}

fn entry((value, version): &(Bytes, u64)) -> Entry {
    Entry { value: value.clone(), etag: version.to_string(), expires_at_ms: None }
}

#[async_trait]
impl StateStore for Memory {
    fn capabilities(&self) -> state::Capabilities {
        state::Capabilities {
            transaction_changes_max: Some(8),
            scan: false,
            scan_reserved: true,
            query: true,
            durable: false,
        }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn get(&self, _: &Ctx, key: &str) -> Result<Option<Entry>> {
        Ok(self.kept.lock().unwrap().get(key).map(entry))
    }

    async fn apply(&self, _: &Ctx, change: Change) -> Result<()> {
        Self::change(&mut self.kept.lock().unwrap(), change)
    }

    async fn transact(&self, _: &Ctx, changes: Vec<Change>) -> Result<()> {
        let mut kept = self.kept.lock().unwrap();
        let mut made = kept.clone();
        changes.into_iter().try_for_each(|change| Self::change(&mut made, change))?;
        *kept = made;
        if self.cut.load(Ordering::SeqCst) {
            return Err(Error::new(&codes::STORE_UNAVAILABLE, "the answer did not come"));
        }
        Ok(())
    }

    async fn scan(&self, _: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        let kept = self.kept.lock().unwrap();
        let after = token.unwrap_or_default();
        let found = kept.iter().filter(|(key, _)| key.starts_with(prefix) && key.as_str() > after);
        let entries: Vec<_> = found.take(limit).map(|(key, kept)| (key.clone(), entry(kept))).collect();
        let token = (entries.len() == limit).then(|| entries.last().map(|(key, _)| key.clone())).flatten();
        Ok(Page { entries, token })
    }

    async fn query(&self, _: &Ctx, query: state::Query) -> Result<Page> {
        let kept = self.kept.lock().unwrap();
        let found = kept.iter().filter(|(key, _)| key.starts_with(&query.prefix));
        Ok(Page { entries: found.map(|(key, kept)| (key.clone(), entry(kept))).collect(), token: None })
    }
}

/// A broker that keeps what is published while it is up, and takes nothing of keys called `bad`.
#[derive(Default)]
struct Bus {
    is_down: AtomicBool,
    published: Mutex<Vec<Value>>,
    /// What each was to be kept in order by.
    keys: Mutex<Vec<String>>,
}

#[async_trait]
impl PubSub for Bus {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ttl: false, ordered: true, metadata: true, durable: false }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn publish(&self, _: &Ctx, message: Message) -> Result<()> {
        if self.is_down.load(Ordering::SeqCst) {
            return Err(Error::new(&codes::BROKER_UNAVAILABLE, "down"));
        }
        let key = &message.metadata[Message::KEY];
        if key == "bad" {
            return Err(Error::new(&codes::INVALID_FIELD, "too large"));
        }
        let event: Value = serde_json::from_slice(&message.data).unwrap();
        assert_eq!((message.topic.as_str(), event["topic"].as_str()), ("t", Some("t")));
        self.keys.lock().unwrap().push(key.clone());
        self.published.lock().unwrap().push(event);
        Ok(())
    }

    async fn subscribe(&self, _: &Ctx, _: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        Err(Error::new(&codes::UNSUPPORTED, "nobody subscribes"))
    }
}

struct House {
    blocks: Blocks,
    memory: Arc<Memory>,
    bus: Arc<Bus>,
    work: TaskTracker,
    stop: CancellationToken,
}

impl House {
    fn over(memory: Arc<Memory>, cipher: Option<Cipher>) -> Self {
        let bus = Arc::new(Bus::default());
        let app = App { id: "shop".to_owned(), namespace: None };
        let outbox = Some(Arc::new(Outbox::new(&app, "orders", "bus", "t")));
        let rules = Rules { cipher: cipher.map(Arc::new), outbox, ..Rules::default() };
        let table = Table {
            stores: BTreeMap::from([("orders".to_owned(), Opened::new(Arc::clone(&memory) as _, rules))]),
            brokers: BTreeMap::from([(
                "bus".to_owned(),
                Broker::new(Arc::clone(&bus) as _, Scopes::default()),
            )]),
            ..Table::default()
        };
        let blocks = Blocks::new(app, Arc::new(ManualClock::at(1_700_000_000_000)), table);
        Self { blocks, memory, bus, work: TaskTracker::new(), stop: CancellationToken::new() }
    }

    fn new() -> Self {
        Self::over(Arc::default(), None)
    }

    fn relay(&self) {
        Relays::default().follow(&self.blocks, &self.work, &self.stop);
    }

    async fn make(&self, operations: Vec<Operation>) -> Result<()> {
        transact(&self.blocks, &Ctx::system(), "orders", operations).await
    }

    /// The events, when there are as many and no rows are left but `rows`.
    async fn published(&self, count: usize, rows: usize) -> Vec<Value> {
        let enough = async {
            while self.bus.published.lock().unwrap().len() < count || self.memory.rows() > rows {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        };
        tokio::time::timeout(Duration::from_secs(120), enough).await.expect("the events come");
        self.bus.published.lock().unwrap().clone()
    }

    async fn end(&self) {
        self.stop.cancel();
        self.work.close();
        self.work.wait().await;
    }
}

fn upsert(key: &str, value: &str, metadata: &[(&str, &str)]) -> Operation {
    let metadata = metadata.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
    let item = Item { key: key.to_owned(), etag: None, concurrency: Concurrency::Unspecified, metadata };
    Operation::Upsert(item, Bytes::copy_from_slice(value.as_bytes()), Format::Json)
}

fn data(events: &[Value]) -> Vec<Value> {
    events.iter().map(|event| event["data"].clone()).collect()
}

#[tokio::test(start_paused = true)]
async fn each_set_of_a_transaction_is_an_event_and_a_refused_one_is_none() {
    let house = House::new();
    house.relay();
    let gone = Item {
        key: "c".to_owned(),
        etag: None,
        concurrency: Concurrency::Unspecified,
        metadata: BTreeMap::new(),
    };
    house
        .make(vec![upsert("a", r#"{"n":1}"#, &[]), upsert("b", r#""hei""#, &[]), Operation::Delete(gone)])
        .await
        .unwrap();
    let stale = Item {
        key: "a".to_owned(),
        etag: Some("9".to_owned()),
        concurrency: Concurrency::Unspecified,
        metadata: BTreeMap::new(),
    };
    let refused = house.make(vec![upsert("b", "2", &[]), Operation::Delete(stale)]).await;
    assert_eq!(refused.unwrap_err().code(), &codes::ETAG_MISMATCH);
    house.make(vec![upsert("a", "3", &[])]).await.unwrap();
    let events = house.published(3, 0).await;
    assert_eq!(data(&events), [serde_json::json!({"n": 1}), "hei".into(), 3.into()]);
    let kinds: Vec<_> = events.iter().map(|event| event["datacontenttype"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["application/json", "text/plain", "application/json"]);
    assert!(events.iter().all(|event| event["id"].as_str().unwrap().starts_with("outbox-")));
    house.end().await;
    assert_eq!(house.memory.kept.lock().unwrap().len(), 2, "no row and no lease is left");
}

#[tokio::test(start_paused = true)]
async fn a_projection_is_published_and_not_kept_and_metadata_are_attributes() {
    let house = House::new();
    house.relay();
    let projection =
        upsert("a", r#"{"short":1}"#, &[(PROJECTION, "true"), ("contentType", "application/json")]);
    let metadata =
        [("cloudevent.type", "paid"), ("ttlInSeconds", "60"), ("shard", "7"), ("id", "mine"), ("data", "no")];
    house.make(vec![projection, upsert("a", r#"{"long":1}"#, &metadata)]).await.unwrap();
    let event = house.published(1, 0).await.remove(0);
    assert_eq!(event["data"], serde_json::json!({"short": 1}));
    assert_eq!((&event["type"], &event["shard"]), (&"paid".into(), &"7".into()));
    assert!(event["id"] != "mine" && event.get("expiration").is_none(), "{event}");
    let kept = get(&house.blocks, &Ctx::system(), "orders", "a").await.unwrap().unwrap();
    assert_eq!(kept.value, r#"{"long":1}"#);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_is_kept_in_order_by_its_partition_key_or_else_by_its_key() {
    let house = House::new();
    house.make(vec![upsert("task-1", "1", &[("partitionKey", "1")])]).await.unwrap();
    // What the projection says of it does not count, as with its other metadata.
    let projection = upsert("task-2", "3", &[(PROJECTION, "true"), ("partitionKey", "other")]);
    house.make(vec![upsert("task-2", "2", &[]), projection]).await.unwrap();
    house.relay();
    let events = house.published(2, 0).await;
    let keys = house.bus.keys.lock().unwrap().clone();
    let mut found: Vec<_> = events.iter().map(|event| event["data"].clone()).zip(keys).collect();
    found.sort_by_key(|(data, _)| data.as_i64());
    assert_eq!(found, [(1.into(), "1".to_owned()), (3.into(), "task-2".to_owned())]);
    assert_eq!(
        events.iter().filter(|event| event["partitionKey"] == "1").count(),
        1,
        "it is an attribute too"
    );
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_earlier_process_left_comes_first_and_in_order() {
    let memory: Arc<Memory> = Arc::default();
    let before = House::over(Arc::clone(&memory), None);
    for n in 0..150 {
        before.make(vec![upsert("a", &n.to_string(), &[])]).await.unwrap();
    }
    // It published nothing.
    let house = House::over(memory, None);
    for n in 150..160 {
        house.make(vec![upsert("a", &n.to_string(), &[])]).await.unwrap();
    }
    house.relay();
    let events = house.published(160, 0).await;
    assert_eq!(data(&events), (0..160).map(Value::from).collect::<Vec<_>>());
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn while_the_broker_is_down_events_wait() {
    let house = House::new();
    house.bus.is_down.store(true, Ordering::SeqCst);
    house.relay();
    for n in 0..5 {
        house.make(vec![upsert("a", &n.to_string(), &[])]).await.unwrap();
    }
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(house.memory.rows(), 5);
    house.bus.is_down.store(false, Ordering::SeqCst);
    assert_eq!(data(&house.published(5, 0).await), (0..5).map(Value::from).collect::<Vec<_>>());
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn an_event_that_the_broker_refuses_stays_and_holds_up_its_key_alone() {
    let house = House::new();
    house.relay();
    for (key, n) in [("bad", 1), ("good", 2), ("bad", 3), ("good", 4)] {
        house.make(vec![upsert(key, &n.to_string(), &[])]).await.unwrap();
    }
    assert_eq!(data(&house.published(2, 2).await), [2, 4]);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn of_two_processes_one_publishes_and_the_other_takes_over() {
    let memory: Arc<Memory> = Arc::default();
    let (one, two) = (House::over(Arc::clone(&memory), None), House::over(memory, None));
    one.relay();
    one.make(vec![upsert("a", "1", &[])]).await.unwrap();
    one.published(1, 0).await;
    two.relay();
    one.end().await;
    two.make(vec![upsert("a", "2", &[])]).await.unwrap();
    assert_eq!(data(&two.published(1, 0).await), [2]);
    two.end().await;
}

#[tokio::test(start_paused = true)]
async fn processes_at_the_same_moment_do_not_replace_each_others_events() {
    let memory: Arc<Memory> = Arc::default();
    let (one, two) = (House::over(Arc::clone(&memory), None), House::over(memory, None));
    one.make(vec![upsert("a", "1", &[])]).await.unwrap();
    // As if it had not seen the other's row.
    two.blocks.table().stores["orders"].rules.outbox.as_ref().unwrap().raised.set(()).unwrap();
    two.make(vec![upsert("b", "2", &[])]).await.unwrap();
    assert_eq!(one.memory.rows(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_transaction_of_unknown_outcome_that_was_made_has_its_event() {
    let house = House::new();
    house.relay();
    house.memory.cut.store(true, Ordering::SeqCst);
    assert!(house.make(vec![upsert("a", "1", &[])]).await.is_err());
    assert_eq!(data(&house.published(1, 0).await), [1]);
    house.end().await;
}

#[tokio::test(start_paused = true)]
async fn rows_count_as_changes_and_no_app_sees_them() {
    let house = House::new();
    let many = (0..5).map(|n| upsert(&n.to_string(), "1", &[])).collect();
    let error = house.make(many).await.unwrap_err();
    assert_eq!(error.field(), Some("operations"));
    house.make(vec![upsert("a", "1", &[])]).await.unwrap();
    let page = query(&house.blocks, &Ctx::system(), "orders", state::Query::default()).await.unwrap();
    assert_eq!(page.entries.len(), 1);
    let row = house.memory.kept.lock().unwrap().keys().next_back().cloned().unwrap();
    assert!(get(&house.blocks, &Ctx::system(), "orders", &row).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn where_values_are_encrypted_events_are_too() {
    let key = Key::new("k", &mainstay_core::Redacted::new("0a".repeat(16))).unwrap();
    let house = House::over(Arc::default(), Some(Cipher::new(key, None)));
    house.make(vec![upsert("a", r#""hidden""#, &[])]).await.unwrap();
    let kept = house.memory.kept.lock().unwrap().clone();
    assert!(kept.len() == 2 && kept.values().all(|(value, _)| value.ends_with(b"||k")), "{kept:?}");
    house.relay();
    assert_eq!(data(&house.published(1, 0).await), ["hidden"]);
    house.end().await;
}
