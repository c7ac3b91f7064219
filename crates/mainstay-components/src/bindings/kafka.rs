//! Messages of Kafka, in and out: `create` publishes one, and those of the topics that are named are events. At least
//! once, in order in each partition, and an offset is committed when the app has done its work. [`Broker`] does the
//! work, so that what holds of `pubsub.kafka` holds here. Tested with Kafka 4.1.
//! <https://docs.dapr.io/reference/components-reference/supported-bindings/kafka/>

use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::future::try_join_all;
use futures_util::stream::{self, StreamExt as _};
use mainstay_core::binding::{Binding, Capabilities, Event, Operation, Outcome, Receipt, not_supported};
use mainstay_core::pubsub::{self, Delivery, Message, PubSub as _, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Fault, Result, codes};

use super::{of_client, operations};
use crate::def::{Def, SettingDef, joined};
use crate::pubsub::kafka::{self as broker, Broker, Settled};
use crate::settings::{Settings, fault};

/// The type.
pub const DEF: Def<dyn Binding> = Def {
    kind: "bindings.kafka",
    aliases: &[],
    versions: &["v1"],
    about: "Messages of Kafka, in and out.",
    settings: &SETTINGS,
    check: |settings| parse(settings).1,
    open: |opening| {
        let (mut options, _) = parse(opening.settings);
        if options.group.is_empty() {
            options.group = [opening.app_id, opening.name]
                .into_iter()
                .find(|name| !name.is_empty())
                .unwrap_or_default()
                .to_owned();
        }
        Box::pin(async move {
            let broker = Broker::open(options.broker.clone()).await.map_err(of_client)?;
            Ok(Arc::new(Topics { broker, options }) as Arc<dyn Binding>)
        })
    },
};

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const SETTINGS: [SettingDef; 30] = joined(
    &broker::SHARED,
    &[
        setting(
            "topics",
            "The topics whose messages are events, with commas between; without, none comes in.",
        ),
        setting("publishTopic", "The topic that `create` publishes to."),
        setting(
            "consumerGroup",
            "The group that takes the messages, the app id by default: each message goes to one of its members.",
        ),
        setting(
            "consumeRetryEnabled",
            "Whether a message that the app failed on comes again, before what follows in its partition; `true` by \
             default, unlike with Dapr. With `false` it is passed over.",
        ),
    ],
);

/// What the settings say.
struct Options {
    broker: Settled,
    topics: Vec<String>,
    publish_topic: Option<String>,
    /// Empty where none is named.
    group: String,
    is_tried_again: bool,
}

fn parse(settings: &Settings) -> (Options, Vec<Fault>) {
    let (broker, mut faults) = broker::parse(settings);
    let topics: Vec<String> = settings.text("topics").map(listed).unwrap_or_default();
    let publish_topic = settings.text("publishTopic").map(str::to_owned);
    let named = [("topics", topics.as_slice()), ("publishTopic", publish_topic.as_slice())];
    for (name, topics) in named {
        for topic in topics.iter().filter(|topic| !broker::is_topic(topic)) {
            let message = format!("`{name}`: no topic of Kafka's can be called `{topic}`");
            faults.push(fault(name, message, Some("up to 249 letters, digits, `.`, `_` and `-`")));
        }
    }
    let options = Options {
        broker,
        topics,
        publish_topic,
        group: settings.text_of(&["consumerGroup", "consumerID"]).unwrap_or_default().to_owned(),
        is_tried_again: settings.flag("consumeRetryEnabled", &mut faults).unwrap_or(true),
    };
    (options, faults)
}

/// The names of a list, each once: of a topic that is named twice the group would have two members.
fn listed(text: &str) -> Vec<String> {
    let mut names = Vec::new();
    for name in text.split(',').map(str::trim).filter(|name| !name.is_empty()) {
        if !names.iter().any(|known| known == name) {
            names.push(name.to_owned());
        }
    }
    names
}

struct Topics {
    broker: Broker,
    options: Options,
}

