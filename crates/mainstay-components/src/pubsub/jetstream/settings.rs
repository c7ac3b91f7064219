//! The settings of JetStream: where it is, and what consumers are like.

use std::io;
use std::path::Path;
use std::time::Duration;

use async_nats::ServerAddr;
use async_nats::jetstream::consumer::{AckPolicy, DeliverPolicy};
use mainstay_core::{Fault, duration};
use rustls::ClientConfig;

use crate::clients::brokers::is_single;
use crate::clients::{TIME, time, tls};
use crate::def::SettingDef;
use crate::settings::{Settings, fault};

/// The settings.
pub(super) const SETTINGS: [SettingDef; 27] = [
    SettingDef {
        name: "natsURL",
        about: "`nats://HOST:PORT` or `tls://HOST:PORT`; several with commas.",
        required: true,
        secret: true,
    },
    secret("jwt", "Who we are, as a signed token; with `seedKey`."),
    secret("seedKey", "The seed of the key that `jwt` is for."),
    secret("token", "A token that says who we are."),
    plain("tls_client_cert", "The file of our certificate, or its PEM text; with `tls_client_key`."),
    secret("tls_client_key", "The file of its private key, or its PEM text."),
    plain("name", "The connection's name, `dapr.io - pubsub.jetstream` by default."),
    plain("streamName", "The stream to subscribe to; the one that has the topic by default."),
    plain(
        "durableName",
        "The durable consumer. Without it and without `consumerID`, a subscription begins anew each time.",
    ),
    plain("queueGroupName", "Subscribers of one consumer with the same name share its messages."),
    plain("startSequence", "The first message, with `deliverPolicy` `sequence`."),
    plain("startTime", "When the first message came, in seconds since 1970, with `deliverPolicy` `time`."),
    plain(
        "flowControl",
        "Whether the server waits for slow subscribers, `false` by default. Wants `heartbeat`.",
    ),
    plain(
        "ackWait",
        "When a message that is not settled comes again, 30s by default. Where it is set, what the app wants again comes \
         after that time, too; at once otherwise.",
    ),
    plain("maxDeliver", "How often a message comes at most; without bound by default."),
    plain("backOff", "Times between deliveries of a message, with commas; fewer than `maxDeliver`."),
    plain("maxAckPending", "Messages of a consumer that are unsettled at most, 1000 by default."),
    plain("replicas", "Servers that keep a consumer's state; as many as the stream's by default."),
    plain("memoryStorage", "Whether a consumer's state is kept in memory alone, `false` by default."),
    plain("rateLimit", "Bits in a second that a consumer is sent at most; without bound by default."),
    plain("heartbeat", "How often the server says that there is nothing to say; never by default."),
    plain(
        "ackPolicy",
        "`explicit` (default), `all`: one settles those before it, or `none`: what was sent is done.",
    ),
    plain(
        "deliverPolicy",
        "Where a new consumer begins: `all` (default), `last`, `new`, `sequence` or `time`.",
    ),
    plain("domain", "The domain of JetStream."),
    plain("apiPrefix", "What subjects of JetStream's API begin with, `$JS.API` by default."),
    plain(
        "concurrency",
        "`single` (default): one message of a subscription at a time, in order; or `parallel`.",
    ),
    plain("concurrencyMode", "Another name of `concurrency`, which goes before it."),
];

const fn plain(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const fn secret(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: true }
}

/// What the settings say.
pub(super) struct Options {
    pub(super) servers: Vec<ServerAddr>,
    /// Token and seed.
    pub(super) signed: Option<(String, String)>,
    pub(super) token: Option<String>,
    /// Certificate and key, each a file or PEM text.
    identity: Option<(String, String)>,
    pub(super) name: String,
    pub(super) stream: Option<String>,
    pub(super) durable: Option<String>,
    pub(super) queue_group: Option<String>,
    /// Whether the component names a group, so that each topic has a durable consumer that the group shares.
    pub(super) has_group: bool,
    pub(super) deliver_policy: DeliverPolicy,
    pub(super) ack_policy: AckPolicy,
    pub(super) flow_control: bool,
    pub(super) ack_wait: Option<Duration>,
    pub(super) max_deliver: Option<i64>,
    pub(super) back_off: Vec<Duration>,
    pub(super) max_ack_pending: Option<i64>,
    pub(super) replicas: usize,
    pub(super) memory_storage: bool,
    pub(super) rate_limit: u64,
    pub(super) heartbeat: Option<Duration>,
    domain: Option<String>,
    api_prefix: Option<String>,
    pub(super) single: bool,
}

