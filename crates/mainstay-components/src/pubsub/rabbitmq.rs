//! RabbitMQ over AMQP 0.9.1, in the layout of Dapr's `pubsub.rabbitmq` v1: an exchange a topic, and a queue
//! `GROUP-TOPIC` a group, so that its sidecar and ours can share a server. Metadata are headers. At least once; a
//! queue's order where one message is taken at a time (`concurrencyMode: single`). A publish is confirmed by the server
//! before it is acknowledged; what that outlives is a matter of `durable`, `deliveryMode` and `deletedWhenUnused`,
//! whose defaults are Dapr's and keep little. The server answers no acknowledgement of ours, so what was settled just
//! before a crash may come again. Tested with RabbitMQ 3.10.
//! <https://docs.dapr.io/reference/components-reference/supported-pubsub/setup-rabbitmq/>

mod consumer;
mod properties;
mod settings;
mod topology;
mod wire;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};
use lapin::types::ShortString;
use lapin::{Channel, Connection, ConnectionProperties, ErrorKind, PublisherConfirm};
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, Retry, codes};
use parking_lot::Mutex;
use tokio::sync::Mutex as AsyncMutex;

use self::settings::Options;
use crate::clients::{brokers, within};
use crate::def::Def;

/// The type.
pub const DEF: Def<dyn PubSub> = Def {
    kind: "pubsub.rabbitmq",
    aliases: &[],
    versions: &["v1"],
    about: "RabbitMQ.",
    settings: &settings::SETTINGS,
    check: |settings| {
        let mut faults = Vec::new();
        Options::parse(settings, &mut faults);
        faults
    },
    open: |opening| {
        let options = Options::parse(opening.settings, &mut Vec::new());
        Box::pin(async move {
            let broker = RabbitMq { options, link: AsyncMutex::default() };
            broker.link().await?;
            Ok(Arc::new(broker) as Arc<dyn PubSub>)
        })
    },
};

/// Longest for a connection to be made.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(30);

struct RabbitMq {
    options: Options,
    link: AsyncMutex<Option<Arc<Link>>>,
}

/// A connection, and the channel for what is published.
struct Link {
    connection: Arc<Connection>,
    channel: Channel,
    /// Exchanges that were found to be there, as the settings say.
    declared: Mutex<HashSet<String>>,
}

impl RabbitMq {
    /// The connection that there is, or a new one. Errors: `BROKER_UNAVAILABLE`.
    async fn link(&self) -> Result<Arc<Link>> {
        let mut link = self.link.lock().await;
        let connection = match &*link {
            Some(link) if link.connection.status().connected() => {
                if link.channel.status().connected() {
                    return Ok(Arc::clone(link));
                }
                Arc::clone(&link.connection)
            }
            _ => Arc::new(self.connect().await?),
        };
        let channel = connection.create_channel().await.map_err(failed)?;
        channel.confirm_select(ConfirmSelectOptions::default()).await.map_err(failed)?;
        let new = Arc::new(Link { connection, channel, declared: Mutex::default() });
        *link = Some(Arc::clone(&new));
        Ok(new)
    }

    async fn connect(&self) -> Result<Connection> {
        let Options { uri, certificates, client_name, .. } = &self.options;
        let mut properties = ConnectionProperties::default();
        if let Some(name) = client_name {
            properties = properties.with_connection_name(name.as_str().into());
        }
        let is_tls = uri.scheme == lapin::uri::AMQPScheme::AMQPS;
        let tls = is_tls.then(|| certificates.client_config()).transpose().map_err(|error| {
            Error::new(&codes::BROKER_UNAVAILABLE, "call RabbitMQ: the certificates cannot be read")
                .with_retry(Retry::Permanent)
                .with_internal(error.to_string())
        })?;
        match tokio::time::timeout(CONNECT_TIME_MAX, wire::connect(uri.clone(), tls, properties)).await {
            Ok(connected) => connected.map_err(failed),
            Err(_) => Err(Error::new(&codes::BROKER_UNAVAILABLE, "call RabbitMQ: it does not answer")),
        }
    }

