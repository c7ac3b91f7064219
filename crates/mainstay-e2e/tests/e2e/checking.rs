//! What `check` says of specs that may be served and may not be meant, and of what they refer to outside themselves.

use mainstay_e2e::Place;
use serde_json::Value;

const MODELS: &str = "name: e2e
providers:
  near: { local: { model: smollm2-135m-instrukt } }
  file: { local: { path: no.gguf } }
  replies: { scripted: { file: none.json } }
models:
  default: { targets: [near/any, file/any, replies/any] }
agents:
  hello:
    declared: { instructions: prompts/assistant.markdown }
";

#[tokio::test]
async fn what_may_not_be_meant_is_a_warning_with_its_place() {
    let place = Place::new(MODELS);
    let done = place.command(&["check"]).finish().await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    assert!(done.stdout.contains("ok (1 agents"), "{}", done.stdout);
    for part in [
        "mainstay.yaml:3:27",
        "did you mean `smollm2-135m-instruct`?",
        "there is no file `no.gguf`",
        "there is no file `none.json`",
        "`prompts/assistant.markdown` looks like a path",
        "4 warnings in",
    ] {
        assert!(done.stderr.contains(part), "no `{part}`: {}", done.stderr);
    }
    let done = place.command(&["check", "--format", "json"]).finish().await;
    let found: Value = serde_json::from_str(&done.stdout).expect("it is JSON");
    assert_eq!((found["count"].as_u64(), found["warnings"].as_array().map(Vec::len)), (Some(0), Some(4)));
    assert_eq!(
        (&found["warnings"][0]["line"], &found["warnings"][0]["code"]),
        (&3.into(), &"CONFIG_REFERENCE".into())
    );
}

