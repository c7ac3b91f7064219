//! Power cuts on a simulated disk: of what was not synced, any 512-byte sector may or may not have reached it, in any
//! order. What was acknowledged must be there, appends must be whole, and no cut may be taken for damage.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use futures_util::future::join_all;
use libtest_mimic::Trial;
use mainstay_core::Ctx;
use mainstay_core::journal::RunJournal;
use mainstay_core::run::RunStatus;
use mainstay_journal::medium::Medium;
use mainstay_journal::{Journal, Options};

use super::fixture::{Dice, append, event, events_of, folder, options, record, run, run_id, trial, wait};

const SECTOR: usize = 512;
const CUTS: u64 = 250;
const APPENDS: u64 = 240;
const EVENTS: u64 = 4;

pub(crate) fn trials() -> Vec<Trial> {
    vec![
        trial("a_power_cut_loses_nothing_acknowledged_and_is_never_taken_for_damage", power_cuts),
        trial("a_folder_that_is_made_is_durable_in_the_one_above_it", new_folders),
        trial("the_test_of_power_cuts_notices_a_disk_that_lies_about_syncs", lying_disk),
    ]
}

#[derive(Clone, Debug)]
enum Step {
    Write { path: PathBuf, offset: u64, bytes: Vec<u8> },
    Length { path: PathBuf, bytes: u64 },
    Sync { path: PathBuf },
    SyncFolder { path: PathBuf },
    Acknowledged { run: String },
}

/// A disk that remembers everything it was asked.
#[derive(Debug, Default)]
struct Recorder(Mutex<Vec<Step>>);

impl Recorder {
    fn note(&self, step: Step) {
        self.0.lock().unwrap().push(step);
    }
}

impl Medium for Recorder {
    fn write_at(&self, file: &File, path: &Path, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.note(Step::Write { path: path.to_owned(), offset, bytes: bytes.to_vec() });
        file.write_all_at(bytes, offset)
    }

    fn sync(&self, _: &File, path: &Path) -> io::Result<()> {
        self.note(Step::Sync { path: path.to_owned() });
        Ok(())
    }

    fn set_len(&self, file: &File, path: &Path, bytes: u64) -> io::Result<()> {
        self.note(Step::Length { path: path.to_owned(), bytes });
        file.set_len(bytes)
    }

    fn sync_folder(&self, _: &File, path: &Path) -> io::Result<()> {
        self.note(Step::SyncFolder { path: path.to_owned() });
        Ok(())
    }
}

fn power_cuts() {
    let folder = folder();
    let steps = recording(folder.path());
    assert!(
        steps.iter().filter(|step| matches!(step, Step::SyncFolder { .. })).count() > 4,
        "segments changed"
    );
    let mut torn = 0;
    for cut in 0..CUTS {
        let mut dice = Dice::new(cut);
        let at = dice.below(steps.len() as u64 + 1) as usize;
        torn += u64::from(survives(folder.path(), &steps[..at], &mut dice, cut));
    }
    println!("power: {CUTS} cuts, 0 acknowledged appends lost, 0 false alarms; {torn} torn ends cut off");
    assert!(torn > 10, "the cuts tore something");
}

fn lying_disk() {
    let folder = folder();
    let mut steps = recording(folder.path());
    steps.retain(|step| !matches!(step, Step::Sync { .. }));
    let honest = std::panic::catch_unwind(|| survives(folder.path(), &steps, &mut Dice::new(1), 0));
    assert!(honest.is_err(), "nothing was ever synced, and the loss went unnoticed");
}

fn new_folders() {
    let there = folder();
    let made = ["a", "a/b", "a/b/data", "a/b/data/log"].map(|part| there.path().join(part));
    let synced = || {
        let disk = Arc::new(Recorder::default());
        let journal = Journal::open(Options { medium: disk.clone(), ..options(&made[2]) }).unwrap();
        wait(append(&journal, vec![record(run("r", RunStatus::Running, 1))])).unwrap();
        let steps = disk.0.lock().unwrap();
        let folders = steps.iter().filter_map(|step| match step {
            Step::SyncFolder { path } => Some(path.clone()),
            _ => None,
        });
        folders.collect::<Vec<_>>()
    };
    let first = synced();
    for folder in &made {
        assert!(first.iter().any(|path| Some(path.as_path()) == folder.parent()), "{}", folder.display());
    }
    let again = synced();
    assert!(again.iter().all(|path| path.starts_with(&made[2])), "nothing was made above: {again:?}");
}

