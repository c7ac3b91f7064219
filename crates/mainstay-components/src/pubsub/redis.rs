//! Messages in Redis streams, in the layout of Dapr's `pubsub.redis` v1: a stream a topic, whose entries have the
//! fields `data` and, where there is any, `metadata` as JSON; a consumer group a group, whose members share one
//! consumer of the group's name. At least once, in no order that is promised. Durable as far as the server's own
//! settings make it so. Tested with Redis 7.0.
//! <https://docs.dapr.io/reference/components-reference/supported-pubsub/setup-redis-pubsub/>

mod member;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures_util::stream;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Clock, Ctx, Error, Fault, Result, codes};
use redis::{Cmd, Pipeline, RedisError, RedisResult};

use self::member::Member;
use crate::clients::redis::{self as client, Options, Redis};
use crate::clients::{TIME, TIME_MS, time, time_ms, within};
use crate::def::{Def, SettingDef, joined};
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn PubSub> = Def {
    kind: "pubsub.redis",
    aliases: &[],
    versions: &["v1"],
    about: "Redis streams: one server, or a cluster.",
    settings: &SETTINGS,
    check: |settings| parse(settings).1,
    open: |opening| {
        let (settled, _) = parse(opening.settings);
        let clock = Arc::clone(opening.clock);
        Box::pin(async move {
            let redis = Redis::open(&settled.client).await.map_err(failed)?;
            Ok(Arc::new(Broker { redis, clock, settled }) as Arc<dyn PubSub>)
        })
    },
};

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const SETTINGS: [SettingDef; 25] = joined(
    &client::SETTINGS,
    &[
        setting(
            "processingTimeout",
            "After what time a message that nobody has settled is delivered again, 60s by default; a number is of \
             milliseconds. With `0` it is not.",
        ),
        setting(
            "redeliverInterval",
            "How often such messages are looked for, 15s by default; a number is of milliseconds. With `0` they are \
             not.",
        ),
        setting("queueDepth", "Most messages that are read at once, 100 by default."),
        setting(
            "concurrency",
            "Most messages of a subscription that the app works on at once, 10 by default.",
        ),
        setting("maxLenApprox", "About how many messages a topic keeps; all by default."),
        setting(
            "streamTTL",
            "About how long a topic keeps a message (`720h`, or a number of seconds), for ever by default. Without \
             effect beside `maxLenApprox`.",
        ),
        setting(
            "ackOnError",
            "Whether a message that the app could not work on is taken for done, `false` by default.",
        ),
        setting(
            "initialOffset",
            "Where a group begins that is new: at the `oldest` message that the topic still has (default, as Dapr \
             does), or at the `newest`, with what is published from then on.",
        ),
    ],
);

/// What the settings say.
struct Settled {
    client: Options,
    /// `None`: what is not settled does not come again.
    redelivery: Option<Redelivery>,
    read_max: usize,
    concurrency: usize,
    length_max: Option<u64>,
    ttl: Option<Duration>,
    is_error_done: bool,
    /// Where a new group begins, as the server calls it.
    beginning: &'static str,
}

/// When what is not settled comes again.
#[derive(Clone, Copy)]
struct Redelivery {
    timeout: Duration,
    interval: Duration,
}

/// The first entry of a stream, and what comes after the last, as the server calls them.
const OLDEST: &str = "0";
const NEWEST: &str = "$";

