//! Reads streams to their end and checks that nothing was lost, repeated or re-ordered on the way.

use std::net::SocketAddr;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use http::Request;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use http_body_util::{BodyExt as _, Full};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use super::Through;
use crate::bench::mock::piece;

/// What every stream asks.
#[derive(Clone, Debug)]
pub(super) struct Call {
    pub(super) address: SocketAddr,
    pub(super) key: Option<String>,
    pub(super) through: Through,
    pub(super) chunks: u32,
}

/// What came of all streams.
#[derive(Debug, Default)]
pub(super) struct Seen {
    pub(super) complete: u32,
    pub(super) broken: u32,
    pub(super) first_broken: Option<String>,
}

/// Opens so many streams, spread over a second, and reads each to its end.
pub(super) fn read_all(call: &Call, streams: u32, time_max: Duration) -> anyhow::Result<Seen> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut readers = JoinSet::new();
        for _ in 0..streams {
            let call = call.clone();
            readers.spawn(async move {
                tokio::time::timeout(time_max, read(&call)).await.context("no end in time")?
            });
            tokio::time::sleep(Duration::from_secs(1) / streams).await;
        }
        let mut seen = Seen::default();
        while let Some(done) = readers.join_next().await {
            match done.context("a reader").and_then(|outcome| outcome) {
                Ok(()) => seen.complete += 1,
                Err(error) => {
                    seen.broken += 1;
                    seen.first_broken.get_or_insert_with(|| format!("{error:#}"));
                }
            }
        }
        Ok(seen)
    })
}

async fn read(call: &Call) -> anyhow::Result<()> {
    let socket = TcpStream::connect(call.address).await.context("connect")?;
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(socket)).await?;
    tokio::spawn(connection);
    let response = sender.send_request(call.request()?).await.context("send")?;
    anyhow::ensure!(response.status() == 200, "status {}", response.status());
    let mut body = response.into_body();
    let mut check = Check::default();
    let mut held = Vec::new();
    while let Some(frame) = body.frame().await {
        let Ok(data) = frame.context("read the stream")?.into_data() else { continue };
        held.extend_from_slice(&data);
        while let Some(end) = memchr::memmem::find(&held, b"\n\n") {
            let event: Vec<u8> = held.drain(..end + 2).collect();
            check.event(call.through, std::str::from_utf8(&event)?)?;
        }
    }
    check.end(call.chunks)
}

impl Call {
    fn request(&self) -> anyhow::Result<Request<Full<Bytes>>> {
        let (path, body) = match self.through {
            Through::Agent => ("/v1/agents/bench/stream", json!({ "query": "Count." })),
            Through::Model => (
                "/v1/chat/completions",
                json!({ "model": "bench", "stream": true, "messages": [{ "role": "user", "content": "Count." }] }),
            ),
        };
        let mut request = Request::post(path)
            .header(HOST, self.address.to_string())
            .header(CONTENT_TYPE, "application/json");
        if let Some(key) = &self.key {
            request = request.header(AUTHORIZATION, format!("Bearer {key}"));
        }
        Ok(request.body(Full::new(Bytes::from(body.to_string())))?)
    }
}

/// What has come of one stream so far.
#[derive(Debug, Default)]
struct Check {
    text: String,
    last_id: u64,
    ended: bool,
}

impl Check {
    fn event(&mut self, through: Through, event: &str) -> anyhow::Result<()> {
        let field = |name: &str| event.lines().find_map(|line| line.strip_prefix(name)).map(str::trim_start);
        let Some(data) = field("data:") else { return Ok(()) };
        match through {
            Through::Model if data == "[DONE]" => self.ended = true,
            Through::Model => {
                let chunk: Value = serde_json::from_str(data).context("read a chunk")?;
                self.text.push_str(chunk["choices"][0]["delta"]["content"].as_str().unwrap_or_default());
            }
            Through::Agent => {
                let id: u64 = field("id:").context("an event without id")?.parse()?;
                anyhow::ensure!(id == self.last_id + 1, "event {id} after {}", self.last_id);
                self.last_id = id;
                self.agent_event(field("event:").unwrap_or_default(), data)?;
            }
        }
        Ok(())
    }

    fn agent_event(&mut self, name: &str, data: &str) -> anyhow::Result<()> {
        match name {
            "message.delta" => {
                let delta: Value = serde_json::from_str(data).context("read an event")?;
                self.text.push_str(delta["delta"].as_str().unwrap_or_default());
            }
            "run.completed" => self.ended = true,
            "run.failed" | "run.cancelled" | "run.interrupted" => anyhow::bail!("the run ended with {data}"),
            _ => {}
        }
        Ok(())
    }

    fn end(self, chunks: u32) -> anyhow::Result<()> {
        anyhow::ensure!(self.ended, "the stream ended before its last event");
        let whole: String = (0..chunks).map(piece).collect();
        anyhow::ensure!(
            self.text == whole,
            "{} of {} bytes came, or in another order",
            self.text.len(),
            whole.len()
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delta(id: u64, number: u32) -> String {
        format!("id: {id}\nevent: message.delta\ndata: {{\"delta\":\"{}\"}}\n\n", piece(number))
    }

    fn check(events: &[String]) -> anyhow::Result<()> {
        let mut check = Check::default();
        for event in events {
            check.event(Through::Agent, event)?;
        }
        check.end(2)
    }

    #[test]
    fn a_whole_stream_passes_and_a_gap_a_repeat_or_an_early_end_does_not() {
        let last = |id: u64| format!("id: {id}\nevent: run.completed\ndata: {{}}\n\n");
        assert!(check(&[delta(1, 0), delta(2, 1), last(3)]).is_ok());
        assert!(check(&[delta(1, 0), last(3)]).is_err());
        assert!(check(&[delta(1, 0), last(2)]).is_err());
        assert!(check(&[delta(1, 0), delta(2, 0), last(3)]).is_err());
        assert!(check(&[delta(1, 0), delta(2, 1)]).is_err());
    }
}
