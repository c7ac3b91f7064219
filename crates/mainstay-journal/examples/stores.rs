//! Prints what the embedded stores do on this disk: durable saves, gets, publishes with their deliveries, restarts.
//! Absolute figures depend on the machine. `cargo run --profile perf -p mainstay-journal --example stores [folder]
//! [seconds]`

#![expect(clippy::print_stdout, reason = "the table is what it is for")]
#![expect(clippy::unwrap_used, reason = "a measurement stops at the first fault")]
#![expect(clippy::disallowed_methods, reason = "nothing here depends on the hour")]

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::{Message, PubSub, Subscription};
use mainstay_core::state::{Change, Format, Precondition, StateStore};
use mainstay_core::{Clock, Ctx};
use mainstay_journal::{EmbeddedOptions, Stores};

const CALLERS: u64 = 64;
const KEYS: u64 = 10_000;
const VALUE_BYTES: usize = 1_000;

#[derive(Debug)]
struct Wall;

impl Clock for Wall {
    fn now_ms(&self) -> u64 {
        SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis().try_into().unwrap()
    }
}

#[tokio::main(flavor = "multi_thread", worker_threads = 2)]
async fn main() {
    let mut arguments = std::env::args().skip(1);
    let folder = arguments.next().map_or_else(|| std::env::temp_dir().join("mainstay-stores"), PathBuf::from);
    let seconds = arguments.next().map_or(5, |text| text.parse().unwrap());
    let time = Duration::from_secs(seconds);
    let _ = std::fs::remove_dir_all(&folder);
    let stores = Stores::new(EmbeddedOptions::new(&folder), Arc::new(Wall));
    let store = stores.state_store("bench").unwrap();
    let broker = stores.pubsub("bench").unwrap();
    println!("idle: {} MB resident", resident_mb());
    let saves = run(time, CALLERS, |caller, n| save(store.clone(), caller, n)).await;
    let stats = stores.state_stats().unwrap();
    println!("saves, {CALLERS} callers: {saves}/s, {} MB resident", resident_mb());
    println!("  {} syncs, {} in the log, {} alive", stats.fsyncs, mb(stats.log_bytes), mb(stats.live_bytes));
    let gets = run(time, CALLERS, |caller, n| get(store.clone(), caller, n)).await;
    println!("gets, {CALLERS} callers: {gets}/s");
    let (delivered, consumer) = consume(&broker).await;
    let published = run(time, CALLERS, |caller, _| publish(broker.clone(), caller)).await;
    let delivered = delivered.load(Relaxed) / seconds;
    println!(
        "publishes, {CALLERS} callers: {published}/s, {delivered}/s done, {} MB resident",
        resident_mb()
    );
    consumer.abort();
    stores.close();
    let opening = Instant::now();
    let again = Stores::new(EmbeddedOptions::new(&folder), Arc::new(Wall));
    again.state_store("bench").unwrap();
    again.pubsub("bench").unwrap();
    println!("restart: {} ms", opening.elapsed().as_millis());
    again.close();
    let _ = std::fs::remove_dir_all(&folder);
}

/// Calls in a closed loop; gives calls a second.
async fn run<F>(time: Duration, callers: u64, call: impl Fn(u64, u64) -> F) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    let until = Instant::now() + time;
    let calls: Vec<_> = (0..callers).map(|caller| turns(until, caller, &call)).collect();
    let made: u64 = futures_util::future::join_all(calls).await.into_iter().sum();
    made / time.as_secs()
}

async fn turns<F>(until: Instant, caller: u64, call: &impl Fn(u64, u64) -> F) -> u64
where
    F: Future<Output = ()> + Send + 'static,
{
    let mut made = 0;
    while Instant::now() < until {
        tokio::spawn(call(caller, made)).await.unwrap();
        made += 1;
    }
    made
}

fn key(caller: u64, n: u64) -> String {
    format!("key-{:05}", (caller * 7_919 + n) % KEYS)
}

async fn save(store: Arc<dyn StateStore>, caller: u64, n: u64) {
    let change = Change::Set {
        key: key(caller, n),
        value: Bytes::from(vec![b'x'; VALUE_BYTES]),
        format: Format::Bytes,
        precondition: Precondition::None,
        ttl: None,
    };
    store.apply(&Ctx::system(), change).await.unwrap();
}

async fn get(store: Arc<dyn StateStore>, caller: u64, n: u64) {
    store.get(&Ctx::system(), &key(caller, n)).await.unwrap();
}

async fn publish(broker: Arc<dyn PubSub>, caller: u64) {
    let metadata = [(Message::KEY.to_owned(), caller.to_string())].into();
    let data = Bytes::from(vec![b'x'; VALUE_BYTES]);
    let message = Message { topic: "bench".to_owned(), data, metadata, ..Message::default() };
    broker.publish(&Ctx::system(), message).await.unwrap();
}

async fn consume(broker: &Arc<dyn PubSub>) -> (Arc<AtomicU64>, tokio::task::JoinHandle<()>) {
    let subscription = Subscription { topic: "bench".to_owned(), group: "g".to_owned(), metadata: [].into() };
    let member = broker.subscribe(&Ctx::system(), subscription).await.unwrap();
    let done = Arc::new(AtomicU64::new(0));
    let counted = done.clone();
    let consumer = tokio::spawn(async move {
        let work = member.for_each_concurrent(256, |delivery| {
            let counted = counted.clone();
            async move {
                if let Ok(delivery) = delivery
                    && delivery.receipt.done().await.is_ok()
                {
                    counted.fetch_add(1, Relaxed);
                }
            }
        });
        work.await;
    });
    (done, consumer)
}

fn mb(bytes: u64) -> String {
    format!("{} MB", bytes / (1024 * 1024))
}

fn resident_mb() -> u64 {
    let statm = std::fs::read_to_string("/proc/self/statm").unwrap();
    statm.split(' ').nth(1).unwrap().parse::<u64>().unwrap() * 4 / 1024
}
