//! ★ The flags of `mainstay sidecar`: those of daprd, so that what starts daprd starts us. To add one: a line in
//! `FLAGS`. A flag that has no meaning here (there is no placement, no scheduler, no sentry) is taken and said to be
//! without effect.

mod app;
mod listening;

use std::path::PathBuf;
use std::time::Duration;

use clap::{Arg, ArgAction, ArgMatches};
use mainstay_core::{Error, codes, duration};

pub(crate) use app::{AppAt, Health};
pub(crate) use listening::{Listening, Place};

/// A flag.
struct Flag {
    name: &'static str,
    kind: Kind,
    about: &'static str,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// One value.
    Text,
    /// Several values.
    List,
    /// `--x`, `--x=true` or `--x=false`.
    Switch,
    /// Taken for the sake of scripts; has no effect.
    Ignored,
    /// The same as a switch.
    IgnoredSwitch,
}

const fn flag(name: &'static str, kind: Kind, about: &'static str) -> Flag {
    Flag { name, kind, about }
}

const FLAGS: &[Flag] = &[
    flag("app-id", Kind::Text, "The app's id"),
    flag("app-port", Kind::Text, "The port that the app listens on; none for an app that only calls"),
    flag("app-protocol", Kind::Text, "How the app is spoken to: http, https, h2c, grpc or grpcs"),
    flag("app-channel-address", Kind::Text, "The address that the app listens at; 127.0.0.1 by default"),
    flag("dapr-http-port", Kind::Text, "The port of the HTTP API; 3500 by default"),
    flag("dapr-grpc-port", Kind::Text, "The port of the gRPC API; 50001 by default"),
    flag(
        "dapr-listen-addresses",
        Kind::Text,
        "Addresses of both APIs, with commas between; loopback by default",
    ),
    flag("resources-path", Kind::List, "A folder of resource files; may be given several times"),
    flag("components-path", Kind::List, "The older name of `resources-path`"),
    flag("config", Kind::List, "A file of the kind Configuration; may be given several times"),
    flag("max-body-size", Kind::Text, "Largest body: bytes, or with Ki, Mi or Gi; 4Mi by default"),
    flag("dapr-http-max-request-size", Kind::Text, "The older form of `max-body-size`, in MB"),
    flag(
        "dapr-graceful-shutdown-seconds",
        Kind::Text,
        "How long what is at work may take to finish; 5 by default",
    ),
    flag(
        "dapr-block-shutdown-duration",
        Kind::Text,
        "Serve so long after the signal to stop, for the app's sake",
    ),
    flag("log-level", Kind::Text, "debug, info, warn, error or fatal"),
    flag("log-as-json", Kind::Switch, "Log as JSON lines"),
    flag("mode", Kind::Text, "standalone; kubernetes has no effect, and files are read as ever"),
    flag("disable-init-endpoints", Kind::Text, "What the app is not asked at the start: config, subscribe"),
    flag(
        "app-binding-options-timeout",
        Kind::Text,
        "How long the app may take to say whether it wants a binding's events; 3s by default",
    ),
    flag("app-max-concurrency", Kind::Text, "Calls that may be with the app at once; any number by default"),
    flag("app-ssl", Kind::Switch, "The older form of the protocols https and grpcs"),
    flag("allowed-origins", Kind::Text, "Origins of pages that may call the HTTP API, with commas between"),
    flag("enable-app-health-check", Kind::Switch, "Probe the app, and leave it alone while it is not well"),
    flag("app-health-check-path", Kind::Text, "Where an app that speaks HTTP is probed; /healthz by default"),
    flag("app-health-probe-interval", Kind::Text, "Seconds between probes; 5 by default"),
    flag("app-health-probe-timeout", Kind::Text, "Milliseconds that a probe may take; 500 by default"),
    flag(
        "app-health-threshold",
        Kind::Text,
        "Failures in a row after which the app is not well; 3 by default",
    ),
    flag(
        "dapr-public-port",
        Kind::Text,
        "A port for health and metadata alone, without a token; none by default",
    ),
    flag("dapr-public-listen-address", Kind::Text, "The address of that; every one by default"),
    flag("metrics-port", Kind::Text, "The port of the metrics; 9090 by default, if it is free"),
    flag("metrics-listen-address", Kind::Text, "The address of the metrics; 127.0.0.1 by default"),
    flag("enable-metrics", Kind::Switch, "Whether there are metrics; on by default"),
    flag("unix-domain-socket", Kind::Text, "A folder for both APIs' sockets; no ports are bound then"),
    flag("enable-api-logging", Kind::Switch, "Log a line for each call of the APIs"),
    flag(
        "enable-grpc-reflection",
        Kind::Switch,
        "Let clients of the gRPC API ask for its services; ours alone",
    ),
    flag(
        "hot-reload-reconcile-interval",
        Kind::Text,
        "How often files are looked at for changes; twice a second or more often",
    ),
    flag("dapr-internal-grpc-port", Kind::Ignored, ""),
    flag("dapr-internal-grpc-listen-address", Kind::Ignored, ""),
    flag("profile-port", Kind::Ignored, ""),
    flag("enable-profiling", Kind::IgnoredSwitch, ""),
    flag("control-plane-address", Kind::Ignored, ""),
    flag("sentry-address", Kind::Ignored, ""),
    flag("sentry-request-jwt-audiences", Kind::Ignored, ""),
    flag("control-plane-trust-domain", Kind::Ignored, ""),
    flag("control-plane-namespace", Kind::Ignored, ""),
    flag("placement-host-address", Kind::Ignored, ""),
    flag("scheduler-host-address", Kind::Ignored, ""),
    flag("scheduler-job-streams", Kind::Ignored, ""),
    flag("actors-disseminate-timeout", Kind::Ignored, ""),
    flag("enable-mtls", Kind::IgnoredSwitch, ""),
    flag("read-buffer-size", Kind::Ignored, ""),
    flag("dapr-http-read-buffer-size", Kind::Ignored, ""),
    flag("disable-builtin-k8s-secret-store", Kind::IgnoredSwitch, ""),
];

