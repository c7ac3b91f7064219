//! `mainstay invoke`: asks a running server's agent and prints the answer as it comes.

use std::process::ExitCode;

use anyhow::Context as _;
use clap::{Arg, ArgAction, ArgMatches, Command};
use futures_util::StreamExt as _;
use mainstay_dialects::sse::{Frame, Parser};
use serde_json::{Value, json};

use super::{Def, client, client_runtime};
use crate::{environment, exit, terminal};

pub(super) const DEF: Def = Def { name: "invoke", command, run };

fn command() -> Command {
    Command::new("invoke")
        .about("Ask an agent of a running server; the answer streams to the terminal")
        .after_help("The key is read from MAINSTAY_API_KEY. Tool calls are shown on standard error.")
        .arg(Arg::new("query").required(true).help("The question; `-` reads standard input"))
        .arg(
            Arg::new("agent")
                .long("agent")
                .short('a')
                .value_name("NAME")
                .help("The agent [default: the spec's own]"),
        )
        .arg(
            Arg::new("session")
                .long("session")
                .short('s')
                .value_name("ID")
                .help("Continue or begin this session"),
        )
        .args(client::arguments())
        .arg(
            Arg::new("json")
                .long("json")
                .action(ArgAction::SetTrue)
                .help("Print the whole answer as JSON at the end"),
        )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let query = match matches.get_one::<String>("query").map(String::as_str) {
        Some("-") => {
            std::io::read_to_string(std::io::stdin()).context("read the question from standard input")?
        }
        Some(text) => text.to_owned(),
        None => unreachable!("clap demands it"),
    };
    let call = Call { base: client::base_url(matches)?, client: mainstay_net::client::download_client()? };
    let mut body = json!({ "query": query });
    if let Some(session) = matches.get_one::<String>("session") {
        body["session_id"] = json!(session);
    }
    client_runtime()?.block_on(async {
        let agent = match matches.get_one::<String>("agent") {
            Some(name) => name.clone(),
            None => call.default_agent().await?,
        };
        if matches.get_flag("json") {
            call.whole(&agent, &body).await
        } else {
            call.streamed(&agent, &body).await
        }
    })
}

/// A server and the means to ask it.
struct Call {
    base: String,
    client: reqwest::Client,
}

impl Call {
    async fn send(&self, request: reqwest::RequestBuilder) -> anyhow::Result<reqwest::Response> {
        let request = match environment::api_key() {
            Some(key) => request.bearer_auth(key),
            None => request,
        };
        let unreachable =
            || format!("cannot reach {}; is `mainstay dev` or `mainstay serve` running?", self.base);
        let answer = request.send().await.map_err(|e| {
            let code = &mainstay_core::codes::NOT_READY;
            mainstay_core::Error::new(code, unreachable()).with_source(e)
        })?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        anyhow::bail!("the server answered {status}: {}", error_text(&text))
    }

    async fn default_agent(&self) -> anyhow::Result<String> {
        let url = format!("{}/v1/agents", self.base);
        let list: Value =
            self.send(self.client.get(url)).await?.json().await.context("read the list of agents")?;
        list["default_agent"]
            .as_str()
            .map(str::to_owned)
            .context("the server has several agents; name one with --agent")
    }

    async fn whole(&self, agent: &str, body: &Value) -> anyhow::Result<ExitCode> {
        let url = format!("{}/v1/agents/{agent}/invoke", self.base);
        let answer: Value = self.send(self.client.post(url).json(body)).await?.json().await?;
        terminal::answer(&(serde_json::to_string_pretty(&answer)? + "\n"))?;
        Ok(ExitCode::from(if answer["status"] == "completed" { exit::OK } else { exit::FAILED }))
    }

    async fn streamed(&self, agent: &str, body: &Value) -> anyhow::Result<ExitCode> {
        let url = format!("{}/v1/agents/{agent}/stream", self.base);
        let answer = self.send(self.client.post(url).json(body)).await?;
        let run = answer.headers().get("x-run-id").and_then(|id| id.to_str().ok()).unwrap_or("?").to_owned();
        tokio::select! {
            code = follow(answer) => Ok(ExitCode::from(code?)),
            stopped = tokio::signal::ctrl_c() => {
                stopped?;
                let base = &self.base;
                terminal::complain(&format!(
                    "\nmainstay: not listening any longer; what became of the run: {base}/v1/runs/{run}\n"
                ));
                Ok(ExitCode::from(exit::STOPPED))
            }
        }
    }
}

/// Shows the events of a run to its end, and gives the exit code.
async fn follow(answer: reqwest::Response) -> anyhow::Result<u8> {
    let mut chunks = answer.bytes_stream();
    let mut parser = Parser::default();
    let mut code = None;
    while let Some(chunk) = chunks.next().await {
        parser.push(chunk.context("the stream broke")?);
        while let Some(frame) = parser.next_frame()? {
            code = show(&frame)?.or(code);
        }
    }
    code.context("the stream ended before the run did; its events are kept on the server")
}

/// Shows one event; gives the exit code when it is the last.
fn show(frame: &Frame) -> anyhow::Result<Option<u8>> {
    let (Some(name), Some(data)) = (frame.event(), frame.data()) else { return Ok(None) };
    let data: Value = serde_json::from_slice(&data).context("read an event of the stream")?;
    let text = |key: &str| data[key].as_str().unwrap_or_default().to_owned();
    match name {
        b"message.delta" => terminal::answer(&text("delta"))?,
        b"tool.call" => terminal::complain(&format!("\n→ {} {}\n", text("name"), text("arguments"))),
        b"tool.result" => terminal::complain(&format!("← {}\n", text("name"))),
        b"run.completed" => {
            terminal::answer("\n")?;
            return Ok(Some(exit::OK));
        }
        b"run.failed" | b"run.cancelled" | b"run.interrupted" => {
            let (code, message) = (text("code"), text("message"));
            terminal::complain(&format!("\nmainstay: the run ended with {code}: {message}\n"));
            return Ok(Some(exit::FAILED));
        }
        _ => {}
    }
    Ok(None)
}

/// What an error body says, for people.
fn error_text(body: &str) -> String {
    let parsed: Option<Value> = serde_json::from_str(body).ok();
    let message = parsed.as_ref().and_then(|v| v["error"]["message"].as_str());
    message.map_or_else(|| body.chars().take(300).collect(), str::to_owned)
}
