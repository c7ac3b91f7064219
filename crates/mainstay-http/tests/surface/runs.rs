//! Runs and sessions: read, followed, resumed, cancelled, forgotten.

use futures_util::StreamExt as _;
use http::Request;
use http_body_util::BodyExt as _;
use mainstay_core::message::Reasoning;
use mainstay_core::model::ModelEvent;
use serde_json::{Value, json};

use crate::house::{Event, House, empty, post, until, with};
use crate::scripted::{Script, saying};

async fn run(house: &House, query: &str, session: Option<&str>) -> String {
    let answer = house.post("/v1/agents/echo/invoke", json!({"query": query, "session_id": session})).await;
    answer.json()["id"].as_str().unwrap().to_owned()
}

fn ids(list: &Value, of: &str) -> Vec<String> {
    list[of].as_array().unwrap().iter().map(|entry| entry["id"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_run_is_read_with_what_was_asked_and_said() {
    let house = House::new();
    let id = run(&house, "hi", None).await;
    let found = house.get(&format!("/v1/runs/{id}")).await.json();
    assert_eq!((&found["input"], &found["status"]), (&json!({"query": "hi"}), &json!("completed")));
    let said = json!([{"role": "assistant", "content": [{"type": "text", "text": "You said: hi"}]}]);
    assert_eq!(found["messages"], said);
    let answer = house.get("/v1/runs/run_none").await;
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "RUN_NOT_FOUND"));
    assert_eq!(house.get("/v1/runs/%20").await.code(), "RUN_NOT_FOUND");
}

#[tokio::test]
async fn runs_are_listed_filtered_and_paged() {
    let house = House::new();
    let mut made = Vec::new();
    for n in 0..3 {
        made.push(run(&house, &format!("q{n}"), Some("s1")).await);
    }
    made.push(run(&house, "other", Some("s2")).await);
    let newest_first: Vec<String> = made.iter().rev().cloned().collect();
    assert_eq!(ids(&house.get("/v1/runs").await.json(), "runs"), newest_first);
    assert_eq!(ids(&house.get("/v1/runs?session_id=s1").await.json(), "runs"), made[..3]);
    assert_eq!(ids(&house.get("/v1/runs?status=failed").await.json(), "runs"), Vec::<String>::new());
    assert_eq!(ids(&house.get("/v1/runs?agent=demo").await.json(), "runs"), Vec::<String>::new());
    let page = house.get("/v1/runs?limit=3").await.json();
    assert_eq!(ids(&page, "runs"), newest_first[..3]);
    let rest = house.get(&format!("/v1/runs?limit=3&after={}", page["next"].as_str().unwrap())).await.json();
    assert_eq!((ids(&rest, "runs"), &rest["next"]), (newest_first[3..].to_vec(), &Value::Null));
}

#[tokio::test]
async fn a_parameter_that_does_not_fit_is_422() {
    let house = House::new();
    let id = run(&house, "hi", None).await;
    let cases = [
        ("/v1/runs?limit=0".to_owned(), "limit"),
        ("/v1/runs?limit=1001".to_owned(), "limit"),
        ("/v1/runs?limit=x".to_owned(), "limit"),
        ("/v1/runs?status=done".to_owned(), "status"),
        ("/v1/runs?agent=a%20b".to_owned(), "agent"),
        ("/v1/sessions?after=".to_owned(), "after"),
        (format!("/v1/runs/{id}/events?after=-1"), "after"),
    ];
    for (path, field) in cases {
        let answer = house.get(&path).await;
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]["field"]),
            (422, &json!(field)),
            "{path}"
        );
    }
}

async fn events_after(house: &House, id: &str, header: Option<&str>, query: &str) -> Vec<Event> {
    let mut request = Request::get(format!("/v1/runs/{id}/events{query}")).body(empty()).unwrap();
    if let Some(last) = header {
        request = with(request, "last-event-id", last);
    }
    house.send(request).await.events()
}

#[tokio::test]
async fn a_stream_resumes_after_the_last_event_seen() {
    let house = House::new();
    let answer = house.post("/v1/agents/echo/stream", json!({"query": "hi"})).await;
    let id = answer.header("x-run-id").unwrap().to_owned();
    let whole = answer.events();
    assert!(whole.len() >= 3);
    assert_eq!(events_after(&house, &id, None, "").await, whole);
    assert_eq!(events_after(&house, &id, Some("1"), "").await, whole[1..]);
    assert_eq!(events_after(&house, &id, None, "?after=2").await, whole[2..]);
    assert_eq!(events_after(&house, &id, Some("2"), "?after=0").await, whole[2..]);
    assert_eq!(events_after(&house, &id, Some("999"), "").await, []);
    let refused =
        with(Request::get(format!("/v1/runs/{id}/events")).body(empty()).unwrap(), "last-event-id", "x");
    assert_eq!(house.send(refused).await.json()["error"]["field"], "last-event-id");
}

#[tokio::test]
async fn a_run_at_work_is_followed_live_and_ends_when_cancelled() {
    let house = House::new();
    house.next(Script::Stall("part"));
    let started =
        house.post("/v1/agents/echo/invoke", json!({"query": "hi", "background": true})).await.json();
    let id = started["id"].as_str().unwrap();
    let request = Request::get(format!("/v1/runs/{id}/events")).body(empty()).unwrap();
    let mut stream = house.open(request).await.into_body().into_data_stream();
    let mut seen = String::new();
    while !seen.contains("message.delta") {
        seen.push_str(std::str::from_utf8(&stream.next().await.unwrap().unwrap()).unwrap());
    }
    let cancelled = house.post(&format!("/v1/runs/{id}/cancel"), "").await;
    assert_eq!((cancelled.status.as_u16(), &cancelled.json()["status"]), (200, &json!("cancelled")));
    while let Some(piece) = stream.next().await {
        seen.push_str(std::str::from_utf8(&piece.unwrap()).unwrap());
    }
    assert!(seen.contains("event: run.cancelled\n") && seen.contains("RUN_CANCELLED"), "{seen}");
    // Cancelling again changes nothing.
    let again = house.post(&format!("/v1/runs/{id}/cancel"), "").await;
    assert_eq!((again.status.as_u16(), &again.json()["status"]), (200, &json!("cancelled")));
}

