//! NATS JetStream, as Dapr's `pubsub.jetstream` v1 uses it: topics are subjects of streams that are there already, and
//! a subscription is a push consumer. At least once where the consumer is durable; in the stream's order by default,
//! one message at a time. Which consumer that is, the settings say: the one called `durableName`; without it a new one
//! each time, as with Dapr, which begins where `deliverPolicy` says and keeps nothing; or, where the component or the
//! subscription names a group (`consumerID`), a durable one for each group and topic, whose members share its messages.
//! A publish is acknowledged once the stream has it, and one with the id of an earlier event is that event. Metadata
//! are headers. Tested with NATS 2.9.
//! <https://docs.dapr.io/reference/components-reference/supported-pubsub/setup-jetstream/>

mod consumer;
mod headers;
mod settings;

use std::path::Path;
use std::sync::Arc;

use async_nats::connection::State;
use async_nats::jetstream::context::{PublishAckFuture, PublishError, PublishErrorKind};
use async_nats::jetstream::{self, Context};
use async_nats::{Client, ConnectOptions, Event};
use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::pubsub::{Capabilities, Delivery, Message, PubSub, Subscription};
use mainstay_core::{BoxStream, Ctx, Error, Result, Retry, codes};
use tokio::sync::watch;

use self::settings::Options;
use crate::clients::brokers::invalid;
use crate::clients::within;
use crate::def::Def;

/// The type.
pub const DEF: Def<dyn PubSub> = Def {
    kind: "pubsub.jetstream",
    aliases: &[],
    versions: &["v1"],
    about: "NATS JetStream.",
    settings: &settings::SETTINGS,
    check: |settings| {
        let mut faults = Vec::new();
        Options::parse(settings, &mut faults);
        faults
    },
    open: |opening| {
        let options = Options::parse(opening.settings, &mut Vec::new());
        let folder = opening.folder.to_owned();
        Box::pin(async move { Ok(Arc::new(JetStream::open(options, &folder).await?) as Arc<dyn PubSub>) })
    },
};

struct JetStream {
    options: Options,
    client: Client,
    context: Context,
    /// How often a connection was made.
    connected: watch::Receiver<u64>,
}

impl JetStream {
    async fn open(options: Options, folder: &Path) -> Result<Self> {
        let refused = |error: std::io::Error| {
            Error::new(&codes::BROKER_UNAVAILABLE, "call NATS: what says who we are cannot be read")
                .with_retry(Retry::Permanent)
                .with_internal(error.to_string())
        };
        let (count, connected) = watch::channel(0);
        let mut how = ConnectOptions::new()
            .name(&options.name)
            .tls_client_config(options.tls(folder).map_err(refused)?)
            .event_callback(move |event| {
                if matches!(event, Event::Connected) {
                    count.send_modify(|count| *count += 1);
                }
                std::future::ready(())
            });
        if let Some((jwt, seed)) = &options.signed {
            how = how.credentials(&credentials(jwt, seed)).map_err(refused)?;
        } else if let Some(token) = &options.token {
            how = how.token(token.clone());
        }
        let client = how.connect(options.servers.as_slice()).await.map_err(|error| unreachable(&error))?;
        let context = jetstream::with_prefix(client.clone(), &options.api());
        Ok(Self { options, client, context, connected })
    }

    /// Fails at once while there is no connection, rather than have a call wait for one.
    fn check_connected(&self) -> Result<()> {
        if self.client.connection_state() == State::Connected {
            return Ok(());
        }
        Err(Error::new(&codes::BROKER_UNAVAILABLE, "call NATS: it cannot be reached"))
    }

    /// Hands a message to the server; the outcome is still to come.
    async fn send(&self, message: Message) -> Result<PublishAckFuture> {
        check_subject(&message.topic, false)?;
        self.check_connected()?;
        let headers = headers::of(&message);
        let topic = message.topic.clone();
        let sent = self.context.publish_with_headers(message.topic, headers, message.data).await;
        sent.map_err(|error| not_published(&topic, error))
    }
}

async fn stored(topic: &str, sent: PublishAckFuture) -> Result<()> {
    sent.await.map(|_| ()).map_err(|error| not_published(topic, error))
}

/// What says who we are, in the form that the client reads.
fn credentials(jwt: &str, seed: &str) -> String {
    let dashes = "------";
    format!(
        "-----BEGIN NATS USER JWT-----\n{jwt}\n{dashes}END NATS USER JWT{dashes}\n\n\
         -----BEGIN USER NKEY SEED-----\n{seed}\n{dashes}END USER NKEY SEED{dashes}\n"
    )
}