/// Everything the disk was asked during some appends, and when each was acknowledged.
fn recording(folder: &Path) -> Vec<Step> {
    let disk = Arc::new(Recorder::default());
    let journal = Journal::open(Options { medium: disk.clone(), ..options(folder) }).unwrap();
    for burst in 0..APPENDS / 12 {
        wait(join_all((0..12).map(|n| {
            let (journal, disk) = (&journal, &disk);
            async move {
                let id = format!("r{}", burst * 12 + n);
                let events = (1..=EVENTS).map(|seq| event(&id, seq, content(&id, seq)));
                let records =
                    std::iter::once(record(run(&id, RunStatus::Running, 1))).chain(events).collect();
                append(journal, records).await.unwrap();
                disk.note(Step::Acknowledged { run: id });
            }
        })));
    }
    drop(journal);
    disk.0.lock().unwrap().clone()
}

/// Builds the disk after a cut behind `steps`, opens it, and checks it. Says whether an end was torn.
fn survives(original: &Path, steps: &[Step], dice: &mut Dice, cut: u64) -> bool {
    let folder = folder();
    let image = image(original, steps, dice);
    std::fs::create_dir_all(folder.path().join("log")).unwrap();
    for (path, bytes) in image {
        std::fs::write(folder.path().join(path.strip_prefix(original).unwrap()), bytes).unwrap();
    }
    let journal = Journal::open(options(folder.path()))
        .unwrap_or_else(|e| panic!("cut {cut}: {e}\n{}", e.internal().unwrap_or("")));
    let acknowledged: BTreeSet<&String> = steps
        .iter()
        .filter_map(|step| if let Step::Acknowledged { run } = step { Some(run) } else { None })
        .collect();
    wait(async {
        for n in 0..APPENDS {
            let id = format!("r{n}");
            let known = journal.run(&Ctx::system(), &run_id(&id)).await.unwrap().is_some();
            let events = events_of(&journal, &run_id(&id)).await.unwrap();
            assert!(known || !acknowledged.contains(&id), "cut {cut}: {id} was acknowledged and is lost");
            assert_eq!(events.len() as u64, if known { EVENTS } else { 0 }, "cut {cut}: {id} is torn");
        }
        append(&journal, vec![record(run("after", RunStatus::Running, 1))]).await.unwrap();
    });
    journal.stats().torn_bytes > 0
}

/// What is on the disk: everything up to each file's last sync, and of the rest what the dice leave.
fn image(original: &Path, steps: &[Step], dice: &mut Dice) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut files: BTreeMap<PathBuf, Vec<u8>> = BTreeMap::new();
    let mut named: BTreeSet<PathBuf> = BTreeSet::new();
    for (at, step) in steps.iter().enumerate() {
        let synced =
            |path: &Path| steps[at..].iter().any(|s| matches!(s, Step::Sync { path: p } if p == path));
        match step {
            Step::Write { path, offset, bytes } => {
                let whole = synced(path);
                let file = files.entry(path.clone()).or_default();
                write_sectors(file, *offset as usize, bytes, |_| whole || dice.below(2) == 0);
            }
            Step::Length { path, bytes } => {
                if synced(path) || dice.below(2) == 0 {
                    files.entry(path.clone()).or_default().resize(*bytes as usize, 0);
                }
            }
            Step::SyncFolder { path } => {
                named.extend(files.keys().filter(|file| file.parent() == Some(path)).cloned());
            }
            Step::Sync { .. } | Step::Acknowledged { .. } => {}
        }
    }
    assert!(files.keys().all(|path| path.starts_with(original)));
    // A name that was not synced may be gone with the power.
    files.retain(|path, _| named.contains(path) || dice.below(2) == 0);
    files
}

fn write_sectors(file: &mut Vec<u8>, offset: usize, bytes: &[u8], mut keeps: impl FnMut(usize) -> bool) {
    if file.len() < offset + bytes.len() {
        file.resize(offset + bytes.len(), 0);
    }
    let mut at = 0;
    while at < bytes.len() {
        let end = ((offset + at) / SECTOR + 1) * SECTOR - offset;
        let end = end.min(bytes.len());
        if keeps(at) {
            file[offset + at..offset + end].copy_from_slice(&bytes[at..end]);
        }
        at = end;
    }
}

fn content(id: &str, seq: u64) -> String {
    format!("{id} says {seq} ").repeat(3 + seq as usize * 9)
}