/// The flags for the command line.
pub(crate) fn arguments() -> impl Iterator<Item = Arg> {
    FLAGS.iter().map(|flag| {
        let about = if flag.about.is_empty() { "Taken, without effect" } else { flag.about };
        let arg = Arg::new(flag.name).long(flag.name).help(about).hide(flag.about.is_empty());
        match flag.kind {
            Kind::Text | Kind::Ignored => {
                arg.value_name("VALUE").overrides_with(flag.name).allow_negative_numbers(true)
            }
            Kind::List => arg.value_name("PATH").action(ArgAction::Append),
            Kind::Switch | Kind::IgnoredSwitch => arg
                .value_name("BOOL")
                .num_args(0..=1)
                .require_equals(true)
                .default_missing_value("true")
                .value_parser(switch)
                .overrides_with(flag.name),
        }
    })
}

/// A switch as daprd reads it, made one of two words.
fn switch(text: &str) -> Result<String, &'static str> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok("true".to_owned()),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok("false".to_owned()),
        _ => Err("it is `true` or `false`"),
    }
}

/// How the sidecar is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Options {
    pub(crate) app_id: String,
    /// How the app is reached; `None` for one that only calls.
    pub(crate) app: Option<AppAt>,
    /// Origins of pages that may call.
    pub(crate) origins: Option<String>,
    pub(crate) listen: Vec<String>,
    pub(crate) http_port: u16,
    pub(crate) grpc_port: u16,
    /// Where relative paths in components' settings start.
    pub(crate) folder: PathBuf,
    pub(crate) resource_folders: Vec<PathBuf>,
    /// Whether a state store and a broker inside the process are there where no resources are named.
    pub(crate) built_in: bool,
    pub(crate) config_files: Vec<PathBuf>,
    pub(crate) body_bytes_max: usize,
    pub(crate) grace: Duration,
    pub(crate) block: Duration,
    pub(crate) log_level: Option<String>,
    pub(crate) log_json: bool,
    /// Whether the app is asked what it subscribes to.
    pub(crate) asks_subscriptions: bool,
    /// How long the app may take to say whether it wants a binding's events.
    pub(crate) binding_patience: Duration,
    /// Where else it listens.
    pub(crate) listening: Listening,
    /// Whether calls are logged, where a flag says so.
    pub(crate) call_log: Option<bool>,
    /// Whether clients may ask for the services of the gRPC API.
    pub(crate) reflection: bool,
    /// How often files are looked at.
    pub(crate) looks: Duration,
    /// Whether it was asked to take its resources from Kubernetes, which it does not.
    pub(crate) asks_kubernetes: bool,
    /// Flags that were given and have no effect.
    pub(crate) without_effect: Vec<&'static str>,
}

