//! A service of the user's behind the core ports: its process, if we start it, and the ways to it.
//!
//! ```text
//!   open ──► start ──► calls … ──► replace (further calls go to the successor) ──► retire: calls end, then the process
//! ```

mod calls;
mod ports;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use mainstay_core::app::App as _;
use mainstay_core::plan::{AppPlan, EnvValue, Process};
use mainstay_core::secret::SecretSource;
use mainstay_core::{Ctx, Error, Name, Redacted, Result, codes};
use mainstay_net::client::{Client, ClientOptions};

use crate::backoff::Restart;
use crate::channel::{self, Channel};
use crate::output::Sink;
use crate::process::Recipe;
use crate::supervisor::{Duty, State, Supervisor};
use calls::{Call, Calls};

/// Longest wait of a call for an app that is starting.
const START_WAIT_MAX: Duration = Duration::from_secs(30);
/// How long the calls of a service that retires may take to end before its process is asked to.
const CALLS_GRACE: Duration = Duration::from_secs(5);

/// What opening takes.
#[derive(Clone)]
pub struct Opening<'a> {
    /// Its name, that of its agent where it is one's: it stands before each line of the app's output.
    pub name: &'a Name,
    /// What it is, and how it is started and reached.
    pub form: Form<'a>,
    /// The spec's folder: the command runs there.
    pub folder: &'a Path,
    /// Where secrets of its environment come from; read at opening.
    pub secrets: &'a dyn SecretSource,
    /// Variables of ours that its command does not inherit; those of its own environment it has all the same.
    pub withheld: &'a BTreeSet<String>,
    /// Takes the app's output.
    pub sink: Sink,
    /// When a command that ended is started again.
    pub restart: Restart,
}

/// What a service is to us.
#[derive(Clone, Copy, Debug)]
pub enum Form<'a> {
    /// An agent, asked by its contract.
    Agent(&'a AppPlan),
    /// A service of its own, to which requests are passed on.
    Plain(&'a Process),
}

impl<'a> Form<'a> {
    fn process(self) -> &'a Process {
        match self {
            Self::Agent(plan) => &plan.process,
            Self::Plain(process) => process,
        }
    }

    /// How messages call the service.
    fn title(self, name: &Name) -> String {
        match self {
            Self::Agent(_) => format!("the app of agent `{name}`"),
            Self::Plain(_) => format!("the app `{name}`"),
        }
    }
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The user's own service. Dropping it ends the command, if we started one.
pub struct AppService {
    title: String,
    /// Where it is no agent's, there is none.
    channel: Option<Channel>,
    /// Its base URL.
    base: String,
    /// Its own, so that no connection outlives the process that it leads to.
    client: Client,
    health: http::Uri,
    supervisor: Option<Supervisor>,
    calls: Calls,
    /// Set once it is replaced; `None` when nothing takes its place.
    successor: OnceLock<Option<Arc<Self>>>,
}

impl std::fmt::Debug for AppService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppService").field("title", &self.title).finish_non_exhaustive()
    }
}

impl AppService {
    /// Opens the service; its command is not started yet.
    ///
    /// # Errors
    /// `SECRET_UNAVAILABLE`; `CONFIG_VALUE` when the plan's URL is none.
    pub fn open(opening: Opening<'_>) -> Result<Self> {
        let Opening { name, form, folder, secrets, withheld, sink, restart } = opening;
        let process = form.process();
        let client = Client::new(ClientOptions::default());
        let channel = match form {
            Form::Agent(plan) => Some(Channel::new(plan, client.clone())?),
            Form::Plain(_) => None,
        };
        let health = channel::join(&process.url, &process.health_path)?;
        let supervisor = match &process.command {
            None => None,
            Some(command) => Some(Supervisor::new(Duty {
                recipe: Recipe {
                    app: name.as_str().to_owned(),
                    command: command.clone(),
                    folder: folder.to_path_buf(),
                    env: environment(process, secrets)?,
                    withheld: withheld.clone(),
                },
                sink,
                client: client.clone(),
                health: health.clone(),
                start_timeout: process.start_timeout,
                restart,
            })),
        };
        let (calls, successor) = (Calls::new(), OnceLock::new());
        let (title, base) = (form.title(name), process.url.clone());
        Ok(Self { title, channel, base, client, health, supervisor, calls, successor })
    }

