//! What every `Provider` must do. To add a check: an `async fn` in a file below and its name in that file's list.
//!
//! Each check opens a provider of its own against an upstream that behaves as told, and panics where a promise is
//! broken. What a member makes of its settings it tests itself.

mod answers;
mod failures;
mod offers;
mod passing;

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use libtest_mimic::Trial;
use mainstay_core::message::{Message, Role};
use mainstay_core::model::{Assembler, Completion, ModelEvent, ModelRequest, Usage};
use mainstay_core::provider::{Provider, WireRequest};
use mainstay_core::{Ctx, Error, Result};

use crate::fake_upstream::Received;

use super::suite;
pub use super::suite::prove;

/// How the upstream behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behaviour {
    /// Answers: `text`, `length` (cut by the bound after `Hei `), `filtered` (after `Hei `), `call`, `calls`,
    /// `reasoning`. All report [`USAGE`].
    Says(&'static str),
    /// Fails before it says anything: `auth`, `quota`, `rate_limited` (for two seconds), `refused`, `invalid`,
    /// `unknown_model`, `overloaded`.
    Fails(&'static str),
    /// Says `Hei ` and then reports in the stream that it is overloaded.
    FailsInside,
    /// Answers with status 200 and nothing but a report that it is overloaded, in a stream after a comment.
    FailsAtOnce,
    /// Begins a stream with a comment and ends it in good order.
    SaysNothing,
    /// Breaks the connection after `Hei `, or in the middle of a whole answer.
    Breaks,
    /// Ends the stream in good order after `Hei `.
    EndsEarly,
    /// Says `text` in a stream and then breaks the connection.
    BreaksAfterwards,
    /// Says `Hei ` and nothing more.
    Hangs,
    /// Says `Hei `, and then a comment, the beginning of an event and nothing more.
    Thinks,
    /// Takes the request and never answers.
    Silent,
    /// Answers with something else than its dialect.
    Page,
    /// Says that it has moved.
    Moved,
    /// Answers that there is no content.
    Empty,
    /// Cannot be reached.
    Gone,
}

/// What `text` says, in three pieces.
pub const TEXT: &str = "Hei på deg.";

/// What every answer costs.
pub const USAGE: Usage = Usage {
    input_uncached: 12,
    cache_read: 8,
    cache_write_5m: 0,
    cache_write_1h: 0,
    output: 5,
    reasoning: 3,
};

/// What the upstream calls the model, as opposed to what it is asked for.
pub const MODEL: &str = "m-2026-11";

/// A provider, and the upstream it talks to.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The provider under test.
    fn provider(&self) -> Arc<dyn Provider>;
    /// A request as a client of the provider's dialect sends it, for [`MODEL_ASKED`], with the edits of metering.
    /// `None` where the provider passes nothing through.
    fn wire(&self, stream: bool) -> Option<WireRequest>;
    /// The bytes with which the upstream says `text`.
    fn recorded(&self, stream: bool) -> Bytes;
    /// What the upstream has received; `None` where there is no upstream to ask.
    fn received(&self) -> Option<Vec<Received>>;
    /// Waits until the upstream has taken a call.
    async fn called(&self);
    /// Waits until the upstream has noticed that its caller went away.
    async fn caller_gone(&self);
}

/// The provider's model that is asked for.
pub const MODEL_ASKED: &str = "m-asked";

/// Opens a provider against an upstream that behaves so.
pub type Open = Arc<dyn Fn(Behaviour) -> BoxFuture<'static, Arc<dyn Rig>> + Send + Sync>;

/// One promise of the port.
pub type Check = suite::Check<Open>;

/// Every check, in the order of the files.
pub fn checks() -> impl Iterator<Item = Check> {
    [answers::CHECKS, failures::CHECKS, passing::CHECKS, offers::CHECKS].into_iter().flatten().copied()
}

/// The suite as tests named `<member>::<promise>`. `not_run` names the checks for which this member's upstream cannot
/// be made to behave, with the reason; they are shown as ignored.
///
/// # Panics
/// Where `not_run` names a check that does not exist.
pub fn trials(member: &str, open: &Open, not_run: &[(&str, &'static str)]) -> Vec<Trial> {
    suite::trials(member, open, checks(), not_run)
}

/// Lists async functions of this file as checks under their own names.
macro_rules! promises {
    ($($name:ident),* $(,)?) => {
        pub(super) const CHECKS: &[super::Check] =
            &[$(super::Check { name: stringify!($name), run: |open| Box::pin($name(open)) }),*];
    };
}
use promises;

fn request(stream: bool) -> ModelRequest {
    ModelRequest {
        model: MODEL_ASKED.to_owned(),
        messages: vec![Message::text(Role::System, "Be brief."), Message::text(Role::User, "Say hello.")],
        stream,
        ..ModelRequest::default()
    }
}

/// Asks, and gives the events up to the end or the first error.
async fn ask(rig: &Arc<dyn Rig>, request: ModelRequest) -> (Vec<ModelEvent>, Result<()>) {
    let mut events = Vec::new();
    let mut stream = match rig.provider().complete(&Ctx::system(), request).await {
        Ok(stream) => stream,
        Err(error) => return (events, Err(error)),
    };
    while let Some(event) = stream.next().await {
        match event {
            Ok(ModelEvent::Alive) => {}
            Ok(event) => events.push(event),
            Err(error) => {
                assert!(stream.next().await.is_none(), "the first error ends the answer");
                return (events, Err(error));
            }
        }
    }
    (events, Ok(()))
}

async fn answered(rig: &Arc<dyn Rig>, request: ModelRequest) -> (Vec<ModelEvent>, Completion) {
    let (events, ending) = ask(rig, request).await;
    ending.expect("the provider answers");
    let done = completion(&events);
    (events, done)
}

async fn failure(rig: &Arc<dyn Rig>, request: ModelRequest) -> Error {
    let (_, ending) = ask(rig, request).await;
    ending.expect_err("the provider fails")
}

fn completion(events: &[ModelEvent]) -> Completion {
    let mut assembler = Assembler::default();
    events.iter().for_each(|event| assembler.push(event));
    assembler.finish()
}
