//! Messages in Kafka, as Dapr's `pubsub.kafka` v1 has them: metadata are headers, `partitionKey` is the key, the group
//! is `consumerGroup` or the consumer id. At least once, in order in each partition: of each one message is worked on
//! at a time, and its offset is committed when it is done. A publish is acknowledged when every replica in sync has it.
//! Tested with Kafka 4.1. <https://docs.dapr.io/reference/components-reference/supported-pubsub/setup-apache-kafka/>

mod lanes;
mod member;
mod spread;

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use krafka::admin::{AdminClient, DescribeClusterOptions};
use krafka::consumer::AutoOffsetReset;
use krafka::producer::Producer;
use krafka::{Compression, Kafka, KrafkaError, ProtocolErrorKind, Record};
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Fault, Result, codes};

use self::member::Member;
use self::spread::Spread;
use crate::clients::kafka::{self as client, Options, failed};
use crate::clients::{TIME, TIME_MS, time, time_ms, within};
use crate::def::{Def, SettingDef, joined};
use crate::settings::{Settings, fault};

/// The type.
pub const DEF: Def<dyn PubSub> = Def {
    kind: "pubsub.kafka",
    aliases: &[],
    versions: &["v1"],
    about: "Kafka.",
    settings: &SETTINGS,
    check: |settings| {
        let (_, mut faults) = parse(settings);
        settings.flag("consumeRetryEnabled", &mut faults);
        faults
    },
    open: |opening| {
        let (settled, _) = parse(opening.settings);
        Box::pin(async move { Ok(Arc::new(Broker::open(settled).await?) as Arc<dyn PubSub>) })
    },
};

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const SETTINGS: [SettingDef; 28] = joined(
    &SHARED,
    &[
        setting("consumerGroup", "The group of every subscription; `consumerID` without."),
        setting(
            "consumeRetryEnabled",
            "Accepted and without effect: a message is tried until it is done, or a dead letter.",
        ),
    ],
);

/// The settings of everything that publishes to Kafka and takes messages from it.
pub(crate) const SHARED: [SettingDef; 26] = joined(
    &client::SETTINGS,
    &[
        setting(
            "initialOffset",
            "Where a group begins that is new: with what is published from then on (`newest`, the default), or with \
             the `oldest` that a topic has.",
        ),
        setting("maxMessageBytes", "Most bytes of a message that is published, 1 MiB by default."),
        setting("compression", "`none` (default), `gzip`, `snappy` or `lz4`."),
        setting(
            "consumeRetryInterval",
            "How long after a failure messages are asked for, or one is delivered, again: 100ms by default; a number \
             is of milliseconds.",
        ),
        setting("heartbeatInterval", "How often a member says that it lives, 3s by default."),
        setting("sessionTimeout", "After what silence a member is taken for dead, 10s by default."),
        setting(
            "consumerFetchMin",
            "Fewest bytes that the brokers answer with before they wait, 1 by default.",
        ),
        setting("consumerFetchDefault", "Most bytes that are read of a partition at once, 1 MiB by default."),
        setting(
            "escapeHeaders",
            "Whether the key and headers of what is delivered are escaped as in a URL, `false` by default.",
        ),
        setting("schemaRegistryURL", "Not supported, and so are messages in Avro."),
    ],
);

/// What the settings say.
#[derive(Clone)]
pub(crate) struct Settled {
    client: Options,
    group: Option<String>,
    beginning: AutoOffsetReset,
    message_bytes_max: usize,
    compression: Compression,
    retry_interval: Duration,
    heartbeat_interval: Duration,
    session_timeout: Duration,
    fetch_bytes_min: i32,
    fetch_bytes_max: i32,
    is_escaped: bool,
}

const MIB: i32 = 1_048_576;

