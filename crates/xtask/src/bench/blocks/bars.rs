//! ★ The bars of `bench blocks`: what must be reached, what was, and whether that is enough. To add one: an entry in
//! `ALL`.
//!
//! A bar that this run cannot judge (no Redis, a disk slower than the one that is meant) says so instead.

use std::time::Duration;

use super::cells::{BARE_REDIS, GET_EMBEDDED, GET_REDIS, INVOKE_GET, INVOKE_POST, PUBLISH, SAVE_EMBEDDED};
use super::{Memory, Rows};
use crate::bench::table::Table;

/// A `fdatasync` as slow as this still is one of the disk that the bars for durable calls mean, which takes 30 µs.
const SYNC_MAX: Duration = Duration::from_micros(60);
/// What memory may differ by from one repeat to the next without having grown, as a share of what it was.
const NOISE: f64 = 0.05;

/// Everything that was measured.
pub(super) struct Seen<'a> {
    pub(super) paced: &'a Rows,
    pub(super) saturated: &'a Rows,
    pub(super) memory: &'a Memory,
    /// A write of a kilobyte and its `fdatasync`.
    pub(super) sync: Duration,
}

/// What came of a bar.
#[derive(Debug, PartialEq)]
enum Verdict {
    Met,
    Missed,
    /// Why this run cannot tell.
    NotJudged(&'static str),
}

/// A bar: what is wanted, what was seen, and whether that reaches it.
struct Bar {
    wanted: &'static str,
    look: fn(&Seen<'_>) -> Option<(String, Verdict)>,
}

const ALL: &[Bar] = &[
    Bar {
        wanted: "get, embedded: added p50 ≤ 0.2 ms, p99 ≤ 1 ms",
        look: |seen| added(seen, &[GET_EMBEDDED], 200.0, 1_000.0),
    },
    Bar {
        wanted: "publish: added p50 ≤ 0.2 ms, p99 ≤ 1 ms",
        look: |seen| on_this_disk(seen, added(seen, &[PUBLISH], 200.0, 1_000.0)?),
    },
    Bar {
        wanted: "invoke: added p50 ≤ 0.3 ms",
        look: |seen| added(seen, &[INVOKE_GET, INVOKE_POST], 300.0, f64::INFINITY),
    },
    Bar { wanted: "≥ 20,000 gets/s at 64 connections", look: |seen| speed(seen, GET_EMBEDDED, 20_000.0) },
    Bar {
        wanted: "≥ 15,000 durable saves/s, on a disk whose fsync takes 30 µs",
        look: |seen| on_this_disk(seen, speed(seen, SAVE_EMBEDDED, 15_000.0)?),
    },
    Bar { wanted: "get, Redis: p50 and p99 within 1.3 × of a bare client's", look: beside_redis },
    Bar {
        wanted: "memory idle ≤ 25 MB",
        look: |seen| Some((megabytes(seen.memory.idle), verdict(seen.memory.idle <= 25_000_000))),
    },
    Bar {
        wanted: "memory after the load ≤ 60 MB",
        look: |seen| {
            let most = *seen.memory.after.iter().max()?;
            Some((megabytes(most), verdict(most <= 60_000_000)))
        },
    },
    Bar { wanted: "no growth over three repeats", look: |seen| growth(&seen.memory.after) },
];

/// The bars as a table.
pub(super) fn table(seen: &Seen<'_>) -> Table {
    let mut table = Table::new(&["bar", "seen", ""]);
    for bar in ALL {
        let (shown, verdict) =
            (bar.look)(seen).unwrap_or((String::new(), Verdict::NotJudged("not in this run")));
        let said = match verdict {
            Verdict::Met => "met".to_owned(),
            Verdict::Missed => "**missed**".to_owned(),
            Verdict::NotJudged(why) => format!("not judged: {why}"),
        };
        table.row(vec![bar.wanted.to_owned(), shown, said]);
    }
    table
}

fn verdict(is_met: bool) -> Verdict {
    if is_met { Verdict::Met } else { Verdict::Missed }
}

fn megabytes(bytes: u64) -> String {
    format!("{:.0} MB", bytes as f64 / 1e6)
}

/// The worst that any of these calls adds to the call that it is compared with, against bounds in microseconds.
fn added(seen: &Seen<'_>, names: &[&str], p50_us_max: f64, p99_us_max: f64) -> Option<(String, Verdict)> {
    let (mut p50, mut p99) = (f64::NEG_INFINITY, f64::NEG_INFINITY);
    for name in names {
        let (cell, ours) = seen.paced.iter().find(|(cell, _)| cell.name == *name)?;
        let (_, base) = seen.paced.iter().find(|(other, _)| Some(other.name) == cell.base)?;
        p50 = p50.max(f64::from(ours.report.p50_us) - f64::from(base.report.p50_us));
        p99 = p99.max(f64::from(ours.report.p99_us) - f64::from(base.report.p99_us));
    }
    let shown = format!("{:+.2} and {:+.2} ms", p50 / 1e3, p99 / 1e3);
    Some((shown, verdict(p50 <= p50_us_max && p99 <= p99_us_max)))
}

fn speed(seen: &Seen<'_>, name: &str, wanted: f64) -> Option<(String, Verdict)> {
    let (_, measured) = seen.saturated.iter().find(|(cell, _)| cell.name == name)?;
    let rate = measured.report.rate();
    Some((format!("{rate:.0}"), verdict(rate >= wanted)))
}

/// What waits for the disk is missed only where the disk is as fast as the one that is meant.
fn on_this_disk(seen: &Seen<'_>, (shown, verdict): (String, Verdict)) -> Option<(String, Verdict)> {
    let slow = verdict == Verdict::Missed && seen.sync > SYNC_MAX;
    Some((shown, if slow { Verdict::NotJudged("this disk is slower") } else { verdict }))
}

fn beside_redis(seen: &Seen<'_>) -> Option<(String, Verdict)> {
    let of = |name: &str| Some(&seen.paced.iter().find(|(cell, _)| cell.name == name)?.1.report);
    let (ours, bare) = (of(GET_REDIS)?, of(BARE_REDIS)?);
    let times = |ours: u32, bare: u32| f64::from(ours) / f64::from(bare.max(1));
    let (p50, p99) = (times(ours.p50_us, bare.p50_us), times(ours.p99_us, bare.p99_us));
    Some((format!("{p50:.1} × and {p99:.1} ×"), verdict(p50 <= 1.3 && p99 <= 1.3)))
}

/// Whether memory came to rest: what it is after the last repeat, against the most that it was after those before.
fn growth(after: &[u64]) -> Option<(String, Verdict)> {
    let shown: Vec<String> = after.iter().map(|bytes| format!("{:.0}", *bytes as f64 / 1e6)).collect();
    let shown = format!("{} MB", shown.join(", "));
    if after.len() < 3 {
        return Some((shown, Verdict::NotJudged("fewer than three repeats")));
    }
    let (last, before) = after.split_last()?;
    let most = *before.iter().max()?;
    Some((shown, verdict(*last as f64 <= most as f64 * (1.0 + NOISE))))
}

#[cfg(test)]
mod tests {
    use super::super::cells::{self, Cell, Measured};
    use super::*;
    use crate::bench::load::Report;

