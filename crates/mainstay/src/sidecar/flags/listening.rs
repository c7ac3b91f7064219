//! What the flags say of where a sidecar listens besides the ports of its APIs.

use std::path::PathBuf;

use mainstay_core::Error;

use super::number;

/// Where metrics are if nothing is said.
const METRICS_PORT: u16 = 9090;

/// Where a sidecar listens.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Listening {
    /// The folder of the sockets that both APIs are at; at ports without.
    pub(crate) sockets: Option<PathBuf>,
    /// Health and metadata for others.
    pub(crate) public: Option<Place>,
    /// Metrics.
    pub(crate) metrics: Option<Place>,
}

/// A port of the first of some hosts that can be bound.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) hosts: Vec<String>,
    pub(crate) port: u16,
    /// Whether the port was asked for.
    pub(crate) is_asked: bool,
}

impl Listening {
    /// Reads the flags. Errors: `CONFIG_VALUE`.
    pub(super) fn of<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Result<Self, Error> {
        let hosts = |flag: &str, default: &[&str]| match text(flag) {
            Some(host) => vec![bracketed(host)],
            None => default.iter().map(|host| (*host).to_owned()).collect(),
        };
        let public = match text("dapr-public-port") {
            // What is public is meant for others, who come by every address.
            Some(port) => Some(Place {
                hosts: hosts("dapr-public-listen-address", &["[::]", "0.0.0.0"]),
                port: number("dapr-public-port", Some(port), 0)?,
                is_asked: true,
            }),
            None => None,
        };
        let port = text("metrics-port");
        let metrics = Place {
            hosts: hosts("metrics-listen-address", &["127.0.0.1"]),
            port: number("metrics-port", port, METRICS_PORT)?,
            is_asked: port.is_some(),
        };
        let is_metered = text("enable-metrics").is_none_or(|text| text == "true");
        Ok(Self {
            sockets: text("unix-domain-socket").map(PathBuf::from),
            public,
            metrics: is_metered.then_some(metrics),
        })
    }
}

/// A host as an address has it: IPv6 in brackets.
fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') { format!("[{host}]") } else { host.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listening(given: &[(&str, &'static str)]) -> Result<Listening, Error> {
        Listening::of(&|name: &str| given.iter().find(|(flag, _)| *flag == name).map(|(_, text)| *text))
    }

    #[test]
    fn metrics_are_on_loopback_unless_an_address_is_given_and_the_public_port_is_on_demand() {
        let plain = listening(&[]).unwrap();
        let metrics = plain.metrics.unwrap();
        assert_eq!(
            (metrics.hosts, metrics.port, metrics.is_asked),
            (vec!["127.0.0.1".to_owned()], 9090, false)
        );
        assert_eq!((plain.public, plain.sockets), (None, None));
        assert_eq!(listening(&[("enable-metrics", "false")]).unwrap().metrics, None);
        let given = listening(&[("metrics-listen-address", "::"), ("metrics-port", "0")]).unwrap();
        let metrics = given.metrics.unwrap();
        assert_eq!((metrics.hosts, metrics.port, metrics.is_asked), (vec!["[::]".to_owned()], 0, true));
        let public = listening(&[("dapr-public-port", "3501")]).unwrap().public.unwrap();
        assert_eq!((public.hosts.len(), public.port), (2, 3501));
        assert!(listening(&[("dapr-public-port", "x")]).is_err());
    }
}