/// How long an app may take to say whether it wants a binding's events, where nothing is said.
const BINDING_PATIENCE: Duration = Duration::from_secs(3);
/// How often files are looked at: at most, and where nothing is said.
const LOOKS: (Duration, Duration) = (Duration::from_millis(50), Duration::from_millis(500));
/// Largest body, where nothing is said.
const BODY_BYTES_MAX: usize = 4 << 20;

impl Options {
    /// What holds where no flag is given.
    pub(crate) fn plain() -> Result<Self, Error> {
        let command = clap::Command::new("plain").args(arguments());
        Self::of(&command.get_matches_from(["plain"]))
    }

    /// Reads the flags. Errors: `CONFIG_VALUE`, naming the flag.
    pub(crate) fn of(matches: &ArgMatches) -> Result<Self, Error> {
        let text =
            |name: &str| matches.get_one::<String>(name).map(String::as_str).filter(|text| !text.is_empty());
        let paths = |name: &str| {
            matches.get_many::<String>(name).into_iter().flatten().map(PathBuf::from).collect::<Vec<_>>()
        };
        let port = |name: &str, default: u16| number(name, text(name), default);
        let mut resource_folders = paths("resources-path");
        resource_folders.extend(paths("components-path"));
        let seconds =
            number("dapr-graceful-shutdown-seconds", text("dapr-graceful-shutdown-seconds"), 5_u64)?;
        let listen = text("dapr-listen-addresses").unwrap_or("127.0.0.1,[::1]");
        let not_asked = text("disable-init-endpoints").unwrap_or_default();
        Ok(Self {
            app_id: text("app-id").unwrap_or_default().to_owned(),
            app: AppAt::of(&text)?,
            origins: text("allowed-origins").map(str::to_owned),
            listen: listen
                .split(',')
                .map(|one| one.trim().to_owned())
                .filter(|one| !one.is_empty())
                .collect(),
            http_port: port("dapr-http-port", 3500)?,
            grpc_port: port("dapr-grpc-port", 50001)?,
            folder: PathBuf::from("."),
            resource_folders,
            built_in: false,
            config_files: paths("config"),
            body_bytes_max: body_bytes(text("max-body-size"), text("dapr-http-max-request-size"))?,
            grace: Duration::from_secs(seconds),
            block: match text("dapr-block-shutdown-duration") {
                None => Duration::ZERO,
                Some(text) => duration::parse(text)
                    .ok_or_else(|| wrong("dapr-block-shutdown-duration", "a duration such as `5s`"))?,
            },
            log_level: text("log-level").map(str::to_owned),
            log_json: text("log-as-json").is_some_and(|text| text == "true"),
            asks_subscriptions: !not_asked.split(',').any(|one| one.trim() == "subscribe"),
            listening: Listening::of(&text)?,
            call_log: text("enable-api-logging").map(|text| text == "true"),
            reflection: text("enable-grpc-reflection") == Some("true"),
            looks: looks(text("hot-reload-reconcile-interval"))?,
            binding_patience: match text("app-binding-options-timeout") {
                None => BINDING_PATIENCE,
                Some(text) => duration::parse(text)
                    .ok_or_else(|| wrong("app-binding-options-timeout", "a duration such as `5s`"))?,
            },
            asks_kubernetes: text("mode").is_some_and(|mode| mode.eq_ignore_ascii_case("kubernetes")),
            without_effect: FLAGS
                .iter()
                .filter(|flag| matches!(flag.kind, Kind::Ignored | Kind::IgnoredSwitch))
                .filter(|flag| matches.value_source(flag.name).is_some())
                .map(|flag| flag.name)
                .collect(),
        })
    }
}

fn number<T: std::str::FromStr>(name: &str, text: Option<&str>, default: T) -> Result<T, Error> {
    text.map_or(Ok(default), |text| text.parse().map_err(|_| wrong(name, "a whole number in its bounds")))
}

/// How often files are looked at: the original's own interval is that of a second look, so ours is never longer than
/// usual.
fn looks(text: Option<&str>) -> Result<Duration, Error> {
    let Some(text) = text else { return Ok(LOOKS.1) };
    let asked = duration::parse(text)
        .ok_or_else(|| wrong("hot-reload-reconcile-interval", "a duration such as `60s`"))?;
    Ok(asked.clamp(LOOKS.0, LOOKS.1))
}

