//! What exchanges and queues are called and what they are like: as Dapr's sidecar declares them, to the last argument,
//! for the server refuses a second declaration that differs.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable, LongString, ShortString};
use lapin::{Channel, ExchangeKind};
use mainstay_core::Result;
use mainstay_core::pubsub::Subscription;

use super::settings::Options;
use crate::clients::brokers::{invalid, word};

/// Longest name, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// A text as the protocol takes names. Errors: `INVALID_FIELD`.
pub(super) fn short(text: &str, field: &str) -> Result<ShortString> {
    if text.len() > NAME_BYTES_MAX {
        return Err(invalid(field, &format!("RabbitMQ takes {NAME_BYTES_MAX} bytes, and it is longer")));
    }
    Ok(text.into())
}

/// The exchange of a topic. Errors: `INVALID_FIELD`.
pub(super) fn name(topic: &str) -> Result<ShortString> {
    if topic.is_empty() {
        return Err(invalid("topic", "the topic is empty"));
    }
    short(topic, "topic")
}

/// What a subscription asks for.
#[derive(Debug)]
pub(super) struct Asked {
    exchange: ShortString,
    pub(super) queue: ShortString,
    routing_keys: Vec<ShortString>,
    arguments: FieldTable,
}

impl Asked {
    /// Reads it. Errors: `INVALID_FIELD`.
    pub(super) fn read(subscription: &Subscription) -> Result<Self> {
        let Subscription { topic, group, metadata } = subscription;
        let exchange = name(topic)?;
        let queue = word(metadata, "queueName").map_or_else(|| format!("{group}-{topic}"), str::to_owned);
        let keys = word(metadata, "routingKey").unwrap_or_default();
        let routing_keys = keys.split(',').map(|key| short(key, "metadata.routingKey"));
        let number = |name: &str| -> Result<Option<i64>> {
            let refused =
                |_| invalid(&format!("metadata.{name}"), &format!("`{name}` must be a whole number"));
            word(metadata, name)
                .map(|text| text.parse::<u64>().map_err(refused))
                .transpose()
                .map(|number| number.map(|number| i64::try_from(number).unwrap_or(i64::MAX)))
        };
        let mut arguments = FieldTable::default();
        if let Some(most) = number("maxPriority")? {
            let most = u8::try_from(most).unwrap_or(u8::MAX);
            arguments.insert("x-max-priority".into(), AMQPValue::ShortShortUInt(most));
        }
        let kind = word(metadata, "queueType").unwrap_or("classic");
        if !["classic", "quorum"].contains(&kind) {
            return Err(invalid("metadata.queueType", "`queueType` must be `classic` or `quorum`"));
        }
        arguments.insert("x-queue-type".into(), text(kind));
        if word(metadata, "singleActiveConsumer").is_some_and(is_yes) {
            arguments.insert("x-single-active-consumer".into(), AMQPValue::Boolean(true));
        }
        bound(&mut arguments, number("maxLen")?, number("maxLenBytes")?);
        let routing_keys = routing_keys.collect::<Result<_>>()?;
        Ok(Self { exchange, queue: short(&queue, "topic")?, routing_keys, arguments })
    }

    /// Declares all of it, and ties the queue to its exchange.
    pub(super) async fn declare(&self, channel: &Channel, options: &Options) -> lapin::Result<()> {
        declare_exchange(channel, options, &self.exchange, false).await?;
        let mut arguments = FieldTable::default();
        if options.dead_letters {
            arguments.insert(
                "x-dead-letter-exchange".into(),
                text(&self.declare_dead_letters(channel, options).await?),
            );
        }
        bound(&mut arguments, options.max_len, options.max_len_bytes);
        for (name, value) in self.arguments.inner() {
            arguments.insert(name.clone(), value.clone());
        }
        let like = QueueDeclareOptions {
            durable: options.durable,
            auto_delete: options.deleted_when_unused,
            ..QueueDeclareOptions::default()
        };
        channel.queue_declare(self.queue.clone(), like, arguments).await?;
        for key in &self.routing_keys {
            let (queue, exchange) = (self.queue.clone(), self.exchange.clone());
            let none = FieldTable::default();
            channel.queue_bind(queue, exchange, key.clone(), QueueBindOptions::default(), none).await?;
        }
        Ok(())
    }

