//! The state stores: kill -9 at random points under the load of 32 writers, while space is given back without rest; and
//! damage at random places.
//!
//! Each writer makes transactions: its counter and one of its slots together. So whatever the counter says, each slot
//! must hold exactly the last transaction up to it: nothing lost, nothing torn, nothing out of order.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use libtest_mimic::Trial;
use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded;
use mainstay_core::state::{Change, Format, Precondition, StateStore};
use mainstay_core::{Ctx, Result, codes};
use mainstay_journal::{EmbeddedOptions, Stores};

use super::damage::{damage, flip, target};
use super::fixture::{Dice, copy, files, folder, number, trial, wait};

/// Set in the child: where it works.
pub(crate) const CHILD_FOLDER: &str = "MAINSTAY_STATE_CHILD_FOLDER";

const WRITERS: u64 = 32;
const SLOTS: u64 = 7;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("state_a_kill_at_any_point_loses_no_acknowledged_change_and_tears_no_transaction", kills),
        trial("state_damage_at_random_places_is_detected_or_harmless", damages),
        trial("state_a_start_on_damage_names_file_offset_and_record", refusal),
    ]
}

pub(crate) fn options(folder: &Path) -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: 128 * 1024,
        inline_bytes_max: 2 * 1024,
        view_delay: Duration::from_millis(5),
        care_interval: Duration::from_millis(20),
        ..EmbeddedOptions::new(folder)
    }
}

fn open(folder: &Path) -> Result<(Stores, Arc<dyn StateStore>)> {
    let stores = Stores::new(options(folder), Arc::new(ManualClock::at(1_000)));
    let store = stores.state_store("s")?;
    Ok((stores, store))
}

fn set(key: String, value: String) -> Change {
    let value = Bytes::from(value);
    Change::Set { key, value, format: Format::Bytes, precondition: Precondition::None, ttl: None }
}

/// One value in fifty is a blob.
fn content(writer: u64, turn: u64) -> String {
    let repeats = if turn.is_multiple_of(50) { 300 } else { 1 + turn % 40 };
    format!("{writer} says {turn} ").repeat(repeats as usize)
}

fn changes(writer: u64, turn: u64) -> Vec<Change> {
    vec![
        set(format!("w{writer}"), turn.to_string()),
        set(format!("w{writer}-{}", turn % SLOTS), content(writer, turn)),
    ]
}

fn kills() {
    let folder = tempfile::tempdir().unwrap();
    let points = number("MAINSTAY_KILL_POINTS", 25);
    let mut told: BTreeMap<u64, u64> = BTreeMap::new();
    let (mut changed, mut torn) = (0, 0);
    for round in 1..=points {
        let before: u64 = told.values().sum();
        kill_one(folder.path(), round, &mut told);
        changed += told.values().sum::<u64>() - before;
        let (stores, store) =
            open(folder.path()).unwrap_or_else(|e| panic!("{e}\n{}", e.internal().unwrap_or("")));
        torn += u64::from(stores.state_stats().unwrap().torn_bytes > 0);
        wait(check(store.as_ref(), &told));
    }
    println!("state: {points} kills, {changed} transactions acknowledged, 0 lost; {torn} torn ends cut off");
    assert!(changed > points * 10, "the writers were at work");
}

/// Starts a child, kills it at a random moment, and notes what it acknowledged.
fn kill_one(folder: &Path, round: u64, told: &mut BTreeMap<u64, u64>) {
    let mut command = Command::new(std::env::current_exe().unwrap());
    let mut child = command.env(CHILD_FOLDER, folder).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let mut dice = Dice::new(round);
    let (lines_min, delay_ms) = (dice.below(400), dice.below(40));
    let mut note = |line: &str| {
        // A line that the kill cut lacks its full stop.
        let Some((writer, turn)) = line.strip_suffix('.').and_then(|line| line.split_once(' ')) else {
            return;
        };
        told.insert(writer.parse().unwrap(), turn.parse().unwrap());
    };
    for _ in 0..=lines_min {
        note(&lines.next().expect("the child lives until it is killed").unwrap());
    }
    std::thread::sleep(Duration::from_millis(delay_ms));
    child.kill().unwrap();
    child.wait().unwrap();
    // What was acknowledged before the kill may still be in the pipe.
    lines.map_while(Result::ok).for_each(|line| note(&line));
}

async fn text(store: &dyn StateStore, key: &str) -> Option<String> {
    let entry = store.get(&Ctx::system(), key).await.unwrap_or_else(|e| panic!("{key}: {e:?}"));
    entry.map(|entry| String::from_utf8(entry.value.to_vec()).unwrap())
}

