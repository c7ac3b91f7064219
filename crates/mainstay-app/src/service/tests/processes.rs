//! Commands that run, crash, hang and have children.

use std::sync::Mutex;

use crate::output::Source;

use super::*;

/// A small app of the standard library. It answers with its process id, environment and folder, and does as it is told.
const APP: &str = r#"
import http.server, json, os, subprocess, sys

class App(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.answer({})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        query = body["query"]
        if query == "crash":
            os._exit(3)
        if query == "deaf":
            server.socket.close()
            return
        if query == "print":
            print("to stdout", flush=True)
            print("to stderr", file=sys.stderr, flush=True)
        child = 0
        if query == "child":
            child = subprocess.Popen(["sh", "-c", "trap '' TERM; while :; do sleep 1; done"]).pid
        facts = {"pid": os.getpid(), "child": child, "env": os.environ.get("TOKEN"), "cwd": os.getcwd()}
        self.answer({"answer": json.dumps(facts)})

    def answer(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass

server = http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), App)
server.serve_forever()
"#;

type Lines = Arc<Mutex<Vec<(String, Source, String)>>>;

pub(super) struct Fixture {
    pub(super) service: AppService,
    pub(super) folder: tempfile::TempDir,
    pub(super) plan: AppPlan,
    lines: Lines,
}

impl Fixture {
    /// A service that runs `command`, in which `APP` stands for the app's start.
    pub(super) fn run(command: &str, change: impl FnOnce(&mut AppPlan)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("app.py"), APP).unwrap();
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut plan = plan(&format!("http://127.0.0.1:{port}"));
        plan.process.command = Some(command.replace("APP", &format!("python3 app.py {port}")));
        change(&mut plan);
        let lines = Lines::default();
        let kept = Arc::clone(&lines);
        let sink: Sink = Arc::new(move |line| {
            kept.lock().unwrap().push((line.app.to_owned(), line.source, line.text.to_owned()));
        });
        let service = open(&plan, folder.path(), sink).unwrap();
        Self { service, folder, plan, lines }
    }

    pub(super) async fn ready(&self) {
        eventually("the app is ready", async || self.service.ready(&Ctx::system()).await.ok()).await;
    }

    async fn facts(&self, query: &str) -> serde_json::Value {
        serde_json::from_str(&answer(&self.service, query).await.unwrap().answer).unwrap()
    }

    async fn id(&self) -> u64 {
        self.facts("who").await["pid"].as_u64().unwrap()
    }

    /// Waits until the app is not ready for a reason that holds `words`.
    pub(super) async fn unready(&self, words: &str) -> Error {
        let reason = async || {
            let error = self.service.ready(&Ctx::system()).await.err()?;
            error.message().contains(words).then_some(error)
        };
        eventually(words, reason).await
    }

    fn has_line(&self, source: Source, text: &str) -> bool {
        let lines = self.lines.lock().unwrap();
        lines.iter().any(|line| (line.0.as_str(), line.1, line.2.as_str()) == ("helper", source, text))
    }
}

/// Whether the process is at work (a zombie is not).
pub(super) fn lives(id: u64) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, rest)| !rest.starts_with(['Z', 'X']))
}

pub(super) async fn dead(id: u64) {
    assert!(id > 0);
    eventually("the process is gone", async || (!lives(id)).then_some(())).await;
}

