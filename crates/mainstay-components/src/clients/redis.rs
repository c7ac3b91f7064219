//! The client of Redis: one multiplexed connection to a server, or one to each node of a cluster. It connects again at
//! the next call after it was cut, and repeats nothing that a server may have done.

mod cluster;

use std::time::Duration;

use mainstay_core::codes::Code;
use mainstay_core::{Error, Fault, Result, Retry, codes};
use redis::TlsMode;
use redis::aio::{ConnectionLike, ConnectionManager, ConnectionManagerConfig, PubSub};
use redis::cluster::{ClusterClient, ClusterClientBuilder};
use redis::cluster_async::ClusterConnection;
use redis::{
    Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ErrorKind, IntoConnectionInfo, Pipeline,
    RedisConnectionInfo, RedisError, RedisFuture, ServerErrorKind, TlsCertificates, Value,
};

use crate::clients::{TIME_MS, time_ms};
use crate::def::SettingDef;
use crate::settings::{Settings, fault};

/// Where Redis listens unless a setting says otherwise.
const PORT: u16 = 6379;

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

/// The settings of every type that uses Redis.
pub(crate) const SETTINGS: [SettingDef; 17] = [
    SettingDef {
        name: "redisHost",
        about: "`HOST:PORT` of the server, port 6379 by default; several with commas for a cluster.",
        required: true,
        secret: false,
    },
    setting("redisUsername", "The user of an access list (Redis 6 and later); the default user without."),
    SettingDef { name: "redisPassword", about: "The user's password.", required: false, secret: true },
    setting("redisDB", "The number of the database, 0 by default. A cluster has only 0."),
    setting("redisType", "`node` (default) or `cluster`."),
    setting(
        "enableTLS",
        "Whether to speak TLS, `false` by default. The host's root certificates are trusted.",
    ),
    setting(
        "insecureSkipTLSVerify",
        "Whether any certificate of the server's is taken, `false` by default. Then anybody can be the server.",
    ),
    SettingDef { name: "clientCert", about: "Our certificate, as PEM text.", required: false, secret: true },
    SettingDef { name: "clientKey", about: "Its private key, as PEM text.", required: false, secret: true },
    setting("dialTimeout", "How long connecting may take, 5s by default; a number is of milliseconds."),
    setting(
        "readTimeout",
        "How long an answer may take, 3s by default; a number is of milliseconds, and `-1` for as long as the caller waits.",
    ),
    setting("failover", "Redis Sentinel; only `false` is supported."),
    setting(
        "maxRetries",
        "Accepted and without effect, as `redisMaxRetries`: resiliency policies say what is repeated.",
    ),
    setting(
        "poolSize",
        "Accepted and without effect: calls share one connection without waiting for each other.",
    ),
    setting("poolTimeout", "Accepted and without effect, as `poolSize`."),
    setting("writeTimeout", "Accepted and without effect: `readTimeout` bounds the whole call."),
    setting("idleTimeout", "Accepted and without effect: the connection stays open."),
];

/// Where and how to connect.
#[derive(Clone)]
pub(crate) struct Options {
    hosts: Vec<(String, u16)>,
    username: Option<String>,
    password: Option<String>,
    database: i64,
    cluster: bool,
    tls: Option<TlsCertificates>,
    /// Whether any certificate is taken.
    skip_verify: bool,
    dial_timeout: Duration,
    read_timeout: Option<Duration>,
}

impl Options {
    /// Reads the settings.
    pub(crate) fn parse(settings: &Settings, faults: &mut Vec<Fault>) -> Self {
        settings.require(&["redisHost"], faults);
        let hosts = settings.read("redisHost", "`HOST:PORT`", hosts, faults).unwrap_or_default();
        let cluster =
            settings.read("redisType", "`node` or `cluster`", is_cluster, faults).unwrap_or_default();
        if hosts.len() > 1 && !cluster {
            let message = "`redisHost` names several servers".to_owned();
            faults.push(fault(
                "redisHost",
                message,
                Some("set `redisType` to `cluster`, or name one server"),
            ));
        }
        if settings.flag("failover", faults).unwrap_or_default() {
            let message = "`failover` through Redis Sentinel is not supported".to_owned();
            faults.push(fault("failover", message, Some("name the primary, or a cluster (`redisType`)")));
        }
        let database = settings.read("redisDB", "a number from 0", database, faults).unwrap_or_default();
        let tls = settings.flag("enableTLS", faults).unwrap_or_default();
        let skip_verify = settings.flag("insecureSkipTLSVerify", faults).unwrap_or_default();
        Self {
            hosts,
            username: settings.text("redisUsername").map(str::to_owned),
            password: settings.text("redisPassword").map(str::to_owned),
            database,
            cluster,
            tls: tls.then(|| certificates(settings)),
            skip_verify,
            dial_timeout: settings
                .read("dialTimeout", TIME_MS, |text| timeout(text, DIAL_TIMEOUT), faults)
                .flatten()
                .unwrap_or(DIAL_TIMEOUT),
            read_timeout: settings
                .read("readTimeout", TIME_MS, |text| timeout(text, READ_TIMEOUT), faults)
                .unwrap_or(Some(READ_TIMEOUT)),
        }
    }

