//! Runs outlive connections and processes: a stream resumes without a gap, a crash is told, a drain lets streams end,
//! and a changed spec cuts none.

use std::time::Duration;

use mainstay_e2e::{Place, numbered, numbered_text, spec};
use mainstay_testkit::process::{Client, Event, EventStream, PATIENCE};
use serde_json::{Value, json};

fn ask() -> Value {
    json!({ "query": "Count." })
}

/// Reads until so many pieces of the answer have come.
async fn pieces(stream: &mut EventStream, count: usize) -> Vec<Event> {
    let mut events: Vec<Event> = Vec::new();
    while events.iter().filter(|event| event.name == "message.delta").count() < count {
        events.push(stream.next().await.expect("the stream goes on"));
    }
    events
}

fn text(events: &[Event]) -> String {
    let deltas = events.iter().filter(|event| event.name == "message.delta");
    deltas.map(|event| event.json()["delta"].as_str().expect("a delta is text").to_owned()).collect()
}

/// The events' ids; they must rise by one.
fn ids(events: &[Event]) -> Vec<u64> {
    let ids: Vec<u64> = events.iter().map(|event| event.id.parse().expect("an id is a number")).collect();
    assert!(ids.windows(2).all(|pair| pair[1] == pair[0] + 1), "a gap or a repeat: {ids:?}");
    ids
}

fn run_of(stream: &EventStream) -> String {
    stream.headers["x-run-id"].to_str().expect("an id is text").to_owned()
}

/// The run, once it is in `status`.
async fn run_in(client: &Client, run: &str, status: &str) -> Value {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        let seen = client.get(&format!("/v1/runs/{run}")).await.json();
        if seen["status"] == status {
            return seen;
        }
        assert!(tokio::time::Instant::now() < deadline, "never {status}: {seen}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_stream_resumes_without_gap_or_repeat_while_the_run_goes_on() {
    let place = Place::scripted(&[&numbered(60, 40)]);
    let server = place.serve().await;
    let mut stream = server.client().stream("/v1/agents/hello/stream", &ask()).await;
    let mut events = pieces(&mut stream, 5).await;
    let (run, last) = (run_of(&stream), events.last().expect("five came").id.clone());
    drop(stream);
    let mut again = server.client().resume(&format!("/v1/runs/{run}/events"), Some(&last)).await;
    events.extend(again.rest().await);
    ids(&events);
    assert_eq!(text(&events), numbered_text(60));
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("run.completed"));
}

#[tokio::test]
async fn a_run_cut_by_a_kill_is_interrupted_and_its_events_are_kept() {
    let place = Place::scripted(&[&numbered(400, 40)]);
    let server = place.serve().await;
    let mut stream = server.client().stream("/v1/agents/hello/stream", &ask()).await;
    let seen = pieces(&mut stream, 10).await;
    let run = run_of(&stream);
    server.kill().await;
    assert!(stream.rest().await.iter().all(|event| event.name == "message.delta"), "no end was told");

    let server = place.serve().await;
    let client = server.client();
    let path = format!("/v1/runs/{run}/events");
    let last = seen.last().expect("ten came").id.clone();
    let rest = client.resume(&path, Some(&last)).await.rest().await;
    let joined: Vec<Event> = seen.iter().chain(&rest).cloned().collect();
    ids(&joined);
    let end = joined.last().expect("at least the end");
    assert_eq!(
        (end.name.as_str(), end.json()["code"].as_str()),
        ("run.interrupted", Some("RUN_INTERRUPTED"))
    );
    assert!(numbered_text(400).starts_with(&text(&joined)), "what is kept is what was said");
    let whole = client.resume(&path, None).await.rest().await;
    assert_eq!(whole, joined, "a reader from the start sees the same");
    assert_eq!(run_in(&client, &run, "interrupted").await["error"]["code"], "RUN_INTERRUPTED");
}

#[tokio::test]
async fn a_session_goes_on_after_a_restart() {
    let place = Place::scripted(&["{ text: \"You said: {query}\" }"]);
    let server = place.serve().await;
    let first = json!({ "query": "one", "session_id": "s-1" });
    assert_eq!(server.client().post("/v1/agents/hello/invoke", &first).await.status, 200);
    server.kill().await;
    let server = place.serve().await;
    let client = server.client();
    let second = json!({ "query": "two", "session_id": "s-1" });
    assert_eq!(client.post("/v1/agents/hello/invoke", &second).await.json()["session_id"], "s-1");
    let runs = client.get("/v1/runs?session_id=s-1").await.json();
    let answers: Vec<&Value> =
        runs["runs"].as_array().expect("a list").iter().map(|run| &run["answer"]).collect();
    assert_eq!(answers, ["You said: one", "You said: two"]);
    assert_eq!(client.get("/v1/sessions/s-1").await.status, 200);
    assert!(matches!(client.delete("/v1/sessions/s-1").await.status, 200 | 204));
    assert_eq!(client.get("/v1/sessions/s-1").await.status, 404);
}

