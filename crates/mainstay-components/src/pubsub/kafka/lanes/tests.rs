//! Lanes of text, in order.

use std::time::Duration;

use super::*;

fn lanes(partitions: &[i32]) -> Lanes<&'static str> {
    let mut lanes = Lanes::new();
    lanes.assigned(partitions);
    lanes
}

/// What comes next, which is something.
#[track_caller]
fn next(lanes: &mut Lanes<&'static str>) -> (Place, &'static str, u32) {
    match lanes.take(Instant::now()) {
        Taken::Message { place, message, attempts, .. } => (place, message, attempts),
        Taken::Nothing(_) => panic!("nothing comes"),
    }
}

#[track_caller]
fn is_empty(lanes: &mut Lanes<&'static str>) {
    assert!(matches!(lanes.take(Instant::now()), Taken::Nothing(_)), "something comes");
}

#[test]
fn of_a_lane_one_is_out_and_lanes_have_their_turns() {
    let mut lanes = lanes(&[0, 1]);
    for (partition, offset, text) in [(0, 0, "a"), (0, 1, "b"), (1, 0, "x"), (1, 1, "y")] {
        lanes.push(partition, offset, text);
    }
    let (first, second) = (next(&mut lanes), next(&mut lanes));
    assert_eq!((first.1, second.1), ("a", "x"));
    is_empty(&mut lanes);
    lanes.done(second.0);
    assert_eq!(next(&mut lanes).1, "y");
    lanes.done(first.0);
    assert_eq!(next(&mut lanes).1, "b");
}

#[test]
fn what_comes_again_comes_first_after_its_pause_and_is_counted() {
    let mut lanes = lanes(&[0]);
    lanes.push(0, 0, "a");
    lanes.push(0, 1, "b");
    let later = Instant::now() + Duration::from_secs(60);
    for attempt in 0..3 {
        let (place, text, attempts) = next(&mut lanes);
        assert_eq!((text, attempts), ("a", attempt));
        lanes.again(place, Instant::now());
    }
    let (place, ..) = next(&mut lanes);
    lanes.again(place, later);
    assert!(matches!(lanes.take(Instant::now()), Taken::Nothing(Some(until)) if until == later));
    assert!(matches!(lanes.take(later), Taken::Message { message: "a", .. }));
}

#[test]
fn a_lane_that_stays_keeps_what_is_out_and_knows_what_it_has() {
    let mut lanes = lanes(&[0]);
    lanes.push(0, 7, "a");
    lanes.push(0, 8, "b");
    let (place, ..) = next(&mut lanes);
    lanes.stand(&[0], Standing::Leaving);
    assert_eq!(lanes.standing(place), Some(Standing::Leaving));
    lanes.stand(&[0], Standing::Between);
    lanes.assigned(&[0]);
    // From the committed offset on, once more.
    for (offset, text) in [(7, "a"), (8, "b"), (9, "c")] {
        lanes.push(0, offset, text);
    }
    is_empty(&mut lanes);
    lanes.done(place);
    let (place, text, _) = next(&mut lanes);
    assert_eq!(text, "b");
    lanes.done(place);
    assert_eq!(next(&mut lanes).1, "c");
}

#[test]
fn a_lane_that_went_to_others_is_gone_with_what_is_out() {
    let mut lanes = lanes(&[0, 1]);
    lanes.push(0, 0, "a");
    let (place, ..) = next(&mut lanes);
    lanes.stand(&[0, 1], Standing::Between);
    lanes.assigned(&[1]);
    assert_eq!((lanes.standing(place), lanes.partitions()), (None, vec![1]));
    // Back again, it is another.
    lanes.assigned(&[0]);
    assert_eq!((lanes.standing(place), lanes.partitions()), (None, vec![0, 1]));
    lanes.done(place);
    lanes.push(0, 0, "a");
    assert_eq!(next(&mut lanes).1, "a");
}

#[test]
fn nothing_is_handed_out_of_what_is_given_up() {
    let mut lanes = lanes(&[0]);
    lanes.push(0, 0, "a");
    lanes.stand(&[0], Standing::Leaving);
    is_empty(&mut lanes);
    assert!(!lanes.are_out(&[0]));
}

#[test]
fn a_full_lane_fetches_no_more_until_it_is_low() {
    let mut lanes = lanes(&[0, 1]);
    for offset in 0..i64::try_from(FULL).unwrap() {
        lanes.push(0, offset, "x");
    }
    assert_eq!(lanes.turned(), (vec![0], vec![]));
    assert_eq!(lanes.turned(), (vec![], vec![]));
    for _ in 0..FULL - LOW - 1 {
        let (place, ..) = next(&mut lanes);
        lanes.done(place);
    }
    assert_eq!(lanes.turned(), (vec![], vec![]));
    assert!(
        matches!(lanes.take(Instant::now()), Taken::Message { is_low: true, place, .. } if { lanes.done(place); true })
    );
    assert_eq!(lanes.turned(), (vec![], vec![0]));
}

#[test]
fn so_many_are_out_and_no_more() {
    let partitions: Vec<i32> = (0..300).collect();
    let mut lanes = lanes(&partitions);
    for partition in partitions {
        lanes.push(partition, 0, "x");
    }
    for _ in 0..OUT_MAX {
        next(&mut lanes);
    }
    is_empty(&mut lanes);
}
