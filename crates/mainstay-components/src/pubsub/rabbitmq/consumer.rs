//! A subscription: a channel of its own with one consumer. Closing the channel gives back what is not settled, so
//! whoever drops the stream needs to say nothing.

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use lapin::Acker;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Channel, Connection, Consumer};
use mainstay_core::pubsub::{Delivery, Message, Receipt, Subscription};
use mainstay_core::{BoxStream, Error, Result, codes};

use super::settings::Options;
use super::topology::Asked;
use super::{failed, properties};

/// Declares the queue and consumes from it.
pub(super) async fn begin(
    connection: &Connection,
    options: &Options,
    subscription: &Subscription,
    asked: &Asked,
) -> Result<BoxStream<Result<Delivery>>> {
    let channel = connection.create_channel().await.map_err(failed)?;
    let consumer = consume(&channel, options, asked).await.map_err(failed)?;
    let member = Member {
        consumer,
        _channel: channel,
        topic: subscription.topic.clone(),
        auto_ack: options.auto_ack,
        requeue: options.requeue,
        tells_properties: options.tells_properties,
        is_over: false,
    };
    Ok(Box::pin(stream::unfold(member, |mut member| async move {
        let next = member.next().await?;
        Some((next, member))
    })))
}

async fn consume(channel: &Channel, options: &Options, asked: &Asked) -> lapin::Result<Consumer> {
    asked.declare(channel, options).await?;
    channel.basic_qos(options.held_max, BasicQosOptions::default()).await?;
    let how = BasicConsumeOptions { no_ack: options.auto_ack, ..BasicConsumeOptions::default() };
    let queue = asked.queue.clone();
    channel.basic_consume(queue.clone(), queue, how, FieldTable::default()).await
}

struct Member {
    consumer: Consumer,
    /// Closed with this.
    _channel: Channel,
    topic: String,
    auto_ack: bool,
    requeue: bool,
    tells_properties: bool,
    is_over: bool,
}

impl Member {
    /// The next delivery; an error is the last.
    async fn next(&mut self) -> Option<Result<Delivery>> {
        if self.is_over {
            return None;
        }
        let next = match self.consumer.next().await {
            Some(Ok(delivery)) => return Some(Ok(self.delivery(delivery))),
            Some(Err(error)) => failed(error),
            None => {
                Error::new(&codes::BROKER_UNAVAILABLE, "take messages: RabbitMQ has ended the subscription")
            }
        };
        self.is_over = true;
        Some(Err(next))
    }

    fn delivery(&self, delivery: lapin::message::Delivery) -> Delivery {
        let lapin::message::Delivery { properties, data, acker, .. } = delivery;
        let attempts = properties.headers().as_ref().and_then(count);
        let message = Message {
            topic: self.topic.clone(),
            data: data.into(),
            content_type: properties.content_type().as_ref().map(ToString::to_string),
            metadata: properties::metadata(&properties, self.tells_properties),
        };
        let acker = (!self.auto_ack).then_some(acker);
        let receipt = Box::new(Slip { acker, requeue: self.requeue });
        // A queue's order is kept by taking one at a time, which the prefetch sees to; more at once is in no order.
        Delivery { message, lane: None, attempts: attempts.unwrap_or_default(), receipt }
    }
}

/// How often a message came before; only queues of the type `quorum` count.
fn count(headers: &FieldTable) -> Option<u32> {
    let count = headers.inner().get("x-delivery-count")?;
    count.as_long_long_int().and_then(|count| u32::try_from(count).ok())
}

/// Settles a delivery; dropped without, it goes back to the queue. None to settle where messages are done when sent.
struct Slip {
    acker: Option<Acker>,
    requeue: bool,
}

fn nack(requeue: bool) -> BasicNackOptions {
    BasicNackOptions { multiple: false, requeue }
}

/// Whether the server heard it: it does not on a channel that is closed.
fn heard(outcome: lapin::Result<bool>) -> Result<()> {
    if outcome.map_err(failed)? {
        return Ok(());
    }
    let message = "settle a message: the connection it came by is gone, and it comes again";
    Err(Error::new(&codes::BROKER_UNAVAILABLE, message))
}

#[async_trait]
impl Receipt for Slip {
    async fn done(mut self: Box<Self>) -> Result<()> {
        match self.acker.take() {
            Some(acker) => heard(acker.ack(BasicAckOptions::default()).await),
            None => Ok(()),
        }
    }

    async fn again(mut self: Box<Self>) -> Result<()> {
        match self.acker.take() {
            Some(acker) => heard(acker.nack(nack(self.requeue)).await),
            None => Ok(()),
        }
    }
}

impl Drop for Slip {
    fn drop(&mut self) {
        let runtime = tokio::runtime::Handle::try_current();
        if let (Some(acker), Ok(runtime)) = (self.acker.take().filter(Acker::usable), runtime) {
            // Should it fail, the channel is gone, which says the same.
            runtime.spawn(async move { acker.nack(nack(true)).await });
        }
    }
}
