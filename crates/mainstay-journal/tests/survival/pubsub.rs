//! The brokers: kill -9 of publishers and consumers at random points, while space is given back without rest; and
//! damage at random places.
//!
//! Each writer publishes numbers under a key of its own. The consumers of two groups write down what they were
//! delivered and what they settled. Over all lives of the process each group must have been delivered every
//! acknowledged number, in the order of its key, and nothing that it was done with must come again.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use libtest_mimic::Trial;
use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded;
use mainstay_core::pubsub::{Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use mainstay_journal::{EmbeddedOptions, Stores};

use super::damage::{damage, target};
use super::fixture::{Dice, copy, folder, number, trial, wait};

/// Set in the child: where it works.
pub(crate) const CHILD_FOLDER: &str = "MAINSTAY_PUBSUB_CHILD_FOLDER";
/// Set in the child: numbers begin here.
const CHILD_ROUND: &str = "MAINSTAY_PUBSUB_CHILD_ROUND";

const WRITERS: u64 = 16;
const GROUPS: [&str; 2] = ["one", "other"];
/// Numbers of one round are below this.
const ROUND: u64 = 1_000_000;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("pubsub_a_kill_at_any_point_loses_no_acknowledged_message_and_keeps_the_order", kills),
        trial("pubsub_damage_at_random_places_is_detected_or_harmless", damages),
    ]
}

fn options(folder: &Path) -> EmbeddedOptions {
    EmbeddedOptions { retained_bytes: 0, ..super::state::options(folder) }
}

fn open(folder: &Path, options: EmbeddedOptions) -> Result<(Stores, Arc<dyn PubSub>)> {
    let stores =
        Stores::new(EmbeddedOptions { folder: folder.into(), ..options }, Arc::new(ManualClock::at(1)));
    let broker = stores.pubsub("b")?;
    Ok((stores, broker))
}

fn message(writer: u64, number: u64) -> Message {
    // One message in fifty is a blob.
    let repeats = if number.is_multiple_of(50) { 1_000 } else { 1 + number % 40 };
    let text = format!("{writer} {number} {}", "x".repeat(3 * repeats as usize));
    let metadata = BTreeMap::from([(Message::KEY.to_owned(), writer.to_string())]);
    Message { topic: "t".to_owned(), data: text.into(), metadata, ..Message::default() }
}

/// Writer and number; panics where the rest is not what was published.
fn read(delivery: &Delivery) -> (u64, u64) {
    let text = std::str::from_utf8(&delivery.message.data).unwrap();
    let mut words = text.split(' ');
    let mut word = || words.next().unwrap().parse().unwrap();
    let (writer, number) = (word(), word());
    assert_eq!(delivery.message.data, message(writer, number).data, "the content is another");
    (writer, number)
}

async fn join(broker: &Arc<dyn PubSub>, group: &str) -> Result<BoxStream<Result<Delivery>>> {
    let (topic, group) = ("t".to_owned(), group.to_owned());
    broker.subscribe(&Ctx::system(), Subscription { topic, group, metadata: BTreeMap::new() }).await
}

/// What was seen over all lives.
#[derive(Debug, Default)]
struct Seen {
    /// The last number of each writer's that was acknowledged, of each round.
    published: BTreeMap<(u64, u64), u64>,
    groups: BTreeMap<String, Group>,
}

#[derive(Debug, Default)]
struct Group {
    /// The highest number of each writer's that was delivered.
    delivered: BTreeMap<u64, u64>,
    /// The highest number of each writer's that was settled.
    settled: BTreeMap<u64, u64>,
    count: u64,
}

impl Seen {
    /// Takes a line of the child's: who, which writer, which number.
    fn note(&mut self, line: &str) {
        // A line that the kill cut lacks its full stop.
        let Some(line) = line.strip_suffix('.') else { return };
        let words: Vec<&str> = line.split(' ').collect();
        let (writer, number): (u64, u64) = (words[1].parse().unwrap(), words[2].parse().unwrap());
        match words[0] {
            "published" => drop(self.published.insert((writer, number / ROUND), number)),
            who => {
                let (what, name) = who.split_once(':').unwrap();
                let group = self.groups.entry(name.to_owned()).or_default();
                if what == "settled" {
                    group.settled.insert(writer, number);
                } else {
                    group.delivered(writer, number);
                }
            }
        }
    }

