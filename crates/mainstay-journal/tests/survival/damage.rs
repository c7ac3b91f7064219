//! Damage at random places: a flipped bit, a zeroed block, a cut; and whole files lost or swapped.

use std::collections::BTreeMap;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use libtest_mimic::Trial;
use mainstay_core::codes;
use mainstay_core::run::RunStatus;
use mainstay_journal::Journal;

use super::fixture::{
    Acknowledged, Dice, Kept, append, copy, event, files, folder, number, open, options, record, run, trial,
    wait,
};

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("damage_at_random_places_is_detected_or_harmless", random_places),
        trial("damage_to_the_last_acknowledged_batch_is_told_from_a_torn_end", last_batch),
        trial("a_lost_or_swapped_segment_is_detected", lost_and_swapped_segments),
        trial("segments_of_another_journal_are_detected", foreign_segment),
        trial("a_lost_log_is_detected", lost_log),
        trial("a_lost_mark_or_view_costs_nothing", lost_mark_or_view),
        trial("a_refused_start_names_file_offset_and_record_and_changes_nothing", refusal),
    ]
}

/// A folder with several closed segments, an active one, blobs, a view and a mark.
struct Master {
    folder: tempfile::TempDir,
    acknowledged: Acknowledged,
}

impl Master {
    fn new() -> Self {
        let folder = folder();
        let mut acknowledged = Acknowledged::default();
        let journal = open(folder.path());
        for n in 0..60_u64 {
            let id = format!("run-{n:02}");
            let mut records = vec![record(run(&id, RunStatus::Running, n))];
            records.extend((1..=8).map(|seq| event(&id, seq, format!("piece {seq} of {id} ").repeat(30))));
            if n % 6 == 0 {
                records.push(event(&id, 9, format!("large {n} ").repeat(1_000)));
            }
            records.push(record(run(&id, RunStatus::Completed, n + 1)));
            wait(append(&journal, records.clone())).unwrap();
            acknowledged.note(&records);
        }
        assert!(journal.stats().segments >= 4, "the master has closed segments");
        assert!(journal.stats().blobs >= 10, "the master has blobs");
        journal.close();
        Self { folder, acknowledged }
    }

    /// A copy to be damaged, without its view if `blind`.
    fn copy(&self, blind: bool) -> tempfile::TempDir {
        let damaged = folder();
        copy(self.folder.path(), damaged.path());
        if blind {
            std::fs::remove_file(damaged.path().join("view.redb")).unwrap();
        }
        damaged
    }

    /// Opens the damaged copy; panics when something acknowledged is gone without a word.
    fn outcome(&self, folder: &Path) -> Outcome {
        match Journal::open(options(folder)) {
            Err(error) => {
                assert_eq!(error.code(), &codes::JOURNAL_CORRUPT, "{error:?}");
                Outcome::Refused
            }
            Ok(journal) => match self.acknowledged.check(&journal) {
                Kept::All if journal.stats().view_rebuilt => Outcome::Rebuilt,
                Kept::All => Outcome::Harmless,
                Kept::Reported => Outcome::Reported,
            },
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    Refused,
    Reported,
    Rebuilt,
    Harmless,
}

fn random_places() {
    let master = Master::new();
    let points = number("MAINSTAY_DAMAGE_POINTS", 300);
    let mut table: BTreeMap<(&str, &str, Outcome), u32> = BTreeMap::new();
    for point in 0..points {
        let mut dice = Dice::new(point);
        let blind = dice.below(2) == 0;
        let copy = master.copy(blind);
        let (place, path, bytes) = target(copy.path(), &mut dice);
        let offset = dice.below(bytes);
        let how = damage(&path, offset, bytes, &mut dice);
        let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| master.outcome(copy.path())));
        let outcome = outcome.unwrap_or_else(|_| {
            panic!("point {point}: {how} at {offset} of {} (blind: {blind}) was not noticed", path.display())
        });
        *table.entry((place, how, outcome)).or_default() += 1;
    }
    for ((place, how, outcome), count) in &table {
        println!("damage: {place:14} {how:12} {outcome:?}: {count}");
    }
    let count =
        |wanted: Outcome| table.iter().filter(|((.., o), _)| *o == wanted).map(|(_, n)| n).sum::<u32>();
    assert!(count(Outcome::Refused) > 0 && count(Outcome::Reported) > 0 && count(Outcome::Rebuilt) > 0);
}

