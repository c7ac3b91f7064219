//! Calls of apps with what is asked for around them. An answer that says of a failure is tried again where that is
//! asked for; the last one is passed on, whatever it says.

use http::Response;
use mainstay_blocks::layers::{AppGuard, Outcome};
use mainstay_core::{Ctx, Error};
use mainstay_net::client::{AnswerBody, SendError};

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failed {
    /// The call could not be made, or was cut.
    Send(SendError),
    /// Policies kept it away, or ended it.
    Policy(Error),
}

impl Failed {
    /// All that is known, for the log.
    pub(super) fn chain(&self) -> String {
        match self {
            Self::Send(error) => error.chain(),
            Self::Policy(error) => error.to_string(),
        }
    }
}

impl std::fmt::Display for Failed {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Send(error) => error.fmt(f),
            Self::Policy(error) => error.fmt(f),
        }
    }
}

impl From<Error> for Failed {
    fn from(error: Error) -> Self {
        Self::Policy(error)
    }
}

type Sent = Result<Response<AnswerBody>, Failed>;

/// A call that can be made again.
pub(super) async fn again<F>(guard: &AppGuard, send: impl Fn() -> F + Send + Sync) -> Sent
where
    F: Future<Output = Result<Response<AnswerBody>, SendError>> + Send,
{
    // Nothing was sent, so nothing can happen twice.
    let unreached = |sent: &Sent| match sent {
        Ok(_) => Outcome::Fine,
        Err(Failed::Send(SendError::Connect(_))) => Outcome::Temporary(None),
        Err(_) => Outcome::Permanent,
    };
    let ctx = &Ctx::system();
    let send = || async { send().await.map_err(Failed::Send) };
    let reach = |_| guard.unreached.run_judged(ctx, None, |_| send(), unreached);
    guard.asked.run_judged(ctx, None, reach, judge).await
}

/// A call that can be made only once.
pub(super) async fn once<F>(guard: &AppGuard, sent: F) -> Sent
where
    F: Future<Output = Result<Response<AnswerBody>, SendError>> + Send,
{
    guard.asked.run_once(&Ctx::system(), |_| async { sent.await.map_err(Failed::Send) }, judge).await
}

fn judge(sent: &Sent) -> Outcome {
    match sent {
        Ok(answer) if (200..400).contains(&answer.status().as_u16()) => Outcome::Fine,
        Ok(answer) => Outcome::Temporary(Some(answer.status().as_u16())),
        Err(Failed::Send(SendError::Refused(_))) => Outcome::Permanent,
        Err(_) => Outcome::Temporary(None),
    }
}