fn parse(settings: &Settings) -> (Settled, Vec<Fault>) {
    let mut faults = Vec::new();
    let client = Options::parse(settings, &mut faults);
    let timeout = settings.read("processingTimeout", TIME_MS, time_ms, &mut faults);
    let interval = settings.read("redeliverInterval", TIME_MS, time_ms, &mut faults);
    let redelivery = Redelivery {
        timeout: timeout.unwrap_or(Duration::from_secs(60)),
        interval: interval.unwrap_or(Duration::from_secs(15)),
    };
    let is_on = !redelivery.timeout.is_zero() && !redelivery.interval.is_zero();
    let positive = "a whole number above zero";
    let settled = Settled {
        client,
        redelivery: is_on.then_some(redelivery),
        read_max: settings.read("queueDepth", positive, count, &mut faults).unwrap_or(100),
        concurrency: settings.read("concurrency", positive, count, &mut faults).unwrap_or(10),
        length_max: settings.number("maxLenApprox", &mut faults).filter(|length| *length > 0),
        ttl: settings.read("streamTTL", TIME, time, &mut faults).flatten(),
        is_error_done: settings.flag("ackOnError", &mut faults).unwrap_or_default(),
        beginning: settings
            .read("initialOffset", "`oldest` or `newest`", beginning, &mut faults)
            .unwrap_or(OLDEST),
    };
    (settled, faults)
}

fn count(text: &str) -> Option<usize> {
    text.parse::<u32>().ok().filter(|count| *count > 0).and_then(|count| usize::try_from(count).ok())
}

fn beginning(text: &str) -> Option<&'static str> {
    match text.to_ascii_lowercase().as_str() {
        "oldest" => Some(OLDEST),
        "newest" => Some(NEWEST),
        _ => None,
    }
}

struct Broker {
    redis: Redis,
    clock: Arc<dyn Clock>,
    settled: Settled,
}

impl Broker {
    fn entry(&self, message: &Message) -> Result<Cmd> {
        let Message { topic, data, metadata, .. } = message;
        if topic.is_empty() {
            return Err(Error::new(&codes::INVALID_FIELD, "publish: the topic is empty").with_field("topic"));
        }
        let mut add = redis::cmd("XADD");
        add.arg(topic);
        if let Some(length) = self.settled.length_max {
            add.arg("MAXLEN").arg("~").arg(length);
        } else if let Some(ttl) = self.settled.ttl {
            let ttl_ms = u64::try_from(ttl.as_millis()).unwrap_or(u64::MAX);
            add.arg("MINID").arg("~").arg(format!("{}-1", self.clock.now_ms().saturating_sub(ttl_ms)));
        }
        add.arg("*").arg("data").arg(data.as_ref());
        if !metadata.is_empty() {
            add.arg("metadata").arg(metadata_text(metadata));
        }
        Ok(add)
    }

    /// Makes entries in one round trip; the outcome of each.
    async fn add_all(&self, entries: &[Cmd]) -> Result<Vec<Result<()>>> {
        let mut pipeline = Pipeline::with_capacity(entries.len());
        pipeline.ignore_errors();
        for entry in entries {
            pipeline.add_command(entry.clone());
        }
        let ids: Vec<RedisResult<String>> =
            pipeline.query_async(&mut self.redis.clone()).await.map_err(failed)?;
        Ok(ids.into_iter().map(|id| id.map(|_| ()).map_err(failed)).collect())
    }
}

fn metadata_text(metadata: &BTreeMap<String, String>) -> String {
    let pairs = metadata.iter().map(|(name, value)| (name.clone(), value.clone().into()));
    serde_json::Value::Object(pairs.collect()).to_string()
}

/// Messages that go to the server in one round trip.
const ROUND_TRIP_MAX: usize = 500;

