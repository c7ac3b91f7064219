//! The figures: what callers and the bill would have seen, as a table for people and as JSON for programs.

use serde_json::{Value, json};

use super::chart;
use super::engine::{Outcome, Sample};
use super::policies::Setup;
use super::service::Service;
use super::trace::Trace;

/// The figures of a policy.
#[derive(Clone, Debug, PartialEq)]
pub struct Figures {
    /// Requests of the trace.
    pub requests: u64,
    /// Half of the requests waited no longer than this, in milliseconds.
    pub wait_p50_ms: u64,
    /// 95 of a hundred waited no longer.
    pub wait_p95_ms: u64,
    /// 99 of a hundred waited no longer.
    pub wait_p99_ms: u64,
    /// The longest wait.
    pub wait_max_ms: u64,
    /// Requests that waited longer than they may, were refused or were never served.
    pub over_slo: u64,
    /// Requests that were refused since no replica took them in time.
    pub refused: u64,
    /// Requests that were never served.
    pub unserved: u64,
    /// Requests cut off by too short a grace period.
    pub cut: u64,
    /// Requests that waited for a replica's start.
    pub cold: u64,
    /// Replicas started.
    pub starts: u64,
    /// Changes of the number of replicas.
    pub scale_events: u64,
    /// The most replicas at once.
    pub peak: u32,
    /// Hours of replicas.
    pub replica_hours: f64,
    /// What they cost, in US dollars.
    pub cost: f64,
}

impl Figures {
    /// The figures of an outcome; `slo_ms` is how long a request may wait, `replica_hour` what an hour of a replica
    /// costs.
    #[must_use]
    pub fn of(outcome: &Outcome, slo_ms: u64, replica_hour: f64) -> Self {
        let mut waits = outcome.waits_ms.clone();
        waits.sort_unstable();
        let late = waits.len() - waits.partition_point(|wait| *wait <= slo_ms);
        // Whoever was refused in time was not served in time.
        let lost_early = outcome.lost_waits_ms.iter().filter(|wait| **wait <= slo_ms).count();
        let over_slo = (late + lost_early) as u64;
        let replica_hours = outcome.up_ms as f64 / 3_600_000.0;
        Self {
            requests: waits.len() as u64,
            wait_p50_ms: percentile(&waits, 50),
            wait_p95_ms: percentile(&waits, 95),
            wait_p99_ms: percentile(&waits, 99),
            wait_max_ms: waits.last().copied().unwrap_or(0),
            over_slo,
            refused: outcome.refused,
            unserved: outcome.unserved,
            cut: outcome.cut,
            cold: outcome.cold,
            starts: outcome.starts,
            scale_events: outcome.scale_events,
            peak: outcome.peak,
            replica_hours,
            cost: replica_hours * replica_hour,
        }
    }

    /// The part of the requests that is over, from 0 to 1.
    #[must_use]
    pub fn over_share(&self) -> f64 {
        if self.requests == 0 { 0.0 } else { self.over_slo as f64 / self.requests as f64 }
    }
}

/// The smallest of sorted values that this many of a hundred do not exceed (nearest rank).
fn percentile(sorted: &[u64], percent: usize) -> u64 {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied().unwrap_or(0)
}

/// A policy's part of a report.
#[derive(Clone, Debug)]
pub struct Row {
    /// Its name.
    pub name: &'static str,
    /// Its figures.
    pub figures: Figures,
    /// What is worth knowing of it.
    pub notes: Vec<String>,
    /// Each second.
    pub samples: Vec<Sample>,
}

/// Several policies on one trace.
#[derive(Clone, Debug)]
pub struct Report {
    /// Where the trace is from.
    pub source: String,
    /// Requests of the trace.
    pub requests: u64,
    /// How long it lasts, in milliseconds.
    pub span_ms: u64,
    /// Requests of its busiest minute.
    pub busiest_minute: u64,
    /// Requests in flight at the end of each second, if none ever waited.
    pub offered: Vec<u32>,
    /// The service.
    pub service: Service,
    /// What the policies were set to.
    pub setup: Setup,
    /// How long a request may wait, in milliseconds.
    pub slo_ms: u64,
    /// What an hour of a replica costs, in US dollars.
    pub replica_hour: f64,
    /// What that price is.
    pub price_about: String,
    /// The policies, in the order in which they were asked for.
    pub rows: Vec<Row>,
}

/// What a report says of its trace.
#[derive(Clone, Copy, Debug)]
pub struct Asked<'a> {
    /// The trace.
    pub trace: &'a Trace,
    /// The service.
    pub service: Service,
    /// What the policies are set to.
    pub setup: Setup,
    /// How long a request may wait, in milliseconds.
    pub slo_ms: u64,
    /// What an hour of a replica costs, in US dollars.
    pub replica_hour: f64,
}