impl Options {
    /// Reads the settings.
    pub(super) fn parse(settings: &Settings, faults: &mut Vec<Fault>) -> Self {
        settings.require(&["natsURL"], faults);
        let servers = settings.read("natsURL", "`nats://HOST:PORT`", servers, faults).unwrap_or_default();
        let pair = |one: &str, other: &str, faults: &mut Vec<Fault>| {
            for (given, missing) in [(one, other), (other, one)] {
                if settings.has(given) && !settings.has(missing) {
                    let message = format!("`{given}` is there and `{missing}` is missing");
                    faults.push(fault(missing, message, None));
                }
            }
            settings.text(one).map(str::to_owned).zip(settings.text(other).map(str::to_owned))
        };
        let signed = pair("jwt", "seedKey", faults);
        let identity = pair("tls_client_cert", "tls_client_key", faults);
        let text = |name| settings.text(name).map(str::to_owned);
        let heartbeat = settings.read("heartbeat", TIME, time, faults).flatten();
        let flow_control = settings.flag("flowControl", faults).unwrap_or_default();
        if flow_control && !settings.has("heartbeat") {
            let message = "`flowControl` wants `heartbeat`, which is missing".to_owned();
            faults.push(fault("heartbeat", message, None));
        }
        let max_deliver = settings.number::<i64>("maxDeliver", faults).filter(|most| *most > 0);
        let back_off =
            settings.read("backOff", "durations with commas", durations, faults).unwrap_or_default();
        let most = max_deliver.and_then(|most| usize::try_from(most).ok());
        if !back_off.is_empty() && most.is_some_and(|most| most <= back_off.len()) {
            faults.push(fault(
                "maxDeliver",
                "`maxDeliver` must be more than the times of `backOff`".to_owned(),
                None,
            ));
        }
        let wanted = "`parallel` or `single`";
        let modes =
            ["concurrencyMode", "concurrency"].map(|name| settings.read(name, wanted, is_single, faults));
        Self {
            servers,
            signed,
            token: text("token"),
            identity,
            name: text("name").unwrap_or_else(|| "dapr.io - pubsub.jetstream".to_owned()),
            stream: text("streamName"),
            durable: settings.read(
                "durableName",
                "a name without `.`, `*`, `>`, `/`, `\\` and spaces",
                named,
                faults,
            ),
            queue_group: text("queueGroupName"),
            has_group: settings.has("consumerID"),
            deliver_policy: deliver_policy(settings, faults),
            ack_policy: settings
                .read("ackPolicy", "`explicit`, `all` or `none`", ack_policy, faults)
                .unwrap_or(AckPolicy::Explicit),
            flow_control,
            ack_wait: settings.read("ackWait", TIME, time, faults).flatten(),
            max_deliver,
            back_off,
            max_ack_pending: settings.number::<i64>("maxAckPending", faults).filter(|most| *most != 0),
            replicas: settings.number("replicas", faults).unwrap_or_default(),
            memory_storage: settings.flag("memoryStorage", faults).unwrap_or_default(),
            rate_limit: settings.number("rateLimit", faults).unwrap_or_default(),
            heartbeat,
            domain: text("domain"),
            api_prefix: text("apiPrefix"),
            single: modes.into_iter().flatten().next().unwrap_or(true),
        }
    }

    /// What subjects of JetStream's API begin with.
    pub(super) fn api(&self) -> String {
        match (&self.api_prefix, &self.domain) {
            (Some(prefix), _) => prefix.trim_end_matches('.').to_owned(),
            (None, Some(domain)) => format!("$JS.{domain}.API"),
            (None, None) => "$JS.API".to_owned(),
        }
    }

    /// TLS with the roots of the house, and our certificate where there is one. Errors: what could not be read.
    pub(super) fn tls(&self, folder: &Path) -> io::Result<ClientConfig> {
        let identity = match &self.identity {
            Some((certificate, key)) => Some((pem(certificate, folder)?, pem(key, folder)?)),
            None => None,
        };
        let identity = identity.as_ref().map(|(certificate, key)| (certificate.as_slice(), key.as_slice()));
        tls::client_config(None, identity)
    }
}

fn pem(given: &str, folder: &Path) -> io::Result<Vec<u8>> {
    if given.trim_start().starts_with("-----BEGIN") {
        return Ok(given.as_bytes().to_vec());
    }
    std::fs::read(folder.join(given))
}

fn servers(text: &str) -> Option<Vec<ServerAddr>> {
    text.split(',').map(|server| server.trim().parse().ok()).collect()
}

fn durations(text: &str) -> Option<Vec<Duration>> {
    let text = text.trim().trim_start_matches('[').trim_end_matches(']');
    text.split(',').map(|time| duration::parse(time.trim())).collect()
}