/// Whether a topic can be a subject; to subscribe to, it may have wildcards. Errors: `INVALID_FIELD`.
fn check_subject(topic: &str, wildcards: bool) -> Result<()> {
    if topic.is_empty() {
        return Err(invalid("topic", "the topic is empty"));
    }
    let bad = |token: &str| {
        token.is_empty()
            || token.contains(char::is_whitespace)
            || (!wildcards && (token == "*" || token == ">"))
    };
    if topic.split('.').any(bad) {
        let message =
            format!("`{topic}` is no subject of NATS: words with points between them, without spaces");
        return Err(invalid("topic", &message));
    }
    Ok(())
}

#[async_trait]
impl PubSub for JetStream {
    fn capabilities(&self) -> Capabilities {
        let is_durable = self.options.durable.is_some() || self.options.has_group;
        Capabilities { ttl: false, ordered: false, metadata: true, durable: is_durable }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let ask = async {
            self.check_connected()?;
            // Not through the client, which cannot read what older servers answer; that one answers is enough.
            let answer = self.client.request(format!("{}.INFO", self.options.api()), Bytes::new()).await;
            answer.map(|_| ()).map_err(|error| unreachable(&error))
        };
        within(ctx, ask).await
    }

    async fn publish(&self, ctx: &Ctx, message: Message) -> Result<()> {
        let topic = message.topic.clone();
        within(ctx, async { stored(&topic, self.send(message).await?).await }).await
    }

    async fn publish_each(&self, ctx: &Ctx, messages: Vec<Message>) -> Vec<Result<()>> {
        let mut sent = Vec::with_capacity(messages.len());
        for message in messages {
            let topic = message.topic.clone();
            sent.push((topic, within(ctx, self.send(message)).await));
        }
        let mut done = Vec::with_capacity(sent.len());
        for (topic, sent) in sent {
            done.push(match sent {
                Ok(sent) => within(ctx, stored(&topic, sent)).await,
                Err(error) => Err(error),
            });
        }
        done
    }

    async fn subscribe(&self, ctx: &Ctx, subscription: Subscription) -> Result<BoxStream<Result<Delivery>>> {
        check_subject(&subscription.topic, true)?;
        self.check_connected()?;
        within(ctx, consumer::begin(self, &subscription)).await
    }
}

/// The failure of a call that nobody answered, or not as expected.
fn unreachable(error: &(dyn std::error::Error + 'static)) -> Error {
    Error::new(&codes::BROKER_UNAVAILABLE, "call NATS: it cannot be reached, or has no JetStream")
        .with_internal(told(error))
}

/// An error with what is below it.
fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut below = error.source();
    while let Some(error) = below {
        text.push_str(": ");
        text.push_str(&error.to_string());
        below = error.source();
    }
    text
}

/// The failure of a topic that no stream has. Streams are made by whoever runs NATS, as with Dapr: what one keeps, and
/// for how long, is not ours to guess.
fn no_stream(topic: &str) -> Error {
    Error::new(&codes::BROKER_UNAVAILABLE, format!("no stream of JetStream has the subject `{topic}`"))
        .with_retry(Retry::Permanent)
        .with_help(format!("create one, such as with `nats stream add NAME --subjects '{topic}'`"))
}

fn not_published(topic: &str, error: PublishError) -> Error {
    let failure = match error.kind() {
        PublishErrorKind::StreamNotFound => no_stream(topic),
        PublishErrorKind::MaxPayloadExceeded => {
            invalid("data", "the message is longer than the server takes (`max_payload`)")
        }
        PublishErrorKind::TimedOut => {
            Error::new(&codes::BROKER_UNAVAILABLE, "publish: NATS did not answer in time")
        }
        PublishErrorKind::BrokenPipe => {
            Error::new(&codes::BROKER_UNAVAILABLE, "publish: the connection to NATS is gone")
        }
        _ => Error::new(&codes::BROKER_UNAVAILABLE, "publish: JetStream did not take the message"),
    };
    failure.with_internal(told(&error)).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_is_a_subject() {
        let check = |topic: &str| (check_subject(topic, false).is_ok(), check_subject(topic, true).is_ok());
        for (topic, expect) in [
            ("orders.new", (true, true)),
            ("orders.*", (false, true)),
            ("orders.>", (false, true)),
            ("a*b", (true, true)),
            ("", (false, false)),
            (".a", (false, false)),
            ("a..b", (false, false)),
            ("a b", (false, false)),
        ] {
            assert_eq!(check(topic), expect, "{topic}");
        }
    }
}