#[tokio::test]
async fn a_background_run_answers_at_once_and_completes_alone() {
    let place = Place::scripted(&[&numbered(20, 40)]);
    let server = place.serve().await;
    let body = json!({ "query": "Count.", "background": true });
    let answer = server.client().post("/v1/agents/hello/invoke", &body).await;
    assert_eq!(answer.status, 202);
    let run = answer.json()["id"].as_str().expect("an id").to_owned();
    assert_eq!(answer.header("location"), Some(format!("/v1/runs/{run}").as_str()));
    let done = run_in(&server.client(), &run, "completed").await;
    assert_eq!(done["answer"], numbered_text(20).as_str());
}

#[tokio::test]
async fn a_cancelled_run_ends_and_says_so_in_its_stream() {
    let place = Place::scripted(&[&numbered(400, 20)]);
    let server = place.serve().await;
    let mut stream = server.client().stream("/v1/agents/hello/stream", &ask()).await;
    pieces(&mut stream, 2).await;
    let path = format!("/v1/runs/{}/cancel", run_of(&stream));
    for _ in 0..2 {
        let answer = server.client().post(&path, &json!({})).await;
        assert_eq!((answer.status, answer.json()["status"].as_str()), (200, Some("cancelled")));
    }
    let rest = stream.rest().await;
    assert_eq!(rest.last().map(|event| event.name.as_str()), Some("run.cancelled"));
}

#[tokio::test]
async fn a_drain_refuses_new_work_and_lets_the_open_stream_end() {
    let place = Place::scripted(&[&numbered(60, 30)]);
    let mut server = place.serve().await;
    let client = server.client();
    let mut stream = client.stream("/v1/agents/hello/stream", &ask()).await;
    let mut events = pieces(&mut stream, 2).await;
    server.terminate();
    server.says("draining").await;
    let ready = client.get("/ready").await;
    assert_eq!((ready.status, ready.header("retry-after").is_some()), (503, true));
    assert_eq!(client.get("/health").await.status, 200, "the process is well");
    let refused = client.post("/v1/agents/hello/invoke", &ask()).await;
    assert_eq!((refused.status, refused.json()["error"]["code"].as_str()), (503, Some("DRAINING")));
    assert!(refused.header("retry-after").is_some());
    events.extend(stream.rest().await);
    assert_eq!(text(&events), numbered_text(60));
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("run.completed"));
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_second_signal_ends_the_wait_and_the_runs_on_record() {
    let place = Place::scripted(&[&numbered(4000, 20)]);
    let mut server = place.serve().await;
    let mut stream = server.client().stream("/v1/agents/hello/stream", &ask()).await;
    let mut events = pieces(&mut stream, 2).await;
    server.terminate();
    server.says("draining").await;
    server.terminate();
    events.extend(stream.rest().await);
    ids(&events);
    assert_eq!(events.last().map(|event| event.name.as_str()), Some("run.interrupted"));
    assert_eq!(server.ended().await.code(), Some(0));
    let server = place.serve().await;
    let path = format!("/v1/runs/{}/events", run_of(&stream));
    assert_eq!(server.client().resume(&path, None).await.rest().await, events, "all of it was on record");
    assert!(!server.said().contains("runs of the last process were cut"), "{}", server.said());
}

#[tokio::test]
async fn dev_takes_a_changed_spec_without_cutting_a_stream() {
    let place = Place::scripted(&[&numbered(80, 30)]);
    let server = place.dev().await;
    let mut stream = server.client().stream("/v1/agents/hello/stream", &ask()).await;
    let mut events = pieces(&mut stream, 2).await;
    place.write(&spec(&["{ text: changed }"]));
    server.says("reloaded the spec").await;
    let answer = server.client().post("/v1/agents/hello/invoke", &ask()).await;
    assert_eq!(answer.json()["answer"], "changed");
    events.extend(stream.rest().await);
    assert_eq!(text(&events), numbered_text(80));
}

#[tokio::test]
async fn dev_keeps_the_running_spec_when_the_new_one_has_faults() {
    let place = Place::scripted(&["{ text: old }"]);
    let server = place.dev().await;
    place.write("name: e2e\nagents: { hello: { declared: { modle: x } } }\n");
    server.says("keeping the running spec").await;
    assert!(server.said().contains("modle"), "{}", server.said());
    let answer = server.client().post("/v1/agents/hello/invoke", &ask()).await;
    assert_eq!(answer.json()["answer"], "old");
}