    /// Hands a message to the server; the outcome is still to come.
    async fn send(&self, message: &Message) -> Result<PublisherConfirm> {
        let exchange = topology::name(&message.topic)?;
        let properties = properties::of(message, &self.options)?;
        let routing_key = brokers::word(&message.metadata, "routingKey").unwrap_or_default();
        let routing_key = topology::short(routing_key, "metadata.routingKey")?;
        let link = self.link().await?;
        self.ensure_exchange(&link, &exchange).await?;
        let options = BasicPublishOptions::default();
        link.channel
            .basic_publish(exchange, routing_key, options, &message.data, properties)
            .await
            .map_err(failed)
    }

    /// The first publish to a topic looks at its exchange on a channel of its own: one that is of another kind ends
    /// that channel, and not the publishes of others.
    async fn ensure_exchange(&self, link: &Link, exchange: &ShortString) -> Result<()> {
        let is_known = link.declared.lock().contains(exchange.as_str());
        if !is_known {
            let channel = link.connection.create_channel().await.map_err(failed)?;
            topology::declare_exchange(&channel, &self.options, exchange, false).await.map_err(failed)?;
            let mut declared = link.declared.lock();
            if declared.len() >= DECLARED_MAX {
                declared.clear();
            }
            declared.insert(exchange.to_string());
        }
        if self.options.deleted_when_unused && !self.options.passive {
            // It goes when its last queue does, so each publish brings it along, and waits for no answer.
            topology::declare_exchange(&link.channel, &self.options, exchange, true).await.map_err(failed)?;
        }
        Ok(())
    }
}

/// Exchanges that are remembered.
const DECLARED_MAX: usize = 10_000;

/// The server's word on a message that was handed to it.
async fn confirmed(sent: PublisherConfirm) -> Result<()> {
    if sent.await.map_err(failed)?.is_ack() {
        return Ok(());
    }
    Err(Error::new(&codes::BROKER_UNAVAILABLE, "publish: RabbitMQ did not take the message"))
}

#[async_trait]
impl PubSub for RabbitMq {
    fn capabilities(&self) -> Capabilities {
        let Options { durable, deleted_when_unused, delivery_mode, .. } = self.options;
        Capabilities {
            ttl: true,
            ordered: false,
            metadata: true,
            durable: durable && !deleted_when_unused && delivery_mode == 2,
        }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let ask = async {
            let link = self.link().await?;
            let channel = link.connection.create_channel().await.map_err(failed)?;
            channel.close(lapin::protocol::constants::REPLY_SUCCESS, "asked".into()).await.map_err(failed)
        };
        within(ctx, ask).await
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        within(ctx, async { confirmed(self.send(&message).await?).await }).await
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        let mut sent = Vec::with_capacity(messages.len());
        for message in &messages {
            sent.push(within(ctx, self.send(message)).await);
        }
        let mut done = Vec::with_capacity(sent.len());
        for sent in sent {
            done.push(match sent {
                Ok(sent) => within(ctx, confirmed(sent)).await,
                Err(error) => Err(error),
            });
        }
        done
    }

    async fn subscribe(&self, ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        let asked = topology::Asked::read(&subscription)?;
        let begin = async {
            let link = self.link().await?;
            consumer::begin(&link.connection, &self.options, &subscription, &asked).await
        };
        within(ctx, begin).await
    }
}

/// What a failure means to the port of a broker.
fn failed(error: lapin::Error) -> Error {
    let refused = |message: &str| {
        Error::new(&codes::BROKER_UNAVAILABLE, message.to_owned()).with_retry(Retry::Permanent)
    };
    let failure = match error.kind() {
        ErrorKind::ProtocolError(told) => match told.kind() {
            AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => refused(
                "call RabbitMQ: an exchange or a queue of this name is there, and is not as the settings say",
            )
            .with_help(
                "compare `exchangeKind`, `durable` and `deletedWhenUnused` with those who share the topic",
            ),
            AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => {
                refused("call RabbitMQ: the user may not do this")
            }
            AMQPErrorKind::Soft(AMQPSoftError::NOTFOUND) => Error::new(
                &codes::BROKER_UNAVAILABLE,
                "call RabbitMQ: the exchange or the queue is not there",
            ),
            _ => Error::new(&codes::BROKER_UNAVAILABLE, "call RabbitMQ: it answered with an error"),
        },
        ErrorKind::MissingHeartbeatError => {
            Error::new(&codes::BROKER_UNAVAILABLE, "call RabbitMQ: it does not answer")
        }
        _ => Error::new(&codes::BROKER_UNAVAILABLE, "call RabbitMQ: it cannot be reached"),
    };
    failure.with_internal(error.to_string()).with_source(error)
}
