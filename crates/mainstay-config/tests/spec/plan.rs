//! Good specs and the plans they make.

use std::path::{Path, PathBuf};
use std::time::Duration;

use mainstay_config::{Disk, Files as _, Overrides, ScaffoldModel, Source, scaffold};
use mainstay_core::plan::{
    Access, Agent, AgentKind, Anonymous, App, AppPlan, Data, Declared, EnvValue, Fallback, Key, Member,
    Metrics, Model, OnDisconnect, Process, Server, SessionPolicy, Target,
};
use mainstay_core::{Name, Plan, SecretRef};
use serde_json::json;

use crate::fakes::{KINDS, Memory, load, load_with};

const FULL: &str = r#"
name: support-desk
server:
  listen: "0.0.0.0:9000"
  drain: 45s
  request_timeout: 2m
  header_timeout: 5s
  idle_timeout: 90s
  write_timeout: 30s
  body_timeout: 20s
  body_bytes_max: 2MiB
  connections_max: 500
  requests_max: 100
access:
  keys:
    - { name: web, key: "env:WEB_KEY", requests_per_minute: 600, concurrency: 64 }
    - { name: job, key: "file:/run/secrets/job" }
  anonymous: loopback
  cors: { origins: ["https://app.example.com"] }
data: { folder: state, retention: 7d, bytes_max: 10MB }
metrics: { aliases: [agent] }
providers:
  openai: { openai: { api_key: "env:OPENAI_API_KEY", headers: { X-Team: a }, base_url: "http://v", weight: 1 } }
  local: { local: }
  demo: { scripted: { replies: [{ text: Hi., trouble: slow }, { trouble: hang, arguments: [1, { a: ~ }] }] } }
models:
  fast: { targets: [openai/gpt-5-mini, demo/org/model], first_byte_timeout: 20s }
  small: { targets: [local/smollm2], idle_timeout: 5m, max_tokens_default: 512 }
tools:
  tickets:
    http:
      url: "https://tickets.example.com/{id}"
      parameters: &parameters { type: object, properties: { id: { type: string } } }
  orders: { http: { url: "https://o.example.com", parameters: *parameters } }
agents:
  triage:
    description: Sorts tickets.
    declared:
      model: fast
      instructions: prompts/triage.md
      tools: [tickets, orders]
      steps_max: 4
      max_tokens: 256
      temperature: 0
      history_messages_max: 10
      parallel_tools_max: 2
    sessions: { enqueue: { waiting_max: 3 } }
    timeout: 5m
    concurrency_max: 7
    on_disconnect: cancel
    fallback:
      - on: [PROVIDER_QUOTA]
        answer: Come back later.
        model: demo-fallback
        finish_reason: QUOTA
  research:
    app:
      command: "uvicorn main:app --port 8000"
      url: "http://127.0.0.1:8000/"
      env: { MODE: production, TOKEN: "env:RESEARCH_TOKEN" }
      stream_path: /stream
    sessions: interrupt
apps:
  tickets-api:
    description: Keeps tickets.
    url: "http://127.0.0.1:8100"
    command: "python -m tickets"
    env: { DATABASE: "file:/run/secrets/database" }
    health_path: /healthz
    start_timeout: 20s
    routes: [/tickets, /shop/orders]
    timeout: 2m
  mail: { url: "http://mail:8200/" }
default_agent: triage
"#;

fn name(text: &str) -> Name {
    Name::parse(text).expect("a name")
}

