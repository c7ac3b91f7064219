//! ★ Traces that are made up. To add a kind: a row in `ALL` and the function of its arrivals. The same seed gives the
//! same trace, on every machine.
//!
//! Every kind has the mean rate that was asked for; they differ in how it is spread. Sizes are log-normal, as those of
//! published traces are roughly: many short questions, few very long ones.

use super::random::Random;
use super::trace::{REQUESTS_MAX, Request, SPAN_MS_MAX, Trace};

/// How arrivals are spread.
#[derive(Clone, Copy, Debug)]
pub struct Kind {
    /// Its name.
    pub name: &'static str,
    /// What it is, in a few words.
    pub about: &'static str,
    /// Times of arrival in milliseconds, ascending, for a mean gap and a span, both in milliseconds.
    arrivals: fn(&mut Random, f64, f64) -> Vec<f64>,
}

/// Every kind.
pub static ALL: &[Kind] = &[
    Kind { name: "steady", about: "independent callers at an even rate (Poisson)", arrivals: steady },
    Kind {
        name: "clumped",
        about: "callers who come in clumps (gamma gaps, twice as uneven)",
        arrivals: clumped,
    },
    Kind {
        name: "bursty",
        about: "calm at half the rate, bursts of 20 s at four times the rate (MMPP)",
        arrivals: bursty,
    },
    Kind { name: "diurnal", about: "a whole day's rise and fall within the trace", arrivals: diurnal },
];

/// The kind of this name.
#[must_use]
pub fn find(name: &str) -> Option<&'static Kind> {
    ALL.iter().find(|kind| kind.name == name)
}

/// What is asked for.
#[derive(Clone, Copy, Debug)]
pub struct Synthetic {
    /// How arrivals are spread.
    pub kind: &'static Kind,
    /// Requests a minute, on average.
    pub requests_per_minute: u32,
    /// How long it lasts.
    pub minutes: u32,
    /// Which of the many traces of this kind.
    pub seed: u64,
    /// Tokens of the question: half of the questions have more.
    pub input_tokens: u32,
    /// Tokens of the answer: half of the answers have more.
    pub output_tokens: u32,
}

/// Deviations of the logarithm of sizes.
const INPUT_DEVIATION: f64 = 1.0;
const OUTPUT_DEVIATION: f64 = 0.8;
/// The largest sizes that are made up.
const INPUT_TOKENS_MAX: f64 = 128_000.0;
const OUTPUT_TOKENS_MAX: f64 = 16_000.0;

impl Synthetic {
    /// The trace. `None` where it would have more requests, or last longer, than a trace may.
    #[must_use]
    pub fn trace(&self) -> Option<Trace> {
        let span_ms = u64::from(self.minutes) * 60_000;
        let count = u64::from(self.requests_per_minute) * u64::from(self.minutes);
        if count == 0 || count > REQUESTS_MAX as u64 / 2 || span_ms > SPAN_MS_MAX {
            return None;
        }
        let mut random = Random::new(self.seed);
        let gap_ms = 60_000.0 / f64::from(self.requests_per_minute);
        let arrivals = (self.kind.arrivals)(&mut random, gap_ms, span_ms as f64);
        let requests = arrivals.into_iter().map(|at| {
            let input = random.log_normal(self.input_tokens.into(), INPUT_DEVIATION);
            let output = random.log_normal(self.output_tokens.into(), OUTPUT_DEVIATION);
            Request {
                at_ms: at as u64,
                input_tokens: input.clamp(1.0, INPUT_TOKENS_MAX) as u32,
                output_tokens: output.clamp(1.0, OUTPUT_TOKENS_MAX) as u32,
                tool_ms: 0,
            }
        });
        Some(Trace { requests: requests.collect(), span_ms })
    }
}

/// Arrivals whose gaps are drawn one after the other.
fn with_gaps(span: f64, mut gap: impl FnMut() -> f64) -> Vec<f64> {
    let mut times = Vec::new();
    let mut at = gap();
    while at < span && times.len() < REQUESTS_MAX {
        times.push(at);
        at += gap();
    }
    times
}

fn steady(random: &mut Random, gap: f64, span: f64) -> Vec<f64> {
    with_gaps(span, || random.exponential(gap))
}

/// The shape of gaps whose deviation is twice their mean: 1/4.
const CLUMPED_SHAPE: f64 = 0.25;

fn clumped(random: &mut Random, gap: f64, span: f64) -> Vec<f64> {
    with_gaps(span, || random.gamma(CLUMPED_SHAPE) * gap)
}

/// How long a calm and a burst last on average. One part in seven is burst: 6/7 × 1/2 + 1/7 × 4 = 1.
const CALM_MS: f64 = 120_000.0;
const BURST_MS: f64 = 20_000.0;
const CALM_RATE: f64 = 0.5;
const BURST_RATE: f64 = 4.0;

