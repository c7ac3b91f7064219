//! The settings of RabbitMQ: where it is, and what exchanges, queues and messages are like.

use std::time::Duration;

use lapin::uri::{AMQPAuthority, AMQPQueryString, AMQPScheme, AMQPUri, AMQPUserInfo, SASLMechanism};
use mainstay_core::Fault;

use crate::clients::brokers::is_single;
use crate::clients::certificates::{self, Certificates};
use crate::clients::{TIME, time};
use crate::def::{SettingDef, joined};
use crate::settings::{Settings, fault};

/// The settings.
pub(super) const SETTINGS: [SettingDef; 30] = joined(&OWN, &certificates::SETTINGS);

const OWN: [SettingDef; 27] = [
    secret(
        "connectionString",
        "`amqp://USER:PASSWORD@HOST:PORT/VHOST`, or `amqps:`; instead of the next four.",
    ),
    secret("host", "An older name of `connectionString`."),
    plain("protocol", "`amqp` (default) or `amqps`; that of `connectionString` where both are given."),
    plain("hostname", "`HOST` or `HOST:PORT`, `localhost` by default."),
    plain("username", "The user, `guest` by default."),
    secret("password", "The user's password."),
    plain("durable", "Whether exchanges and queues outlive the server's end, `true` by default."),
    plain(
        "deletedWhenUnused",
        "Whether a queue goes when its last subscriber does, with what waits in it; `true` by default.",
    ),
    plain("autoAck", "Whether a message counts as done once it was sent to us, `false` by default."),
    plain("deliveryMode", "`2` keeps messages over the server's end; `0` (default) and `1` do not."),
    plain(
        "requeueInFailure",
        "Whether a message that the app wants again goes back to its queue. `false` by default: it goes to the dead \
         letter queue, and without `enableDeadLetter` it is dropped. What is not settled at all always goes back.",
    ),
    plain(
        "prefetchCount",
        "Messages that a subscription holds unsettled, 0 to 65535; `0` (default) for 256.",
    ),
    plain("publisherConfirm", "Accepted and without effect: the server's confirmation is always awaited."),
    plain("enableDeadLetter", "Whether each queue has a dead letter queue, `dlq-QUEUE`; `false` by default."),
    plain("maxLen", "Messages that a queue keeps, the newest; without bound by default."),
    plain("maxLenBytes", "Bytes that a queue keeps; without bound by default."),
    plain("exchangeKind", "`fanout` (default), `topic`, `direct`, `headers` or `x-consistent-hash`."),
    plain(
        "exchangeDeclareMode",
        "`declare` (default) creates exchanges; `passive` expects them, and then takes any `exchangeKind`.",
    ),
    plain(
        "concurrencyMode",
        "`parallel` (default), or `single`: one message of a subscription at a time, in order.",
    ),
    plain("concurrency", "Another name of `concurrencyMode`."),
    plain("ttlInSeconds", "How long a message waits whose request does not say so; for ever by default."),
    plain("clientName", "The connection's name, as RabbitMQ's own screens show it."),
    plain("heartBeat", "How often a connection is asked whether it lives, 10s by default."),
    plain(
        "saslExternal",
        "Whether our certificate says who we are; `false` by default. Wants all three certificates.",
    ),
    plain(
        "publishMessagePropertiesToMetadata",
        "Whether a message's properties, and headers that are no text or the server's own, become metadata, too; `false` by default.",
    ),
    plain(
        "reconnectWait",
        "Accepted and without effect: calls connect again at once, subscriptions after their own pauses.",
    ),
    plain("reconnectWaitSeconds", "Another name of `reconnectWait`."),
];

const fn plain(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const fn secret(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: true }
}

/// Messages that a subscription holds unsettled, unless a setting says otherwise.
const HELD: u16 = 256;

/// What the settings say.
#[derive(Clone)]
pub(super) struct Options {
    /// Where and as whom to connect.
    pub(super) uri: AMQPUri,
    pub(super) certificates: Certificates,
    pub(super) client_name: Option<String>,
    pub(super) durable: bool,
    pub(super) deleted_when_unused: bool,
    pub(super) auto_ack: bool,
    pub(super) delivery_mode: u8,
    pub(super) requeue: bool,
    /// Messages that a subscription holds unsettled.
    pub(super) held_max: u16,
    pub(super) dead_letters: bool,
    pub(super) max_len: Option<i64>,
    pub(super) max_len_bytes: Option<i64>,
    pub(super) exchange_kind: String,
    /// Whether exchanges are expected to be there.
    pub(super) passive: bool,
    pub(super) ttl: Option<Duration>,
    pub(super) tells_properties: bool,
}

