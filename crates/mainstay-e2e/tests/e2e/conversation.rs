//! The models of the spec as conversation components: what apps ask them, which target answers, and what is said of
//! names that there are not.

use std::path::Path;

use mainstay_e2e::Place;
use mainstay_testkit::process::{Client, Launch, PATIENCE, Server};
use serde_json::{Value, json};

/// Two models, of which the first has a target that fails before the one that answers; and an app that writes down
/// where the blocks are.
const SPEC: &str = "
name: shop
components: components
providers:
  broken: { scripted: { replies: [{ fault: { status: { code: 503 } } }] } }
  script:
    scripted:
      replies:
        - { when: weather, tool_calls: [{ name: look, arguments: { at: Oslo } }] }
        - { text: \"you said {query}\" }
models:
  fast: { targets: [broken/any, script/any] }
  plain: { targets: [script/any] }
agents:
  a:
    app:
      url: http://127.0.0.1:1
      command: \"echo $DAPR_HTTP_PORT > told; while :; do sleep 0.05; done\"
";

fn component(name: &str, kind: &str, settings: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{ name: {name} }}\n\
         spec: {{ type: {kind}, version: v1, metadata: [{settings}] }}\n"
    )
}

fn place(files: &[(&str, String)]) -> Place {
    let place = Place::new(SPEC);
    files.iter().for_each(|(name, text)| write(place.path(), name, text));
    place
}

fn write(folder: &Path, name: &str, text: &str) {
    let folder = folder.join("components");
    std::fs::create_dir_all(&folder).expect("a folder can be made");
    std::fs::write(folder.join(name), text).expect("a file can be written there");
}

fn words() -> [&'static str; 8] {
    ["serve", ".", "--listen", "127.0.0.1:0", "--dapr-http-port", "0", "--dapr-grpc-port", "0"]
}

