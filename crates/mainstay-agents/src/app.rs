//! App agents: the user's own service behind the run log. Its session is its own: it gets the id, not the history.

use futures_util::StreamExt;
use mainstay_core::app::{AppEvent, AppOutput, AppRequest};
use mainstay_core::message::{Message, Role};
use mainstay_core::run::{DEPTH_MAX, RunEventKind, nests_within};
use mainstay_core::{Error, Result, codes};

use crate::run::life::Assignment;
use crate::run::recorder::Answer;

/// Bytes of one answer, at most, however many pieces it comes in.
const ANSWER_BYTES_MAX: usize = 16 * 1024 * 1024;

/// Bytes of the name of an app's own event, at most.
const EVENT_NAME_BYTES_MAX: usize = 128;

/// First words of our own events' names; an app's event that bears one gets the prefix `app.`.
const OWN_NAMES: [&str; 5] = ["run.", "message.", "reasoning.", "tool.", "step."];

/// Asks the app and records its answer. Errors: those of [`mainstay_core::app::App::invoke`].
pub(crate) async fn answer(work: &Assignment<'_>) -> Result<Answer> {
    let app = work.agent.entry.app.as_ref();
    let app = app.ok_or_else(|| Error::bug(format!("agent `{}` has no app", work.agent.name)))?;
    let asked = work.live.asked();
    let request = AppRequest {
        run: asked.id.clone(),
        session: asked.session.clone(),
        input: asked.input.clone(),
        idempotency_key: asked.id.as_str().to_owned(),
        stream: work.stream,
    };
    let mut events = app.invoke(&work.ctx, request).await?;
    let mut text = String::new();
    while let Some(event) = events.next().await {
        match event? {
            AppEvent::Text(piece) => {
                bounded(text.len() + piece.len())?;
                text.push_str(&piece);
                work.recorder.text(piece).await;
            }
            AppEvent::Custom { name, data } => {
                if !nests_within(&data, DEPTH_MAX) {
                    let what =
                        format!("the app sent an event that nests more than {DEPTH_MAX} arrays and objects");
                    return Err(Error::new(&codes::APP_FAILED, what));
                }
                work.recorder.event(RunEventKind::Custom { name: own(name), data }).await;
            }
            AppEvent::Done(output) => return finish(work, text, output).await,
        }
    }
    Err(Error::new(&codes::APP_FAILED, "the app's answer ended before it was whole"))
}

async fn finish(work: &Assignment<'_>, pieces: String, output: AppOutput) -> Result<Answer> {
    let text = if output.answer.is_empty() { pieces.clone() } else { output.answer };
    bounded(text.len())?;
    if pieces.is_empty() {
        work.recorder.text(text.clone()).await;
    }
    if let Some(model) = output.model {
        work.recorder.model(model);
    }
    work.recorder.spent(output.usage.unwrap_or_default());
    work.recorder.messages([Message::text(Role::Assistant, text.clone())]);
    Ok(Answer { text, finish_reason: output.finish_reason.unwrap_or_else(|| "stop".to_owned()) })
}

fn bounded(bytes: usize) -> Result<()> {
    if bytes <= ANSWER_BYTES_MAX {
        return Ok(());
    }
    Err(Error::new(&codes::APP_FAILED, format!("the app's answer is larger than {ANSWER_BYTES_MAX} bytes")))
}

fn own(mut name: String) -> String {
    if OWN_NAMES.iter().any(|own| name.starts_with(own)) {
        name.insert_str(0, "app.");
    }
    name.truncate(name.floor_char_boundary(EVENT_NAME_BYTES_MAX));
    name
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_of_the_apps_own_cannot_pass_for_one_of_ours() {
        let ours = [RunEventKind::Started.name().to_owned(), "run.completed".to_owned()];
        for name in ours {
            assert_eq!(own(name.clone()), format!("app.{name}"));
        }
        assert_eq!(own("progress".to_owned()), "progress");
        assert_eq!(own("ü".repeat(200)).len(), EVENT_NAME_BYTES_MAX);
    }
}
