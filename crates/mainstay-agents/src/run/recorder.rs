//! Where a run's body reports what it does: events for those who follow, and the draft of the final row. Decides
//! nothing about the end.

use mainstay_core::message::Message;
use mainstay_core::model::{FinishReason, Usage};
use mainstay_core::run::{Run, RunEventKind};
use parking_lot::Mutex;

use super::outbox::Outbox;

/// What the run has to show so far.
#[derive(Debug, Default)]
struct Draft {
    usage: Usage,
    steps: u32,
    model: Option<String>,
    messages: Vec<Message>,
    text_shown: bool,
}

/// How a run was answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Answer {
    pub(crate) text: String,
    pub(crate) finish_reason: String,
}

/// The recorder of one run. What it took survives the body, so that a run cut half-way keeps its usage.
#[derive(Debug, Default)]
pub(crate) struct Recorder {
    pub(crate) outbox: Outbox,
    draft: Mutex<Draft>,
}

impl Recorder {
    /// More of the answer.
    pub(crate) async fn text(&self, delta: String) {
        if !delta.is_empty() {
            self.draft.lock().text_shown = true;
            self.outbox.push(RunEventKind::Text { delta }).await;
        }
    }

    /// Any other event.
    pub(crate) async fn event(&self, kind: RunEventKind) {
        self.outbox.push(kind).await;
    }

    /// A model call ended.
    pub(crate) async fn step(&self, model: &str, finish: &FinishReason, usage: Usage) {
        let step = {
            let mut draft = self.draft.lock();
            draft.steps += 1;
            draft.usage += usage;
            if !model.is_empty() {
                draft.model = Some(model.to_owned());
            }
            draft.steps
        };
        let finish_reason = finish.as_str().to_owned();
        self.outbox.push(RunEventKind::Step { step, model: model.to_owned(), finish_reason, usage }).await;
    }

    /// Tokens spent that no finished model call reports.
    pub(crate) fn spent(&self, usage: Usage) {
        self.draft.lock().usage += usage;
    }

    /// The model to name in the row.
    pub(crate) fn model(&self, model: String) {
        self.draft.lock().model = Some(model);
    }

    /// The run adds messages to its conversation. Calls and their results come together, so that a run cut between
    /// them leaves no call without a result.
    pub(crate) fn messages(&self, messages: impl IntoIterator<Item = Message>) {
        self.draft.lock().messages.extend(messages);
    }

    /// Whether any of the answer was handed to those who follow.
    pub(crate) fn text_shown(&self) -> bool {
        self.draft.lock().text_shown
    }

    /// Fills the row with what the run has to show.
    pub(crate) fn fill(&self, run: &mut Run) {
        let mut draft = self.draft.lock();
        run.usage = draft.usage;
        run.steps = draft.steps;
        run.model = draft.model.clone();
        run.messages = std::mem::take(&mut draft.messages);
    }
}