/// A number of bytes as Kubernetes writes quantities.
fn body_bytes(present: Option<&str>, older_mb: Option<&str>) -> Result<usize, Error> {
    if let Some(text) = present {
        let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
        let factor: usize = match &text[digits..] {
            "" | "B" => 1,
            "k" => 1_000,
            "Ki" => 1 << 10,
            "M" => 1_000_000,
            "Mi" => 1 << 20,
            "G" => 1_000_000_000,
            "Gi" => 1 << 30,
            _ => return Err(wrong("max-body-size", "a number of bytes such as `4Mi`")),
        };
        let bytes = text[..digits].parse::<usize>().ok().and_then(|number| number.checked_mul(factor));
        return bytes.ok_or_else(|| wrong("max-body-size", "a number of bytes such as `4Mi`"));
    }
    Ok(match number("dapr-http-max-request-size", older_mb, 0_usize)? {
        0 => BODY_BYTES_MAX,
        mb => mb.saturating_mul(1 << 20),
    })
}

fn wrong(name: &str, wanted: &str) -> Error {
    Error::new(&codes::CONFIG_VALUE, format!("the flag `--{name}` must be {wanted}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(arguments: &[&str]) -> Result<Options, Error> {
        let command = clap::Command::new("sidecar").args(self::arguments());
        let words = std::iter::once("sidecar").chain(arguments.iter().copied());
        Options::of(&command.try_get_matches_from(words).unwrap())
    }

    #[test]
    fn without_flags_the_defaults_are_the_protocols_own() {
        let options = options(&[]).unwrap();
        assert_eq!((options.http_port, options.grpc_port, options.app), (3500, 50001, None));
        assert_eq!((options.body_bytes_max, options.grace), (4 << 20, Duration::from_secs(5)));
        assert_eq!(options.listen, ["127.0.0.1", "[::1]"]);
    }

    #[test]
    fn what_starts_the_other_starts_us() {
        let options = options(&[
            "--app-id",
            "shop",
            "--app-port=8000",
            "--resources-path",
            "a",
            "--components-path",
            "b",
            "--enable-metrics=false",
            "--log-as-json",
            "--placement-host-address",
            "x:50006",
            "--max-body-size",
            "16Mi",
            "--app-id",
            "shop2",
        ]);
        let options = options.unwrap();
        let url = options.app.as_ref().map(AppAt::url);
        assert_eq!((options.app_id.as_str(), url.as_deref()), ("shop2", Some("http://127.0.0.1:8000")));
        assert_eq!(options.resource_folders, [PathBuf::from("a"), PathBuf::from("b")]);
        assert_eq!((options.body_bytes_max, options.log_json), (16 << 20, true));
        assert_eq!(
            (options.without_effect, options.listening.metrics),
            (vec!["placement-host-address"], None)
        );
    }

    #[test]
    fn how_the_app_is_called_is_said_by_flags() {
        let words = "--app-port 9 --app-protocol grpc --app-ssl --app-max-concurrency 7 --enable-app-health-check \
                     --app-health-probe-interval 2 --app-health-probe-timeout 100";
        let app = options(&words.split(' ').collect::<Vec<_>>()).unwrap().app.unwrap();
        assert_eq!((app.url().as_str(), app.protocol(), app.calls_max), ("https://127.0.0.1:9", "grpcs", 7));
        let health = app.health.unwrap();
        let (second, ms) = (Duration::from_secs(1), Duration::from_millis(1));
        assert_eq!((health.interval, health.timeout, health.threshold), (second * 2, ms * 100, 3));
        let app = options(&["--app-port", "9", "--app-max-concurrency", "-1"]).unwrap().app.unwrap();
        assert_eq!((app.calls_max, app.health), (0, None));
    }

    #[test]
    fn files_are_looked_at_as_often_as_usual_or_more_often() {
        let looks = |text| options(&["--hot-reload-reconcile-interval", text]).unwrap().looks.as_millis();
        assert_eq!((looks("60s"), looks("100ms"), looks("1ms")), (500, 100, 50));
    }

    #[test]
    fn a_switch_is_read_as_daprd_reads_it() {
        for (text, is_on) in [("=1", true), ("=T", true), ("", true), ("=0", false), ("=False", false)] {
            assert_eq!(options(&[&format!("--log-as-json{text}")]).unwrap().log_json, is_on, "{text}");
        }
        assert!(switch("yes").is_err());
    }

    #[test]
    fn a_wrong_value_names_its_flag() {
        for (flag, value) in [("--app-port", "http"), ("--max-body-size", "4MB"), ("--app-protocol", "amqp")]
        {
            let error = options(&["--app-port", "1", flag, value]).unwrap_err();
            assert!(error.message().contains(flag), "{error}");
        }
    }
}
