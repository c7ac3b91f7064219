//! What the flags say of the app: where it listens, what it speaks, how it is treated.

use std::time::Duration;

use mainstay_core::Error;

use super::{number, wrong};

/// How the app is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AppAt {
    pub(crate) host: String,
    pub(crate) port: u16,
    /// What stands before its paths; empty, or with a slash at the front.
    pub(crate) base: String,
    /// Whether by gRPC.
    pub(crate) is_grpc: bool,
    /// Whether over HTTP/2 alone, where by HTTP.
    pub(crate) is_h2: bool,
    pub(crate) is_tls: bool,
    /// Calls at once; 0 without a bound.
    pub(crate) calls_max: u32,
    /// How it is probed, if it is.
    pub(crate) health: Option<Health>,
}

/// How the app is probed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Health {
    pub(crate) path: String,
    pub(crate) interval: Duration,
    pub(crate) timeout: Duration,
    pub(crate) threshold: u32,
}

impl AppAt {
    /// Reads the flags; `None` without a port. Errors: `CONFIG_VALUE`.
    pub(super) fn of<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Result<Option<Self>, Error> {
        let port = number("app-port", text("app-port"), 0_u16)?;
        let ssl = is_on(text("app-ssl"));
        let (is_grpc, is_h2, is_tls) = match text("app-protocol").unwrap_or("http") {
            "http" => (false, false, ssl),
            "https" => (false, false, true),
            "h2c" => (false, true, false),
            "grpc" => (true, true, ssl),
            "grpcs" => (true, true, true),
            _ => return Err(wrong("app-protocol", "http, https, h2c, grpc or grpcs")),
        };
        if port == 0 {
            return Ok(None);
        }
        let calls_max = number("app-max-concurrency", text("app-max-concurrency"), -1_i64)?;
        Ok(Some(Self {
            host: text("app-channel-address").unwrap_or("127.0.0.1").to_owned(),
            port,
            base: String::new(),
            is_grpc,
            is_h2,
            is_tls,
            calls_max: u32::try_from(calls_max.max(0)).unwrap_or(u32::MAX),
            health: if is_on(text("enable-app-health-check")) { Some(Health::of(text)?) } else { None },
        }))
    }

    /// One that speaks HTTP/1.1 at a URL. `None` for what is no URL with a host.
    pub(crate) fn at(url: &str) -> Option<Self> {
        let url: http::Uri = url.parse().ok()?;
        let is_tls = url.scheme_str() == Some("https");
        Some(Self {
            host: url.host()?.to_owned(),
            port: url.port_u16().unwrap_or(if is_tls { 443 } else { 80 }),
            base: url.path().trim_end_matches('/').to_owned(),
            is_grpc: false,
            is_h2: false,
            is_tls,
            calls_max: 0,
            health: None,
        })
    }

    /// Its address.
    pub(crate) fn address(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// The URL below which it answers.
    pub(crate) fn url(&self) -> String {
        format!("{}://{}{}", if self.is_tls { "https" } else { "http" }, self.address(), self.base)
    }

    /// What it speaks, in the flag's word.
    pub(crate) fn protocol(&self) -> &'static str {
        match (self.is_grpc, self.is_h2, self.is_tls) {
            (true, _, true) => "grpcs",
            (true, _, false) => "grpc",
            (false, true, _) => "h2c",
            (false, false, true) => "https",
            (false, false, false) => "http",
        }
    }
}

impl Health {
    fn of<'a>(text: &impl Fn(&str) -> Option<&'a str>) -> Result<Self, Error> {
        // What is not above zero is the default, as the reference has it.
        let above_zero = |name: &'static str, default: u32| {
            let given = number(name, text(name), i64::from(default))?;
            Ok::<_, Error>(u32::try_from(given).ok().filter(|given| *given > 0).unwrap_or(default))
        };
        let path = text("app-health-check-path").unwrap_or("/healthz");
        let health = Self {
            path: format!("/{}", path.trim_start_matches('/')),
            interval: Duration::from_secs(above_zero("app-health-probe-interval", 5)?.into()),
            timeout: Duration::from_millis(above_zero("app-health-probe-timeout", 500)?.into()),
            threshold: above_zero("app-health-threshold", 3)?,
        };
        if health.timeout > health.interval {
            return Err(wrong("app-health-probe-timeout", "no longer than the interval between probes"));
        }
        Ok(health)
    }
}

fn is_on(text: Option<&str>) -> bool {
    text.is_some_and(|text| text.eq_ignore_ascii_case("true"))
}