/// Reads the settings, and finds every fault in them.
pub(crate) fn parse(settings: &Settings) -> (Settled, Vec<Fault>) {
    let mut faults = Vec::new();
    let client = Options::parse(settings, &mut faults);
    let positive = "a whole number above zero";
    let bytes = |name: &str, default: i32, faults: &mut Vec<Fault>| {
        let above_zero = |text: &str| text.parse::<i32>().ok().filter(|bytes| *bytes > 0);
        settings.read(name, positive, above_zero, faults).unwrap_or(default)
    };
    let span = |name: &str, default: u64, faults: &mut Vec<Fault>| {
        settings.read(name, TIME, time, faults).flatten().unwrap_or(Duration::from_secs(default))
    };
    // Dapr takes zero for the default here.
    let message_bytes_max = settings.number::<usize>("maxMessageBytes", &mut faults).filter(|max| *max > 0);
    let settled = Settled {
        client,
        group: settings.text("consumerGroup").map(str::to_owned),
        beginning: settings
            .read("initialOffset", "`newest` or `oldest`", beginning, &mut faults)
            .unwrap_or(AutoOffsetReset::Latest),
        message_bytes_max: message_bytes_max.unwrap_or(1_048_576),
        compression: settings
            .read("compression", "`none`, `gzip`, `snappy` or `lz4`", compression, &mut faults)
            .unwrap_or_default(),
        retry_interval: settings
            .read("consumeRetryInterval", TIME_MS, time_ms, &mut faults)
            .unwrap_or(Duration::from_millis(100)),
        heartbeat_interval: span("heartbeatInterval", 3, &mut faults),
        session_timeout: span("sessionTimeout", 10, &mut faults),
        fetch_bytes_min: bytes("consumerFetchMin", 1, &mut faults),
        fetch_bytes_max: bytes("consumerFetchDefault", MIB, &mut faults),
        is_escaped: settings.flag("escapeHeaders", &mut faults).unwrap_or_default(),
    };
    if settled.heartbeat_interval >= settled.session_timeout {
        let message = "`heartbeatInterval` must be shorter than `sessionTimeout`".to_owned();
        faults.push(fault("heartbeatInterval", message, Some("a third of it is usual")));
    }
    if settings.has("schemaRegistryURL") {
        let message = "`schemaRegistryURL` is not supported".to_owned();
        faults.push(fault("schemaRegistryURL", message, Some("publish and read JSON, or raw bytes")));
    }
    (settled, faults)
}

fn beginning(text: &str) -> Option<AutoOffsetReset> {
    match text.to_ascii_lowercase().as_str() {
        "newest" => Some(AutoOffsetReset::Latest),
        "oldest" => Some(AutoOffsetReset::Earliest),
        _ => None,
    }
}

fn compression(text: &str) -> Option<Compression> {
    match text.to_ascii_lowercase().as_str() {
        "none" => Some(Compression::None),
        "gzip" => Some(Compression::Gzip),
        "snappy" => Some(Compression::Snappy),
        "lz4" => Some(Compression::Lz4),
        _ => None,
    }
}

/// Bytes of messages that go to a partition at once, where more than one waits.
const BATCH_BYTES: usize = 16 * 1024;

async fn producer(kafka: &Kafka, settled: &Settled) -> std::result::Result<Producer, KrafkaError> {
    kafka
        .producer()
        .compression(settled.compression)
        .max_request_size(settled.message_bytes_max)
        .batch_size(BATCH_BYTES.min(settled.message_bytes_max))
        // Whatever waits while a request is under way goes with the next: no message waits for company.
        .linger(Duration::ZERO)
        .partitioner(Spread::default())
        .metrics_push(false)
        .build()
        .await
}

/// Kafka as a broker.
pub(crate) struct Broker {
    producer: Producer,
    admin: AdminClient,
    settled: Settled,
}

/// Metadata that is the key: Dapr's name, and the one that a delivered message has it under.
const KEYS: [&str; 2] = [Message::KEY, "__key"];

impl Broker {
    /// Connects. Errors: `BROKER_UNAVAILABLE`.
    pub(crate) async fn open(settled: Settled) -> Result<Self> {
        let kafka = settled.client.connect().await?;
        let producer = producer(&kafka, &settled).await.map_err(failed)?;
        let admin = kafka.admin();
        Ok(Self { producer, admin, settled })
    }

    fn record(&self, message: Message) -> Result<Record> {
        let Message { topic, data, metadata, .. } = message;
        check(&topic, "publish")?;
        if data.len() > self.settled.message_bytes_max {
            let (bytes, max) = (data.len(), self.settled.message_bytes_max);
            let message = format!("publish: the message has {bytes} bytes, and {max} are taken");
            let help = "`maxMessageBytes` of the component says how many";
            return Err(Error::new(&codes::INVALID_FIELD, message).with_field("data").with_help(help));
        }
        // What says that a key's value is gone.
        let is_tombstone = data.as_ref() == b"null";
        let mut record = Record::new(topic, data);
        if is_tombstone {
            record = record.without_value();
        }
        if let Some(key) = KEYS.iter().find_map(|name| metadata.get(*name)) {
            record = record.key(key.clone());
        }
        Ok(metadata.into_iter().fold(record, |record, (name, value)| record.header(name, value)))
    }
}