/// The service, and the API that is served to its app.
async fn start(place: &Place) -> (Server, Client) {
    let server = place.command(&words()).start().await;
    let told = || std::fs::read_to_string(place.path().join("told")).unwrap_or_default();
    let written = async {
        while !told().ends_with('\n') {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, written).await.expect("the app is told in time");
    let port: u16 = told().trim().parse().expect("it is a port");
    (server, Client::new(([127, 0, 0, 1], port).into()))
}

fn asked(text: &str) -> Value {
    json!({"inputs": [{"messages": [{"ofUser": {"content": [{"text": text}]}}]}]})
}

async fn converse(client: &Client, component: &str, body: &Value) -> (u16, Value) {
    let answer = client.post(&format!("/v1.0-alpha2/conversation/{component}/converse"), body).await;
    (answer.status, answer.json())
}

fn content(answer: &Value) -> &Value {
    &answer["outputs"][0]["choices"][0]["message"]["content"]
}

#[tokio::test]
async fn a_component_answers_with_the_specs_model_and_what_fails_is_left_for_the_next_target() {
    let model = component("assistant", "conversation.mainstay", "{ name: model, value: fast }");
    let place = place(&[("assistant.yaml", model)]);
    let (server, client) = start(&place).await;
    let (status, answer) = converse(&client, "assistant", &asked("hello")).await;
    assert_eq!((status, content(&answer)), (200, &json!("you said hello")), "{answer}");
    let older = json!({"inputs": [{"content": "hello", "role": "user"}]});
    let answer = client.post("/v1.0-alpha1/conversation/assistant/converse", &older).await;
    assert_eq!((answer.status, &answer.json()["outputs"][0]["result"]), (200, &json!("you said hello")));
    // Each call is accounted for as any other call of that model.
    let metrics = server.client().get("/metrics").await;
    let metrics = String::from_utf8_lossy(&metrics.body).into_owned();
    for (provider, outcome) in [("broken", "PROVIDER_UNAVAILABLE"), ("script", "ok")] {
        let holds = |line: &&str| {
            ["model_calls_total{", "model=\"fast\"", &format!("provider=\"{provider}\""), outcome]
                .iter()
                .all(|part| line.contains(part))
        };
        let counted = metrics.lines().find(holds).unwrap_or_else(|| panic!("{provider}: {metrics}"));
        assert!(counted.ends_with(" 2"), "{counted}");
    }
}

#[tokio::test]
async fn the_model_calls_the_tools_that_it_is_given_and_is_told_what_they_gave() {
    let model = component("assistant", "conversation.mainstay", "{ name: model, value: plain }");
    let place = place(&[("assistant.yaml", model)]);
    let (_server, client) = start(&place).await;
    let mut body = asked("the weather?");
    body["tools"] = json!([{"function": {"name": "look", "parameters": {"type": "object"}}}]);
    let (status, answer) = converse(&client, "assistant", &body).await;
    let choice = &answer["outputs"][0]["choices"][0];
    let call = &choice["message"]["toolCalls"][0];
    assert_eq!((status, &choice["finishReason"]), (200, &json!("tool_calls")), "{answer}");
    assert_eq!(call["function"]["name"], json!("look"), "{answer}");
    let arguments: Value =
        serde_json::from_str(call["function"]["arguments"].as_str().expect("it is a text")).expect("JSON");
    assert_eq!(arguments, json!({"at": "Oslo"}));
    let messages = body["inputs"][0]["messages"].as_array_mut().expect("it is a list");
    messages.push(json!({"ofAssistant": {"toolCalls": [call]}}));
    let gave = json!({"toolId": call["id"], "name": "look", "content": [{"text": "rain"}]});
    messages.push(json!({ "ofTool": gave }));
    let (status, answer) = converse(&client, "assistant", &body).await;
    assert_eq!((status, content(&answer)), (200, &json!("you said the weather?")), "{answer}");
}

#[tokio::test]
async fn every_model_is_a_component_by_its_own_name_unless_a_file_has_one() {
    // A file's component is what it says, whatever the models are called.
    let place = place(&[("plain.yaml", component("plain", "conversation.echo", ""))]);
    let (server, client) = start(&place).await;
    let said = async |name: &str| converse(&client, name, &asked("hello")).await;
    let (status, answer) = said("fast").await;
    assert_eq!((status, content(&answer)), (200, &json!("you said hello")), "{answer}");
    assert_eq!(content(&said("plain").await.1), &json!("hello"));
    let (status, answer) = said("slow").await;
    assert_eq!((status, &answer["errorCode"]), (400, &json!("ERR_CONVERSATION_NOT_FOUND")), "{answer}");
    let known = client.get("/v1.0/metadata").await.json();
    let named = known["components"].as_array().expect("it is a list").iter();
    let types: Vec<_> = named.map(|one| (one["name"].clone(), one["type"].clone())).collect();
    let expect = [("plain", "conversation.echo"), ("fast", "conversation.mainstay")];
    assert_eq!(types, expect.map(|(name, kind)| (json!(name), json!(kind))), "{known}");
    // A reload takes the models as it takes the files.
    place.write(&SPEC.replace("  fast:", "  slow:"));
    server.reload();
    server.says("reloaded the spec").await;
    assert_eq!((said("slow").await.0, said("fast").await.0), (200, 400));
}

#[tokio::test]
async fn a_configuration_that_denies_the_type_keeps_the_models_to_the_agents() {
    let denied = "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: { name: c }\n\
                  spec: { components: { deny: [conversation.mainstay] } }\n";
    let place = place(&[("c.yaml", denied.to_owned())]);
    let (_server, client) = start(&place).await;
    assert_eq!(converse(&client, "fast", &asked("hello")).await.0, 400);
}

#[tokio::test]
async fn a_model_that_is_not_there_is_a_fault_at_its_place_with_the_nearest_name() {
    let model = component("assistant", "conversation.mainstay", "{ name: model, value: fasst }");
    let place = place(&[("assistant.yaml", model), ("b.yaml", component("b", "conversation.mainstay", ""))]);
    for words in [&["check", "."][..], &words()] {
        let ended = place.command(words).finish().await;
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        for part in ["assistant.yaml:4:", "no model `fasst`", "did you mean `fast`?", "`model` is missing"] {
            assert!(ended.stderr.contains(part), "`{part}` is missing:\n{}", ended.stderr);
        }
    }
}

#[tokio::test]
async fn without_a_spec_there_are_no_models_and_the_fault_says_which_command_has_them() {
    let model = component("assistant", "conversation.mainstay", "{ name: model, value: fast }");
    let place = place(&[("assistant.yaml", model)]);
    let sidecar = ["sidecar", "--app-id", "x", "--resources-path", "components"];
    let run = ["run", "--app-id", "x", "--resources-path", "components", "--", "true"];
    for words in [&sidecar[..], &run] {
        let ended = Launch::new(place.path(), words).finish().await;
        assert_eq!(ended.code, Some(78), "{}", ended.stderr);
        for part in ["assistant.yaml:4:", "this command has no spec", "`mainstay serve`"] {
            assert!(ended.stderr.contains(part), "`{part}` is missing:\n{}", ended.stderr);
        }
    }
}