    fn rows(figures: &[(&str, u32, u32, u64)]) -> Vec<(&'static Cell, Measured)> {
        let row = |(name, p50_us, p99_us, rate): &(&str, u32, u32, u64)| {
            let cell = cells::ALL.iter().find(|cell| cell.name == *name).unwrap();
            let report = Report {
                answered: *rate,
                seconds: 1.0,
                p50_us: *p50_us,
                p99_us: *p99_us,
                ..Report::default()
            };
            (cell, Measured::of(report))
        };
        figures.iter().map(row).collect()
    }

    fn memory(idle: u64, after: &[u64]) -> Memory {
        Memory {
            ready: Duration::ZERO,
            idle: idle * 1_000_000,
            after: after.iter().map(|mb| mb * 1_000_000).collect(),
            peak: 0,
        }
    }

    fn said(paced: &Rows, saturated: &Rows, memory: &Memory, sync_us: u64, bar: &str) -> String {
        let seen = Seen { paced, saturated, memory, sync: Duration::from_micros(sync_us) };
        let text = table(&seen).markdown();
        let line = text.lines().find(|line| line.contains(bar)).unwrap_or_else(|| panic!("{bar}: {text}"));
        line.trim_end_matches(['|', ' ']).rsplit('|').next().unwrap_or_default().trim().to_owned()
    }