#[tokio::test]
async fn events_come_as_json_where_that_is_asked_for() {
    let house = House::new();
    let id = run(&house, "hi", None).await;
    let request = Request::get(format!("/v1/runs/{id}/events?after=1")).header("accept", "application/json");
    let answer = house.send(request.body(empty()).unwrap()).await;
    assert_eq!(answer.header("content-type"), Some("application/json"));
    let list = answer.json();
    let events = list["events"].as_array().unwrap();
    assert_eq!((&events[0]["seq"], &list["is_final"]), (&json!(2), &json!(true)));
    assert_eq!(list["more"], json!(false));
    assert_eq!(list["last"], events.last().unwrap()["seq"]);
    house.next(Script::Stall("part"));
    let started =
        house.post("/v1/agents/echo/invoke", json!({"query": "hi", "background": true})).await.json();
    let path = format!("/v1/runs/{}/events", started["id"].as_str().unwrap());
    let so_far = async || {
        let request = Request::get(&path).header("accept", "application/json");
        house.send(request.body(empty()).unwrap()).await.json()
    };
    until("the part", async || so_far().await["events"].to_string().contains("part")).await;
    assert_eq!(so_far().await["is_final"], json!(false));
}

#[tokio::test]
async fn a_cancelled_run_is_409_to_who_waits_for_it() {
    let house = House::new();
    house.next(Script::Stall("a"));
    let asked = house.post("/v1/agents/echo/invoke", json!({"query": "hi"}));
    let cancel = async {
        let mut id = String::new();
        until("the run", async || {
            let list = house.get("/v1/runs?status=running").await.json();
            id = list["runs"][0]["id"].as_str().unwrap_or_default().to_owned();
            !id.is_empty()
        })
        .await;
        house.post(&format!("/v1/runs/{id}/cancel"), "").await
    };
    let (answer, _) = tokio::join!(asked, cancel);
    assert_eq!((answer.status.as_u16(), answer.code().as_str()), (409, "RUN_CANCELLED"));
}

#[tokio::test]
async fn sessions_are_listed_read_and_forgotten() {
    let house = House::new();
    run(&house, "one", Some("s1")).await;
    run(&house, "two", Some("s1")).await;
    run(&house, "three", Some("s2")).await;
    let list = house.get("/v1/sessions").await.json();
    let mut found = ids(&list, "sessions");
    found.sort();
    assert_eq!(found, ["s1", "s2"]);
    let session = house.get("/v1/sessions/s1").await.json();
    assert_eq!((&session["runs"], &session["agent"]), (&json!(2), &json!("echo")));
    let roles: Vec<&str> = session["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|message| message["role"].as_str().unwrap())
        .collect();
    assert_eq!(roles, ["user", "assistant", "user", "assistant"]);
    let gone = house.delete("/v1/sessions/s1").await;
    assert_eq!((gone.status.as_u16(), gone.body.as_str()), (204, ""));
    for answer in [house.get("/v1/sessions/s1").await, house.delete("/v1/sessions/s1").await] {
        assert_eq!((answer.status.as_u16(), answer.code().as_str()), (404, "SESSION_NOT_FOUND"));
    }
    assert_eq!(ids(&house.get("/v1/sessions").await.json(), "sessions"), ["s2"]);
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let house = House::new();
    let id = run(&house, "hi", None).await;
    let head = Request::head(format!("/v1/runs/{id}")).body(empty()).unwrap();
    let answer = house.send(head).await;
    assert_eq!((answer.status.as_u16(), answer.body.as_str()), (200, ""));
    assert!(answer.header("content-length").unwrap().parse::<u64>().unwrap() > 0);
    assert_eq!(house.surface.in_flight(), 0);
    let _unread = house.send(post("/v1/runs/x/cancel", "ignored")).await;
    assert_eq!(house.surface.in_flight(), 0);
}

#[tokio::test]
async fn a_long_list_of_events_comes_in_pages_and_a_stream_whole() {
    let house = House::new();
    let piece = "x".repeat(700_000);
    // Deltas and reasoning take turns, so that the pieces stay apart.
    let think = || Ok(ModelEvent::Reasoning(Reasoning { text: piece.clone(), ..Reasoning::default() }));
    let mut answer = saying(&[&piece]);
    answer.insert(1, think());
    house.next(Script::Events(answer));
    let id = run(&house, "hi", None).await;
    let page = async |after: u64| {
        let path = format!("/v1/runs/{id}/events?after={after}");
        let request = Request::get(path).body(empty()).unwrap();
        house.send(with(request, "accept", "application/json")).await.json()
    };
    let (mut seqs, mut pages, mut after) = (Vec::new(), 0, 0);
    loop {
        let list = page(after).await;
        seqs.extend(list["events"].as_array().unwrap().iter().map(|event| event["seq"].as_u64().unwrap()));
        (pages, after) = (pages + 1, list["last"].as_u64().unwrap());
        assert_ne!(list["more"], list["is_final"], "the run has ended, so one or the other");
        if list["more"] == json!(false) {
            break;
        }
    }
    let whole = events_after(&house, &id, None, "").await;
    assert_eq!(seqs, (1..=whole.len() as u64).collect::<Vec<_>>());
    assert!(pages > 1, "the events do not fit into one page");
}
