//! A member of a group: a stream of deliveries, and the receipts that settle them. Dropping the stream leaves the
//! group.

use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use mainstay_core::pubsub::{Delivery, Receipt};
use mainstay_core::{BoxStream, Result};
use tokio::sync::Notify;

use super::group::{Handed, Member};
use super::log::{BrokerLog, Taken};
use super::record::Stored;
use super::{closed, unavailable};

/// A member.
#[derive(Debug)]
pub(crate) struct Subscriber {
    log: Arc<BrokerLog>,
    group: u32,
    member: Member,
    held_max: usize,
    bell: Arc<Notify>,
    is_over: bool,
}

impl Subscriber {
    /// The member `member` of `group`, which has joined.
    pub(crate) fn new(log: Arc<BrokerLog>, group: u32, member: Member, held_max: usize) -> Self {
        let bell = log.index.lock().group(group).map(|group| group.bell.clone());
        Self { log, group, member, held_max, bell: bell.unwrap_or_default(), is_over: false }
    }

    /// Its deliveries.
    pub(crate) fn into_stream(self) -> BoxStream<Result<Delivery>> {
        Box::pin(stream::unfold(self, |mut subscriber| async move {
            let next = subscriber.next().await?;
            Some((next, subscriber))
        }))
    }

    async fn next(&mut self) -> Option<Result<Delivery>> {
        if self.is_over {
            return None;
        }
        let next = self.wait().await;
        self.is_over = next.is_err();
        Some(next)
    }

    async fn wait(&mut self) -> Result<Delivery> {
        loop {
            let mut rung = pin!(self.bell.notified());
            // Before the look: what comes between the look and the wait must ring.
            rung.as_mut().enable();
            match self.log.take(self.group, self.member, self.held_max) {
                Taken::Over => return Err(closed()),
                Taken::Handed(handed) => {
                    if let Some(delivery) = self.delivery(handed).await? {
                        return Ok(delivery);
                    }
                }
                Taken::Nothing(None) => rung.await,
                Taken::Nothing(Some(until)) => {
                    tokio::select! {
                        () = rung => {}
                        () = tokio::time::sleep_until(until.into()) => {}
                    }
                }
            }
        }
    }

    /// The message that was handed out; `None` where there is none to be delivered any more.
    async fn delivery(&self, handed: Handed) -> Result<Option<Delivery>> {
        let Handed { seq, attempts, lane, turn } = handed;
        let stored = match self.log.message(self.group, seq).await {
            Ok(stored) => stored,
            Err(error) => {
                // It is not lost, and it is told again; what is behind it does not wait for that.
                self.log.again(self.group, seq, turn, Some(self.member.patience));
                return Err(error);
            }
        };
        let now_ms = self.log.clock.now_ms();
        let is_alive = |stored: &Arc<Stored>| stored.expires_at_ms.is_none_or(|end| end > now_ms);
        let Some(stored) = stored.filter(is_alive) else {
            // Not waited for: should it be forgotten, it has still outlived its time.
            drop(self.log.done(self.group, seq)?);
            return Ok(None);
        };
        let log = self.log.clone();
        let receipt = Slip { log, group: self.group, seq, turn, is_settled: false };
        Ok(Some(Delivery {
            message: stored.message.clone(),
            lane: (lane != 0).then_some(u64::from(lane)),
            attempts,
            receipt: Box::new(receipt),
        }))
    }
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.log.leave(self.group, self.member.id);
    }
}

/// Settles a delivery; dropped without, the message comes again.
#[derive(Debug)]
struct Slip {
    log: Arc<BrokerLog>,
    group: u32,
    seq: u64,
    turn: u64,
    is_settled: bool,
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        self.is_settled = true;
        match self.log.done(self.group, self.seq)? {
            Some((acknowledged, _held)) => acknowledged.await.map_err(unavailable),
            None => Ok(()),
        }
    }

    async fn again(mut self: Box<Self>) -> Result<()> {
        self.is_settled = true;
        self.log.again(self.group, self.seq, self.turn, None);
        Ok(())
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        if !self.is_settled {
            self.log.again(self.group, self.seq, self.turn, Some(Duration::ZERO));
        }
    }
}