    fn check(&self) {
        for (name, group) in &self.groups {
            for ((writer, _), number) in &self.published {
                let delivered = group.delivered.get(writer).copied().unwrap_or(0);
                assert!(
                    delivered >= *number,
                    "{name}: {number} of {writer} is lost, the last is {delivered}"
                );
            }
        }
    }
}

impl Group {
    /// The order of a key: each number is the next one, one that was not settled, or the first of a later round.
    fn delivered(&mut self, writer: u64, number: u64) {
        self.count += 1;
        let last = self.delivered.get(&writer).copied().unwrap_or(0);
        let settled = self.settled.get(&writer).copied().unwrap_or(0);
        assert!(number > settled, "{number} of {writer} was settled and comes again");
        let is_next = number == last + 1 || number == last || (number % ROUND == 1 && number > last);
        assert!(is_next, "the order of {writer} is broken: {number} after {last}");
        self.delivered.insert(writer, number);
    }
}

fn kills() {
    let folder = tempfile::tempdir().unwrap();
    let points = number("MAINSTAY_KILL_POINTS", 20);
    let mut seen = Seen::default();
    for round in 1..=points {
        kill_one(folder.path(), round, &mut seen);
    }
    drain(folder.path(), &mut seen);
    seen.check();
    let delivered: u64 = seen.groups.values().map(|group| group.count).sum();
    let published: u64 = seen.published.values().map(|number| number % ROUND).sum();
    println!("pubsub: {points} kills, {published} messages acknowledged, {delivered} deliveries, 0 lost");
    assert!(published > points * 10 && delivered >= 2 * published, "the writers were at work");
}

/// Starts a child and kills it at a random moment.
fn kill_one(folder: &Path, round: u64, seen: &mut Seen) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.env(CHILD_FOLDER, folder).env(CHILD_ROUND, round.to_string()).stdout(Stdio::piped());
    let mut child = command.spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut dice = Dice::new(round);
    let (lines_min, delay_ms) = (dice.below(1_000), dice.below(40));
    for _ in 0..=lines_min {
        seen.note(&lines.next().expect("the child lives until it is killed").unwrap());
    }
    std::thread::sleep(Duration::from_millis(delay_ms));
    child.kill().unwrap();
    child.wait().unwrap();
    // What was acknowledged before the kill may still be in the pipe.
    lines.map_while(Result::ok).for_each(|line| seen.note(&line));
}

/// Lets every group have all that is left.
fn drain(folder: &Path, seen: &mut Seen) {
    let (_stores, broker) = open(folder, options(folder)).unwrap();
    wait(async {
        for name in GROUPS {
            let mut member = join(&broker, name).await.unwrap();
            while let Ok(next) = tokio::time::timeout(Duration::from_millis(500), member.next()).await {
                let delivery = next.unwrap().unwrap();
                let (writer, number) = read(&delivery);
                seen.groups.entry(name.to_owned()).or_default().delivered(writer, number);
                delivery.receipt.done().await.unwrap();
            }
        }
    });
}

/// The child: publishes and consumes until it is killed.
pub(crate) fn child(folder: &Path) {
    let round = number(CHILD_ROUND, 0);
    let (_stores, broker) = open(folder, options(folder)).unwrap();
    wait(async {
        let mut tasks = Vec::new();
        for name in GROUPS {
            let member = join(&broker, name).await.unwrap();
            tasks.push(tokio::spawn(consume(name, member)));
        }
        tasks.extend((0..WRITERS).map(|writer| tokio::spawn(write(broker.clone(), writer, round))));
        futures_util::future::join_all(tasks).await;
    });
    unreachable!("everyone goes on until the kill");
}

/// One write to the pipe: whole or not at all.
fn say(line: &str) {
    std::io::stdout().lock().write_all(format!("{line}.\n").as_bytes()).unwrap();
}