impl Report {
    /// Runs each of `policies` on the trace.
    #[must_use]
    pub fn of(asked: &Asked<'_>, source: String, price_about: String, policies: &[&super::Def]) -> Self {
        let Asked { trace, service, setup, slo_ms, replica_hour } = *asked;
        let rows = policies.iter().map(|def| {
            let outcome = super::run(trace, &service, &mut *(def.make)(&setup));
            let figures = Figures::of(&outcome, slo_ms, replica_hour);
            Row { name: def.name, figures, notes: (def.notes)(&setup), samples: outcome.samples }
        });
        Self {
            source,
            requests: trace.requests.len() as u64,
            span_ms: trace.span_ms,
            busiest_minute: busiest_minute(trace),
            offered: offered(trace, &service),
            rows: rows.collect(),
            service,
            setup,
            slo_ms,
            replica_hour,
            price_about,
        }
    }

    /// As JSON; times in milliseconds, shares from 0 to 1, costs in US dollars.
    #[must_use]
    pub fn json(&self) -> Value {
        let Service { concurrency, start_ms, grace_ms, .. } = self.service;
        let policies = self.rows.iter().map(|Row { name, figures, notes, .. }| {
            json!({
                "policy": name,
                "wait_ms": {
                    "p50": figures.wait_p50_ms, "p95": figures.wait_p95_ms, "p99": figures.wait_p99_ms,
                    "max": figures.wait_max_ms,
                },
                "over_slo": figures.over_slo, "over_slo_share": figures.over_share(),
                "refused": figures.refused, "unserved": figures.unserved, "cut": figures.cut,
                "waited_for_a_start": figures.cold, "starts": figures.starts,
                "scale_events": figures.scale_events, "replicas_peak": figures.peak,
                "replica_hours": figures.replica_hours, "cost_usd": figures.cost,
                "notes": notes,
            })
        });
        json!({
            "trace": {
                "source": self.source, "requests": self.requests, "span_ms": self.span_ms,
                "busiest_minute": self.busiest_minute, "takes_ms_mean": self.setup.takes_ms_mean,
                "in_flight_mean": self.setup.load_mean,
            },
            "service": { "concurrency": concurrency, "start_ms": start_ms, "grace_ms": grace_ms },
            "replicas": { "min": self.setup.replicas_min, "max": self.setup.replicas_max },
            "target_in_flight": self.setup.target,
            "metric_lag_ms": self.setup.metric_lag_ms,
            "slo_ms": self.slo_ms,
            "replica_hour_usd": self.replica_hour,
            "policies": policies.collect::<Vec<Value>>(),
        })
    }

    /// What is simulated, a line each: a word and what it says.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, String)> {
        let Setup { replicas_min, replicas_max, target, takes_ms_mean, load_mean, .. } = self.setup;
        let Service { concurrency, start_ms, grace_ms, .. } = self.service;
        let target =
            target.map_or_else(|| "each policy's own".to_owned(), |target| format!("{target} in flight"));
        vec![
            (
                "trace",
                format!(
                    "{}: {} requests in {} min, {} in the busiest; {:.1} s each, {load_mean:.1} in flight on average",
                    self.source,
                    self.requests,
                    self.span_ms / 60_000,
                    self.busiest_minute,
                    takes_ms_mean / 1000.0,
                ),
            ),
            (
                "service",
                format!(
                    "{replicas_min} to {replicas_max} replicas, {concurrency} requests at once each, target {target}; \
                     {} to start, {} of grace",
                    seconds(start_ms),
                    seconds(grace_ms),
                ),
            ),
            ("price", format!("${:.4} a replica-hour ({})", self.replica_hour, self.price_about)),
        ]
    }

    /// The table's head and its rows, as text.
    #[must_use]
    pub fn cells(&self) -> Vec<Vec<String>> {
        let over = format!("over {}", seconds(self.slo_ms));
        let head = [
            "policy",
            "wait p50",
            "p95",
            "p99",
            &over,
            "replica-h",
            "cost",
            "peak",
            "starts",
            "cold",
            "changes",
            "cut",
            "refused",
        ];
        let rows = self.rows.iter().map(|Row { name, figures, .. }| {
            vec![
                (*name).to_owned(),
                seconds(figures.wait_p50_ms),
                seconds(figures.wait_p95_ms),
                seconds(figures.wait_p99_ms),
                share(figures.over_share()),
                format!("{:.2}", figures.replica_hours),
                format!("${:.4}", figures.cost),
                figures.peak.to_string(),
                figures.starts.to_string(),
                figures.cold.to_string(),
                figures.scale_events.to_string(),
                figures.cut.to_string(),
                (figures.refused + figures.unserved).to_string(),
            ]
        });
        std::iter::once(head.map(str::to_owned).to_vec()).chain(rows).collect()
    }

    /// Notes of all policies, each once.
    #[must_use]
    pub fn notes(&self) -> Vec<&str> {
        let mut notes: Vec<&str> = Vec::new();
        for note in self.rows.iter().flat_map(|row| &row.notes) {
            if !notes.contains(&note.as_str()) {
                notes.push(note);
            }
        }
        notes
    }

    /// For a terminal of this width: what is simulated, the load, the table, and how each policy followed.
    #[must_use]
    pub fn text(&self, width: usize) -> String {
        let mut out = String::new();
        for (word, fact) in self.facts() {
            out.push_str(&format!("{word:<8} {fact}\n"));
        }
        out.push_str("\nin flight if nobody waited\n");
        out.push_str(&chart::band(&self.offered, self.span_ms, width));
        out.push('\n');
        out.push_str(&table(&self.cells()));
        out.push_str("\nready replicas over time (a dot: requests wait)\n");
        out.push_str(&chart::strips(&self.rows, width));
        for note in self.notes() {
            out.push_str(&format!("\nnote: {note}"));
        }
        if !self.notes().is_empty() {
            out.push('\n');
        }
        out
    }
}