impl Topics {
    async fn publish(&self, ctx: &Ctx, operation: Operation) -> Result<()> {
        let Some(topic) = self.options.publish_topic.clone() else {
            let message = "create: the component names no topic to publish to";
            return Err(Error::new(&codes::INVALID_FIELD, message).with_help("name it as `publishTopic`"));
        };
        let Operation { data, mut metadata, .. } = operation;
        // One that is empty is none.
        metadata.retain(|name, value| name != Message::KEY || !value.is_empty());
        let message = Message { topic, data, content_type: None, metadata };
        self.broker.publish(ctx, message).await.map_err(of_client)
    }

    async fn listen(&self, ctx: &Ctx, topic: &str) -> Result<BoxStream<Result<Event>>> {
        let subscription = Subscription {
            topic: topic.to_owned(),
            group: self.options.group.clone(),
            ..Subscription::default()
        };
        let deliveries = self.broker.subscribe(ctx, subscription).await.map_err(of_client)?;
        let is_tried_again = self.options.is_tried_again;
        let event = move |delivery: Delivery| {
            let Delivery { message, receipt, .. } = delivery;
            let receipt = Box::new(Slip { receipt, is_tried_again });
            Event { data: message.data, metadata: message.metadata, receipt }
        };
        Ok(Box::pin(deliveries.map(move |next| next.map(&event).map_err(of_client))))
    }
}

#[async_trait]
impl Binding for Topics {
    fn capabilities(&self) -> Capabilities {
        Capabilities { operations: operations(&["create"]), events: !self.options.topics.is_empty() }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.broker.ready(ctx).await.map_err(of_client)
    }

    async fn invoke(&self, ctx: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        match operation.name.as_str() {
            "create" => self.publish(ctx, operation).await.map(|()| None),
            other => Err(not_supported(other)),
        }
    }

    /// Where the group was left. Of each partition one message is out, and those of several are side by side.
    async fn events(&self, ctx: &Ctx) -> Result<BoxStream<Result<Event>>> {
        if self.options.topics.is_empty() {
            let message = "listen to this binding: its component names no topics";
            return Err(Error::new(&codes::UNSUPPORTED, message).with_help("name them as `topics`"));
        }
        let streams = try_join_all(self.options.topics.iter().map(|topic| self.listen(ctx, topic))).await?;
        Ok(Box::pin(stream::select_all(streams)))
    }
}

/// Settles a message; dropped without, it comes again.
struct Slip {
    receipt: Box<dyn pubsub::Receipt>,
    is_tried_again: bool,
}

#[async_trait]
impl Receipt for Slip {
    async fn done(self: Box<Self>, _answer: Bytes) -> Result<()> {
        self.receipt.done().await.map_err(of_client)
    }

    async fn failed(self: Box<Self>, _why: &str) -> Result<()> {
        let settled =
            if self.is_tried_again { self.receipt.again().await } else { self.receipt.done().await };
        settled.map_err(of_client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(pairs: &[(&str, &str)]) -> (Options, Vec<String>) {
        let given = [("brokers", "localhost:9092"), ("authRequired", "false")];
        let pairs = given.iter().chain(pairs);
        let pairs = pairs.map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let (options, faults) = parse(&Settings::new(pairs));
        (options, faults.into_iter().map(|fault| fault.pointer).collect())
    }

    #[test]
    fn topics_are_a_list_of_names_each_once() {
        let (read, faults) = options(&[("topics", "a, b,a,"), ("publishTopic", "c"), ("consumerGroup", "g")]);
        assert_eq!(faults, [] as [&str; 0]);
        assert_eq!((read.topics, read.publish_topic.as_deref()), (vec!["a".into(), "b".into()], Some("c")));
        assert!(read.group == "g" && read.is_tried_again);
    }

    #[test]
    fn what_does_not_fit_is_a_fault() {
        let odd = [
            ("topics", "a,b c"),
            ("publishTopic", "ü"),
            ("consumeRetryEnabled", "maybe"),
            ("initialOffset", "middle"),
        ];
        let (_, mut faults) = options(&odd);
        faults.sort();
        assert_eq!(faults, ["consumeRetryEnabled", "initialOffset", "publishTopic", "topics"]);
    }
}
