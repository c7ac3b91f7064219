//! The calls at work on an app, counted, so that it is stopped between calls where that is possible.

use futures_util::StreamExt as _;
use mainstay_core::BoxStream;
use tokio::sync::watch;

/// The count.
#[derive(Debug)]
pub(super) struct Calls(watch::Sender<usize>);

impl Calls {
    pub(super) fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    /// A call begins; it ends when what is returned is dropped.
    pub(super) fn begin(&self) -> Call {
        self.0.send_modify(|calls| *calls += 1);
        Call(self.0.clone())
    }

    /// Waits until no call is at work.
    pub(super) async fn ended(&self) {
        // An error would mean that there is no count, and we hold it.
        let _ = self.0.subscribe().wait_for(|calls| *calls == 0).await;
    }
}

/// A call at work.
pub(super) struct Call(watch::Sender<usize>);

impl Call {
    /// The call's answer: the call is at work for as long as somebody holds it.
    pub(super) fn with<T: 'static>(self, answer: BoxStream<T>) -> BoxStream<T> {
        answer
            .map(move |event| {
                let _at_work = &self;
                event
            })
            .boxed()
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.0.send_modify(|calls| *calls -= 1);
    }
}
