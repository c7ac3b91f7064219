//! The exposition, read back by a strict little parser.

use std::collections::{BTreeMap, BTreeSet};

use mainstay_core::model::Usage;

use super::*;

/// Samples by series; panics on a line that OpenMetrics does not allow and on a series that stands twice.
fn parse(text: &str) -> BTreeMap<String, f64> {
    let mut samples = BTreeMap::new();
    let mut families = BTreeSet::new();
    assert!(text.ends_with("# EOF\n"), "the text must end with its mark");
    for line in text.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let word = comment.split(' ').next().unwrap();
            assert!(["HELP", "TYPE", "UNIT", "EOF"].contains(&word), "{line}");
            if word == "TYPE" {
                assert!(families.insert(comment.to_owned()), "a family stands twice: {line}");
            }
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        assert!(
            samples.insert(series.to_owned(), value.parse().unwrap()).is_none(),
            "a series stands twice: {line}"
        );
    }
    samples
}

fn scraped(metrics: &Prometheus) -> BTreeMap<String, f64> {
    parse(&metrics.scrape().1)
}

fn request(status: u16) -> HttpReport<'static> {
    HttpReport { route: "/v1/invoke", method: "POST", status, elapsed: Duration::from_secs(150) }
}

fn call() -> ModelReport<'static> {
    let usage = Usage { input_uncached: 5, cache_read: 7, output: 3, ..Usage::default() };
    let (first_byte, elapsed) = (Some(Duration::from_millis(3)), Duration::from_secs(200));
    ModelReport { model: "fast", provider: "openai", outcome: "ok", usage, first_byte, elapsed }
}

#[test]
fn reports_become_series() {
    let metrics = Prometheus::new(&[]);
    metrics.http(request(200));
    metrics.http(request(504));
    metrics.model(call());
    metrics.shed("draining");
    metrics.gauge(Gauge::RunsActive, 2);
    metrics.gauge(Gauge::RunsActive, -1);
    let samples = scraped(&metrics);
    let expect = [
        ("mainstay_requests_total{route=\"/v1/invoke\",method=\"POST\",code=\"504\"}", 1.0),
        ("mainstay_tokens_total{model=\"fast\",provider=\"openai\",type=\"cache_read\"}", 7.0),
        ("mainstay_shed_total{reason=\"draining\"}", 1.0),
        ("mainstay_runs_active", 1.0),
    ];
    for (series, value) in expect {
        assert_eq!(samples.get(series), Some(&value), "{series}");
    }
}

#[test]
fn a_model_call_of_minutes_is_not_lost_in_the_last_bucket() {
    let metrics = Prometheus::new(&[]);
    metrics.model(call());
    let samples = scraped(&metrics);
    let bucket = |le: &str| {
        samples[&format!(
            "mainstay_model_duration_seconds_bucket{{le=\"{le}\",model=\"fast\",provider=\"openai\"}}"
        )]
    };
    assert_eq!((bucket("120.0"), bucket("300.0")), (0.0, 1.0));
}

#[test]
fn the_process_shows_its_memory() {
    assert!(scraped(&Prometheus::new(&[]))["process_resident_memory_bytes"] > 1e6);
}

#[test]
fn every_alias_set_shows_its_names() {
    let all: Vec<String> = crate::ALIAS_SETS.iter().map(ToString::to_string).collect();
    let metrics = Prometheus::new(&all);
    metrics.http(request(200));
    metrics.model(call());
    metrics.gauge(Gauge::Ready, 1);
    let samples = scraped(&metrics);
    let expect = [
        "vaia_requests_total{endpoint=\"/v1/invoke\",status=\"200\"}",
        "vaia_agent_ready",
        "agent_requests_total{method=\"POST\",endpoint=\"/v1/invoke\",status=\"200\"}",
        "agent_llm_requests_total{model=\"fast\",status=\"success\"}",
        "agent_llm_tokens_total{model=\"fast\",type=\"output\"}",
        "agent_request_duration_seconds_count{endpoint=\"/v1/invoke\"}",
    ];
    for series in expect {
        assert!(samples.contains_key(series), "{series} is missing");
    }
}

#[test]
fn no_alias_is_shown_unless_asked_for() {
    let metrics = Prometheus::new(&[]);
    metrics.http(request(200));
    assert!(!metrics.scrape().1.contains("vaia_"));
}
