//! A thread that tends a store now and then. It ends with the store.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use mainstay_core::Result;
use tokio::sync::Notify;

/// The thread.
#[derive(Debug)]
pub(crate) struct Care {
    stop: Arc<Notify>,
    thread: Option<JoinHandle<()>>,
}

impl Care {
    /// Starts the thread; it calls `tend` every `interval` until it is dropped.
    pub(crate) fn start<F: Future<Output = Result<()>>>(
        name: &str,
        interval: Duration,
        tend: impl Fn() -> F + Send + 'static,
    ) -> std::io::Result<Self> {
        let stop = Arc::new(Notify::new());
        let stopped = stop.clone();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build()?;
        let thread = std::thread::Builder::new().name(format!("{name}-care")).spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = stopped.notified() => {}
                    () = keep_on(interval, &tend) => {}
                }
            });
        })?;
        Ok(Self { stop, thread: Some(thread) })
    }
}

impl Drop for Care {
    fn drop(&mut self) {
        self.stop.notify_one();
        if self.thread.take().is_some_and(|thread| thread.join().is_err()) {
            tracing::error!("a store's care had panicked: expired entries and disk space are not given back");
        }
    }
}

async fn keep_on<F: Future<Output = Result<()>>>(interval: Duration, tend: &impl Fn() -> F) {
    let mut is_well = true;
    loop {
        tokio::time::sleep(interval).await;
        match tend().await {
            Ok(()) => is_well = true,
            Err(error) => {
                // Once for each time that it begins to fail; the store says the same to its callers.
                if std::mem::take(&mut is_well) {
                    tracing::warn!(%error, internal = error.internal(), "a store could not be tended; it is tried again");
                }
            }
        }
    }
}