/// Columns as wide as what stands in them; the first is set to the left, the others to the right.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.first().map_or(0, Vec::len);
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Vec<String>| {
        let cells = row.iter().zip(&widths).enumerate().map(|(column, (cell, width))| {
            if column == 0 { format!("{cell:<width$}") } else { format!("{cell:>width$}") }
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// `0 s`, `0.25 s`, `12.3 s`.
fn seconds(ms: u64) -> String {
    match ms {
        0..10_000 => {
            let text = format!("{:.2}", ms as f64 / 1000.0);
            format!("{} s", text.trim_end_matches('0').trim_end_matches('.'))
        }
        _ if ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        _ => format!("{:.1} s", ms as f64 / 1000.0),
    }
}

/// Percent; what is more than nothing never looks like nothing.
fn share(share: f64) -> String {
    let percent = share * 100.0;
    if percent > 0.0 && percent < 0.1 { "<0.1 %".to_owned() } else { format!("{percent:.1} %") }
}

fn busiest_minute(trace: &Trace) -> u64 {
    let minutes = trace.requests.chunk_by(|a, b| a.at_ms / 60_000 == b.at_ms / 60_000);
    minutes.map(|minute| minute.len() as u64).max().unwrap_or(0)
}

/// Requests in flight at the end of each second, if each began as it came.
fn offered(trace: &Trace, service: &Service) -> Vec<u32> {
    let seconds = usize::try_from(trace.span_ms / 1000).unwrap_or(0);
    let mut changes = vec![0_i64; seconds + 1];
    let second = |ms: u64| usize::try_from(ms / 1000).map_or(seconds, |second| second.min(seconds));
    for request in &trace.requests {
        changes[second(request.at_ms)] += 1;
        changes[second(request.at_ms + service.takes_ms(request))] -= 1;
    }
    let mut load = 0;
    let loads = changes[..seconds].iter().map(|change| {
        load += change;
        u32::try_from(load).unwrap_or(0)
    });
    loads.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let waits: Vec<u64> = (1..=200).collect();
        assert_eq!([percentile(&waits, 50), percentile(&waits, 95), percentile(&waits, 99)], [100, 190, 198]);
        assert_eq!((percentile(&[7], 50), percentile(&[7, 9], 99), percentile(&[], 50)), (7, 9, 0));
    }

    #[test]
    fn figures_follow_from_waits_and_time() {
        let outcome = Outcome {
            waits_ms: vec![9000, 0, 5000, 5001],
            up_ms: 5_400_000,
            refused: 1,
            lost_waits_ms: vec![9000],
            ..Outcome::default()
        };
        let figures = Figures::of(&outcome, 5000, 0.02);
        // 9000 and 5001 are over 5000; 1.5 hours at $0.02.
        assert_eq!((figures.over_slo, figures.over_share(), figures.wait_max_ms), (2, 0.5, 9000));
        assert_eq!((figures.replica_hours, figures.cost), (1.5, 0.03));
        // A request that was refused sooner than it may wait is over all the same.
        assert_eq!(Figures::of(&outcome, 60_000, 0.0).over_slo, 1);
    }

    #[test]
    fn numbers_read_well() {
        let texts = [0, 250, 1200, 9999, 20_000, 12_345].map(seconds);
        assert_eq!(texts, ["0 s", "0.25 s", "1.2 s", "10 s", "20 s", "12.3 s"]);
        assert_eq!([share(0.0), share(0.000_1), share(0.123_4)], ["0.0 %", "<0.1 %", "12.3 %"]);
    }

    #[test]
    fn the_offered_load_is_what_infinite_replicas_would_have() {
        let trace = Trace::read("seconds,input_tokens,output_tokens\n0,0,0\n1.5,0,0\n").unwrap();
        let service = Service { fixed_ms: 3000, ..Service::default() };
        // The first from 0 to 3 s, the second from 1.5 to 4.5 s, seen at the ends of seconds.
        assert_eq!(offered(&trace, &service)[..6], [1, 2, 2, 1, 0, 0]);
        assert_eq!(busiest_minute(&trace), 2);
    }
}