    /// Whether they are for a cluster.
    pub(crate) fn is_cluster(&self) -> bool {
        self.cluster
    }

    /// The number of the database.
    pub(crate) fn database(&self) -> i64 {
        self.database
    }

    /// The same for calls that the server answers as late as `longest` by themselves.
    pub(crate) fn blocking(&self, longest: Duration) -> Self {
        Self { read_timeout: self.read_timeout.map(|timeout| timeout + longest), ..self.clone() }
    }

    fn server(&self, host: &str, port: u16) -> std::result::Result<ConnectionInfo, RedisError> {
        let address = match self.tls {
            None => ConnectionAddr::Tcp(host.to_owned(), port),
            Some(_) => {
                let insecure = self.skip_verify;
                ConnectionAddr::TcpTls { host: host.to_owned(), port, insecure, tls_params: None }
            }
        };
        let mut redis = RedisConnectionInfo::default().set_db(if self.cluster { 0 } else { self.database });
        if let Some(username) = &self.username {
            redis = redis.set_username(username);
        }
        if let Some(password) = &self.password {
            redis = redis.set_password(password);
        }
        Ok(address.into_connection_info()?.set_redis_settings(redis))
    }
}

const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
const READ_TIMEOUT: Duration = Duration::from_secs(3);

/// A time, `default` for zero, or none for a number below.
fn timeout(text: &str, default: Duration) -> Option<Option<Duration>> {
    if text.parse::<i64>().is_ok_and(|number| number < 0) {
        return Some(None);
    }
    time_ms(text).map(|time| Some(if time.is_zero() { default } else { time }))
}

fn hosts(text: &str) -> Option<Vec<(String, u16)>> {
    text.split(',').map(|host| host_and_port(host.trim())).collect()
}

fn host_and_port(text: &str) -> Option<(String, u16)> {
    let (host, port) = match text.rsplit_once(':') {
        // Colons inside brackets, or more than one without, are of an IPv6 address.
        Some((host, port)) if !port.ends_with(']') && (!host.contains(':') || host.ends_with(']')) => {
            (host, port.parse().ok()?)
        }
        _ => (text, PORT),
    };
    let host = host.trim_start_matches('[').trim_end_matches(']');
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn is_cluster(text: &str) -> Option<bool> {
    match text {
        "node" => Some(false),
        "cluster" => Some(true),
        _ => None,
    }
}

fn database(text: &str) -> Option<i64> {
    text.parse().ok().filter(|database| *database >= 0)
}

fn certificates(settings: &Settings) -> TlsCertificates {
    let pem = |name: &str| settings.text(name).map(|pem| pem.as_bytes().to_vec());
    let client_tls = pem("clientCert")
        .zip(pem("clientKey"))
        .map(|(client_cert, client_key)| ClientTlsConfig { client_cert, client_key });
    TlsCertificates { client_tls, root_cert: Some(super::root_certificates().into_bytes()) }
}

/// A connected client; cheap to clone.
#[derive(Clone)]
pub(crate) enum Redis {
    /// Of one server.
    Node(ConnectionManager),
    /// Of a cluster.
    Cluster(ClusterConnection),
}

impl Redis {
    /// Connects. Errors: `STORE_UNAVAILABLE`.
    pub(crate) async fn connect(options: &Options) -> Result<Self> {
        Self::open(options).await.map_err(failed)
    }

    /// Connects.
    pub(crate) async fn open(options: &Options) -> std::result::Result<Self, RedisError> {
        if options.cluster { cluster(options).await } else { node(options).await }
    }

    /// Whether keys are spread over several servers.
    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self, Self::Cluster(_))
    }
}

/// A connection to one server for what is published there. Errors: `STORE_UNAVAILABLE`.
pub(crate) async fn subscriber(options: &Options) -> Result<PubSub> {
    let client = client(options).map_err(failed)?;
    let connected = tokio::time::timeout(options.dial_timeout, client.get_async_pubsub()).await;
    let late = |_| Error::new(&codes::STORE_UNAVAILABLE, "call Redis: it did not answer in time");
    connected.map_err(late)?.map_err(failed)
}

/// The client of one server.
fn client(options: &Options) -> std::result::Result<Client, RedisError> {
    let (host, port) =
        options.hosts.first().map_or(("localhost", PORT), |(host, port)| (host.as_str(), *port));
    let server = options.server(host, port)?;
    match &options.tls {
        None => Client::open(server),
        Some(certificates) => Client::build_with_tls(server, certificates.clone()),
    }
}

async fn node(options: &Options) -> std::result::Result<Redis, RedisError> {
    let client = client(options)?;
    // No attempts of its own: a call fails at once while the server is gone, and the next one tries again.
    let config = ConnectionManagerConfig::new()
        .set_number_of_retries(0)
        .set_connection_timeout(Some(options.dial_timeout))
        .set_response_timeout(options.read_timeout);
    Ok(Redis::Node(ConnectionManager::new_with_config(client, config).await?))
}

