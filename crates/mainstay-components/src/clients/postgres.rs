//! The client of PostgreSQL: a pool of connections, each of which takes several statements at once. A connection that
//! was cut is replaced at the next call; nothing is repeated.

mod address;
mod tls;

use std::future::poll_fn;
use std::time::Duration;

use deadpool_postgres::{Manager, ManagerConfig, Object, Pool, PoolError, RecyclingMethod, Runtime};
use mainstay_core::error::Retry;
use mainstay_core::{Error, Fault, Result, codes};
use tokio::sync::mpsc;
use tokio_postgres::AsyncMessage;
use tokio_postgres::error::SqlState;

use crate::clients::{TIME, time};
use crate::def::SettingDef;
use crate::settings::{Settings, fault};
use address::Address;

const fn setting(name: &'static str, about: &'static str) -> SettingDef {
    SettingDef { name, about, required: false, secret: false }
}

/// The settings of every type that uses PostgreSQL.
pub(crate) const SETTINGS: [SettingDef; 13] = [
    SettingDef {
        name: "connectionString",
        about: "`host=… port=… user=… password=… database=… sslmode=…`, or a URL `postgres://…`. It must be given, here \
                or as `url`, or else `host`. `sslmode` is `disable`, `prefer` (default), `require`, `verify-ca` or \
                `verify-full`; the last two check the server's certificate and name against the host's root \
                certificates, or those of `sslrootcert`.",
        required: false,
        secret: true,
    },
    setting("host", "The server, where the connection string does not say it."),
    setting("hostaddr", "Its address, where its name is not to be looked up."),
    setting("port", "Its port, 5432 by default."),
    setting("user", "The user."),
    SettingDef { name: "password", about: "The user's password.", required: false, secret: true },
    setting("database", "The database; the user's name by default."),
    setting("sslmode", "As in the connection string."),
    setting("sslRootCert", "The path of the root certificates to trust, as PEM."),
    setting("timeout", "How long a call may take, 20s by default, at least 1s. Also `timeoutInSeconds`."),
    setting("maxConns", "Connections at most; by default 4, or one a processor where there are more."),
    setting("connectionMaxIdleTime", "Accepted and without effect: connections stay open."),
    setting("queryExecMode", "Accepted and without effect: statements are prepared once a connection."),
];

/// Where and how to connect.
pub(crate) struct Options {
    address: Address,
    connections: usize,
    /// The longest that a call takes.
    pub(crate) timeout: Duration,
}

impl Options {
    /// Reads the settings.
    pub(crate) fn parse(settings: &Settings, faults: &mut Vec<Fault>) -> Self {
        settings.require(&["connectionString", "url", "host"], faults);
        let mut address = Address::default();
        if let Some(text) = settings.text_of(&["connectionString", "url"])
            && let Err(message) = address.read(text)
        {
            faults.push(fault("connectionString", message, None));
        }
        for name in ["host", "hostaddr", "port", "user", "password", "database", "sslmode", "sslRootCert"] {
            if let Some(value) = settings.text(name)
                && let Err(message) = address.set(&name.to_ascii_lowercase(), value)
            {
                faults.push(fault(name, message, None));
            }
        }
        if let Err(message) = address.config() {
            faults.push(fault("connectionString", message, None));
        }
        let second = |text: &str| time(text).flatten().filter(|time| *time >= Duration::from_secs(1));
        let mut timeout = |name| settings.read(name, "at least `1s`", second, faults);
        let timeout = timeout("timeout").or_else(|| timeout("timeoutInSeconds"));
        let connections =
            settings.number::<i64>("maxConns", faults).and_then(|count| usize::try_from(count).ok());
        let connections =
            connections.filter(|count| *count > 0).or(address.connections).unwrap_or_else(|| {
                std::thread::available_parallelism().map_or(4, |processors| processors.get().max(4))
            });
        // Read for its faults.
        settings.read("connectionMaxIdleTime", TIME, time, faults);
        Self { address, connections, timeout: timeout.unwrap_or(Duration::from_secs(20)) }
    }
}

/// A connected client.
pub(crate) struct Postgres(Pool);

impl Postgres {
    /// Connects, with one connection to begin with. Errors: `STORE_UNAVAILABLE`.
    pub(crate) async fn connect(options: &Options) -> Result<Self> {
        let tls = tls::Tls::new(&options.address)?;
        let config = ManagerConfig { recycling_method: RecyclingMethod::Fast };
        let address =
            options.address.config().map_err(|why| Error::bug(format!("a checked address: {why}")))?;
        let manager = Manager::from_config(address, tls, config);
        let pool = Pool::builder(manager).max_size(options.connections).runtime(Runtime::Tokio1).build();
        let postgres = Self(pool.map_err(|error| Error::bug(format!("make a pool: {error}")))?);
        drop(postgres.get().await?);
        Ok(postgres)
    }