    /// The exchange for what nobody wants, with its queue; always durable.
    async fn declare_dead_letters(&self, channel: &Channel, options: &Options) -> lapin::Result<String> {
        let (exchange, queue) = (format!("dlx-{}", self.queue), format!("dlq-{}", self.queue));
        let like = ExchangeDeclareOptions {
            durable: true,
            auto_delete: options.deleted_when_unused,
            passive: options.passive,
            ..ExchangeDeclareOptions::default()
        };
        let none = FieldTable::default();
        channel.exchange_declare(exchange.as_str().into(), ExchangeKind::Fanout, like, none.clone()).await?;
        let mut arguments = FieldTable::default();
        bound(&mut arguments, options.max_len, options.max_len_bytes);
        arguments.insert("x-queue-mode".into(), text("lazy"));
        let like = QueueDeclareOptions {
            durable: true,
            auto_delete: options.deleted_when_unused,
            ..QueueDeclareOptions::default()
        };
        channel.queue_declare(queue.as_str().into(), like, arguments).await?;
        let (queue, from) = (queue.as_str().into(), exchange.as_str().into());
        channel.queue_bind(queue, from, "".into(), QueueBindOptions::default(), none).await?;
        Ok(exchange)
    }
}

/// Declares the exchange of a topic, or looks whether it is there.
pub(super) async fn declare_exchange(
    channel: &Channel,
    options: &Options,
    exchange: &ShortString,
    nowait: bool,
) -> lapin::Result<()> {
    let like = ExchangeDeclareOptions {
        durable: options.durable,
        auto_delete: options.deleted_when_unused,
        passive: options.passive,
        nowait,
        ..ExchangeDeclareOptions::default()
    };
    let kind = match options.exchange_kind.as_str() {
        "fanout" => ExchangeKind::Fanout,
        "topic" => ExchangeKind::Topic,
        "direct" => ExchangeKind::Direct,
        "headers" => ExchangeKind::Headers,
        other => ExchangeKind::Custom(other.to_owned()),
    };
    channel.exchange_declare(exchange.clone(), kind, like, FieldTable::default()).await
}

fn text(text: &str) -> AMQPValue {
    AMQPValue::LongString(LongString::from(text))
}

fn bound(arguments: &mut FieldTable, max_len: Option<i64>, max_len_bytes: Option<i64>) {
    for (name, most) in [("x-max-length", max_len), ("x-max-length-bytes", max_len_bytes)] {
        if let Some(most) = most {
            arguments.insert(name.into(), AMQPValue::LongLongInt(most));
        }
    }
}

fn is_yes(text: &str) -> bool {
    ["true", "t", "1", "yes", "y", "on"].contains(&text.to_ascii_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    type Pairs<'a> = &'a [(&'a str, &'a str)];

    fn read(topic: &str, pairs: Pairs<'_>) -> Result<Asked> {
        let metadata: BTreeMap<_, _> =
            pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        Asked::read(&Subscription { topic: topic.to_owned(), group: "g".to_owned(), metadata })
    }

    #[test]
    fn a_queue_is_called_after_its_group_and_topic_unless_it_is_named() {
        let asked = read("t", &[]).unwrap();
        assert_eq!((asked.queue.as_str(), asked.routing_keys.len()), ("g-t", 1));
        let asked = read("t", &[("queueName", "q"), ("routingKey", "a,b,")]).unwrap();
        let keys: Vec<_> = asked.routing_keys.iter().map(ShortString::as_str).collect();
        assert_eq!((asked.queue.as_str(), keys), ("q", vec!["a", "b", ""]));
    }

    #[test]
    fn what_is_no_queue_is_refused() {
        let cases: [(&str, Pairs<'_>, &str); 5] = [
            ("", &[], "topic"),
            (&"t".repeat(300), &[], "topic"),
            ("t", &[("maxPriority", "-1")], "metadata.maxPriority"),
            ("t", &[("queueType", "stream")], "metadata.queueType"),
            ("t", &[("maxLen", "x")], "metadata.maxLen"),
        ];
        for (topic, pairs, field) in cases {
            assert_eq!(read(topic, pairs).unwrap_err().field(), Some(field), "{pairs:?}");
        }
    }
}
