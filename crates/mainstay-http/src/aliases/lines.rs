//! A run as plain lines of text: `data:` for each piece, `data: [DONE]` at the end, `event: error` for a failure, so
//! that no client takes a failure for content. Reasoning and tool calls are not shown.

use bytes::Bytes;
use futures_util::StreamExt as _;
use mainstay_core::run::{RunEvent, RunEventKind};
use mainstay_core::{BoxStream, Error, RequestId, Result, RunId};

use crate::error::{self, AliasError, Failure};
use crate::sse::Event;

/// The end of an answer.
const DONE: &str = "[DONE]";

/// A run on its way to its caller.
pub(super) struct Lines {
    run: RunId,
    request_id: RequestId,
    has_text: bool,
    ended: bool,
}

impl Lines {
    pub(super) fn new(run: RunId, request_id: RequestId) -> Self {
        Self { run, request_id, has_text: false, ended: false }
    }

    /// The frames of these events.
    pub(super) fn of(self, events: BoxStream<Result<RunEvent>>) -> BoxStream<Bytes> {
        let frames = events.scan(self, |lines, event| {
            let frame = (!lines.ended).then(|| lines.frame(event));
            std::future::ready(frame)
        });
        // Most events say nothing here.
        Box::pin(frames.filter(|frame| std::future::ready(!frame.is_empty())))
    }

    fn frame(&mut self, event: Result<RunEvent>) -> Bytes {
        let event = match event {
            Ok(event) => event,
            Err(error) => return self.failed(None, error),
        };
        let id = Some(event.seq);
        match event.kind {
            RunEventKind::Text { delta } => self.text(id, &delta),
            RunEventKind::Completed { answer, .. } => {
                self.ended = true;
                // An app that answers whole, or a fallback's answer, has no pieces.
                let mut frames = if self.has_text { Bytes::new() } else { self.text(id, &answer) }.to_vec();
                frames.extend_from_slice(&Event { id, name: None, data: DONE }.encode());
                frames.into()
            }
            RunEventKind::Failed(error)
            | RunEventKind::Cancelled(error)
            | RunEventKind::Interrupted(error) => self.failed(id, error::of_run(&error)),
            _ => Bytes::new(),
        }
    }

    fn text(&mut self, id: Option<u64>, text: &str) -> Bytes {
        if text.is_empty() {
            return Bytes::new();
        }
        self.has_text = true;
        if text == DONE {
            // Text that looks like the end is not the end: it comes in two pieces.
            let (head, tail) = text.split_at(1);
            let mut frames = Event { id: None, name: None, data: head }.encode().to_vec();
            frames.extend_from_slice(&Event { id, name: None, data: tail }.encode());
            return frames.into();
        }
        Event { id, name: None, data: text }.encode()
    }

    fn failed(&mut self, id: Option<u64>, error: Error) -> Bytes {
        self.ended = true;
        error::log("answer stream", &self.request_id, &error);
        let body = AliasError::new(&Failure::of_run(error, &self.run), &self.request_id);
        let data = serde_json::to_string(&body).expect("the error types have string keys only");
        Event { id, name: Some("error"), data: &data }.encode()
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::codes;
    use mainstay_core::model::Usage;
    use mainstay_core::run::RunError;

    use super::*;

    async fn check(kinds: Vec<RunEventKind>, wanted: &str) {
        let event = |(i, kind)| Ok(RunEvent { seq: i as u64 + 1, at_ms: 0, kind });
        let events: Vec<_> = kinds.into_iter().enumerate().map(event).collect();
        let lines = Lines::new(RunId::parse("r").unwrap(), RequestId::parse("q").unwrap());
        let said: Vec<Bytes> = lines.of(Box::pin(futures_util::stream::iter(events))).collect().await;
        assert_eq!(String::from_utf8(said.concat()).unwrap(), wanted);
    }

    fn text(delta: &str) -> RunEventKind {
        RunEventKind::Text { delta: delta.to_owned() }
    }

    fn completed(answer: &str) -> RunEventKind {
        RunEventKind::Completed {
            finish_reason: "stop".into(),
            answer: answer.into(),
            usage: Usage::default(),
        }
    }

    #[tokio::test]
    async fn text_comes_in_pieces_and_then_the_end() {
        let kinds = vec![RunEventKind::Started, text("Hel"), text("lo\nyou"), completed("Hello\nyou")];
        check(kinds, "id: 2\ndata: Hel\n\nid: 3\ndata: lo\ndata: you\n\nid: 4\ndata: [DONE]\n\n").await;
    }

    #[tokio::test]
    async fn an_answer_without_pieces_comes_whole() {
        check(vec![completed("Hi")], "id: 1\ndata: Hi\n\nid: 1\ndata: [DONE]\n\n").await;
    }

    #[tokio::test]
    async fn text_that_looks_like_the_end_is_not_the_end() {
        let wanted = "data: [\n\nid: 1\ndata: DONE]\n\nid: 2\ndata: [DONE]\n\n";
        check(vec![text("[DONE]"), completed("[DONE]")], wanted).await;
    }

    #[tokio::test]
    async fn a_failure_is_no_content_and_nothing_follows() {
        let error = RunError::new(&codes::PROVIDER_AUTH, "refused");
        let wanted = "id: 1\ndata: a\n\nid: 2\nevent: error\ndata: {\"error\":\"PROVIDER_AUTH\",\"detail\":\"refused\",\
                      \"request_id\":\"q\",\"run_id\":\"r\",\"docs\":\"/docs/errors/PROVIDER_AUTH\"}\n\n";
        check(vec![text("a"), RunEventKind::Failed(error)], wanted).await;
    }
}