    /// Starts the command, if there is one, without waiting for it: at once, or when those of `replaced` that have the
    /// same port are gone. Two at one port would fight for it, and the old one would answer for the new. Only the first
    /// start counts. Must be called within a runtime.
    pub fn start(&self, replaced: &[Arc<Self>]) {
        let Some(supervisor) = &self.supervisor else { return };
        let same_port = replaced.iter().filter(|old| port(&old.health) == port(&self.health));
        let gone: Vec<_> =
            same_port.filter_map(|old| old.supervisor.as_ref()).map(Supervisor::gone).collect();
        supervisor.start(async {
            for gone in gone {
                gone.await;
            }
        });
    }

    /// Sends further calls to what takes this service's place, if anything does. The first successor stays.
    pub fn replace(&self, successor: Option<Arc<Self>>) {
        let _ = self.successor.set(successor);
    }

    /// Stops the service once its calls have ended, or have had their time; for one that was replaced.
    pub async fn retire(&self, grace: Duration) {
        // Those that are not done by then have the process's own grace.
        let _ = tokio::time::timeout(CALLS_GRACE, self.calls.ended()).await;
        self.stop(grace).await;
    }

    fn unavailable(&self, why: &str) -> Error {
        Error::new(&codes::APP_UNAVAILABLE, format!("{} {why}", self.title))
            .with_help("read the app's output, each line of which bears its name")
            .with_internal(format!("asked at `{}`", self.health))
    }

    /// Waits for an app that is starting; then whether a call can be tried. Errors: `APP_UNAVAILABLE`.
    async fn admit(&self, ctx: &Ctx) -> Result<()> {
        if let Some(supervisor) = &self.supervisor {
            let left = ctx.remaining(Instant::now()).unwrap_or(START_WAIT_MAX);
            let _ = tokio::time::timeout(left.min(START_WAIT_MAX), supervisor.started()).await;
        }
        self.standing()
    }

    /// Where a call goes: here, where it is counted from now on, or to what has taken this service's place. Errors:
    /// `APP_UNAVAILABLE`.
    async fn enter(&self, ctx: &Ctx) -> Result<Entry<'_>> {
        let admitted = self.admit(ctx).await;
        let call = self.calls.begin();
        // Looked for when the call is counted: who retires us waits for the calls counted, and there are no others.
        match self.successor.get() {
            Some(Some(successor)) => Ok(Entry::Elsewhere(successor)),
            Some(None) => Err(self.unavailable("is stopped")),
            None => admitted.map(|()| Entry::Here(call)),
        }
    }

    /// Has the health asked for where a call could not connect.
    fn note<T>(&self, outcome: &Result<T>) {
        if let (Err(error), Some(supervisor)) = (outcome, &self.supervisor)
            && error.code() == &codes::APP_UNAVAILABLE
        {
            supervisor.doubt();
        }
    }

    /// Whether a call can be tried now. Errors: `APP_UNAVAILABLE`.
    fn standing(&self) -> Result<()> {
        let Some(supervisor) = &self.supervisor else { return Ok(()) };
        match supervisor.state() {
            State::Up | State::Doubtful => Ok(()),
            State::Starting(None) => Err(self.unavailable("is starting")),
            State::Starting(Some(why)) => Err(self.unavailable(&format!("is starting and {why} yet"))),
            State::Waiting(why) => Err(self.unavailable(&why)),
            State::Stopped => Err(self.unavailable("is stopped")),
        }
    }
}

/// Where a call goes.
enum Entry<'a> {
    /// To this service.
    Here(Call),
    /// To what took its place.
    Elsewhere(&'a Arc<AppService>),
}

/// Where a service listens, as far as two on this machine can be at odds over it.
fn port(url: &http::Uri) -> Option<u16> {
    url.port_u16().or_else(|| (url.scheme_str() == Some("https")).then_some(443)).or(Some(80))
}

/// The plan's variables with their secrets. Errors: `SECRET_UNAVAILABLE`.
fn environment(process: &Process, secrets: &dyn SecretSource) -> Result<Vec<(String, Redacted<String>)>> {
    let value = |value: &EnvValue| match value {
        EnvValue::Plain(text) => Ok(Redacted::new(text.clone())),
        EnvValue::Secret(reference) => secrets.resolve(reference),
    };
    process.env.iter().map(|(name, given)| Ok((name.clone(), value(given)?))).collect()
}

#[cfg(test)]
mod tests;