fn named(text: &str) -> Option<String> {
    let is_fine = !text.contains(['.', '*', '>', '/', '\\']) && !text.contains(char::is_whitespace);
    is_fine.then(|| text.to_owned())
}

/// What Dapr does not know it takes for `explicit`; here it is a fault.
fn ack_policy(text: &str) -> Option<AckPolicy> {
    match text {
        "explicit" => Some(AckPolicy::Explicit),
        "all" => Some(AckPolicy::All),
        "none" => Some(AckPolicy::None),
        _ => None,
    }
}

fn deliver_policy(settings: &Settings, faults: &mut Vec<Fault>) -> DeliverPolicy {
    let known = ["all", "last", "new", "sequence", "time"];
    let wanted = "`all`, `last`, `new`, `sequence` or `time`";
    let policy = |text: &str| known.into_iter().find(|known| *known == text);
    let policy = settings.read("deliverPolicy", wanted, policy, faults).unwrap_or("all");
    let sequence = settings.number::<u64>("startSequence", faults);
    let start = |text: &str| {
        let seconds = text.parse::<u64>().ok().and_then(|seconds| i64::try_from(seconds).ok())?;
        time::OffsetDateTime::from_unix_timestamp(seconds).ok()
    };
    let start_time = settings.read("startTime", "seconds since 1970", start, faults);
    for (name, wants) in [("startSequence", "sequence"), ("startTime", "time")] {
        if settings.has(name) != (policy == wants) {
            let message = format!("`{name}` and `deliverPolicy` `{wants}` belong together");
            faults.push(fault(name, message, None));
        }
    }
    match (policy, sequence, start_time) {
        ("last", ..) => DeliverPolicy::Last,
        ("new", ..) => DeliverPolicy::New,
        ("sequence", Some(start_sequence), _) => DeliverPolicy::ByStartSequence { start_sequence },
        ("time", _, Some(start_time)) => DeliverPolicy::ByStartTime { start_time },
        _ => DeliverPolicy::All,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parsed;

    fn parse(pairs: &[(&str, &str)]) -> (Options, Vec<String>) {
        parsed(pairs, Options::parse)
    }

    #[test]
    fn defaults_are_those_of_dapr() {
        let (options, faults) = parse(&[("natsURL", "nats://a:4222, nats://b")]);
        assert!(faults.is_empty() && options.servers.len() == 2, "{faults:?}");
        assert_eq!((options.name.as_str(), options.single), ("dapr.io - pubsub.jetstream", true));
        assert_eq!((options.deliver_policy, options.ack_policy), (DeliverPolicy::All, AckPolicy::Explicit));
        assert!(options.durable.is_none() && options.queue_group.is_none() && !options.has_group);
    }

    #[test]
    fn a_consumer_is_set_to_the_last_detail() {
        let (options, faults) = parse(&[
            ("natsURL", "nats://a"),
            ("deliverPolicy", "sequence"),
            ("startSequence", "7"),
            ("backOff", "50ms, 1s,10s"),
            ("maxDeliver", "5"),
            ("ackWait", "10s"),
            ("concurrency", "parallel"),
        ]);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(options.deliver_policy, DeliverPolicy::ByStartSequence { start_sequence: 7 });
        let times = [50, 1_000, 10_000].map(Duration::from_millis);
        assert_eq!(
            (options.back_off.as_slice(), options.max_deliver, options.single),
            (&times[..], Some(5), false)
        );
    }

    #[test]
    fn every_fault_is_named() {
        let (_, faults) = parse(&[]);
        assert_eq!(faults, ["natsURL"]);
        let (_, faults) = parse(&[
            ("natsURL", "::"),
            ("jwt", "a"),
            ("tls_client_key", "b"),
            ("durableName", "a.b"),
            ("deliverPolicy", "some"),
            ("startTime", "yesterday"),
            ("flowControl", "true"),
            ("ackPolicy", "maybe"),
            ("backOff", "1s,2s"),
            ("maxDeliver", "2"),
            ("ackWait", "long"),
            ("maxAckPending", "many"),
            ("replicas", "-1"),
            ("memoryStorage", "some"),
            ("rateLimit", "x"),
            ("concurrency", "two"),
        ]);
        let wanted = [
            "ackPolicy",
            "ackWait",
            "concurrency",
            "deliverPolicy",
            "durableName",
            "heartbeat",
            "maxAckPending",
            "maxDeliver",
            "memoryStorage",
            "natsURL",
            "rateLimit",
            "replicas",
            "seedKey",
            "startTime",
            "startTime",
            "tls_client_cert",
        ];
        assert_eq!(faults, wanted);
    }
}