fn secret(text: &str) -> SecretRef {
    SecretRef::parse(text).expect("a reference")
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn full_plan() -> Plan {
    let rpm = std::num::NonZeroU32::new;
    let target = |provider: &str, model: &str| Target { provider: name(provider), model: model.to_owned() };
    let member = |kind: &str, settings| Member { kind: kind.to_owned(), settings };
    let model = |targets, wait, idle, tokens| Model {
        targets,
        first_byte_timeout: seconds(wait),
        idle_timeout: seconds(idle),
        max_tokens_default: tokens,
    };
    let parameters = json!({ "type": "object", "properties": { "id": { "type": "string" } } });
    Plan {
        name: name("support-desk"),
        folder: PathBuf::from("/srv"),
        server: Server {
            listen: "0.0.0.0:9000".parse().expect("an address"),
            drain: seconds(45),
            request_timeout: seconds(120),
            body_timeout: seconds(20),
            header_timeout: seconds(5),
            idle_timeout: seconds(90),
            write_timeout: seconds(30),
            body_bytes_max: 2 << 20,
            connections_max: 500,
            requests_max: 100,
        },
        access: Access {
            keys: vec![
                Key {
                    name: name("web"),
                    secret: secret("env:WEB_KEY"),
                    requests_per_minute: rpm(600),
                    concurrency: rpm(64),
                },
                Key {
                    name: name("job"),
                    secret: secret("file:/run/secrets/job"),
                    requests_per_minute: None,
                    concurrency: None,
                },
            ],
            anonymous: Anonymous::Loopback,
            cors_origins: vec!["https://app.example.com".to_owned()],
        },
        data: Data { folder: PathBuf::from("/srv/state"), retention: seconds(7 * 86_400), bytes_max: 10_000_000 },
        metrics: Metrics { aliases: vec!["agent".to_owned()] },
        providers: [
            (
                name("openai"),
                member(
                    "openai",
                    json!({ "api_key": "env:OPENAI_API_KEY", "headers": { "X-Team": "a" }, "base_url": "http://v", "weight": 1 }),
                ),
            ),
            (name("local"), member("local", json!({}))),
            (
                name("demo"),
                member(
                    "scripted",
                    json!({ "replies": [
                        { "text": "Hi.", "trouble": { "slow": {} } },
                        { "trouble": "hang", "arguments": [1, { "a": null }] },
                    ] }),
                ),
            ),
        ]
        .into(),
        models: [
            (
                name("fast"),
                model(vec![target("openai", "gpt-5-mini"), target("demo", "org/model")], 20, 120, 4096),
            ),
            (name("small"), model(vec![target("local", "smollm2")], 60, 300, 512)),
        ]
        .into(),
        tools: [
            (
                name("tickets"),
                member("http", json!({ "url": "https://tickets.example.com/{id}", "parameters": parameters })),
            ),
            (name("orders"), member("http", json!({ "url": "https://o.example.com", "parameters": parameters }))),
        ]
        .into(),
        agents: [(name("triage"), triage()), (name("research"), research())].into(),
        default_agent: Some(name("triage")),
        apps: [(name("tickets-api"), tickets()), (name("mail"), mail())].into(),
        resources: mainstay_core::resources::Resources::default(),
        sidecar: None,
        deploy: mainstay_core::plan::Deploy::default(),
    }
}

fn triage() -> Agent {
    Agent {
        kind: AgentKind::Declared(Declared {
            model: name("fast"),
            instructions: "Sort the ticket.".to_owned(),
            tools: vec![name("tickets"), name("orders")],
            steps_max: 4,
            max_tokens: Some(256),
            temperature: Some(0.0),
            history_messages_max: 10,
            parallel_tools_max: 2,
        }),
        description: "Sorts tickets.".to_owned(),
        sessions: SessionPolicy::Enqueue { waiting_max: 3 },
        concurrency_max: 7,
        timeout: seconds(300),
        on_disconnect: OnDisconnect::Cancel,
        fallbacks: vec![Fallback {
            on: vec!["PROVIDER_QUOTA".to_owned()],
            answer: "Come back later.".to_owned(),
            model: "demo-fallback".to_owned(),
            finish_reason: "QUOTA".to_owned(),
        }],
    }
}

fn tickets() -> App {
    App {
        process: Process {
            url: "http://127.0.0.1:8100".to_owned(),
            command: Some("python -m tickets".to_owned()),
            env: vec![("DATABASE".to_owned(), EnvValue::Secret(secret("file:/run/secrets/database")))],
            health_path: "/healthz".to_owned(),
            start_timeout: seconds(20),
        },
        description: "Keeps tickets.".to_owned(),
        routes: vec!["/tickets".to_owned(), "/shop/orders".to_owned()],
        timeout: seconds(120),
    }
}

fn mail() -> App {
    App {
        process: Process {
            url: "http://mail:8200".to_owned(),
            command: None,
            env: Vec::new(),
            health_path: "/health".to_owned(),
            start_timeout: seconds(60),
        },
        description: String::new(),
        routes: Vec::new(),
        timeout: seconds(600),
    }
}

fn research() -> Agent {
    Agent {
        kind: AgentKind::App(AppPlan {
            process: Process {
                url: "http://127.0.0.1:8000".to_owned(),
                command: Some("uvicorn main:app --port 8000".to_owned()),
                env: vec![
                    ("MODE".to_owned(), EnvValue::Plain("production".to_owned())),
                    ("TOKEN".to_owned(), EnvValue::Secret(secret("env:RESEARCH_TOKEN"))),
                ],
                health_path: "/health".to_owned(),
                start_timeout: seconds(60),
            },
            invoke_path: "/invoke".to_owned(),
            stream_path: Some("/stream".to_owned()),
            response_bytes_max: 16 << 20,
        }),
        description: String::new(),
        sessions: SessionPolicy::Interrupt,
        concurrency_max: 1024,
        timeout: seconds(600),
        on_disconnect: OnDisconnect::Continue,
        fallbacks: Vec::new(),
    }
}

#[test]
fn a_full_spec_makes_its_plan() {
    match load(FULL) {
        Ok(plan) => assert_eq!(plan, full_plan()),
        Err(faults) => panic!("{}", faults.render(false)),
    }
}

#[test]
fn a_spec_of_two_lines_has_every_default_and_a_model() {
    let plan = load("name: x\nagents: { hello: { declared: {} } }").unwrap();
    let server = Server {
        listen: "127.0.0.1:8080".parse().unwrap(),
        drain: seconds(30),
        request_timeout: seconds(60),
        body_timeout: seconds(10),
        header_timeout: seconds(10),
        idle_timeout: seconds(75),
        write_timeout: seconds(60),
        body_bytes_max: 1 << 20,
        connections_max: 10_000,
        requests_max: 2_048,
    };
    assert_eq!(plan.server, server);
    assert_eq!(plan.access, Access::default());
    let data = Data { folder: "/srv/.mainstay".into(), retention: seconds(30 * 86_400), bytes_max: 1 << 30 };
    assert_eq!(plan.data, data);
    assert_eq!(plan.providers[&name("local")], Member { kind: "local".to_owned(), settings: json!({}) });
    let target = Target { provider: name("local"), model: "smollm2-135m-instruct".to_owned() };
    assert_eq!(plan.models[&name("default")].targets, [target]);
    assert_eq!(plan.default_agent, Some(name("hello")));
    let agent = &plan.agents[&name("hello")];
    assert_eq!(agent.sessions, SessionPolicy::Enqueue { waiting_max: 16 });
    let AgentKind::Declared(declared) = &agent.kind else { panic!("declared") };
    assert_eq!(
        (declared.model.as_str(), declared.steps_max, declared.history_messages_max),
        ("default", 8, 100)
    );
}

#[test]
fn a_client_finds_the_server_even_of_a_spec_with_faults() {
    let check = |overridden: Option<&str>, text: &str, expect: Option<&str>| {
        let expect = expect.map(|address| address.parse().unwrap());
        assert_eq!(mainstay_config::listen(overridden, text), expect, "{overridden:?} {text}");
    };
    check(None, "server: { listen: \"localhost:18090\", drian: 5s }", Some("127.0.0.1:18090"));
    check(Some("[::1]:7"), "server: { listen: \"127.0.0.1:1\" }", Some("[::1]:7"));
    check(None, "name: x", None);
    check(None, "server: [", None);
    check(None, "server: { listen: 8080 }", None);
}

#[test]
fn a_service_of_apps_alone_has_no_model() {
    let plan = load("name: x\nagents: { a: { app: { url: \"http://127.0.0.1:9\" } } }").unwrap();
    assert_eq!((plan.providers.len(), plan.models.len()), (0, 0));
    let plan = load("name: x\nagents: { a: { app: { url: \"http://127.0.0.1:9\" } }, b: { declared: {} } }");
    assert_eq!(plan.unwrap().models.len(), 1);
}

#[test]
fn a_section_without_content_is_an_empty_one() {
    let plan = load("name: x\nserver:\naccess:\n  keys:\nagents:\n  a:\n    declared:\n").unwrap();
    assert_eq!(plan.agents.len(), 1);
}

#[test]
fn a_bare_word_stands_for_its_settings() {
    let plan = load("name: x\nagents: { a: { declared: {}, sessions: enqueue } }").unwrap();
    assert_eq!(plan.agents[&name("a")].sessions, SessionPolicy::Enqueue { waiting_max: 16 });
}

#[test]
fn several_agents_have_no_default_unless_the_spec_names_one() {
    let plan = load("name: x\nagents: { a: { declared: {} }, b: { declared: {} } }").unwrap();
    assert_eq!(plan.default_agent, None);
}

#[test]
fn instructions_that_are_no_path_are_the_text_itself() {
    let plan = load("name: x\nagents: { a: { declared: { instructions: Answer from notes.md } } }").unwrap();
    let AgentKind::Declared(declared) = &plan.agents[&name("a")].kind else { panic!("declared") };
    assert_eq!(declared.instructions, "Answer from notes.md");
}

#[test]
fn words_said_to_anyone_allow_listening_anywhere() {
    let plan = load("name: x\nserver: { listen: '0.0.0.0:80' }\naccess: { anonymous: anyone }").unwrap();
    assert_eq!(plan.access.anonymous, Anonymous::Anyone);
}

#[test]
fn overrides_stand_above_the_spec() {
    let overrides = Overrides {
        listen: Some("[::1]:7".to_owned()),
        data_folder: Some("/var/m".into()),
        ..Overrides::default()
    };
    let plan = load_with("name: x\nserver: { listen: '0.0.0.0:80' }", &overrides).unwrap();
    assert_eq!(plan.server.listen, "[::1]:7".parse().unwrap());
    assert_eq!(plan.data.folder, Path::new("/var/m"));
}

#[test]
fn without_the_local_kind_no_model_appears_from_nowhere() {
    let kinds = mainstay_config::Kinds { providers: &[], ..KINDS };
    let text = "name: x\nagents: { a: { declared: {} } }";
    let source = Source { name: "mainstay.yaml", text, folder: Path::new("/srv") };
    let faults =
        mainstay_config::load(source, &kinds, &Memory::default(), &Overrides::default()).unwrap_err();
    assert_eq!(faults.faults()[0].code.id, "CONFIG_MISSING_KEY");
}

/// The spec of a scaffold, its files, and the plan that they make.
fn scaffolded(model: Option<ScaffoldModel<'_>>) -> (String, Memory, mainstay_core::Plan) {
    let files = scaffold(&name("my-agent"), model);
    let spec = files.iter().find(|(path, _)| path == Path::new("mainstay.yaml"));
    let spec = spec.map(|(_, text)| text.clone()).expect("the scaffold has a spec");
    let memory = Memory(files.into_iter().map(|(path, text)| (Path::new("/srv").join(path), text)).collect());
    let source = Source { name: "mainstay.yaml", text: &spec, folder: Path::new("/srv") };
    let kinds = mainstay_config::Kinds { services: &["prometheus"], ..KINDS };
    let plan = mainstay_config::load(source, &kinds, &memory, &Overrides::default());
    let plan = plan.unwrap_or_else(|faults| panic!("{spec}\n{}", faults.render(false)));
    (spec, memory, plan)
}

#[test]
fn a_scaffold_with_a_model_has_what_production_begins_with() {
    let key = Some("env:OPENAI_API_KEY");
    for model in [
        ScaffoldModel { provider: "openai", model: "gpt-5-mini", key },
        ScaffoldModel { provider: "openai", model: "acme/gpt-oss:20b-'q4'", key },
    ] {
        let (_, _, plan) = scaffolded(Some(model));
        let target = &plan.models.values().next().unwrap().targets[0];
        assert_eq!((target.provider.as_str(), target.model.as_str()), (model.provider, model.model));
        assert_eq!((plan.access.keys.len(), plan.deploy.services.len()), (1, 1));
    }
}

#[test]
fn the_scaffold_loads_without_a_fault() {
    let (spec, memory, plan) = scaffolded(None);
    assert_eq!((plan.name.as_str(), plan.agents.len()), ("my-agent", 1));
    // What stands behind comments works too, once uncommented.
    let uncommented = spec.replace("\n# ", "\n").replace("\n#\n", "\n\n");
    let yaml: String = uncommented
        .lines()
        .filter(|line| {
            line.is_empty() || line.starts_with(' ') || line.split_once(':').is_some_and(|(k, _)| is_key(k))
        })
        .map(|line| format!("{line}\n"))
        .collect();
    let source = Source { name: "mainstay.yaml", text: &yaml, folder: Path::new("/srv") };
    let plan = mainstay_config::load(source, &KINDS, &memory, &Overrides::default());
    let plan = plan.unwrap_or_else(|faults| panic!("{yaml}\n{}", faults.render(false)));
    assert_eq!((plan.access.keys.len(), plan.models.len()), (1, 1));
}

fn is_key(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_lowercase() || b == b'_')
}

#[test]
fn the_disk_reads_files_and_nothing_else() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    assert!(Disk.read(&here.join("Cargo.toml")).unwrap().contains("mainstay-config"));
    assert!(Disk.read(&here.join("src")).is_err());
    assert!(Disk.read(&here.join("nothing.md")).is_err());
}

#[test]
fn the_folder_of_components_is_read_into_the_plan() {
    let plan = load("name: x\ncomponents: components\n").unwrap();
    let names: Vec<&str> =
        plan.resources.components.iter().map(|component| component.name.as_str()).collect();
    assert_eq!(names, ["orders"]);
    assert_eq!(plan.resources.components[0].origin, "components/orders.yaml:1");
}

#[test]
fn platforms_of_terraform_are_those_that_the_spec_names() {
    let of = |lines: &str| {
        let text = format!("name: desk\n{lines}");
        load(&text).unwrap().deploy.platforms
    };
    assert_eq!(of("deploy: { terraform: { platforms: [there] } }\n"), ["there"]);
    assert_eq!(of("deploy: { version: 1.0.0 }\n"), Vec::<String>::new());
}