impl Options {
    /// Reads the settings.
    pub(super) fn parse(settings: &Settings, faults: &mut Vec<Fault>) -> Self {
        let mut flag = |name, default| settings.flag(name, faults).unwrap_or(default);
        let (durable, deleted_when_unused) = (flag("durable", true), flag("deletedWhenUnused", true));
        let (auto_ack, requeue) = (flag("autoAck", false), flag("requeueInFailure", false));
        let (dead_letters, external) = (flag("enableDeadLetter", false), flag("saslExternal", false));
        let tells_properties = flag("publishMessagePropertiesToMetadata", false);
        flag("publisherConfirm", false);
        let certificates = Certificates::parse(settings, faults);
        let mut uri = uri(settings, faults);
        if external {
            for name in ["caCert", "clientCert", "clientKey"].into_iter().filter(|name| !settings.has(name)) {
                faults.push(fault(name, format!("`saslExternal` wants `{name}`, which is missing"), None));
            }
            uri.query.auth_mechanism = Some(SASLMechanism::External);
        }
        uri.query.heartbeat = settings
            .read("heartBeat", TIME, heartbeat, faults)
            .or(uri.query.heartbeat)
            .or(Some(HEARTBEAT_SECONDS));
        let (exchange_kind, passive) = exchanges(settings, faults);
        let held = settings.number::<u16>("prefetchCount", faults).filter(|count| *count > 0).unwrap_or(HELD);
        let single = ["concurrencyMode", "concurrency"]
            .map(|name| settings.read(name, "`parallel` or `single`", is_single, faults).unwrap_or_default());
        let bound = |name, faults: &mut Vec<Fault>| settings.number::<i64>(name, faults).filter(|n| *n > 0);
        for name in ["reconnectWait", "reconnectWaitSeconds"] {
            settings.read(name, TIME, time, faults);
        }
        Self {
            uri,
            certificates,
            client_name: settings.text("clientName").map(str::to_owned),
            durable,
            deleted_when_unused,
            auto_ack,
            delivery_mode: settings
                .read("deliveryMode", "`0`, `1` or `2`", delivery_mode, faults)
                .unwrap_or_default(),
            requeue,
            held_max: if single.contains(&true) { 1 } else { held },
            dead_letters,
            max_len: bound("maxLen", faults),
            max_len_bytes: bound("maxLenBytes", faults),
            exchange_kind,
            passive,
            ttl: settings.read("ttlInSeconds", TIME, time, faults).flatten(),
            tells_properties,
        }
    }
}

fn uri(settings: &Settings, faults: &mut Vec<Fault>) -> AMQPUri {
    let wanted = "`amqp://HOST:PORT` or `amqps://HOST:PORT`";
    let name = if settings.has("connectionString") { "connectionString" } else { "host" };
    let given = settings.read(name, wanted, |text| text.parse::<AMQPUri>().ok(), faults);
    let scheme = settings.read("protocol", "`amqp` or `amqps`", |text| text.parse().ok(), faults);
    if let Some(uri) = given {
        if scheme.is_some_and(|scheme: AMQPScheme| scheme != uri.scheme) {
            let message = format!("`protocol` is not that of `{name}`");
            faults.push(fault("protocol", message, Some("leave `protocol` out")));
        }
        return uri;
    }
    let scheme = scheme.unwrap_or_default();
    let port = if scheme == AMQPScheme::AMQPS { 5671 } else { 5672 };
    let server = settings.read("hostname", "`HOST` or `HOST:PORT`", |text| server(text, port), faults);
    let (host, port) = server.unwrap_or_else(|| ("localhost".to_owned(), port));
    let text = |name, default: &str| settings.text(name).unwrap_or(default).to_owned();
    let userinfo = AMQPUserInfo { username: text("username", "guest"), password: text("password", "guest") };
    let query = AMQPQueryString::default();
    AMQPUri { scheme, authority: AMQPAuthority { userinfo, host, port }, vhost: "/".to_owned(), query }
}

fn server(text: &str, port: u16) -> Option<(String, u16)> {
    let address = text.parse::<http::uri::Authority>().ok().filter(|address| !address.host().is_empty())?;
    let port = match address.port_u16() {
        Some(port) => port,
        None if address.as_str() != address.host() => return None,
        None => port,
    };
    (!address.as_str().contains('@')).then(|| (address.host().to_owned(), port))
}

