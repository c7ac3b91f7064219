//! The state machine of a group, step by step.

use super::*;

const ONE: Member = Member { id: 1, patience: Duration::from_secs(60) };
const TWO: Member = Member { id: 2, patience: Duration::from_secs(60) };

/// Settles the message and lets its lane go on; whether it was not settled before.
fn settle(progress: &mut Progress, seq: u64) -> bool {
    let lane = progress.settle(seq);
    lane.into_iter().for_each(|lane| progress.free_lane(lane));
    lane.is_some()
}

/// Takes everything there is below `end`; each message's lane is told by `lane`.
fn all(progress: &mut Progress, member: Member, now: Instant, end: u64, lane: fn(u64) -> u32) -> Vec<Handed> {
    std::iter::from_fn(|| progress.take(member, now, end, |seq| Some(lane(seq)))).collect()
}

fn seqs(handed: &[Handed]) -> Vec<u64> {
    handed.iter().map(|handed| handed.seq).collect()
}

#[test]
fn what_is_done_in_any_order_moves_the_floor_when_it_is_reached() {
    let now = Instant::now();
    let mut progress = Progress::new(10, []);
    assert_eq!(seqs(&all(&mut progress, ONE, now, 14, |_| 0)), [10, 11, 12, 13]);
    assert!(settle(&mut progress, 12) && settle(&mut progress, 11));
    assert_eq!((progress.floor, progress.done_above()), (10, vec![11, 12]));
    assert!(settle(&mut progress, 10) && !settle(&mut progress, 11));
    assert_eq!((progress.floor, progress.done_above()), (13, vec![]));
    assert_eq!(progress.held_by(1), 1);
}

#[test]
fn of_a_lane_one_is_out_and_others_do_not_wait_for_it() {
    let now = Instant::now();
    let mut progress = Progress::new(0, []);
    let lane = |seq: u64| [7, 7, 8, 0, 7][seq as usize];
    assert_eq!(seqs(&all(&mut progress, ONE, now, 5, lane)), [0, 2, 3]);
    settle(&mut progress, 2);
    assert!(all(&mut progress, ONE, now, 5, lane).is_empty());
    assert_eq!(progress.settle(0), Some(7));
    assert!(all(&mut progress, ONE, now, 5, lane).is_empty(), "it is not durable yet");
    progress.free_lane(7);
    assert_eq!(seqs(&all(&mut progress, TWO, now, 5, lane)), [1]);
    settle(&mut progress, 1);
    assert_eq!(seqs(&all(&mut progress, TWO, now, 5, lane)), [4]);
}

#[test]
fn what_comes_again_does_so_after_a_pause_and_before_its_lane() {
    let now = Instant::now();
    let mut progress = Progress::new(0, []);
    let first = all(&mut progress, ONE, now, 2, |_| 7)[0];
    progress.again(0, first.turn, now, None);
    assert!(all(&mut progress, ONE, now, 2, |_| 7).is_empty());
    let later = progress.wakes_at().unwrap();
    let again = all(&mut progress, ONE, later, 2, |_| 7);
    assert_eq!((seqs(&again), again[0].attempts), (vec![0], 1));
    progress.again(0, first.turn, later, None);
    assert_eq!(progress.held_by(1), 1, "only the last handing out counts");
}

#[test]
fn what_is_held_too_long_or_left_comes_again() {
    let now = Instant::now();
    let mut progress = Progress::new(0, []);
    all(&mut progress, ONE, now, 2, |_| 0);
    let later = now + Duration::from_secs(61);
    let again = all(&mut progress, TWO, later, 2, |_| 0);
    assert_eq!((seqs(&again), again[0].attempts), (vec![0, 1], 1));
    assert_eq!((progress.held_by(1), progress.held_by(2)), (0, 2));
    progress.leave(2);
    assert_eq!(seqs(&all(&mut progress, ONE, later, 2, |_| 0)), [0, 1]);
    assert!(settle(&mut progress, 0), "a late answer counts, whoever holds it now");
    assert_eq!(progress.held_by(1), 1);
}

#[test]
fn the_window_bounds_what_is_looked_at() {
    let now = Instant::now();
    let mut progress = Progress::new(0, []);
    assert_eq!(seqs(&all(&mut progress, ONE, now, 3 * WINDOW, |_| 7)), [0]);
    assert_eq!(progress.next, WINDOW);
    settle(&mut progress, 0);
    assert_eq!(seqs(&all(&mut progress, ONE, now, 3 * WINDOW, |_| 7)), [1]);
}

#[test]
fn a_group_goes_on_from_what_was_kept_of_it() {
    let now = Instant::now();
    let mut progress = Progress::new(5, [7, 5]);
    assert_eq!(progress.floor, 6);
    assert_eq!(seqs(&all(&mut progress, ONE, now, 9, |_| 0)), [6, 8]);
    let mut gone = Progress::new(0, []);
    assert!(gone.take(ONE, now, 3, |_| None).is_none());
    assert_eq!(gone.floor, 3, "what is not there any more is not waited for");
}