/// A file to damage: log, view, blobs and mark in turn, each often enough.
pub(crate) fn target(folder: &Path, dice: &mut Dice) -> (&'static str, PathBuf, u64) {
    let all = files(folder);
    let of = |part: &str| -> Vec<(PathBuf, u64)> {
        all.iter()
            .filter(|(path, bytes)| path.to_string_lossy().contains(part) && *bytes > 0)
            .cloned()
            .collect()
    };
    let segments = of("/log/");
    let (place, choice) = match dice.below(8) {
        0..=2 => ("closed segment", segments[..segments.len() - 1].to_vec()),
        3..=4 => ("active segment", segments[segments.len() - 1..].to_vec()),
        5 => ("blob", of("/blobs/")),
        6 => ("mark", of("/mark")),
        _ => ("view", of("view.redb")),
    };
    let (place, choice) = if choice.is_empty() { ("closed segment", segments) } else { (place, choice) };
    let (path, bytes) = choice[dice.below(choice.len() as u64) as usize].clone();
    (place, path, bytes)
}

pub(crate) fn damage(path: &Path, offset: u64, bytes: u64, dice: &mut Dice) -> &'static str {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let zero = |block: u64| {
        let start = offset / block * block;
        let zeros = vec![0; (bytes - start).min(block) as usize];
        file.write_all_at(&zeros, start).unwrap();
    };
    match dice.below(4) {
        0 | 1 => {
            flip(path, offset, dice.below(8) as u8);
            "flipped bit"
        }
        2 => {
            zero(if dice.below(2) == 0 { 512 } else { 4096 });
            "zeroed block"
        }
        _ => {
            file.set_len(offset).unwrap();
            "cut"
        }
    }
}

pub(crate) fn flip(path: &Path, offset: u64, bit: u8) {
    let file = std::fs::OpenOptions::new().read(true).write(true).open(path).unwrap();
    let mut byte = [0];
    file.read_exact_at(&mut byte, offset).unwrap();
    file.write_all_at(&[byte[0] ^ (1 << bit)], offset).unwrap();
}

/// The last byte of the active segment that is not zero.
fn last_byte(folder: &Path) -> (PathBuf, u64) {
    let segments: Vec<_> = files(&folder.join("log"));
    let (path, _) = segments.last().unwrap().clone();
    let bytes = std::fs::read(&path).unwrap();
    let at = bytes.iter().rposition(|byte| *byte != 0).unwrap();
    (path, at as u64)
}

fn last_batch() {
    let master = Master::new();
    for bit in 0..8 {
        let with_mark = master.copy(true);
        let (path, at) = last_byte(with_mark.path());
        flip(&path, at, bit);
        assert_eq!(master.outcome(with_mark.path()), Outcome::Refused, "the mark has seen the record");
    }
    let with_view = master.copy(false);
    std::fs::remove_file(with_view.path().join("mark")).unwrap();
    let (path, at) = last_byte(with_view.path());
    flip(&path, at, 3);
    assert_eq!(master.outcome(with_view.path()), Outcome::Refused, "the view has seen the record");

    let cut = master.copy(true);
    let (path, at) = last_byte(cut.path());
    flip(&path, at, 3);
    let error = Journal::open(options(cut.path())).unwrap_err();
    assert!(
        error.internal().unwrap().contains("remove `mark` and `view.redb`"),
        "the operator may accept the loss"
    );

    // The documented residual, and the proof that the two cases above rest on their witnesses.
    let alone = master.copy(true);
    std::fs::remove_file(alone.path().join("mark")).unwrap();
    let (path, at) = last_byte(alone.path());
    flip(&path, at, 3);
    let journal = Journal::open(options(alone.path())).expect("without a witness it looks like a torn end");
    assert!(journal.stats().torn_bytes > 0);
}

