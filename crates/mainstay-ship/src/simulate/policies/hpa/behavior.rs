//! The `behavior` of an HPA: windows in which recommendations settle, and rates at which replicas come and go.

use mainstay_core::plan::Pace;

use crate::simulate::policies::Bounds;
use crate::simulate::whole;

/// How many replicas may come or go within a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Amount {
    /// As a share of those that there were.
    Percent(u32),
    /// As a number of pods.
    Pods(u32),
}

/// A rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rate {
    /// How many.
    pub amount: Amount,
    /// Within this time.
    pub period_seconds: u64,
}

/// Which of several rates holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Select {
    /// The one that changes most.
    Max,
    /// The one that changes least.
    Min,
    /// None: nothing changes in this direction.
    Disabled,
}

/// The rules of one direction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rules {
    /// Recommendations of this time hold a change back.
    pub window_seconds: u64,
    /// Which of the rates holds.
    pub select: Select,
    /// The rates.
    pub rates: Vec<Rate>,
}

/// The rules of both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Behavior {
    /// More replicas.
    pub up: Rules,
    /// Fewer replicas.
    pub down: Rules,
}

impl Behavior {
    fn of(up: &[(Amount, u64)], down: &[(Amount, u64)]) -> Self {
        let rates = |rates: &[(Amount, u64)]| {
            rates.iter().map(|&(amount, period_seconds)| Rate { amount, period_seconds }).collect()
        };
        let rules = |window_seconds, rates| Rules { window_seconds, select: Select::Max, rates };
        Self { up: rules(0, rates(up)), down: rules(300, rates(down)) }
    }

    /// What the API fills in: up at once by 100 % or 4 pods a 15 s, down after 300 s by 100 % a 15 s.
    #[must_use]
    pub fn kubernetes() -> Self {
        Self::of(&[(Amount::Percent(100), 15), (Amount::Pods(4), 15)], &[(Amount::Percent(100), 15)])
    }

    /// What the target `kubernetes` writes for a spec's paces; a test compares the two.
    #[must_use]
    pub fn shipped(up: Pace, down: Pace) -> Self {
        let rules = |pace: Pace| {
            let amounts = [pace.percent.map(Amount::Percent), pace.replicas.map(Amount::Pods)];
            let rate = |amount| Rate { amount, period_seconds: pace.every.as_secs() };
            let rates = amounts.into_iter().flatten().map(rate).collect();
            Rules { window_seconds: pace.after.as_secs(), select: Select::Max, rates }
        };
        Self { up: rules(up), down: rules(down) }
    }
}

/// Recommendations and changes that are kept: those of the longest window and period, half an hour, at 15 s each.
const KEPT_MS: u64 = 3_600_000;

/// Settles recommendations into replicas, remembering both.
#[derive(Clone, Debug)]
pub(in crate::simulate) struct Scaling {
    behavior: Behavior,
    /// When, and what was recommended.
    recommendations: Vec<(u64, u32)>,
    /// When, and by how many the replicas grew.
    grown: Vec<(u64, u32)>,
    /// When, and by how many they shrank.
    shrunk: Vec<(u64, u32)>,
}

impl Scaling {
    /// The controller begins with what it finds as its first recommendation.
    pub(in crate::simulate) fn new(behavior: Behavior, replicas: u32) -> Self {
        Self { behavior, recommendations: vec![(0, replicas)], grown: Vec::new(), shrunk: Vec::new() }
    }

    /// The replicas that a recommendation leads to.
    pub(in crate::simulate) fn settle(
        &mut self,
        now_ms: u64,
        current: u32,
        recommended: u32,
        bounds: Bounds,
    ) -> u32 {
        let stable = self.stabilised(now_ms, current, recommended);
        self.recommendations.push((now_ms, recommended));
        let wanted = self.at_rate(now_ms, current, stable, bounds);
        if wanted > current {
            self.grown.push((now_ms, wanted - current));
        } else if wanted < current {
            self.shrunk.push((now_ms, current - wanted));
        }
        for kept in [&mut self.recommendations, &mut self.grown, &mut self.shrunk] {
            kept.retain(|(at_ms, _)| now_ms - at_ms < KEPT_MS);
        }
        wanted
    }

