//! The commands: a server comes up, says where it is, and is asked; what cannot be served is refused with its reason
//! and the documented exit code.

use mainstay_e2e::Place;
use serde_json::json;

const PARIS: &str = "{ when: capital, text: Paris. }";

#[tokio::test]
async fn dev_serves_the_agent_that_its_banner_names() {
    let place = Place::scripted(&[PARIS]);
    let server = place.dev().await;
    let said = server.said();
    let base = format!("http://{}", server.address());
    assert!(said.contains(&format!("{base}/v1/agents/hello/invoke")), "{said}");
    assert!(said.contains("curl "), "{said}");
    let question = json!({ "query": "What is the capital of France?" });
    for path in ["/v1/agents/hello/invoke", "/v1/invoke", "/invoke"] {
        let answer = server.client().post(path, &question).await;
        assert_eq!(answer.status, 200, "{path}: {answer:?}");
        assert_eq!(answer.json()["response"], "Paris.", "{path}");
    }
    let run = server.client().post("/v1/agents/hello/invoke", &question).await.json();
    assert_eq!((run["status"].as_str(), run["answer"].as_str()), (Some("completed"), Some("Paris.")));
}

#[tokio::test]
async fn the_pages_of_the_operator_are_there() {
    let place = Place::scripted(&[PARIS]);
    let server = place.serve().await;
    let client = server.client();
    for path in ["/health", "/health/live", "/ready", "/health/ready", "/docs", "/v1/agents", "/v1/models"] {
        assert_eq!(client.get(path).await.status, 200, "{path}");
    }
    let metrics = client.get("/metrics").await;
    assert!(String::from_utf8_lossy(&metrics.body).contains("# TYPE"), "no Prometheus text");
    let openapi = client.get("/openapi.json").await.json();
    assert!(
        openapi["openapi"].as_str().is_some_and(|version| version.starts_with("3.1")),
        "{}",
        openapi["openapi"]
    );
}

#[tokio::test]
async fn a_model_that_is_not_here_is_not_ready_and_says_what_to_do() {
    let spec = |targets: &str| {
        format!(
            "name: e2e
providers:
  small: {{ local: {{}} }}
  script: {{ scripted: {{}} }}
models:
  default: {{ targets: [{targets}] }}
"
        )
    };
    let place = Place::new(&spec("small/any"));
    let server = place.serve().await;
    let answer = server.client().get("/ready").await;
    assert_eq!(answer.status, 503, "{answer:?}");
    let found = answer.json()["dependencies"][1].clone();
    assert_eq!(
        (found["name"].as_str(), found["code"].as_str()),
        (Some("model default"), Some("MODEL_FILE_UNAVAILABLE"))
    );
    assert_eq!(found["help"], "run `mainstay models pull smollm2-135m-instruct`");
    server.says("mainstay models pull smollm2-135m-instruct").await;
    drop(server);
    let place = Place::new(&spec("small/any, script/any"));
    assert_eq!(place.serve().await.client().get("/ready").await.status, 200, "another target answers");
}

#[tokio::test]
async fn healthcheck_tells_a_running_server_from_none() {
    let place = Place::scripted(&[PARIS]);
    let mut server = place.serve().await;
    let url = format!("http://{}", server.address());
    let check = || place.command(&["healthcheck", "--url", &url]).finish();
    assert_eq!(check().await.code, Some(0));
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    assert_eq!(check().await.code, Some(1));
}

#[tokio::test]
async fn invoke_prints_the_answer_of_a_running_server() {
    let place = Place::scripted(&[PARIS]);
    let server = place.serve().await;
    let url = format!("http://{}", server.address());
    let done = place.command(&["invoke", "What is the capital?", "--url", &url]).finish().await;
    assert_eq!((done.code, done.stdout.trim()), (Some(0), "Paris."), "{}", done.stderr);
}