/// Whether a topic can have this name.
pub(crate) fn is_topic(name: &str) -> bool {
    let is_fit = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    (1..=249).contains(&name.len()) && ![".", ".."].contains(&name) && name.bytes().all(is_fit)
}

/// Whether it can be worked with. Errors: `INVALID_FIELD`.
fn check(topic: &str, what: &str) -> Result<()> {
    if topic.is_empty() {
        let message = format!("{what}: the topic is empty");
        return Err(Error::new(&codes::INVALID_FIELD, message).with_field("topic"));
    }
    if !is_topic(topic) {
        let message = format!("{what}: no topic of Kafka's can be called `{topic}`");
        let help = "up to 249 letters, digits, `.`, `_` and `-`";
        return Err(Error::new(&codes::INVALID_FIELD, message).with_field("topic").with_help(help));
    }
    Ok(())
}

#[async_trait]
impl PubSub for Broker {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ttl: false, ordered: true, metadata: true, durable: true }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let ask = async {
            match self.admin.describe_cluster(DescribeClusterOptions::default()).await {
                // It answered that it does not know the question.
                Err(error) if error.protocol_error_kind() == Some(ProtocolErrorKind::UnknownApiVersion) => {
                    Ok(())
                }
                other => other.map(|_| ()).map_err(failed),
            }
        };
        within(ctx, ask).await
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        let record = self.record(message)?;
        within(ctx, async { self.producer.send(record).await.map(|_| ()).map_err(failed) }).await
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        // All are on their way before the first answer is waited for.
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            sent.push(match self.record(message) {
                Ok(record) => {
                    within(ctx, async { self.producer.enqueue(record).await.map_err(failed) }).await
                }
                Err(error) => Err(error),
            });
        }
        let mut outcomes = Vec::with_capacity(sent.len());
        for one in sent {
            outcomes.push(match one {
                Ok(handle) => within(ctx, async { handle.await.map(|_| ()).map_err(failed) }).await,
                Err(error) => Err(error),
            });
        }
        outcomes
    }

    async fn subscribe(&self, ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        check(&subscription.topic, "subscribe")?;
        let member = within(ctx, Member::join(&self.settled, subscription)).await?;
        Ok(Box::pin(stream::unfold(Some(member), |member| async move {
            let member = member?;
            match member.next().await {
                Ok(delivery) => Some((Ok(delivery), Some(member))),
                // The last item: whoever wants more joins again.
                Err(error) => Some((Err(error), None)),
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(pairs: &[(&str, &str)]) -> (Settled, Vec<String>) {
        let given = [("brokers", "localhost:9092"), ("authType", "none")];
        let pairs = given.iter().chain(pairs);
        let pairs = pairs.map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let (settled, faults) = parse(&Settings::new(pairs));
        (settled, faults.into_iter().map(|fault| fault.pointer).collect())
    }

    #[test]
    fn the_defaults_are_those_of_dapr() {
        let (settled, faults) = settled(&[("maxMessageBytes", "0")]);
        assert_eq!(faults, [] as [&str; 0]);
        assert_eq!(settled.beginning, AutoOffsetReset::Latest);
        assert_eq!(
            (settled.message_bytes_max, settled.fetch_bytes_max, settled.fetch_bytes_min),
            (1_048_576, MIB, 1)
        );
        assert_eq!(settled.retry_interval, Duration::from_millis(100));
        let times = (settled.heartbeat_interval, settled.session_timeout);
        assert_eq!(times, (Duration::from_secs(3), Duration::from_secs(10)));
    }

    #[test]
    fn what_does_not_fit_is_a_fault() {
        let (_, faults) = settled(&[
            ("initialOffset", "middle"),
            ("compression", "zstd"),
            ("consumeRetryInterval", "soon"),
            ("consumerFetchMin", "0"),
            ("sessionTimeout", "3s"),
            ("schemaRegistryURL", "http://registry"),
        ]);
        let expect = [
            "initialOffset",
            "compression",
            "consumeRetryInterval",
            "consumerFetchMin",
            "heartbeatInterval",
            "schemaRegistryURL",
        ];
        assert_eq!(faults, expect);
    }

    #[test]
    fn names_that_no_topic_can_have_are_refused() {
        assert!(["orders", "a.b_c-D9"].iter().all(|topic| check(topic, "publish").is_ok()));
        let long = "x".repeat(250);
        for topic in ["", ".", "..", "orders.*", "a b", "ü", long.as_str()] {
            assert!(check(topic, "publish").is_err_and(|error| error.field() == Some("topic")), "{topic}");
        }
    }
}