    /// Up no further than the lowest recommendation of its window, down no further than the highest of its own.
    fn stabilised(&self, now_ms: u64, current: u32, recommended: u32) -> u32 {
        let within = |rules: &Rules| {
            let window_ms = rules.window_seconds * 1000;
            let recent = self.recommendations.iter().filter(move |(at_ms, _)| now_ms - at_ms < window_ms);
            recent.map(|(_, count)| *count).chain([recommended])
        };
        let up = within(&self.behavior.up).min().unwrap_or(recommended);
        let down = within(&self.behavior.down).max().unwrap_or(recommended);
        current.max(up).min(down)
    }

    /// As far as the rates and the bounds allow.
    fn at_rate(&self, now_ms: u64, current: u32, wanted: u32, bounds: Bounds) -> u32 {
        if wanted > current {
            let limit = self.limit(now_ms, current, &self.behavior.up, true).max(current);
            wanted.min(limit.min(bounds.max))
        } else if wanted < current {
            let limit = self.limit(now_ms, current, &self.behavior.down, false).min(current);
            wanted.max(limit.max(bounds.min))
        } else {
            bounds.clamp(wanted)
        }
    }

    /// How far the rates of a direction go from what there was when their period began.
    fn limit(&self, now_ms: u64, current: u32, rules: &Rules, is_up: bool) -> u32 {
        let proposed = rules.rates.iter().map(|rate| {
            let period_ms = rate.period_seconds * 1000;
            let changed = |events: &[(u64, u32)]| {
                let recent = events.iter().filter(|(at_ms, _)| now_ms - at_ms < period_ms);
                recent.map(|(_, count)| count).sum::<u32>()
            };
            let start = (current + changed(&self.shrunk)).saturating_sub(changed(&self.grown));
            match (rate.amount, is_up) {
                (Amount::Pods(count), true) => start.saturating_add(count),
                (Amount::Pods(count), false) => start.saturating_sub(count),
                (Amount::Percent(share), true) => whole(f64::from(start) * (1.0 + f64::from(share) / 100.0)),
                // Cut off, not rounded: 50 % of 5 may go down to 2.
                (Amount::Percent(share), false) => {
                    (f64::from(start) * (1.0 - f64::from(share) / 100.0)).max(0.0) as u32
                }
            }
        });
        let most = match rules.select {
            Select::Max => true,
            Select::Min => false,
            Select::Disabled => return current,
        };
        let found = if most == is_up { proposed.max() } else { proposed.min() };
        found.unwrap_or(current)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use std::time::Duration;

    use mainstay_core::plan::Sizing;

    const BOUNDS: Bounds = Bounds { min: 1, max: 100 };

    fn settle(scaling: &mut Scaling, seconds: u64, current: u32, recommended: u32) -> u32 {
        scaling.settle(seconds * 1000, current, recommended, BOUNDS)
    }

    #[test]
    fn default_rates_double_or_add_four_each_period() {
        let mut scaling = Scaling::new(Behavior::kubernetes(), 1);
        // From 1: the larger of 2 × 1 and 1 + 4.
        assert_eq!(settle(&mut scaling, 15, 1, 50), 5);
        // A period later, from 5: the larger of 10 and 9.
        assert_eq!(settle(&mut scaling, 30, 5, 50), 10);
        assert_eq!(settle(&mut scaling, 45, 10, 50), 20);
        assert_eq!(settle(&mut scaling, 60, 20, 50), 40);
        assert_eq!(settle(&mut scaling, 75, 40, 50), 50);
    }

    #[test]
    fn a_rate_counts_from_where_its_period_began() {
        // Shipped: 100 % or 4 pods a 30 s.
        let mut scaling = Scaling::new(Behavior::shipped(Pace::UP, Pace::DOWN), 4);
        assert_eq!(settle(&mut scaling, 15, 4, 50), 8);
        // 15 s later the period still began with 4: 8 is all.
        assert_eq!(settle(&mut scaling, 30, 8, 50), 8);
        // 30 s after the change it begins with 8.
        assert_eq!(settle(&mut scaling, 45, 8, 50), 16);
    }

    #[test]
    fn down_waits_for_the_highest_recommendation_of_its_window() {
        let mut scaling = Scaling::new(Behavior::kubernetes(), 2);
        assert_eq!(settle(&mut scaling, 15, 2, 6), 6);
        assert_eq!(settle(&mut scaling, 30, 6, 3), 6);
        // 285 s after the 6 it still holds; 300 s after, the 3 does.
        assert_eq!(settle(&mut scaling, 300, 6, 1), 6);
        assert_eq!(settle(&mut scaling, 315, 6, 1), 3);
        assert_eq!(settle(&mut scaling, 330, 3, 1), 1);
    }

    #[test]
    fn the_first_recommendation_is_what_was_found() {
        let mut scaling = Scaling::new(Behavior::kubernetes(), 5);
        assert_eq!(settle(&mut scaling, 15, 5, 1), 5);
        assert_eq!(settle(&mut scaling, 300, 5, 1), 1);
    }

    #[test]
    fn half_a_minute_down_is_cut_off_not_rounded() {
        let mut scaling = Scaling::new(Behavior::shipped(Pace::UP, Pace::DOWN), 5);
        // From 5: 50 % leaves 2.5, so down to 2; then nothing for a minute; then 1.
        assert_eq!(settle(&mut scaling, 300, 5, 1), 2);
        assert_eq!(settle(&mut scaling, 315, 2, 1), 2);
        assert_eq!(settle(&mut scaling, 360, 2, 1), 1);
    }

    #[test]
    fn an_upward_window_takes_the_lowest_recommendation() {
        let mut behavior = Behavior::kubernetes();
        behavior.up.window_seconds = 60;
        let mut scaling = Scaling::new(behavior, 2);
        assert_eq!(settle(&mut scaling, 15, 2, 6), 2);
        assert_eq!(settle(&mut scaling, 45, 2, 4), 2);
        // The first 2 is 60 s old and counts no more; 4 is the lowest left.
        assert_eq!(settle(&mut scaling, 60, 2, 9), 4);
    }

    #[test]
    fn the_policy_that_is_selected_holds() {
        let select = |select| {
            let mut behavior = Behavior::kubernetes();
            behavior.up.select = select;
            settle(&mut Scaling::new(behavior, 10), 15, 10, 50)
        };
        // 100 % of 10 is 20, 4 pods are 14.
        assert_eq!([select(Select::Max), select(Select::Min), select(Select::Disabled)], [20, 14, 10]);
        let mut behavior = Behavior::kubernetes();
        behavior.down = Rules {
            window_seconds: 0,
            select: Select::Min,
            rates: vec![
                Rate { amount: Amount::Percent(50), period_seconds: 60 },
                Rate { amount: Amount::Pods(2), period_seconds: 60 },
            ],
        };
        // 50 % would leave 5, 2 pods leave 8: the smaller change.
        assert_eq!(settle(&mut Scaling::new(behavior, 10), 15, 10, 1), 8);
    }

    #[test]
    fn bounds_hold_whatever_is_recommended() {
        let bounds = Bounds { min: 2, max: 6 };
        let mut scaling = Scaling::new(Behavior::kubernetes(), 3);
        assert_eq!(scaling.settle(15_000, 3, 50, bounds), 6);
        assert_eq!(scaling.settle(900_000, 6, 0, bounds), 2);
    }

    #[test]
    fn the_shipped_behaviour_is_the_one_that_is_written() {
        let rules = |rules: &Rules| {
            let rates = rules.rates.iter().map(|rate| {
                let (kind, value) = match rate.amount {
                    Amount::Percent(value) => ("Percent", value),
                    Amount::Pods(value) => ("Pods", value),
                };
                json!({ "type": kind, "value": value, "periodSeconds": rate.period_seconds })
            });
            json!({
                "stabilizationWindowSeconds": rules.window_seconds,
                "selectPolicy": format!("{:?}", rules.select),
                "policies": rates.collect::<Vec<Value>>(),
            })
        };
        let slow = Pace { replicas: Some(2), percent: None, every: Duration::from_secs(45), ..Pace::UP };
        for (scale_up, scale_down) in [(Pace::UP, Pace::DOWN), (slow, Pace { after: Duration::ZERO, ..slow })]
        {
            let shipped = Behavior::shipped(scale_up, scale_down);
            assert_eq!(
                json!({ "scaleUp": rules(&shipped.up), "scaleDown": rules(&shipped.down) }),
                crate::targets::kubernetes::scaling::behavior(&Sizing {
                    scale_up,
                    scale_down,
                    ..Sizing::default()
                })
            );
        }
    }
}
