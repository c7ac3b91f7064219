//! One named broker of the log, as the `PubSub` port.
//!
//! Settings of a subscription: `initialOffset` (`newest`, or `oldest` for a new group that wants what is still kept),
//! `maxInFlight` (messages that a member holds unsettled, 1 to 4,096; 256), `redeliverAfter` (how long it may hold one;
//! `60s`, 1 s to 1 h).

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes, duration};

use super::group::Member;
use super::log::BrokerLog;
use super::subscriber::Subscriber;
use super::unavailable;

/// Bytes of the name of a topic or a group.
const NAME_BYTES_MAX: usize = 1_024;
/// Bytes of metadata, names and values together.
const METADATA_BYTES_MAX: usize = 64 * 1024;

/// A broker.
#[derive(Debug)]
pub(crate) struct Broker {
    log: Arc<BrokerLog>,
    name: String,
}

impl Broker {
    pub(crate) fn new(log: Arc<BrokerLog>, name: &str) -> Self {
        Self { log, name: name.to_owned() }
    }

    async fn begin(&self, message: Message) -> Result<crate::log::queue::Acknowledged> {
        check_name("topic", &message.topic)?;
        let texts = message.metadata.iter().map(|(name, value)| name.len() + value.len());
        if texts.sum::<usize>() + message.content_type.as_ref().map_or(0, String::len) > METADATA_BYTES_MAX {
            let message = format!("publish: its metadata has more than {METADATA_BYTES_MAX} bytes");
            return Err(Error::new(&codes::INVALID_FIELD, message).with_field("metadata"));
        }
        self.log.begin(&self.name, message).await
    }
}

#[async_trait]
impl PubSub for Broker {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ttl: true, ordered: true, metadata: true, durable: true }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        within(ctx, self.log.probe()).await
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        within(ctx, async { self.begin(message).await?.await.map_err(unavailable) }).await
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        let mut begun = Vec::with_capacity(messages.len());
        // All are on their way before the first is waited for: they share a sync.
        for message in messages {
            begun.push(within(ctx, self.begin(message)).await);
        }
        let mut done = Vec::with_capacity(begun.len());
        for one in begun {
            done.push(match one {
                Ok(one) => within(ctx, async { one.await.map_err(unavailable) }).await,
                Err(error) => Err(error),
            });
        }
        done
    }

    async fn subscribe(&self, ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        let Subscription { topic, group, metadata } = subscription;
        check_name("topic", &topic)?;
        if group.len() > NAME_BYTES_MAX {
            return Err(invalid("group", format!("a group's name has at most {NAME_BYTES_MAX} bytes")));
        }
        let setting = |name: &str| {
            metadata
                .iter()
                .find(|(known, _)| known.eq_ignore_ascii_case(name))
                .map(|(_, value)| value.as_str())
        };
        let oldest = match setting("initialOffset") {
            None => false,
            Some(text) if text.eq_ignore_ascii_case("newest") => false,
            Some(text) if text.eq_ignore_ascii_case("oldest") => true,
            Some(_) => return Err(invalid("initialOffset", "it is `newest` or `oldest`".to_owned())),
        };
        let held_max = match setting("maxInFlight") {
            None => 256,
            Some(text) => text
                .parse()
                .ok()
                .filter(|held| (1..=4_096).contains(held))
                .ok_or_else(|| invalid("maxInFlight", "it is a whole number from 1 to 4096".to_owned()))?,
        };
        let patience = match setting("redeliverAfter") {
            None => Duration::from_secs(60),
            Some(text) => {
                let bounds = Duration::from_secs(1)..=Duration::from_secs(3_600);
                duration::parse(text).filter(|time| bounds.contains(time)).ok_or_else(|| {
                    invalid("redeliverAfter", "it is a duration from `1s` to `1h`".to_owned())
                })?
            }
        };
        let joining = self.log.join(&self.name, &topic, &group, oldest);
        let (id, member) = within(ctx, joining).await?;
        let member = Member { id: member, patience };
        Ok(Subscriber::new(self.log.clone(), id, member, held_max).into_stream())
    }
}

fn check_name(what: &str, name: &str) -> Result<()> {
    if name.is_empty() || name.len() > NAME_BYTES_MAX {
        return Err(invalid(what, format!("it has 1 to {NAME_BYTES_MAX} bytes")));
    }
    Ok(())
}

fn invalid(field: &str, why: String) -> Error {
    Error::new(&codes::INVALID_FIELD, format!("`{field}` does not fit: {why}")).with_field(field)
}

/// Bounds the work by the context's deadline. What was handed to the log takes its effect all the same.
async fn within<T>(ctx: &Ctx, work: impl Future<Output = Result<T>>) -> Result<T> {
    let Some(deadline) = ctx.deadline() else { return work.await };
    tokio::time::timeout_at(deadline.into(), work)
        .await
        .unwrap_or_else(|_| Err(Error::new(&codes::DEADLINE_EXCEEDED, "the broker did not answer in time")))
}