fn lost_and_swapped_segments() {
    let master = Master::new();
    let segments = files(&master.folder.path().join("log")).len();
    for lost in 0..segments {
        let copy = master.copy(lost % 2 == 0);
        std::fs::remove_file(&files(&copy.path().join("log"))[lost].0).unwrap();
        assert_eq!(master.outcome(copy.path()), Outcome::Refused, "segment {lost} was lost");
    }
    for (a, b) in [(0, 1), (1, 2), (0, segments - 1)] {
        let copy = master.copy(true);
        let paths = files(&copy.path().join("log"));
        let aside = copy.path().join("aside");
        std::fs::rename(&paths[a].0, &aside).unwrap();
        std::fs::rename(&paths[b].0, &paths[a].0).unwrap();
        std::fs::rename(&aside, &paths[b].0).unwrap();
        assert_eq!(master.outcome(copy.path()), Outcome::Refused, "segments {a} and {b} were swapped");
    }
}

fn foreign_segment() {
    let (ours, theirs) = (Master::new(), Master::new());
    for blind in [true, false] {
        let segments = files(&ours.folder.path().join("log")).len();
        for at in 0..segments {
            let copy = ours.copy(blind);
            let paths = files(&copy.path().join("log"));
            std::fs::copy(&files(&theirs.folder.path().join("log"))[at].0, &paths[at].0).unwrap();
            assert_eq!(ours.outcome(copy.path()), Outcome::Refused, "segment {at} is another journal's");
        }
    }
}

fn lost_log() {
    let master = Master::new();
    for blind in [true, false] {
        let copy = master.copy(blind);
        std::fs::remove_dir_all(copy.path().join("log")).unwrap();
        assert_eq!(master.outcome(copy.path()), Outcome::Refused);
    }
}

fn lost_mark_or_view() {
    let master = Master::new();
    for (lost, expect) in [("mark", Outcome::Harmless), ("view.redb", Outcome::Rebuilt)] {
        let copy = master.copy(false);
        std::fs::remove_file(copy.path().join(lost)).unwrap();
        assert_eq!(master.outcome(copy.path()), expect, "{lost}");
    }
    let other = folder();
    open(other.path()).close();
    let copy = master.copy(false);
    std::fs::copy(other.path().join("view.redb"), copy.path().join("view.redb")).unwrap();
    assert_eq!(master.outcome(copy.path()), Outcome::Rebuilt, "another journal's view is not believed");
}

fn refusal() {
    let master = Master::new();
    let copy = master.copy(true);
    let (path, _) = files(&copy.path().join("log"))[1].clone();
    flip(&path, 5_000, 2);
    let before: Vec<_> =
        files(copy.path()).into_iter().map(|(path, _)| std::fs::read(path).unwrap()).collect();
    for _ in 0..2 {
        let error = Journal::open(options(copy.path())).expect_err("damage is refused");
        let name = path.file_name().unwrap().to_str().unwrap();
        assert!(error.message().contains(name) && error.message().contains("byte "), "{error}");
        let report = error.internal().unwrap();
        for part in [path.to_str().unwrap(), "LSN", "checksum", "later segment", "backup"] {
            assert!(report.contains(part), "`{part}` is not in the report:\n{report}");
        }
    }
    let names: Vec<_> = files(copy.path());
    let after: Vec<_> = names.iter().map(|(path, _)| std::fs::read(path).unwrap()).collect();
    let lock_only = names
        .iter()
        .zip(before.iter().zip(&after))
        .filter(|(_, (b, a))| b != a)
        .all(|((path, _), _)| path.ends_with("lock"));
    assert!(lock_only && before.len() == after.len(), "a refused start leaves the folder as it was");
}
