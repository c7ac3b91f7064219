//! The open connections: each is told to finish or cut through a flag that it looks at when it is polled. A timer and
//! a cancellation token per connection would be polled with every read and write; the flag costs a load.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;

use super::ServeOptions;
use super::watch::{Verdict, Watch};

/// What a connection has been told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub(super) enum Order {
    /// Go on.
    GoOn = 0,
    /// Finish what is in flight, take nothing new.
    Finish = 1,
    /// End now.
    Cut = 2,
}

/// The side of a connection that others see.
pub(super) struct Handle {
    pub(super) watch: Arc<Watch>,
    order: AtomicU8,
    waker: AtomicWaker,
}

impl Handle {
    /// The order as it is now; a later one wakes the task.
    pub(super) fn order(&self, cx: &mut Context<'_>) -> Order {
        self.waker.register(cx.waker());
        match self.order.load(Ordering::Acquire) {
            0 => Order::GoOn,
            1 => Order::Finish,
            _ => Order::Cut,
        }
    }

    fn tell(&self, order: Order) {
        if self.order.fetch_max(order as u8, Ordering::AcqRel) < order as u8 {
            self.waker.wake();
        }
    }
}

/// The connections of a listener; cheap to clone.
#[derive(Clone, Default)]
pub(super) struct Connections(Arc<Mutex<Table>>);

#[derive(Default)]
struct Table {
    next: u64,
    open: HashMap<u64, Arc<Handle>>,
}

impl Connections {
    /// Enters a connection; it leaves when the guard is dropped.
    pub(super) fn enter(&self) -> Entered {
        let (watch, order) = (Arc::new(Watch::new()), AtomicU8::new(Order::GoOn as u8));
        let handle = Arc::new(Handle { watch, order, waker: AtomicWaker::new() });
        let mut table = self.0.lock();
        table.next += 1;
        let id = table.next;
        table.open.insert(id, Arc::clone(&handle));
        Entered { handle, id, of: self.clone() }
    }

    /// Tells all of them.
    pub(super) fn tell(&self, order: Order) {
        for handle in self.0.lock().open.values() {
            handle.tell(order);
        }
    }

    /// Ends those whose time is up, again and again.
    pub(super) async fn sweep(self, options: ServeOptions) {
        let shortest = options.header_timeout.min(options.idle_timeout).min(options.write_timeout);
        let pause = (shortest / 4).clamp(Duration::from_millis(10), Duration::from_secs(1));
        loop {
            tokio::time::sleep(pause).await;
            for handle in self.0.lock().open.values() {
                match handle.watch.verdict(&options) {
                    Verdict::Fine => {}
                    Verdict::Idle => handle.tell(Order::Finish),
                    Verdict::Stuck => handle.tell(Order::Cut),
                }
            }
        }
    }
}

/// A connection in the table.
pub(super) struct Entered {
    pub(super) handle: Arc<Handle>,
    id: u64,
    of: Connections,
}

impl Drop for Entered {
    fn drop(&mut self) {
        self.of.0.lock().open.remove(&self.id);
    }
}

/// Drives a connection as told.
pub(super) async fn drive<C, E>(
    connection: C,
    handle: &Handle,
    finish: fn(std::pin::Pin<&mut C>),
) -> Result<(), E>
where
    C: Future<Output = Result<(), E>>,
{
    let mut connection = std::pin::pin!(connection);
    let mut finishing = false;
    std::future::poll_fn(|cx| {
        match handle.order(cx) {
            Order::Cut => return Poll::Ready(Ok(())),
            Order::Finish if !finishing => {
                finishing = true;
                finish(connection.as_mut());
            }
            Order::Finish | Order::GoOn => {}
        }
        connection.as_mut().poll(cx)
    })
    .await
}