#[tokio::test]
async fn clients_find_the_server_by_its_spec() {
    let place = Place::scripted(&[PARIS]);
    let server = place.serve().await;
    let address = server.address().to_string();
    let other = Place::new(&format!("name: e2e\nserver: {{ listen: \"{address}\" }}\n"));
    let folder = other.path().to_str().expect("a temporary path is text").to_owned();
    for (at, words) in [
        (&place, vec!["--url", address.as_str()]),
        (&place, vec!["--spec", folder.as_str()]),
        (&other, vec![]),
    ] {
        let ask = [&["invoke", "What is the capital?"], words.as_slice()].concat();
        let done = at.command(&ask).finish().await;
        assert_eq!((done.code, done.stdout.trim()), (Some(0), "Paris."), "{words:?}: {}", done.stderr);
        let done = at.command(&[&["healthcheck"], words.as_slice()].concat()).finish().await;
        assert_eq!(done.code, Some(0), "{words:?}: {}", done.stderr);
    }
    let done = place.command(&["healthcheck"]).variable("MAINSTAY_LISTEN", &address).finish().await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    let done = place.command(&["healthcheck", "--spec", "nowhere"]).finish().await;
    assert_eq!(done.code, Some(78), "{}", done.stderr);
}

#[tokio::test]
async fn an_invoke_that_is_stopped_names_its_run() {
    let place = Place::scripted(&[&mainstay_e2e::numbered(4000, 20)]);
    let server = place.serve().await;
    let url = server.address().to_string();
    let ask = place.command(&["invoke", "Count.", "--url", &url]);
    let done = ask.interrupt_after("w0001").await;
    assert_eq!(done.code, Some(130), "{}", done.stderr);
    let run = done.stderr.split("/v1/runs/").nth(1).expect("the run is named").trim().to_owned();
    assert_eq!(server.client().get(&format!("/v1/runs/{run}")).await.json()["status"], "running");
}

#[tokio::test]
async fn a_new_folder_passes_its_own_check() {
    let place = Place::scripted(&[]);
    let made = place.command(&["new", "my-agent"]).finish().await;
    assert_eq!(made.code, Some(0), "{}", made.stderr);
    let checked = place.command(&["check", "my-agent"]).finish().await;
    assert_eq!(checked.code, Some(0), "{}", checked.stderr);
}

#[tokio::test]
async fn every_fault_of_a_spec_is_shown_at_once_with_its_place() {
    let spec = "name: e2e\nserver: { drian: 5s }\nagents:\n  hello:\n    declared: { model: nowhere, steps_max: 0 }\n";
    let place = Place::new(spec);
    for command in ["check", "serve"] {
        let done = place.command(&[command, "."]).finish().await;
        assert_eq!(done.code, Some(78), "{command}: {}", done.stderr);
        for part in ["mainstay.yaml:2:", "drain", "mainstay.yaml:5:", "nowhere", "steps_max"] {
            assert!(done.stderr.contains(part), "{command} does not say `{part}`: {}", done.stderr);
        }
    }
}

#[tokio::test]
async fn listening_beyond_loopback_without_a_key_is_refused() {
    let place = Place::scripted(&[PARIS]);
    let done = place.command(&["serve", ".", "--listen", "0.0.0.0:0"]).finish().await;
    assert_eq!(done.code, Some(78), "{}", done.stderr);
    assert!(done.stderr.contains("key"), "{}", done.stderr);
}

#[tokio::test]
async fn a_second_process_on_the_same_data_folder_is_refused() {
    let place = Place::scripted(&[PARIS]);
    let first = place.serve().await;
    let second = place.command(&["serve", ".", "--listen", "127.0.0.1:0"]).finish().await;
    assert_eq!(second.code, Some(69), "{}", second.stderr);
    assert!(second.stderr.contains("JOURNAL_LOCKED"), "{}", second.stderr);
    assert_eq!(first.client().get("/ready").await.status, 200);
}

#[tokio::test]
async fn a_port_in_use_is_named() {
    let place = Place::scripted(&[PARIS]);
    let first = place.serve().await;
    let address = first.address().to_string();
    let other = Place::scripted(&[PARIS]);
    let second = other.command(&["serve", ".", "--listen", &address]).finish().await;
    assert_eq!(second.code, Some(69), "{}", second.stderr);
    assert!(second.stderr.contains(&address), "{}", second.stderr);
}

#[tokio::test]
async fn a_command_that_does_not_exist_is_a_usage_error() {
    let place = Place::scripted(&[]);
    assert_eq!(place.command(&["serv"]).finish().await.code, Some(64));
    let version = place.command(&["--version"]).finish().await;
    assert_eq!(version.code, Some(0));
    assert!(version.stdout.starts_with("mainstay "), "{}", version.stdout);
}