    #[test]
    fn added_time_is_judged_by_both_its_bounds_and_by_the_worst_of_the_calls() {
        let app = [(cells::GET_OF_APP, 100, 200, 0), (cells::POST_TO_APP, 100, 200, 0)];
        let check = |ours: &[(&str, u32, u32, u64)], bar: &str, expect: &str| {
            let paced = rows(&[&app[..], ours].concat());
            assert_eq!(said(&paced, &[], &memory(0, &[]), 30, bar), expect, "{ours:?}");
        };
        check(&[(GET_EMBEDDED, 300, 1_200, 0)], "get, embedded", "met");
        check(&[(GET_EMBEDDED, 301, 1_200, 0)], "get, embedded", "**missed**");
        check(&[(PUBLISH, 300, 1_201, 0)], "publish", "**missed**");
        check(&[(INVOKE_GET, 400, 9_999, 0), (INVOKE_POST, 400, 9_999, 0)], "invoke", "met");
        check(&[(INVOKE_GET, 100, 200, 0), (INVOKE_POST, 401, 500, 0)], "invoke", "**missed**");
        check(&[], "invoke", "not judged: not in this run");
    }

    #[test]
    fn saves_are_judged_on_a_disk_that_is_fast_enough() {
        let check = |rate: u64, sync_us: u64, expect: &str| {
            let saturated = rows(&[(SAVE_EMBEDDED, 1, 1, rate)]);
            assert_eq!(said(&[], &saturated, &memory(0, &[]), sync_us, "durable saves"), expect);
        };
        check(15_000, 900, "met");
        check(14_999, 60, "**missed**");
        check(14_999, 900, "not judged: this disk is slower");
    }

    #[test]
    fn redis_is_judged_against_the_bare_client_where_it_is_in_the_run() {
        let check = |p50_us: u32, p99_us: u32, expect: &str| {
            let paced = rows(&[(BARE_REDIS, 100, 200, 0), (GET_REDIS, p50_us, p99_us, 0)]);
            assert_eq!(said(&paced, &[], &memory(0, &[]), 30, "get, Redis"), expect);
        };
        check(130, 260, "met");
        check(131, 260, "**missed**");
        check(130, 261, "**missed**");
        assert_eq!(said(&[], &[], &memory(0, &[]), 30, "get, Redis"), "not judged: not in this run");
    }

    #[test]
    fn memory_is_judged_idle_after_the_load_and_over_its_repeats() {
        let check = |idle: u64, after: &[u64], expect: [&str; 3]| {
            let memory = memory(idle, after);
            let bars = ["memory idle", "memory after", "no growth"];
            assert_eq!(bars.map(|bar| said(&[], &[], &memory, 30, bar)), expect, "{after:?}");
        };
        check(25, &[43, 42, 44], ["met", "met", "met"]);
        check(26, &[40, 50, 61], ["**missed**", "**missed**", "**missed**"]);
        check(20, &[40], ["met", "met", "not judged: fewer than three repeats"]);
    }
}