async fn cluster(options: &Options) -> std::result::Result<Redis, RedisError> {
    let servers = options.hosts.iter().map(|(host, port)| options.server(host, *port));
    let servers = servers.collect::<std::result::Result<Vec<_>, _>>()?;
    let mut builder: ClusterClientBuilder = ClusterClient::builder(servers)
        .retries(0)
        .connection_timeout(options.dial_timeout)
        .response_timeout(options.read_timeout.unwrap_or(Duration::MAX));
    if let Some(certificates) = &options.tls {
        // Before the certificates: they are read as of this kind of TLS.
        builder = builder.tls(if options.skip_verify { TlsMode::Insecure } else { TlsMode::Secure });
        builder = builder.certs(certificates.clone());
    }
    Ok(Redis::Cluster(builder.build()?.get_async_connection().await?))
}

impl ConnectionLike for Redis {
    fn req_packed_command<'a>(&'a mut self, cmd: &'a Cmd) -> RedisFuture<'a, Value> {
        match self {
            Self::Node(node) => node.req_packed_command(cmd),
            Self::Cluster(cluster) => Box::pin(cluster::command(cluster, cmd)),
        }
    }

    fn req_packed_commands<'a>(
        &'a mut self,
        cmd: &'a Pipeline,
        offset: usize,
        count: usize,
    ) -> RedisFuture<'a, Vec<Value>> {
        match self {
            Self::Node(node) => node.req_packed_commands(cmd, offset, count),
            Self::Cluster(cluster) => Box::pin(cluster::commands(cluster, cmd, offset, count)),
        }
    }

    fn get_db(&self) -> i64 {
        match self {
            Self::Node(node) => node.get_db(),
            Self::Cluster(cluster) => cluster.get_db(),
        }
    }
}

/// What a failure means to the port of a state store.
pub(crate) fn failed(error: RedisError) -> Error {
    failed_as(&codes::STORE_UNAVAILABLE, error)
}

/// What a failure means to a port that calls a backend that is out of reach `code`.
pub(crate) fn failed_as(code: &'static Code, error: RedisError) -> Error {
    let permanent =
        |code: &'static Code, message: &str| Error::new(code, message).with_retry(Retry::Permanent);
    let failure = match error.kind() {
        ErrorKind::Server(ServerErrorKind::CrossSlot) => {
            let help = "give the keys a common part in braces, or use a store of one server";
            permanent(
                &codes::UNSUPPORTED,
                "make several changes at once: their keys are on different nodes of the cluster",
            )
            .with_help(help)
        }
        ErrorKind::AuthenticationFailed => permanent(code, "call Redis: it refused the password"),
        ErrorKind::Server(ServerErrorKind::NoPerm) => permanent(code, "call Redis: the user may not do this"),
        ErrorKind::Io if error.is_timeout() => Error::new(code, "call Redis: it did not answer in time"),
        ErrorKind::Io => Error::new(code, "call Redis: it cannot be reached"),
        _ => Error::new(code, "call Redis: it answered with an error"),
    };
    failure.with_internal(error.to_string()).with_source(error)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(text: &str, expect: Option<&[(&str, u16)]>) {
        let found = hosts(text);
        let expect =
            expect.map(|hosts| hosts.iter().map(|(host, port)| ((*host).to_owned(), *port)).collect());
        assert_eq!(found, expect, "{text}");
    }

    #[test]
    fn hosts_may_name_a_port_or_not() {
        check("redis", Some(&[("redis", 6379)]));
        check("redis:7000, b:7001,c", Some(&[("redis", 7000), ("b", 7001), ("c", 6379)]));
        check("[::1]:7000", Some(&[("::1", 7000)]));
        check("::1", Some(&[("::1", 6379)]));
        check("redis:port", None);
        check("a,,b", None);
    }

    #[test]
    fn a_number_is_of_milliseconds_and_zero_is_the_default() {
        let timeout = |text| timeout(text, READ_TIMEOUT);
        assert_eq!(timeout("500"), Some(Some(Duration::from_millis(500))));
        assert_eq!(timeout("2s"), Some(Some(Duration::from_secs(2))));
        assert_eq!(timeout("0"), Some(Some(READ_TIMEOUT)));
        assert_eq!((timeout("-1"), timeout("soon")), (Some(None), None));
    }

    #[test]
    fn what_is_not_supported_is_a_fault() {
        let pairs = [("redisHost", "a,b"), ("redisType", "ring"), ("failover", "true"), ("redisDB", "-1")];
        let settings = Settings::new(pairs.map(|(name, value)| (name.to_owned(), Some(value.to_owned()))));
        let mut faults = Vec::new();
        Options::parse(&settings, &mut faults);
        let mut at: Vec<_> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
        at.sort_unstable();
        assert_eq!(at, ["failover", "redisDB", "redisHost", "redisType"]);
    }
}
