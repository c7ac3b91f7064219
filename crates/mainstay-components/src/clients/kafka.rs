//! The client of Kafka: its settings, how it connects, and what its failures mean.

use std::time::Duration;

use krafka::auth::{AuthConfig, TlsConfig};
use krafka::error::ErrorCode;
use krafka::{Kafka, KrafkaError};
use mainstay_core::{Error, Fault, Result, Retry, codes};

use crate::def::SettingDef;
use crate::settings::{Settings, fault};

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

const fn secret(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: true }
}

/// The settings of every type that uses Kafka.
pub(crate) const SETTINGS: [SettingDef; 16] = [
    SettingDef {
        name: "brokers",
        about: "`HOST:PORT` of the brokers to begin with, with commas between.",
        required: true,
        secret: false,
    },
    SettingDef {
        name: "authType",
        about: "`none` (without TLS), `password` (SASL), `mtls`, or `certificate` (TLS alone). `oidc`, \
                `oidc_private_key_jwt` and `awsiam` are not supported.",
        required: true,
        secret: false,
    },
    setting(
        "authRequired",
        "The older form of `authType`: `false` is `none`, `true` is `password` or `mtls`.",
    ),
    setting("clientID", "What the brokers' logs call us, `sarama` by default, as with Dapr."),
    setting("saslUsername", "The user, with `password`."),
    secret("saslPassword", "The user's password, with `password`."),
    setting("saslMechanism", "`PLAINTEXT` (default), `SHA-256` or `SHA-512`."),
    setting("caCert", "The certificates to trust instead of the host's, as PEM text."),
    secret("clientCert", "Our certificate, as PEM text, with `mtls`."),
    secret("clientKey", "Its private key, as PEM text, with `mtls`."),
    setting("skipVerify", "Whether to trust any certificate, `false` by default."),
    setting("disableTls", "Whether to speak without TLS in spite of `authType`, `false` by default."),
    setting("version", "Accepted and without effect: each broker says what it speaks."),
    setting(
        "clientConnectionTopicMetadataRefreshInterval",
        "How long is believed what the brokers said of topics, 8m by default.",
    ),
    setting(
        "clientConnectionKeepAliveInterval",
        "How often an idle connection is looked after, by the operating system's rules by default.",
    ),
    setting("channelBufferSize", "Accepted and without effect: what waits is bounded for each partition."),
];

/// How long is believed what brokers said of topics: less than the 9 minutes after which they end an idle connection.
const METADATA_AGE: Duration = Duration::from_secs(8 * 60);

/// Where and how to connect.
#[derive(Clone)]
pub(crate) struct Options {
    brokers: String,
    client_id: String,
    security: Option<AuthConfig>,
    metadata_age: Duration,
    keep_alive: Option<Duration>,
}

impl Options {
    /// Reads the settings.
    pub(crate) fn parse(settings: &Settings, faults: &mut Vec<Fault>) -> Self {
        settings.require(&["brokers"], faults);
        let time = |name: &str, faults: &mut Vec<Fault>| {
            settings.read(name, super::TIME, super::time, faults).flatten()
        };
        Self {
            brokers: settings.text("brokers").unwrap_or_default().to_owned(),
            client_id: settings.text("clientID").unwrap_or("sarama").to_owned(),
            security: security(settings, faults),
            metadata_age: time("clientConnectionTopicMetadataRefreshInterval", faults)
                .unwrap_or(METADATA_AGE),
            keep_alive: time("clientConnectionKeepAliveInterval", faults),
        }
    }

    /// Connects. A topic that is asked for and does not exist is made, where the brokers allow it. Errors:
    /// `BROKER_UNAVAILABLE`.
    pub(crate) async fn connect(&self) -> Result<Kafka> {
        let mut builder = Kafka::builder(&self.brokers)
            .client_id(&self.client_id)
            .metadata_max_age(self.metadata_age)
            .allow_auto_create_topics(true);
        if let Some(security) = &self.security {
            builder = builder.security(security.clone());
        }
        if self.keep_alive.is_some() {
            builder = builder.tcp_keepalive(self.keep_alive);
        }
        builder.connect().await.map_err(failed)
    }
}

/// How we show who we are, and whether under TLS; nothing in the clear without a password.
fn security(settings: &Settings, faults: &mut Vec<Fault>) -> Option<AuthConfig> {
    let is_clear = settings.flag("disableTls", faults).unwrap_or_default();
    let is_any_trusted = settings.flag("skipVerify", faults).unwrap_or_default();
    for name in ["caCert", "clientCert", "clientKey"] {
        settings.read(name, "PEM text", |text| text.contains("-----BEGIN ").then_some(()), faults);
    }
    let kind = auth_type(settings, faults)?;
    let (text, tls) = (|name: &str| settings.text(name).unwrap_or_default(), tls(settings, is_any_trusted));
    match kind.as_str() {
        "none" => None,
        "password" => {
            settings.require(&["saslUsername"], faults);
            settings.require(&["saslPassword"], faults);
            let (user, password) = (text("saslUsername"), text("saslPassword"));
            let auth = match text("saslMechanism") {
                "SHA-256" => AuthConfig::sasl_scram_sha256(user, password),
                "SHA-512" => AuthConfig::sasl_scram_sha512(user, password),
                "" | "PLAINTEXT" | "PLAIN" => AuthConfig::sasl_plain(user, password),
                _ => {
                    let message = "`saslMechanism` must be `PLAINTEXT`, `SHA-256` or `SHA-512`".to_owned();
                    faults.push(fault("saslMechanism", message, None));
                    return None;
                }
            };
            Some(if is_clear { auth } else { auth.with_tls(tls) })
        }
        "mtls" => {
            settings.require(&["clientCert"], faults);
            settings.require(&["clientKey"], faults);
            if is_clear {
                let message = "`disableTls` leaves nothing of `authType` `mtls`".to_owned();
                faults.push(fault("disableTls", message, None));
            }
            let key = text("clientKey").as_bytes().to_vec();
            Some(AuthConfig::ssl(tls.with_client_cert_pem(text("clientCert"), key)))
        }
        "certificate" => {
            settings.require(&["caCert"], faults);
            (!is_clear).then(|| AuthConfig::ssl(tls))
        }
        _ => {
            let message = "`authType` must be `none`, `password`, `mtls` or `certificate`".to_owned();
            let help = matches!(kind.as_str(), "oidc" | "oidc_private_key_jwt" | "awsiam")
                .then_some("this one is not supported");
            faults.push(fault("authType", message, help));
            None
        }
    }
}

