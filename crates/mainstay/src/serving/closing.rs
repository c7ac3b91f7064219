//! Letting go of the journal, within bounds: a disk that hangs does not keep the process from ending. Nothing is lost
//! by that, for what was acknowledged is on the disk.

use std::time::Duration;

use mainstay_core::{Error, codes};
use tokio::task::spawn_blocking;

/// Runs `close`, which may block, on a thread of its own, and waits for it no longer than `max`.
/// Errors: `JOURNAL_UNAVAILABLE` when it takes longer; it then goes on by itself.
pub(super) async fn within(max: Duration, close: impl FnOnce() + Send + 'static) -> anyhow::Result<()> {
    match tokio::time::timeout(max, spawn_blocking(close)).await {
        Ok(closed) => Ok(closed?),
        Err(_) => {
            let message = format!("the record of runs did not close within {} s", max.as_secs());
            let help = "everything acknowledged is kept; look for a disk that is slow or hangs";
            Err(Error::new(&codes::JOURNAL_UNAVAILABLE, message).with_help(help).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[tokio::test]
    async fn a_close_that_hangs_is_left_alone_and_said() {
        let (let_go, hangs) = mpsc::sync_channel::<()>(1);
        let hang = move || {
            let _let_go = hangs.recv();
        };
        let late = within(Duration::from_millis(1), hang).await.unwrap_err();
        assert_eq!(late.downcast_ref::<Error>().unwrap().code(), &codes::JOURNAL_UNAVAILABLE);
        drop(let_go);
        within(Duration::from_secs(60), || ()).await.unwrap();
    }
}
