//! AWS ECS with target tracking on `ALBRequestCountPerTarget`: two alarms over minutes, and cooldowns.
//!
//! The metric is requests a minute and task. It is above its target for 3 minutes: tasks = ceil(tasks × metric ÷
//! target). It is below nine tenths of it for 15 minutes: the same formula, downwards. After either, 300 s of cooldown:
//! on the way down nothing more goes; on the way up the tasks that were added count as part of the next step, which is
//! measured from where the last one began.

use std::collections::VecDeque;

use super::{Bounds, Def, Policy, Setup, View};
use crate::simulate::whole;

pub(super) const DEF: Def = Def {
    name: "ecs",
    about: "AWS ECS target tracking on requests a minute and task",
    make: |setup| Box::new(Ecs::new(setup)),
    notes: |setup| {
        let mut notes = vec![format!(
            "ECS counts requests a minute and task: with {:.1} s a request, {:.1} in flight are {:.0} a minute.",
            setup.takes_ms_mean / 1000.0,
            setup.target_or(SHARE),
            per_minute(setup),
        )];
        if setup.replicas_min == 0 {
            notes
                .push("ECS cannot start a task for a request: it is simulated with one at least.".to_owned());
        }
        notes
    },
};

const MINUTE_MS: u64 = 60_000;
const COOLDOWN_MS: u64 = 300_000;
/// Data points in a row that sound an alarm.
const HIGH_POINTS: usize = 3;
const LOW_POINTS: usize = 15;
/// The lower alarm's threshold, as a part of the target.
const LOW_SHARE: f64 = 0.9;
/// The share of a task's concurrency that is aimed at where no target is given.
const SHARE: f64 = 0.6;

/// The target in flight as requests a minute, by Little's law: those in flight leave once in the time that a request
/// takes.
fn per_minute(setup: &Setup) -> f64 {
    setup.target_or(SHARE) * 60_000.0 / setup.takes_ms_mean.max(1.0)
}

/// The two alarms and what they lead to.
#[derive(Clone, Debug, Default)]
struct Tracking {
    points: VecDeque<f64>,
    /// When tasks were last added, and how many there had been before.
    out: Option<(u64, u32)>,
    /// When tasks were last taken away.
    taken_ms: Option<u64>,
}

impl Tracking {
    /// The tasks after another minute's metric.
    fn minute(&mut self, now_ms: u64, tasks: u32, metric: f64, target: f64, bounds: Bounds) -> u32 {
        self.points.push_back(metric);
        if self.points.len() > LOW_POINTS {
            self.points.pop_front();
        }
        let last = |count: usize| self.points.iter().rev().take(count);
        if self.points.len() >= HIGH_POINTS && last(HIGH_POINTS).all(|point| *point > target) {
            let cooling = self.out.filter(|(at_ms, _)| now_ms - at_ms < COOLDOWN_MS);
            let base = cooling.map_or(tasks, |(_, before)| before);
            let wanted = bounds.clamp(whole(f64::from(base) * metric / target));
            if wanted > tasks {
                self.out = Some((now_ms, base));
                return wanted;
            }
        } else if self.points.len() == LOW_POINTS && last(LOW_POINTS).all(|point| *point < target * LOW_SHARE)
        {
            let cooled = self.taken_ms.is_none_or(|at_ms| now_ms - at_ms >= COOLDOWN_MS);
            let wanted = bounds.clamp(whole(f64::from(tasks) * metric / target));
            if cooled && wanted < tasks {
                self.taken_ms = Some(now_ms);
                return wanted;
            }
        }
        bounds.clamp(tasks)
    }
}

struct Ecs {
    bounds: Bounds,
    target: f64,
    tracking: Tracking,
}

impl Ecs {
    fn new(setup: &Setup) -> Self {
        Self { bounds: setup.bounds_from_one(), target: per_minute(setup), tracking: Tracking::default() }
    }
}

impl Policy for Ecs {
    fn period_ms(&self) -> u64 {
        MINUTE_MS
    }

    fn initial(&self) -> u32 {
        self.bounds.min
    }

    fn decide(&mut self, seen: &View<'_>) -> u32 {
        // Only healthy tasks are targets. Without any there is no data, and no change.
        if seen.gauges.ready == 0 {
            return seen.wanted;
        }
        let metric = seen.arrivals(60) as f64 / f64::from(seen.gauges.ready);
        self.tracking.minute(seen.now_ms, seen.wanted, metric, self.target, self.bounds)
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::SETUP;
    use super::*;

    const BOUNDS: Bounds = Bounds { min: 1, max: 50 };

    /// The tasks after these minutes, with as many as before each.
    fn tasks(tracking: &mut Tracking, from_minute: u64, mut count: u32, metrics: &[f64]) -> Vec<u32> {
        let mut counts = Vec::new();
        for (minute, metric) in (from_minute..).zip(metrics) {
            count = tracking.minute(minute * MINUTE_MS, count, *metric, 100.0, BOUNDS);
            counts.push(count);
        }
        counts
    }

    #[test]
    fn requests_in_flight_become_requests_a_minute() {
        // 4.8 in flight, 4 s each: 1.2 a second, 72 a minute.
        let setup = Setup { target: Some(4.8), takes_ms_mean: 4000.0, ..SETUP };
        assert!((per_minute(&setup) - 72.0).abs() < 1e-9);
    }

    #[test]
    fn three_minutes_above_the_target_add_tasks_in_proportion() {
        // 2 tasks at 250 of 100: ceil(2 × 2.5) = 5, at the third minute.
        assert_eq!(tasks(&mut Tracking::default(), 1, 2, &[250.0, 250.0, 250.0]), [2, 2, 5]);
        // One minute at the target in between starts anew.
        assert_eq!(tasks(&mut Tracking::default(), 1, 2, &[250.0, 250.0, 100.0, 250.0]), [2; 4]);
    }

    #[test]
    fn while_it_cools_down_a_step_up_is_measured_from_where_the_last_began() {
        let mut tracking = Tracking::default();
        // 5 tasks at minute 3, asked for from 2. The metric is still 250: ceil(2 × 2.5) = 5, so nothing more.
        assert_eq!(tasks(&mut tracking, 1, 2, &[250.0, 250.0, 250.0, 250.0]), [2, 2, 5, 5]);
        // It grows: ceil(2 × 4) = 8.
        assert_eq!(tasks(&mut tracking, 5, 5, &[400.0]), [8]);
        // Five minutes after the last step it counts from all of them: ceil(8 × 1.5) = 12.
        assert_eq!(tasks(&mut tracking, 6, 8, &[150.0, 150.0, 150.0, 150.0, 150.0]), [8, 8, 8, 8, 12]);
    }

    #[test]
    fn fifteen_minutes_well_below_the_target_take_tasks_away_once_a_cooldown() {
        let mut tracking = Tracking::default();
        let mut expected = vec![10; 14];
        // 10 tasks at 45 of 100: ceil(4.5) = 5.
        expected.push(5);
        assert_eq!(tasks(&mut tracking, 1, 10, &[45.0; 15]), expected);
        // 5 tasks at 60: 3, but not before five minutes have passed (from minute 15 to 20).
        assert_eq!(tasks(&mut tracking, 16, 5, &[60.0; 5]), [5, 5, 5, 5, 3]);
    }

    #[test]
    fn just_below_the_target_nothing_goes() {
        // 91 of 100 is above nine tenths.
        assert_eq!(tasks(&mut Tracking::default(), 1, 10, &[91.0; 20]), [10; 20]);
    }
}