async fn write(broker: Arc<dyn PubSub>, writer: u64, round: u64) {
    for number in round * ROUND + 1.. {
        broker.publish(&Ctx::system(), message(writer, number)).await.unwrap();
        say(&format!("published {writer} {number}"));
    }
}

async fn consume(name: &'static str, member: BoxStream<Result<Delivery>>) {
    // As many at once as there are lanes; one in thirteen comes again first.
    member
        .for_each_concurrent(64, |delivery| async move {
            let delivery = delivery.unwrap();
            let (writer, number) = read(&delivery);
            say(&format!("delivered:{name} {writer} {number}"));
            if delivery.attempts == 0 && number % 13 == 0 {
                delivery.receipt.again().await.unwrap();
            } else {
                delivery.receipt.done().await.unwrap();
                say(&format!("settled:{name} {writer} {number}"));
            }
        })
        .await;
}

const MESSAGES: u64 = 240;
const SETTLED: u64 = 40;

/// A folder with closed segments, an active one, blobs and a mark; the group is done with the first `SETTLED`.
fn master() -> tempfile::TempDir {
    let folder = folder();
    let calm = EmbeddedOptions { care_interval: Duration::from_secs(3_600), ..options(folder.path()) };
    let (stores, broker) = open(folder.path(), calm).unwrap();
    wait(async {
        let mut member = join(&broker, "g").await.unwrap();
        for number in 1..=MESSAGES {
            let mut long = message(0, number);
            long.content_type = Some("x".repeat(2_000));
            broker.publish(&Ctx::system(), long).await.unwrap();
        }
        for number in 1..=SETTLED {
            let delivery = member.next().await.unwrap().unwrap();
            assert_eq!(read(&delivery), (0, number));
            delivery.receipt.done().await.unwrap();
        }
    });
    assert!(stores.pubsub_stats().unwrap().segments >= 3, "the master has closed segments");
    stores.close();
    folder
}

/// Reads everything; panics where something is lost or different without an error.
fn outcome(folder: &Path) -> &'static str {
    let calm = EmbeddedOptions { care_interval: Duration::from_secs(3_600), ..options(folder) };
    let (_stores, broker) = match open(folder, calm) {
        Ok(opened) => opened,
        Err(error) => {
            is_told(&error);
            return "refused";
        }
    };
    wait(async {
        let mut member = join(&broker, "g").await.unwrap();
        for number in SETTLED + 1..=MESSAGES {
            let next = tokio::time::timeout(Duration::from_secs(10), member.next()).await;
            match next.expect("nothing is lost").expect("the stream goes on") {
                Ok(delivery) => {
                    assert_eq!(read(&delivery), (0, number));
                    delivery.receipt.done().await.unwrap();
                }
                Err(error) => {
                    is_told(&error);
                    return "reported";
                }
            }
        }
        "harmless"
    })
}

fn is_told(error: &Error) {
    assert_eq!(error.code(), &codes::JOURNAL_CORRUPT, "{error:?}");
}

fn damages() {
    let master = master();
    let points = number("MAINSTAY_DAMAGE_POINTS", 100);
    let mut table: BTreeMap<(&str, &str, &str), u32> = BTreeMap::new();
    for point in 0..points {
        let mut dice = Dice::new(point + 7_000);
        let damaged = folder();
        copy(master.path(), damaged.path());
        let (place, path, bytes) = target(damaged.path(), &mut dice);
        let offset = dice.below(bytes);
        let how = damage(&path, offset, bytes, &mut dice);
        let found = std::panic::catch_unwind(|| outcome(damaged.path()));
        let found = found.unwrap_or_else(|_| {
            panic!("point {point}: {how} at {offset} of {} was not noticed", path.display())
        });
        *table.entry((place, how, found)).or_default() += 1;
    }
    for ((place, how, found), count) in &table {
        println!("pubsub damage: {place:14} {how:12} {found}: {count}");
    }
    assert!(table.keys().any(|(.., found)| *found == "refused"));
}
