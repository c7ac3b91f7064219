//! The exposition, read back by a strict reader.

mod strict;

use std::collections::BTreeMap;
use std::time::Duration;

use mainstay_core::metric::Form;
use mainstay_core::model::Usage;

use super::*;

fn scraped(metrics: &Prometheus) -> BTreeMap<String, f64> {
    let (kind, text) = metrics.scrape();
    assert_eq!(kind, "text/plain; version=0.0.4; charset=utf-8");
    strict::parse(&text).unwrap_or_else(|why| panic!("{why}\n{text}"))
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
fn the_process_shows_its_memory_times_and_build() {
    let samples = scraped(&Prometheus::new(&[]));
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["process_open_fds"] > 2.0);
    assert!(samples.contains_key("process_cpu_seconds_total"));
    // After 2020, and so in seconds of the epoch.
    assert!(samples["process_start_time_seconds"] > 1.577e9);
    assert_eq!(samples[concat!("mainstay_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"}")], 1.0);
}

#[test]
fn a_callers_own_words_do_not_become_labels() {
    let metrics = Prometheus::new(&["agent".to_owned()]);
    for n in 0..100 {
        metrics.http(HttpReport { method: &format!("BREW{n}"), ..request(405) });
    }
    let samples = scraped(&metrics);
    assert_eq!(samples["mainstay_requests_total{route=\"/v1/invoke\",method=\"other\",code=\"405\"}"], 100.0);
    assert!(!samples.keys().any(|series| series.contains("BREW")));
}

#[test]
fn a_label_that_needs_escapes_is_escaped() {
    let metrics = Prometheus::new(&[]);
    metrics.tool(ToolReport { tool: "a\"b\\c\nd", outcome: "ok", elapsed: Duration::ZERO });
    assert_eq!(scraped(&metrics)[r#"mainstay_tool_calls_total{tool="a\"b\\c\nd",outcome="ok"}"#], 1.0);
}

#[test]
fn what_is_shown_is_what_the_list_of_metrics_names() {
    let metrics = Prometheus::new(&[]);
    metrics.http(request(200));
    metrics.model(call());
    metrics.run(RunReport { agent: "a", status: "failed", elapsed: Duration::ZERO, steps: 2 });
    metrics.tool(ToolReport { tool: "t", outcome: "ok", elapsed: Duration::ZERO });
    metrics.shed("overload");
    metrics.dependencies(&[("journal", true)]);
    let text = metrics.scrape().1;
    let kinds: BTreeMap<&str, &str> =
        text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split_once(' ')).collect();
    let listed = mainstay_core::metric::ALL.iter().map(|metric| {
        let kind = match metric.form {
            Form::Count => "counter",
            Form::Level => "gauge",
            Form::Durations => "histogram",
        };
        (metric.name, kind)
    });
    assert_eq!(kinds, listed.collect());
}

#[test]
fn a_dependency_that_is_no_more_is_not_shown() {
    let metrics = Prometheus::new(&[]);
    metrics.dependencies(&[("journal", true), ("app research", false)]);
    assert_eq!(scraped(&metrics)["mainstay_dependency_ready{dependency=\"app research\"}"], 0.0);
    metrics.dependencies(&[("journal", false)]);
    let samples = scraped(&metrics);
    assert_eq!(samples["mainstay_dependency_ready{dependency=\"journal\"}"], 0.0);
    assert!(!samples.contains_key("mainstay_dependency_ready{dependency=\"app research\"}"));
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