async fn check(store: &dyn StateStore, told: &BTreeMap<u64, u64>) {
    for (writer, acknowledged) in told {
        let kept = text(store, &format!("w{writer}")).await.map_or(0, |text| text.parse().unwrap());
        assert!(kept >= *acknowledged, "writer {writer}: {acknowledged} were acknowledged, {kept} are kept");
        for slot in 0..SLOTS {
            let last = (1..=kept).rev().find(|turn| turn % SLOTS == slot);
            let expect = last.map(|turn| content(*writer, turn));
            assert_eq!(text(store, &format!("w{writer}-{slot}")).await, expect, "writer {writer} at {kept}");
        }
    }
}

/// The child: writes until it is killed.
pub(crate) fn child(folder: &Path) {
    let (_stores, store) = open(folder).unwrap();
    wait(async {
        let writers = (0..WRITERS).map(|writer| tokio::spawn(write(store.clone(), writer)));
        futures_util::future::join_all(writers.collect::<Vec<_>>()).await;
    });
    unreachable!("a writer goes on until the kill");
}

async fn write(store: Arc<dyn StateStore>, writer: u64) {
    let first =
        text(store.as_ref(), &format!("w{writer}")).await.map_or(0, |text| text.parse::<u64>().unwrap());
    for turn in first + 1.. {
        store.transact(&Ctx::system(), changes(writer, turn)).await.unwrap();
        // One write to the pipe: whole or not at all.
        std::io::stdout().lock().write_all(format!("{writer} {turn}.\n").as_bytes()).unwrap();
    }
}

const TURNS: u64 = 30;

/// A folder with closed segments, an active one, blobs, a view and a mark.
fn master() -> tempfile::TempDir {
    let folder = folder();
    let stores = Stores::new(
        EmbeddedOptions { care_interval: Duration::from_secs(3600), ..options(folder.path()) },
        Arc::new(ManualClock::at(1_000)),
    );
    let store = stores.state_store("s").unwrap();
    for turn in 1..=TURNS {
        for writer in 0..WRITERS {
            let mut changes = changes(writer, turn);
            if turn == TURNS && writer < 8 {
                changes.push(set(format!("large-{writer}"), content(writer, 50)));
            }
            wait(store.transact(&Ctx::system(), changes)).unwrap();
        }
    }
    assert!(stores.state_stats().unwrap().segments >= 3, "the master has closed segments");
    stores.close();
    folder
}

/// Reads everything; panics where something is lost or different without an error.
fn outcome(folder: &Path) -> &'static str {
    let (stores, store) = match open(folder) {
        Ok(opened) => opened,
        Err(error) => {
            assert_eq!(error.code(), &codes::JOURNAL_CORRUPT, "{error:?}");
            return "refused";
        }
    };
    let mut outcome = if stores.state_stats().unwrap().view_rebuilt { "rebuilt" } else { "harmless" };
    let mut check = |key: String, expect: String| match wait(store.get(&Ctx::system(), &key)) {
        Ok(found) => assert_eq!(found.map(|entry| entry.value.to_vec()), Some(expect.into_bytes()), "{key}"),
        Err(error) => {
            assert_eq!(error.code(), &codes::JOURNAL_CORRUPT, "{error:?}");
            outcome = "reported";
        }
    };
    for writer in 0..WRITERS {
        check(format!("w{writer}"), TURNS.to_string());
        for turn in TURNS - SLOTS + 1..=TURNS {
            check(format!("w{writer}-{}", turn % SLOTS), content(writer, turn));
        }
        if writer < 8 {
            check(format!("large-{writer}"), content(writer, 50));
        }
    }
    outcome
}

fn damages() {
    let master = master();
    let points = number("MAINSTAY_DAMAGE_POINTS", 150);
    let mut table: BTreeMap<(&str, &str, &str), u32> = BTreeMap::new();
    for point in 0..points {
        let mut dice = Dice::new(point);
        let damaged = folder();
        copy(master.path(), damaged.path());
        if dice.below(2) == 0 {
            std::fs::remove_file(damaged.path().join("state/view.redb")).unwrap();
        }
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
        println!("state damage: {place:14} {how:12} {found}: {count}");
    }
    assert!(table.keys().any(|(.., found)| *found == "refused"));
}

fn refusal() {
    let master = master();
    let (path, _) = files(&master.path().join("state/log"))[0].clone();
    flip(&path, 5_000, 2);
    let Err(error) = open(master.path()) else { panic!("damage is refused") };
    for part in ["state/log/0000000001.seg", "byte ", "record "] {
        assert!(error.message().contains(part), "`{part}` is not in {error}");
    }
}