const HEARTBEAT_SECONDS: u16 = 10;

fn heartbeat(text: &str) -> Option<u16> {
    u16::try_from(time(text)?.map_or(0, |time| time.as_secs().max(1))).ok()
}

fn delivery_mode(text: &str) -> Option<u8> {
    text.parse().ok().filter(|mode| *mode <= 2)
}

fn exchanges(settings: &Settings, faults: &mut Vec<Fault>) -> (String, bool) {
    let mode = |text: &str| match text.to_ascii_lowercase().as_str() {
        "declare" => Some(false),
        "passive" => Some(true),
        _ => None,
    };
    let passive = settings.read("exchangeDeclareMode", "`declare` or `passive`", mode, faults);
    let passive = passive.unwrap_or_default();
    let known = ["fanout", "topic", "direct", "headers", "x-consistent-hash"];
    let kind = |text: &str| (passive || known.contains(&text)).then(|| text.to_owned());
    let wanted = "`fanout`, `topic`, `direct`, `headers` or `x-consistent-hash`";
    (settings.read("exchangeKind", wanted, kind, faults).unwrap_or_else(|| "fanout".to_owned()), passive)
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
        let (options, faults) = parse(&[]);
        assert_eq!(faults, Vec::<String>::new());
        assert_eq!(options.uri.to_string(), "amqp://guest:guest@localhost:5672/%2F?heartbeat=10");
        assert!(options.durable && options.deleted_when_unused && !options.requeue && !options.auto_ack);
        assert_eq!((options.exchange_kind.as_str(), options.delivery_mode), ("fanout", 0));
    }

    #[test]
    fn a_server_is_one_string_or_its_parts() {
        let check = |pairs: &[(&str, &str)], expect: &str| {
            let (options, faults) = parse(pairs);
            assert_eq!((faults, options.uri.to_string().as_str()), (vec![], expect));
        };
        check(&[("connectionString", "amqp://a:b@c:1")], "amqp://a:b@c:1/%2F?heartbeat=10");
        check(&[("host", "amqps://a:b@c/v"), ("heartBeat", "3s")], "amqps://a:b@c:5671/v?heartbeat=3");
        let parts = [("hostname", "h:7"), ("username", "u"), ("password", "p")];
        check(&parts, "amqp://u:p@h:7/%2F?heartbeat=10");
        check(&[("protocol", "amqps"), ("hostname", "h")], "amqps://guest:guest@h:5671/%2F?heartbeat=10");
    }

    #[test]
    fn every_fault_is_named() {
        let (_, faults) = parse(&[
            ("connectionString", "http://a"),
            ("protocol", "tcp"),
            ("durable", "maybe"),
            ("deliveryMode", "3"),
            ("prefetchCount", "70000"),
            ("maxLen", "many"),
            ("exchangeKind", "star"),
            ("exchangeDeclareMode", "ask"),
            ("concurrencyMode", "two"),
            ("ttlInSeconds", "soon"),
            ("heartBeat", "often"),
            ("clientCert", "none"),
            ("saslExternal", "true"),
        ]);
        let wanted = [
            "caCert",
            "clientCert",
            "clientKey",
            "clientKey",
            "concurrencyMode",
            "connectionString",
            "deliveryMode",
            "durable",
            "exchangeDeclareMode",
            "exchangeKind",
            "heartBeat",
            "maxLen",
            "prefetchCount",
            "protocol",
            "ttlInSeconds",
        ];
        assert_eq!(faults, wanted);
        assert_eq!(parse(&[("hostname", "h:port")]).1, ["hostname"]);
        let (_, faults) = parse(&[("connectionString", "amqp://a"), ("protocol", "amqps")]);
        assert_eq!(faults, ["protocol"]);
    }

    #[test]
    fn one_at_a_time_is_a_prefetch_of_one() {
        assert_eq!(parse(&[]).0.held_max, HELD);
        assert_eq!(parse(&[("prefetchCount", "7")]).0.held_max, 7);
        assert_eq!(parse(&[("prefetchCount", "7"), ("concurrencyMode", "single")]).0.held_max, 1);
    }

    #[test]
    fn an_exchange_that_others_make_is_of_any_kind() {
        let (options, faults) = parse(&[("exchangeDeclareMode", "Passive"), ("exchangeKind", "x-random")]);
        assert!(faults.is_empty() && options.passive && options.exchange_kind == "x-random");
    }
}