fn bursty(random: &mut Random, gap: f64, span: f64) -> Vec<f64> {
    let mut times = Vec::new();
    let (mut from, mut is_burst) = (0.0, false);
    while from < span {
        let (length, rate) = if is_burst { (BURST_MS, BURST_RATE) } else { (CALM_MS, CALM_RATE) };
        let to = (from + random.exponential(length)).min(span);
        // Waiting times have no memory: each stretch begins with a fresh one.
        let mut at = from + random.exponential(gap / rate);
        while at < to && times.len() < REQUESTS_MAX {
            times.push(at);
            at += random.exponential(gap / rate);
        }
        (from, is_burst) = (to, !is_burst);
    }
    times
}

/// The rate at night, as a part of the mean.
const NIGHT: f64 = 0.2;

/// Arrivals at the highest rate, of which as many are kept as the hour deserves. The day is a bell of mean 1 over its
/// night: 30 x² (1 − x)², whose top is 30/16.
fn diurnal(random: &mut Random, gap: f64, span: f64) -> Vec<f64> {
    let rate = |x: f64| NIGHT + (1.0 - NIGHT) * 30.0 * x * x * (1.0 - x) * (1.0 - x);
    let top = rate(0.5);
    let all = steady(random, gap / top, span);
    all.into_iter().filter(|at| random.unit() * top < rate(at / span)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn made(kind: &str, seed: u64) -> Trace {
        let kind = find(kind).unwrap();
        let (requests_per_minute, minutes) = (100, 200);
        Synthetic { kind, requests_per_minute, minutes, seed, input_tokens: 1000, output_tokens: 200 }
            .trace()
            .unwrap()
    }

    /// Requests in each minute.
    fn minutes(trace: &Trace) -> Vec<f64> {
        let mut counts = vec![0.0; usize::try_from(trace.span_ms / 60_000).unwrap()];
        for request in &trace.requests {
            counts[usize::try_from(request.at_ms / 60_000).unwrap()] += 1.0;
        }
        counts
    }

    fn spread(counts: &[f64]) -> f64 {
        let mean = counts.iter().sum::<f64>() / counts.len() as f64;
        counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>() / counts.len() as f64 / mean
    }

    #[test]
    fn every_kind_has_the_rate_that_was_asked_for() {
        for kind in ALL {
            let trace = made(kind.name, 1);
            let rate = trace.requests.len() as f64 / 200.0;
            assert!((85.0..115.0).contains(&rate), "{}: {rate}", kind.name);
            assert!(trace.requests.is_sorted_by_key(|request| request.at_ms), "{}", kind.name);
            assert_eq!(trace.span_ms, 200 * 60_000);
        }
    }

    #[test]
    fn the_same_seed_gives_the_same_bytes_and_another_gives_others() {
        for kind in ALL {
            assert_eq!(made(kind.name, 5).to_csv(), made(kind.name, 5).to_csv());
            assert_ne!(made(kind.name, 5).to_csv(), made(kind.name, 6).to_csv());
        }
    }

    #[test]
    fn the_bytes_of_a_seed_never_change() {
        let hashes = ALL.iter().map(|kind| {
            let (requests_per_minute, minutes, seed) = (60, 10, 1);
            let (input_tokens, output_tokens) = (1500, 200);
            let asked = Synthetic { kind, requests_per_minute, minutes, seed, input_tokens, output_tokens };
            let hash = crate::label::sha256_hex(asked.trace().unwrap().to_csv().as_bytes());
            format!("{} {}", kind.name, &hash[..12])
        });
        assert_eq!(
            hashes.collect::<Vec<_>>(),
            ["steady da01003837d2", "clumped 91a0fb14d453", "bursty 53f9aaeabacf", "diurnal 86a833625a70",]
        );
    }

    #[test]
    fn bursts_and_days_are_more_uneven_than_steady_callers() {
        // Counts of a Poisson process have a variance of their mean: the spread is 1.
        assert!((0.7..1.4).contains(&spread(&minutes(&made("steady", 3)))));
        assert!(spread(&minutes(&made("clumped", 3))) > 2.0);
        assert!(spread(&minutes(&made("bursty", 3))) > 10.0);
        let day = minutes(&made("diurnal", 3));
        let (night, noon): (f64, f64) = (day[..20].iter().sum(), day[90..110].iter().sum());
        assert!(noon > 4.0 * night, "{night} {noon}");
    }

    #[test]
    fn what_a_trace_could_not_hold_is_refused() {
        let of = |requests_per_minute, minutes| {
            let kind = &ALL[0];
            Synthetic { kind, requests_per_minute, minutes, seed: 1, input_tokens: 1, output_tokens: 1 }
                .trace()
        };
        assert!(of(0, 60).is_none() && of(60, 0).is_none());
        assert!(of(1_000_000, 60).is_none() && of(1, 9 * 24 * 60).is_none());
    }
}
