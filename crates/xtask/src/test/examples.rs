//! The examples, run as a newcomer runs them.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::Context as _;
use serde_json::{Value, json};

use super::{House, Outcome};
use crate::server::{self, Server};
use crate::{project, shell, venv, wire};

/// Fetching and converting the model, or compiling an app, on a slow machine.
const PATIENCE: Duration = Duration::from_secs(300);

/// The README's first command, in the development build: a real answer of the local model.
pub(super) fn hello(house: &House) -> anyhow::Result<Outcome> {
    let home = tempfile::tempdir()?;
    let folder = copy_example("hello", home.path())?;
    let models = project::tools_folder().join("models");
    let mut command = server::command(house.binary()?, home.path(), &models);
    let server = Server::start(command.arg("dev").arg(&folder), PATIENCE)?;
    let query = json!({ "query": "What is the capital of France?" });
    let answer = wire::post(server.address, "/v1/invoke", &query, None)?;
    anyhow::ensure!(answer.status == 200, "{}: {}", answer.status, answer.text());
    let answer = answer.json()?;
    let said = answer["answer"].as_str().or(answer["response"].as_str()).context("an answer")?.to_owned();
    if answer["model"].as_str().is_some_and(|model| model.contains("scripted"))
        || said.contains("scripted provider")
    {
        return Ok(Outcome::NotRun(
            "the model could not be fetched; the scripted provider answered".to_owned(),
        ));
    }
    anyhow::ensure!(said.contains("Paris"), "the model said: {said}");
    Ok(Outcome::Passed(format!("it said: {}", said.trim())))
}

/// The FastAPI example: its own requirements, its command started by us, invoke and stream through us.
pub(super) fn python(house: &House) -> anyhow::Result<Outcome> {
    let requirements =
        std::fs::read_to_string(project::root().join("examples/python-fastapi/requirements.txt"))?;
    let programs = match venv::ensure("python-example", &requirements) {
        Ok(programs) => programs,
        Err(error) => return Ok(Outcome::NotRun(super::first_line(&format!("{error:#}")))),
    };
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap_or_default());
    app(house, "python-fastapi", &path, "What is in the notes?", "")
}

/// The Rust example, a workspace of its own, compiled into the same target folder.
pub(super) fn rust(house: &House) -> anyhow::Result<Outcome> {
    let manifest = project::root().join("examples/rust-app/Cargo.toml");
    let mut build = project::cargo();
    build.args(["build", "--quiet", "--manifest-path"]).arg(&manifest);
    shell::run(build.env("CARGO_TARGET_DIR", project::target_folder()))?;
    app(house, "rust-app", &std::env::var("PATH").unwrap_or_default(), "3 * (4 + 5)", "27")
}

/// Runs an example whose agent is an app, and asks it whole and streamed; `part` must be in the answer.
fn app(house: &House, name: &str, path: &str, query: &str, part: &str) -> anyhow::Result<Outcome> {
    let home = tempfile::tempdir()?;
    let folder = copy_example(name, home.path())?;
    let port = move_port(&folder.join("mainstay.yaml"))?;
    let mut command = server::command(house.binary()?, home.path(), &home.path().join("models"));
    command.arg("dev").arg(&folder).env("PATH", path).env("CARGO_TARGET_DIR", project::target_folder());
    let server = Server::start(&mut command, PATIENCE)?;
    let outcome = ask(&server, query, part)
        .with_context(|| format!("the app on port {port}; the server said:\n{}", server.said()));
    outcome.map(Outcome::Passed)
}

fn ask(server: &Server, query: &str, part: &str) -> anyhow::Result<String> {
    wire::wait_ready(server.address, PATIENCE)?;
    let query = json!({ "query": query });
    let answer = wire::post(server.address, "/v1/invoke", &query, None)?;
    anyhow::ensure!(answer.status == 200, "invoke: {}: {}", answer.status, answer.text());
    let run: Value = answer.json()?;
    let answer = run["response"].as_str().or(run["answer"].as_str()).unwrap_or_default();
    anyhow::ensure!(!answer.is_empty() && answer.contains(part), "the answer lacks `{part}`: {run}");
    let stream = wire::post(server.address, "/v1/stream", &query, None)?;
    anyhow::ensure!(stream.status == 200, "stream: {}: {}", stream.status, stream.text());
    anyhow::ensure!(
        stream.text().trim_end().ends_with("[DONE]"),
        "the stream does not end: {}",
        stream.text()
    );
    Ok("invoked and streamed".to_owned())
}

/// Copies what git has of an example, not what running it has left there.
fn copy_example(name: &str, to: &Path) -> anyhow::Result<PathBuf> {
    let mut list = Command::new("git");
    list.args(["ls-files", "--cached", "--others", "--exclude-standard"]);
    let from = project::root().join("examples").join(name);
    anyhow::ensure!(from.is_dir(), "there is no examples/{name}");
    for file in shell::output(list.current_dir(&from))?.lines() {
        let target = to.join(name).join(file);
        std::fs::create_dir_all(target.parent().context("a file is in a folder")?)?;
        std::fs::copy(from.join(file), target).with_context(|| format!("copy {file}"))?;
    }
    Ok(to.join(name))
}

/// Examples name a fixed port, as people do; a test takes a free one, so that nothing that runs here is in its way.
fn move_port(spec: &Path) -> anyhow::Result<u16> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let text = std::fs::read_to_string(spec)?;
    let at = text.find("http://127.0.0.1:").context("the example's app has a URL on 127.0.0.1")?;
    let fixed: String =
        text[at + "http://127.0.0.1:".len()..].chars().take_while(char::is_ascii_digit).collect();
    std::fs::write(spec, text.replace(&fixed, &port.to_string()))?;
    Ok(port)
}
