//! Hearing out one model call: its pieces go to those who follow, the whole to the loop.

use futures_util::StreamExt;
use mainstay_core::model::{Assembler, Completion, ModelEvent, ModelRequest, ModelStream};
use mainstay_core::run::RunEventKind;
use mainstay_core::{Error, Result, codes};

use crate::run::life::Assignment;

/// Bytes of one answer, at most: text, reasoning and arguments together.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Asks the model and records the step. Errors: those of [`mainstay_core::model::ModelClient::complete`], and
/// `PROVIDER_BAD_RESPONSE` for an answer that breaks off or has no end.
pub(super) async fn listen(work: &Assignment<'_>, request: ModelRequest) -> Result<Completion> {
    let events = work.ports.models.complete(&work.ctx, request).await?;
    let mut assembler = Assembler::default();
    let heard = hear(work, events, &mut assembler).await;
    let completion = assembler.finish();
    match heard {
        Ok(()) => work.recorder.step(&completion.model, &completion.finish, completion.usage).await,
        // The tokens of an answer that broke off are spent all the same.
        Err(_) => work.recorder.spent(completion.usage),
    }
    heard.map(|()| completion)
}

async fn hear(work: &Assignment<'_>, mut events: ModelStream, assembler: &mut Assembler) -> Result<()> {
    let mut heard = Heard::default();
    while let Some(event) = events.next().await {
        let event = event?;
        heard.note(&event)?;
        assembler.push(&event);
        show(work, event).await;
    }
    if heard.finished { Ok(()) } else { Err(broken("the model's answer broke off")) }
}

#[derive(Default)]
struct Heard {
    bytes: usize,
    finished: bool,
}

impl Heard {
    fn note(&mut self, event: &ModelEvent) -> Result<()> {
        match event {
            ModelEvent::Text(text) => self.bytes += text.len(),
            ModelEvent::Reasoning(piece) => self.bytes += piece.text.len(),
            ModelEvent::ToolCallStart { id, name, .. } => self.bytes += id.len() + name.len(),
            ModelEvent::ToolCallDelta { arguments, .. } => self.bytes += arguments.len(),
            ModelEvent::Finish(_) => self.finished = true,
            ModelEvent::Dropped(_) | ModelEvent::Start { .. } | ModelEvent::Usage(_) | ModelEvent::Alive => {}
        }
        if self.bytes <= ANSWER_BYTES_MAX {
            return Ok(());
        }
        Err(broken(&format!("the model's answer is larger than {ANSWER_BYTES_MAX} bytes")))
    }
}

fn broken(why: &str) -> Error {
    Error::new(&codes::PROVIDER_BAD_RESPONSE, why)
}

async fn show(work: &Assignment<'_>, event: ModelEvent) {
    match event {
        ModelEvent::Text(delta) => work.recorder.text(delta).await,
        ModelEvent::Reasoning(piece) if !piece.redacted && !piece.text.is_empty() => {
            work.recorder.event(RunEventKind::Reasoning { delta: piece.text }).await;
        }
        _ => {}
    }
}