#[tokio::test]
async fn a_command_runs_in_the_specs_folder_with_its_variables_and_its_output_is_shown() {
    let secret = EnvValue::Secret(SecretRef::parse("env:TOKEN").unwrap());
    let app = Fixture::run("APP", |plan| plan.process.env = vec![("TOKEN".to_owned(), secret)]);
    app.unready("agent `helper` is starting").await;
    app.ready().await;
    let facts = app.facts("print").await;
    assert_eq!(facts["env"], "<TOKEN>");
    assert_eq!(facts["cwd"].as_str().unwrap(), app.folder.path().canonicalize().unwrap().to_str().unwrap());
    let shown = async || {
        (app.has_line(Source::Stdout, "to stdout") && app.has_line(Source::Stderr, "to stderr")).then_some(())
    };
    eventually("both lines are shown", shown).await;
    app.service.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_crash_fails_the_call_and_the_command_is_started_again() {
    let app = Fixture::run("APP", |_| ());
    app.ready().await;
    let first = app.id().await;
    assert_eq!(answer(&app.service, "crash").await.unwrap_err().code().id, "APP_FAILED");
    let other = async || {
        let answer = answer(&app.service, "who").await.ok()?;
        let facts: serde_json::Value = serde_json::from_str(&answer.answer).unwrap();
        facts["pid"].as_u64().filter(|id| *id != first)
    };
    let second = eventually("another process answers", other).await;
    assert!(!lives(first) && lives(second));
}

#[tokio::test]
async fn a_crash_loop_is_called_one_with_the_last_status() {
    let app = Fixture::run("echo leaving; exit 7", |_| ());
    let error = app.unready("ends again and again").await;
    assert_eq!(error.code().id, "APP_UNAVAILABLE");
    assert!(
        error.message().contains("exit status: 7") && error.message().contains("next start in"),
        "{error}"
    );
    assert!(app.has_line(Source::Stdout, "leaving"), "the last output is not lost");
}

#[tokio::test]
async fn an_app_that_does_not_become_healthy_is_ended_and_started_again() {
    let app = Fixture::run("echo $$; exec sleep 1000", |plan| {
        plan.process.start_timeout = Duration::from_millis(300)
    });
    app.unready("does not accept connections at its `url` yet").await;
    app.unready("was not healthy within 0.3 s").await;
    let id = app.lines.lock().unwrap()[0].2.parse().unwrap();
    dead(id).await;
}

#[tokio::test]
async fn an_app_that_stops_listening_is_noticed_by_a_call_and_started_again() {
    let app = Fixture::run("APP", |plan| plan.process.start_timeout = Duration::from_secs(1));
    eventually("the app is ready", async || app.service.ready(&Ctx::system()).await.ok()).await;
    let first = app.id().await;
    assert!(answer(&app.service, "deaf").await.is_err());
    eventually("a call cannot connect", async || {
        answer(&app.service, "who").await.err().filter(|error| error.code().id == "APP_UNAVAILABLE")
    })
    .await;
    let other = async || {
        let answer = answer(&app.service, "who").await.ok()?;
        let facts: serde_json::Value = serde_json::from_str(&answer.answer).unwrap();
        facts["pid"].as_u64().filter(|id| *id != first)
    };
    eventually("another process answers", other).await;
}

#[tokio::test]
async fn stopping_asks_first_and_then_kills_children_and_all() {
    let app = Fixture::run("APP", |_| ());
    app.ready().await;
    let facts = app.facts("child").await;
    let (parent, child) = (facts["pid"].as_u64().unwrap(), facts["child"].as_u64().unwrap());
    assert!(lives(parent) && lives(child));
    app.service.stop(Duration::from_millis(300)).await;
    assert!(!lives(parent) && !lives(child), "stop returns when all are gone");
    let error = app.service.ready(&Ctx::system()).await.unwrap_err();
    assert!(error.message().ends_with("is stopped"), "{error}");
    app.service.stop(PATIENCE).await;
}

#[tokio::test]
async fn a_command_may_finish_what_it_is_at_when_asked_to_stop() {
    // The shell that leads the group dies at once; its child must still have the whole grace.
    let slow =
        "sh -c 'trap \"sleep 0.3; echo done; exit\" TERM; echo up; while :; do sleep 0.05; done'; true";
    let app = Fixture::run(slow, |_| ());
    eventually("it is up", async || app.has_line(Source::Stdout, "up").then_some(())).await;
    app.service.stop(PATIENCE).await;
    assert!(app.has_line(Source::Stdout, "done"), "{:?}", app.lines.lock().unwrap());
}

#[tokio::test]
async fn a_service_that_is_dropped_leaves_nothing_behind() {
    let app = Fixture::run("APP", |_| ());
    app.ready().await;
    let facts = app.facts("child").await;
    drop(app.service);
    dead(facts["pid"].as_u64().unwrap()).await;
    dead(facts["child"].as_u64().unwrap()).await;
}

#[tokio::test]
async fn a_service_without_its_secret_or_its_address_does_not_open() {
    let sink: Sink = Arc::new(|_| ());
    let mut wanting = plan("http://127.0.0.1:1");
    wanting.process.command = Some("true".to_owned());
    wanting.process.env = vec![("A".to_owned(), EnvValue::Secret(SecretRef::parse("env:missing").unwrap()))];
    let error = open(&wanting, Path::new("."), Arc::clone(&sink)).unwrap_err();
    assert_eq!(error.code().id, "SECRET_UNAVAILABLE");
    let error = open(&plan("127.0.0.1:8000"), Path::new("."), sink).unwrap_err();
    assert_eq!(error.code().id, "CONFIG_VALUE");
}
