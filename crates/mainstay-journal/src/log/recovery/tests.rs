//! Random groups, then a cut at any byte: what was acknowledged is kept, what was not is kept as a prefix of whole
//! groups, and a cut into what was acknowledged is refused.

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};

use proptest::prelude::*;

use super::*;
use crate::log::mark::{self, Mark};
use crate::log::record::Group;
use crate::log::walk::{Step, Walk};
use crate::log::writer::DurableListener;
use crate::log::{Idle, Log};
use crate::options::Options;

/// Nobody follows this log.
#[derive(Debug)]
struct Alone;

impl DurableListener for Alone {
    fn durable(&self, _: Lsn) {}
}

struct Unpark(std::thread::Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

fn wait<T>(future: impl Future<Output = T>) -> T {
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    let mut future = pin!(future);
    loop {
        match future.as_mut().poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(value) => return value,
            Poll::Pending => std::thread::park(),
        }
    }
}

fn options(folder: &Path) -> Options {
    Options { segment_bytes: 64 * 1024, ..Options::new(folder) }.within_bounds()
}

fn open(folder: &Path) -> Log {
    let options = options(folder);
    std::fs::create_dir_all(options.log_folder()).unwrap();
    let idle = Idle::open(&options, &[]).unwrap();
    let medium = options.medium.as_ref();
    let mark =
        Mark::open(medium, &folder.join("mark"), idle.journal(), idle.published().durable_lsn()).unwrap();
    idle.start(&options, mark, Arc::default(), Arc::new(Alone)).unwrap()
}

/// Appends the groups; gives the end of the log after each.
fn append(log: &Log, groups: &[Vec<Vec<u8>>]) -> Vec<End> {
    let keep = |payloads: &Vec<Vec<u8>>| {
        let mut group = Group::default();
        payloads.iter().for_each(|payload| group.push(16, |bytes| bytes.extend_from_slice(payload)));
        wait(log.append(&group).unwrap()).unwrap();
        log.published().durable()
    };
    groups.iter().map(keep).collect()
}

/// Payloads of all records of the user's, group by group.
fn read(recovered: &Recovered) -> Vec<Vec<Vec<u8>>> {
    let file = recovered.file.try_clone().unwrap();
    let mut walk = Walk::new(&file, &recovered.head, HEAD_BYTES, recovered.end.offset);
    let (mut groups, mut group) = (Vec::new(), Vec::new());
    while let Step::Record(record) = walk.step().unwrap() {
        group.push(record.payload.to_vec());
        if record.header.last {
            groups.push(std::mem::take(&mut group));
        }
    }
    assert!(group.is_empty(), "a torn group was kept");
    groups
}

fn payload() -> impl Strategy<Value = Vec<u8>> {
    // Also bytes that look like headers, lengths and zeros.
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        prop::collection::vec(prop_oneof![Just(0_u8), Just(1_u8)], 0..100),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn a_cut_keeps_what_was_acknowledged_and_whole_groups_of_the_rest(
        groups in prop::collection::vec(prop::collection::vec(payload(), 1..5), 2..12),
        acknowledged in any::<prop::sample::Index>(),
        places in prop::collection::vec((any::<prop::sample::Index>(), any::<bool>()), 24),
    ) {
        let folder = tempfile::tempdir().unwrap();
        let log = open(folder.path());
        let ends = append(&log, &groups);
        log.close();
        let known = acknowledged.index(groups.len());
        let (journal, _) = mark::read(&folder.path().join("mark")).unwrap();
        let witness = Witness { name: "the mark", journal, lsn: ends[known].lsn };
        let path = segment::path(&options(folder.path()).log_folder(), 1);
        let whole = std::fs::read(&path).unwrap();
        let written = ends.last().unwrap().offset as usize;
        for (place, zeroed) in places {
            // A cut file, or one whose rest was never written.
            let cut = HEAD_BYTES as usize + place.index(written - HEAD_BYTES as usize + 1);
            let mut image = whole[..cut].to_vec();
            if zeroed {
                image.resize(whole.len(), 0);
            }
            std::fs::write(&path, image).unwrap();
            let bounds = options(folder.path());
            let outcome = recover(&crate::medium::Disk, &bounds.log_folder(), bounds.segment_bytes, &[witness]);
            let kept = ends.iter().take_while(|end| end.offset as usize <= cut).count();
            // Padding and trailing zeros of a record may be cut off without loss: count by content.
            match outcome {
                Ok(recovered) => {
                    let read = read(&recovered);
                    prop_assert!(read.len() >= kept && read.len() > known, "{} of {kept} groups", read.len());
                    prop_assert_eq!(&read[..], &groups[..read.len()]);
                }
                Err(Fault::Damage(_)) => prop_assert!(kept <= known, "{kept} groups are whole, {known} acknowledged"),
                Err(other) => prop_assert!(false, "{other}"),
            }
        }
    }
}

#[test]
fn an_unfinished_segment_creation_is_done_again() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[vec![b"kept".to_vec()]]);
    wait(log.rotate().unwrap()).unwrap();
    log.close();
    let second = segment::path(&options(folder.path()).log_folder(), 2);
    for left in [0, 17, 4096, 6000] {
        std::fs::write(&second, vec![0; left]).unwrap();
        let log = open(folder.path());
        assert_eq!(log.published().durable_lsn(), 2, "{left} bytes of the second segment were there");
        log.close();
    }
    std::fs::remove_file(&second).unwrap();
    let log = open(folder.path());
    assert_eq!(append(&log, &[vec![b"next".to_vec()]])[0].lsn, 3);
}

#[test]
fn records_behind_a_bad_head_are_damage() {
    let folder = tempfile::tempdir().unwrap();
    let log = open(folder.path());
    append(&log, &[vec![b"kept".to_vec()]]);
    log.close();
    let path = segment::path(&options(folder.path()).log_folder(), 1);
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[20] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let refused = Idle::open(&options(folder.path()), &[]).unwrap_err();
    assert!(matches!(refused, Fault::Damage(damage) if damage.fault.contains("head")));
}