#[tokio::test]
async fn a_server_logs_warnings_with_their_place() {
    let spec = MODELS.replace("replies: { scripted: { file: none.json } }", "replies: { scripted: {} }");
    let server = Place::new(&spec).serve().await;
    server.says(r#""line":3,"column":27"#).await;
    server.says("did you mean `smollm2-135m-instruct`?").await;
}

const SECRETS: &str = "name: e2e
access: { keys: [{ name: web, key: \"env:WEB_KEY_X\" }] }
providers:
  vendor: { openai: { api_key: \"env:VENDOR_KEY_X\" } }
models:
  default: { targets: [vendor/any] }
tools:
  tickets:
    http:
      description: Reads a ticket.
      url: https://tickets.example/
      parameters: { type: object }
      headers: { authorization: \"Bearer ${file:token.txt}\" }
agents:
  a:
    app: { url: \"http://127.0.0.1:9\", command: exec sleep 1000, env: { TOKEN: \"env:APP_KEY_X\" } }
";

#[tokio::test]
async fn every_missing_secret_is_named_at_once() {
    let place = Place::new(SECRETS);
    assert_eq!(place.command(&["check"]).finish().await.code, Some(0), "the spec itself is fine");
    for words in [&["check", "--env"][..], &["serve", ".", "--listen", "127.0.0.1:0"]] {
        let done = place.command(words).finish().await;
        assert_eq!(done.code, Some(69), "{words:?}: {}", done.stderr);
        for secret in ["env:WEB_KEY_X", "env:VENDOR_KEY_X", "file:token.txt", "env:APP_KEY_X"] {
            assert!(done.stderr.contains(secret), "{words:?} does not name `{secret}`: {}", done.stderr);
        }
    }
    let mut check = place.command(&["check", "--env"]);
    for name in ["WEB_KEY_X", "VENDOR_KEY_X", "APP_KEY_X"] {
        check = check.variable(name, "x");
    }
    std::fs::write(place.path().join("token.txt"), "x").expect("the folder can be written");
    let done = check.finish().await;
    assert_eq!((done.code, done.stderr.as_str()), (Some(0), ""));
}

#[tokio::test]
async fn a_code_that_is_shown_can_be_explained() {
    let place = Place::new("name: e2e\nserver: { drian: 5s }\n");
    let done = place.command(&["check"]).finish().await;
    assert!(done.stderr.contains("`mainstay explain CONFIG_UNKNOWN_KEY`"), "{}", done.stderr);
    let done = place.command(&["explain", "config_unknown_key"]).finish().await;
    assert_eq!(done.code, Some(0));
    assert!(done.stdout.starts_with("# CONFIG_UNKNOWN_KEY\n"), "{}", done.stdout);
    let done = place.command(&["explain", "SECRET_UNAVAILABLE"]).finish().await;
    assert!(done.stdout.ends_with("where Mainstay runs.\n"), "{}", done.stdout);
    assert!(place.command(&["explain"]).finish().await.stdout.contains("\nRUN_NOT_FOUND "));
    let done = place.command(&["explain", "CONFIG_VALEU"]).finish().await;
    assert_eq!(done.code, Some(64));
    assert!(done.stderr.contains("did you mean `CONFIG_VALUE`?"), "{}", done.stderr);
}

#[tokio::test]
async fn a_spec_that_cannot_be_read_says_what_is_wrong_with_it() {
    let place = Place::new("");
    let check = async |help: &str| {
        let done = place.command(&["check"]).finish().await;
        assert_eq!(done.code, Some(78));
        assert!(done.stderr.contains(help), "{}", done.stderr);
    };
    std::fs::write(place.spec_path(), b"name: caf\xe9\n").expect("it can be written");
    check("save it as UTF-8").await;
    std::fs::rename(place.spec_path(), place.path().join("mainstay.yml")).expect("it is there");
    check("rename it to `mainstay.yaml`").await;
    std::fs::remove_file(place.path().join("mainstay.yml")).expect("it is there");
    check("`mainstay new NAME`").await;
}

#[tokio::test]
async fn a_new_service_has_its_folders_name_also_where_one_stands() {
    let place = Place::new("");
    let folder = place.path().join("ticket-desk");
    std::fs::create_dir(&folder).expect("it can be made");
    std::fs::remove_file(place.spec_path()).expect("it is there");
    let shell =
        format!("cd {} && exec {} new .", folder.display(), mainstay_testkit::process::binary().display());
    let made = std::process::Command::new("sh").args(["-c", &shell]).output().expect("a shell runs");
    assert!(made.status.success(), "{made:?}");
    let spec = std::fs::read_to_string(folder.join("mainstay.yaml")).expect("it was made");
    assert!(spec.contains("name: ticket-desk"), "{spec}");
}

#[tokio::test]
async fn what_goes_to_a_file_has_no_colours() {
    let place = Place::new("name: e2e\nserver: { drian: 5s }\n");
    let done = place.command(&["check"]).finish().await;
    assert!(!done.stderr.contains('\x1b'), "{}", done.stderr);
    let place = Place::scripted(&["{ text: Paris. }"]);
    let mut server = place.dev().await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    server.says("stopped").await;
    assert!(!server.said().contains('\x1b'), "{}", server.said());
}

const RESOURCES: &str = "apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: { name: c }
spec:
  nameResolution: { component: mdns }
  metric: { enabled: true, recordErrorCodes: true }
";

const ROUTED: &str = "apiVersion: dapr.io/v2alpha1
kind: Subscription
metadata: { name: s }
spec:
  pubsubname: bus
  topic: t
  routes: { rules: [{ match: 'event.type ==', path: /t }] }
";

#[tokio::test]
async fn resource_files_are_checked_with_what_has_no_effect_and_what_is_no_condition() {
    let place = Place::new(
        "name: shop\ncomponents: resources\nagents: { a: { app: { url: http://127.0.0.1:1 } } }\n",
    );
    let resources = place.path().join("resources");
    std::fs::create_dir(&resources).expect("a folder can be made");
    std::fs::write(resources.join("c.yaml"), RESOURCES).expect("a file can be written");
    let done = place.command(&["check"]).finish().await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
    for part in ["c.yaml:5:3", "`spec.nameResolution` has no effect here", "c.yaml:6:28", "`enabled` counts"]
    {
        assert!(done.stderr.contains(part), "no `{part}`: {}", done.stderr);
    }
    std::fs::write(resources.join("s.yaml"), ROUTED).expect("a file can be written");
    let done = place.command(&["check"]).finish().await;
    assert_eq!(done.code, Some(78), "{}", done.stderr);
    assert!(done.stderr.contains("s.yaml:7:30"), "{}", done.stderr);
    let words = ["sidecar", "--app-id", "shop", "--resources-path", "resources", "--dapr-http-port", "0"];
    let refused = place.command(&words).finish().await;
    assert_eq!(
        (refused.code, refused.stderr.contains("s.yaml:7:30")),
        (Some(78), true),
        "{}",
        refused.stderr
    );
}