    /// A connection; it goes back when it is dropped.
    pub(crate) async fn get(&self) -> Result<Object> {
        self.0.get().await.map_err(|error| match error {
            PoolError::Backend(error) => failed(error),
            error => Error::new(&codes::STORE_UNAVAILABLE, "call PostgreSQL: there is no connection")
                .with_internal(error.to_string()),
        })
    }
}

/// What is notified to a channel, as its payloads; the stream ends when the connection is cut, is silent beyond `ping`,
/// or `waiting_max` payloads wait. Dropping it ends the connection. Errors: `STORE_UNAVAILABLE`.
pub(crate) async fn listen(
    options: &Options,
    channel: &str,
    waiting_max: usize,
    ping: Duration,
) -> Result<mpsc::Receiver<String>> {
    let tls = tls::Tls::new(&options.address)?;
    let address = options.address.config().map_err(|why| Error::bug(format!("a checked address: {why}")))?;
    let (client, mut connection) = address.connect(tls).await.map_err(failed)?;
    let (tell, told) = mpsc::channel(waiting_max);
    tokio::spawn(async move {
        let pass = |message: Option<std::result::Result<AsyncMessage, _>>| match message {
            Some(Ok(AsyncMessage::Notification(notice))) => {
                tell.try_send(notice.payload().to_owned()).is_ok()
            }
            Some(Ok(_)) => true,
            Some(Err(_)) | None => false,
        };
        loop {
            let going_on = tokio::select! {
                message = poll_fn(|cx| connection.poll_message(cx)) => pass(message),
                () = tell.closed() => false,
            };
            if !going_on {
                return;
            }
        }
    });
    client.batch_execute(&format!("LISTEN {channel}")).await.map_err(failed)?;
    let (passed, told) = (told, mpsc::channel(waiting_max));
    tokio::spawn(attend(client, passed, told.0, ping));
    Ok(told.1)
}

/// Passes payloads on while the server answers; the connection ends with its client.
async fn attend(
    client: tokio_postgres::Client,
    mut payloads: mpsc::Receiver<String>,
    out: mpsc::Sender<String>,
    ping: Duration,
) {
    let mut tick = tokio::time::interval(ping);
    loop {
        let going_on = tokio::select! {
            payload = payloads.recv() => payload.is_some_and(|payload| out.try_send(payload).is_ok()),
            _ = tick.tick() => {
                matches!(tokio::time::timeout(ping, client.simple_query("")).await, Ok(Ok(_)))
            }
            () = out.closed() => false,
        };
        if !going_on {
            return;
        }
    }
}

/// What a failure means to the port of a state store.
pub(crate) fn failed(error: tokio_postgres::Error) -> Error {
    let unavailable = |why: &str| Error::new(&codes::STORE_UNAVAILABLE, format!("call PostgreSQL: {why}"));
    let failure = match error.code() {
        None if error.is_closed() || is_io(&error) => unavailable("it cannot be reached"),
        None => unavailable("it cannot be used").with_retry(Retry::Permanent),
        // The class of a state is its first two characters (PostgreSQL, appendix A).
        Some(state) => match state.code().get(..2).unwrap_or_default() {
            "22" => Error::new(&codes::INVALID_FIELD, "call PostgreSQL: it cannot keep this key or value"),
            "28" => unavailable("it refused the user or the password").with_retry(Retry::Permanent),
            "3D" => unavailable("there is no such database").with_retry(Retry::Permanent),
            "42" => {
                unavailable("the tables are not there, or not for this user").with_retry(Retry::Permanent)
            }
            "53" => unavailable("it has no room left"),
            "57" => unavailable("it is shutting down"),
            _ if *state == SqlState::T_R_DEADLOCK_DETECTED => unavailable("another process holds these keys"),
            _ => unavailable("it answered with an error"),
        },
    };
    failure.with_internal(detail(&error)).with_source(error)
}

fn is_io(error: &tokio_postgres::Error) -> bool {
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        if error.is::<std::io::Error>() {
            return true;
        }
        cause = error.source();
    }
    // What ran out here is the time to connect.
    error.to_string().contains("timeout")
}

fn detail(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(said) => format!("{}: {}", said.code().code(), said.message()),
        None => {
            let cause = std::error::Error::source(error).map(|cause| format!(": {cause}"));
            format!("{error}{}", cause.unwrap_or_default())
        }
    }
}