#[async_trait]
impl PubSub for Broker {
    fn capabilities(&self) -> Capabilities {
        Capabilities { ttl: false, ordered: false, metadata: true, durable: true }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let ping = async {
            let answer: RedisResult<()> = redis::cmd("PING").query_async(&mut self.redis.clone()).await;
            answer.map_err(failed)
        };
        within(ctx, ping).await
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        let entry = self.entry(&message)?;
        let add = async {
            let id: RedisResult<String> = entry.query_async(&mut self.redis.clone()).await;
            id.map(|_| ()).map_err(failed)
        };
        within(ctx, add).await
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        if self.redis.is_cluster() {
            // Topics are on different nodes: each by itself.
            let mut outcomes = Vec::with_capacity(messages.len());
            for message in messages {
                outcomes.push(self.publish(ctx, message).await);
            }
            return outcomes;
        }
        let mut outcomes: Vec<Result<()>> = Vec::with_capacity(messages.len());
        let (mut at, mut entries) = (Vec::new(), Vec::new());
        for message in &messages {
            let entry = self.entry(message);
            outcomes.push(entry.map(|entry| {
                at.push(outcomes.len());
                entries.push(entry);
            }));
        }
        for (at, entries) in at.chunks(ROUND_TRIP_MAX).zip(entries.chunks(ROUND_TRIP_MAX)) {
            let added = match within(ctx, self.add_all(entries)).await {
                Ok(added) => added,
                Err(error) => at.iter().map(|_| Err(same(&error))).collect(),
            };
            for (at, outcome) in at.iter().zip(added) {
                if let Some(place) = outcomes.get_mut(*at) {
                    *place = outcome;
                }
            }
        }
        outcomes
    }

    async fn subscribe(&self, ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        if subscription.topic.is_empty() {
            return Err(
                Error::new(&codes::INVALID_FIELD, "subscribe: the topic is empty").with_field("topic")
            );
        }
        let member = within(ctx, Member::join(self, subscription)).await?;
        Ok(Box::pin(stream::unfold(Some(member), |member| async move {
            let mut member = member?;
            match member.next().await {
                Ok(delivery) => Some((Ok(delivery), Some(member))),
                // The last item: whoever wants more joins again.
                Err(error) => Some((Err(error), None)),
            }
        })))
    }
}

/// What a failure means to the port.
fn failed(error: RedisError) -> Error {
    client::failed_as(&codes::BROKER_UNAVAILABLE, error)
}

/// The failure of a call that was of several messages, for each of them.
fn same(error: &Error) -> Error {
    Error::new(error.code(), error.message())
        .with_internal(error.internal().unwrap_or_default())
        .with_retry(error.retry())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settled(pairs: &[(&str, &str)]) -> (Settled, Vec<String>) {
        let host = std::iter::once(&("redisHost", "localhost:6379")).chain(pairs);
        let pairs = host.map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let (settled, faults) = parse(&Settings::new(pairs));
        (settled, faults.into_iter().map(|fault| fault.pointer).collect())
    }

    #[test]
    fn the_defaults_are_those_of_dapr() {
        let (settled, faults) = settled(&[]);
        let redelivery = settled.redelivery.unwrap();
        assert_eq!(faults, [] as [&str; 0]);
        assert_eq!(
            (redelivery.timeout, redelivery.interval),
            (Duration::from_secs(60), Duration::from_secs(15))
        );
        assert_eq!((settled.read_max, settled.concurrency), (100, 10));
        assert!(settled.length_max.is_none() && settled.ttl.is_none() && !settled.is_error_done);
        assert_eq!(settled.beginning, OLDEST);
    }

    #[test]
    fn times_of_redelivery_are_in_milliseconds_and_zero_turns_it_off() {
        let redelivery = |timeout, interval| {
            let (settled, faults) =
                settled(&[("processingTimeout", timeout), ("redeliverInterval", interval)]);
            assert_eq!(faults, [] as [&str; 0]);
            settled.redelivery.map(|redelivery| (redelivery.timeout, redelivery.interval))
        };
        let expect = Some((Duration::from_millis(1_500), Duration::from_secs(2)));
        assert_eq!(redelivery("1500", "2s"), expect);
        assert_eq!(redelivery("0", "2s"), None);
        assert_eq!(redelivery("2s", "0"), None);
    }

    #[test]
    fn what_does_not_fit_is_a_fault() {
        let (_, faults) = settled(&[
            ("processingTimeout", "soon"),
            ("queueDepth", "0"),
            ("concurrency", "-1"),
            ("maxLenApprox", "many"),
            ("initialOffset", "middle"),
        ]);
        let expect = ["processingTimeout", "queueDepth", "concurrency", "maxLenApprox", "initialOffset"];
        assert_eq!(faults, expect);
    }
}
