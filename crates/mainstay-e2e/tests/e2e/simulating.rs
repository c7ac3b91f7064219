//! `mainstay simulate autoscale`: from flags, a spec and a trace to a table, JSON and a page.

use mainstay_e2e::Place;
use serde_json::Value;

const SPEC: &str = "name: e2e
server: { drain: 12s }
models:
  default: { targets: [replies/any] }
providers:
  replies: { scripted: {} }
agents:
  hello: { declared: { instructions: Be brief. } }
deploy:
  overlays:
    staging: { replicas: { min: 3, max: 5 }, in_flight: 12 }
";

const TRACE: &str = "seconds,input_tokens,output_tokens\n0,4000,100\n30,4000,100\n90,4000,100\n";

async fn simulated(place: &Place, flags: &[&str]) -> Value {
    let command = ["simulate", "autoscale", "--format", "json"].iter().chain(flags).copied();
    let done = place.command(&command.collect::<Vec<_>>()).finish().await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    serde_json::from_str(&done.stdout).expect("it is JSON")
}

#[tokio::test]
async fn every_policy_is_compared_on_one_trace() {
    let place = Place::new(SPEC);
    let flags = ["--synthetic", "bursty", "--requests-per-minute", "120", "--minutes", "30", "--seed", "7"];
    let found = simulated(&place, &flags).await;
    let policies = found["policies"].as_array().expect("there are policies");
    let names: Vec<_> = policies.iter().filter_map(|row| row["policy"].as_str()).collect();
    for name in ["fixed", "hpa", "hpa-default", "keda", "knative", "cloud-run", "container-apps", "ecs"] {
        assert!(names.contains(&name), "no {name}");
    }
    for row in policies {
        assert!(row["replica_hours"].as_f64().is_some_and(|hours| hours >= 0.5), "{row}");
        assert!(row["replicas_peak"].as_u64().is_some_and(|peak| (1..=10).contains(&peak)), "{row}");
    }
    assert_eq!(simulated(&place, &flags).await, found, "the same seed gives the same figures");
}

#[tokio::test]
async fn a_trace_that_was_saved_gives_the_same_figures_when_it_is_read() {
    let place = Place::new(SPEC);
    let made = simulated(&place, &["--minutes", "20", "--save-trace", "trace.csv", "--policy", "hpa"]).await;
    let read = simulated(&place, &["--trace", "trace.csv", "--policy", "hpa"]).await;
    assert_eq!(made["trace"]["requests"], read["trace"]["requests"]);
    assert_eq!(read["trace"]["source"], "trace.csv");
    assert_eq!(made["policies"].as_array().map(Vec::len), Some(1));
}

#[tokio::test]
async fn replicas_target_and_grace_are_the_specs_and_flags_override_them() {
    let place = Place::new(SPEC);
    std::fs::write(place.path().join("trace.csv"), TRACE).expect("it can be written");
    let flags = ["--trace", "trace.csv", "--spec", ".", "--env", "staging", "--policy", "hpa"];
    let found = simulated(&place, &flags).await;
    assert_eq!((&found["replicas"]["min"], &found["replicas"]["max"]), (&3.into(), &5.into()));
    // 12 in flight planned for leave room for 20 at once.
    assert_eq!((&found["target_in_flight"], &found["service"]["concurrency"]), (&12.0.into(), &20.into()));
    assert_eq!(found["service"]["grace_ms"], 12_000);
    // Three replicas for the two minutes of the trace, at 0.5 dollars an hour: 6 minutes are 0.1 hours.
    let flags = [&flags[..], &["--replica-hour", "0.5"]].concat();
    let cost = simulated(&place, &flags).await["policies"][0]["cost_usd"].as_f64();
    assert!(cost.is_some_and(|cost| (cost - 0.05).abs() < 1e-9), "{cost:?}");
    let found = simulated(&place, &[&flags[..], &["--min", "4", "--concurrency", "9"]].concat()).await;
    assert_eq!((&found["replicas"]["min"], &found["service"]["concurrency"]), (&4.into(), &9.into()));
}

#[tokio::test]
async fn the_report_is_a_table_and_a_page() {
    let place = Place::new(SPEC);
    let flags = ["simulate", "autoscale", "--policy", "hpa", "--policy", "keda", "--html", "report.html"];
    let done = place.command(&flags).finish().await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for part in ["in flight if nobody waited", "wait p50", "replica-h", "hpa ", "keda "] {
        assert!(done.stdout.contains(part), "no `{part}`: {}", done.stdout);
    }
    assert!(!done.stdout.contains("ecs"), "{}", done.stdout);
    assert!(done.stdout.lines().all(|line| line.chars().count() <= 160), "{}", done.stdout);
    let page = std::fs::read_to_string(place.path().join("report.html")).expect("it was written");
    assert!(page.starts_with("<!doctype html>") && page.contains("<td>keda</td>"), "{page}");
}

#[tokio::test]
async fn what_is_wrong_with_a_trace_is_said_with_its_place() {
    let place = Place::new(SPEC);
    let bad = "seconds,input_tokens,output_tokens\n0,1,2\n1,many,2\n";
    std::fs::write(place.path().join("trace.csv"), bad).expect("it can be written");
    let done = place.command(&["simulate", "autoscale", "--trace", "trace.csv"]).finish().await;
    assert_eq!(done.code, Some(64), "{}", done.stderr);
    assert!(
        done.stderr.contains("trace.csv: line 3, column 3: `many` is not a number of tokens"),
        "{}",
        done.stderr
    );
    for flags in [
        &["--policy", "hpa2"][..],
        &["--slo", "5"],
        &["--min", "4", "--max", "2"],
        &["--minutes", "99999"],
        &["--trace", "trace.csv", "--minutes", "5"],
        &["--env", "prod"],
    ] {
        let command = [&["simulate", "autoscale"], flags].concat();
        assert_eq!(place.command(&command).finish().await.code, Some(64), "{flags:?}");
    }
    let done = place.command(&["simulate", "autoscale", "--trace", "none.csv"]).finish().await;
    assert_eq!(done.code, Some(1), "{}", done.stderr);
    assert!(done.stderr.contains("open `none.csv`"), "{}", done.stderr);
}
