//! The settings of MQTT: where the broker is, and how messages are sent.

use mainstay_core::Fault;
use percent_encoding::percent_decode_str;
use rumqttc::QoS;

use crate::clients::brokers::is_single;
use crate::clients::certificates::{self, Certificates};
use crate::def::{SettingDef, joined};
use crate::settings::Settings;

/// The settings.
pub(super) const SETTINGS: [SettingDef; 8] = joined(
    &[
        SettingDef {
            name: "url",
            about: "`tcp://USER:PASSWORD@HOST:PORT`, or `ssl:` with TLS; the port is 1883, or 8883 with TLS, by default.",
            required: true,
            secret: true,
        },
        plain("qos", "`1` (default): at least once; `2`, or `0`, which promises nothing."),
        plain(
            "retain",
            "Whether the broker keeps the last message of a topic for whoever subscribes next, `false` by default; a \
             request's metadata `retain` goes before it.",
        ),
        plain("cleanSession", "Whether the broker forgets us when we are gone, `false` by default."),
        plain(
            "concurrencyMode",
            "`parallel` (default), or `single`: one message of a subscription at a time, in order.",
        ),
    ],
    &certificates::SETTINGS,
);

const fn plain(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

/// Where the broker is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Address {
    pub(super) tls: bool,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) user: Option<(String, String)>,
}

/// What the settings say.
#[derive(Clone)]
pub(super) struct Options {
    pub(super) address: Address,
    /// Who we are to the broker: the group that the component names, or else the app.
    pub(super) client_id: String,
    pub(super) certificates: Certificates,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) clean_session: bool,
    pub(super) single: bool,
}

impl Options {
    /// Reads the settings; `name` is who we are where they do not say.
    pub(super) fn parse(settings: &Settings, name: &str, faults: &mut Vec<Fault>) -> Self {
        settings.require(&["url"], faults);
        let wanted = "`tcp://HOST:PORT` or `ssl://HOST:PORT`";
        Self {
            address: settings.read("url", wanted, address, faults).unwrap_or_default(),
            client_id: settings.text("consumerID").unwrap_or(name).to_owned(),
            certificates: Certificates::parse(settings, faults),
            qos: settings.read("qos", "`0`, `1` or `2`", qos, faults).unwrap_or(QoS::AtLeastOnce),
            retain: settings.flag("retain", faults).unwrap_or_default(),
            clean_session: settings.flag("cleanSession", faults).unwrap_or_default(),
            single: settings
                .read("concurrencyMode", "`parallel` or `single`", is_single, faults)
                .unwrap_or_default(),
        }
    }
}

fn address(text: &str) -> Option<Address> {
    let (scheme, rest) = text.split_once("://")?;
    let tls = match scheme {
        "tcp" | "mqtt" => false,
        "ssl" | "tls" | "tcps" | "mqtts" => true,
        _ => return None,
    };
    let rest = rest.trim_end_matches('/');
    let (user, server) = match rest.rsplit_once('@') {
        Some((user, server)) => (Some(user), server),
        None => (None, rest),
    };
    let server: http::uri::Authority = server.parse().ok()?;
    let host = server.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let port = match server.port_u16() {
        Some(port) => port,
        // What stands behind the host is no port.
        None if server.as_str() != server.host() => return None,
        None if tls => 8883,
        None => 1883,
    };
    let plain = |text: &str| percent_decode_str(text).decode_utf8().ok().map(|text| text.into_owned());
    let user = match user {
        None => None,
        Some(user) => {
            let (name, password) = user.split_once(':').unwrap_or((user, ""));
            Some((plain(name)?, plain(password)?))
        }
    };
    (!host.is_empty()).then_some(Address { tls, host, port, user })
}

fn qos(text: &str) -> Option<QoS> {
    match text {
        "0" => Some(QoS::AtMostOnce),
        "1" => Some(QoS::AtLeastOnce),
        "2" => Some(QoS::ExactlyOnce),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::parsed;

    fn parse(pairs: &[(&str, &str)]) -> (Options, Vec<String>) {
        parsed(pairs, |settings, faults| Options::parse(settings, "app", faults))
    }

    #[test]
    fn defaults_are_those_of_dapr() {
        let (options, faults) = parse(&[("url", "tcp://h")]);
        assert!(faults.is_empty() && !options.retain && !options.clean_session && !options.single);
        assert_eq!((options.qos, options.client_id.as_str()), (QoS::AtLeastOnce, "app"));
        assert_eq!(parse(&[("url", "tcp://h"), ("consumerID", "c")]).0.client_id, "c");
    }

    #[test]
    fn an_address_is_a_url() {
        let check = |text: &str, tls, host: &str, port, user: Option<(&str, &str)>| {
            let user = user.map(|(name, password)| (name.to_owned(), password.to_owned()));
            assert_eq!(address(text), Some(Address { tls, host: host.to_owned(), port, user }), "{text}");
        };
        check("tcp://h", false, "h", 1883, None);
        check("mqtt://h:7/", false, "h", 7, None);
        check("ssl://h", true, "h", 8883, None);
        check("mqtts://u:p%40@h:7", true, "h", 7, Some(("u", "p@")));
        check("tcp://u@[::1]:7", false, "::1", 7, Some(("u", "")));
        for text in ["h:1883", "ws://h", "tcp://", "tcp://h:port", "tcp://h:70000", "tcp://a b"] {
            assert_eq!(address(text), None, "{text}");
        }
    }

    #[test]
    fn every_fault_is_named() {
        assert_eq!(parse(&[]).1, ["url"]);
        let (_, faults) = parse(&[
            ("url", "http://h"),
            ("qos", "3"),
            ("retain", "some"),
            ("cleanSession", "maybe"),
            ("concurrencyMode", "two"),
            ("caCert", "none"),
            ("clientKey", "none"),
        ]);
        let wanted =
            ["caCert", "cleanSession", "clientCert", "clientKey", "concurrencyMode", "qos", "retain", "url"];
        assert_eq!(faults, wanted);
    }
}