/// The kind of authentication, in small letters; from the older `authRequired` where that alone is given.
fn auth_type(settings: &Settings, faults: &mut Vec<Fault>) -> Option<String> {
    let required = settings.flag("authRequired", faults);
    match (settings.text("authType"), required) {
        (Some(kind), _) => Some(kind.to_ascii_lowercase()),
        // It is a secret's, and not known yet.
        (None, _) if settings.has("authType") => None,
        (None, Some(false)) => Some("none".to_owned()),
        (None, Some(true)) => Some(if settings.has("saslPassword") { "password" } else { "mtls" }.to_owned()),
        (None, None) => {
            settings.require(&["authType"], faults);
            None
        }
    }
}

fn tls(settings: &Settings, is_any_trusted: bool) -> TlsConfig {
    if is_any_trusted {
        return TlsConfig::insecure();
    }
    let roots = settings.text("caCert").map_or_else(super::root_certificates, str::to_owned);
    TlsConfig::new().with_ca_cert_pem(roots)
}

/// What a failure means to a port.
pub(crate) fn failed(error: KrafkaError) -> Error {
    let unavailable = |message: &str| Error::new(&codes::BROKER_UNAVAILABLE, message);
    let permanent = |message: &str| unavailable(message).with_retry(Retry::Permanent);
    let failure = match &error {
        KrafkaError::Network(_) => unavailable("call Kafka: it cannot be reached"),
        KrafkaError::Timeout { .. } | KrafkaError::DeliveryTimeout { .. } => {
            unavailable("call Kafka: it did not answer in time")
        }
        KrafkaError::Auth { .. } => {
            permanent("call Kafka: it refused our credentials, or we its certificate")
        }
        KrafkaError::UnknownTopic { .. } => permanent("call Kafka: there is no such topic")
            .with_help("make the topic, or let the brokers make it"),
        KrafkaError::Broker { code, .. } => match code {
            ErrorCode::MessageTooLarge | ErrorCode::RecordListTooLarge | ErrorCode::InvalidTopic => {
                Error::new(&codes::INVALID_FIELD, "publish: Kafka takes no such message")
            }
            ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed => permanent("call Kafka: the user may not do this"),
            _ => unavailable("call Kafka: it answered with an error"),
        },
        _ => unavailable("call Kafka: the client gave up"),
    };
    failure.with_internal(error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PEM: &str = "-----BEGIN CERTIFICATE-----";

    #[track_caller]
    fn check(pairs: &[(&str, &str)], expect: &[&str]) -> Options {
        let pairs = std::iter::once(&("brokers", "localhost:9092")).chain(pairs);
        let pairs = pairs.map(|(name, value)| ((*name).to_owned(), Some((*value).to_owned())));
        let mut faults = Vec::new();
        let options = Options::parse(&Settings::new(pairs), &mut faults);
        assert_eq!(faults.iter().map(|fault| fault.pointer.as_str()).collect::<Vec<_>>(), expect);
        options
    }

    #[test]
    fn authentication_says_whether_there_is_tls() {
        let protocol = |pairs: &[(&str, &str)]| {
            let security = check(pairs, &[]).security;
            security.map(|security| format!("{:?}", security.security_protocol()))
        };
        let password = [("authType", "password"), ("saslUsername", "u"), ("saslPassword", "p")];
        assert_eq!(protocol(&[("authType", "none"), ("caCert", PEM)]), None);
        assert_eq!(protocol(&password).as_deref(), Some("SaslSsl"));
        let clear = [&password[..], &[("disableTls", "true"), ("saslMechanism", "SHA-512")]].concat();
        assert_eq!(protocol(&clear).as_deref(), Some("SaslPlaintext"));
        assert_eq!(protocol(&[("authType", "certificate"), ("caCert", PEM)]).as_deref(), Some("Ssl"));
        let pair = [("authType", "mtls"), ("clientCert", PEM), ("clientKey", PEM)];
        assert_eq!(protocol(&pair).as_deref(), Some("Ssl"));
        assert_eq!(protocol(&[("authRequired", "false")]), None);
        let older = [("authRequired", "true"), ("saslUsername", "u"), ("saslPassword", "p")];
        assert_eq!(protocol(&older).as_deref(), Some("SaslSsl"));
    }

    #[test]
    fn what_is_missing_or_not_supported_is_a_fault() {
        check(&[], &["authType"]);
        check(&[("authType", "oidc")], &["authType"]);
        check(&[("authType", "password")], &["saslUsername", "saslPassword"]);
        check(&[("authType", "mtls"), ("disableTls", "true")], &["clientCert", "clientKey", "disableTls"]);
        check(&[("authType", "certificate")], &["caCert"]);
        check(&[("authType", "certificate"), ("caCert", "a file")], &["caCert"]);
        let odd = [("authType", "password"), ("saslUsername", "u"), ("saslPassword", "p")];
        check(&[&odd[..], &[("saslMechanism", "SCRAM")]].concat(), &["saslMechanism"]);
    }
}
