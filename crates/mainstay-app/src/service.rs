//! An app agent's service behind the core port: its process, if we start it, and the channel to it.

use std::path::Path;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use mainstay_core::app::{App, AppEvent, AppRequest};
use mainstay_core::plan::{AppPlan, EnvValue};
use mainstay_core::secret::SecretSource;
use mainstay_core::{BoxStream, Ctx, Error, Name, Redacted, Result, codes};
use mainstay_net::client::Client;

use crate::backoff::Restart;
use crate::channel::{self, Channel};
use crate::health;
use crate::output::Sink;
use crate::process::Recipe;
use crate::supervisor::{Duty, State, Supervisor};

/// What opening takes.
#[derive(Clone)]
pub struct Opening<'a> {
    /// The agent's name: it stands before each line of the app's output.
    pub name: &'a Name,
    /// How the app is started and reached.
    pub plan: &'a AppPlan,
    /// The spec's folder: the command runs there.
    pub folder: &'a Path,
    /// Where secrets of its environment come from; read at opening.
    pub secrets: &'a dyn SecretSource,
    /// The shared client.
    pub client: &'a Client,
    /// Takes the app's output.
    pub sink: Sink,
    /// When a command that ended is started again.
    pub restart: Restart,
}

impl std::fmt::Debug for Opening<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Opening").field("name", &self.name).finish_non_exhaustive()
    }
}

/// The user's own service. Dropping it ends the command, if we started one.
pub struct AppService {
    name: Name,
    channel: Channel,
    client: Client,
    health: http::Uri,
    supervisor: Option<Supervisor>,
}

impl std::fmt::Debug for AppService {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppService").field("name", &self.name).finish_non_exhaustive()
    }
}

impl AppService {
    /// Opens the service and starts its command, without waiting for it. Must be called within a runtime.
    ///
    /// # Errors
    /// `SECRET_UNAVAILABLE`; `CONFIG_VALUE` when the plan's URL is none.
    pub fn open(opening: Opening<'_>) -> Result<Self> {
        let Opening { name, plan, folder, secrets, client, sink, restart } = opening;
        let channel = Channel::new(plan, client.clone())?;
        let health = channel::join(&plan.url, &plan.health_path)?;
        let supervisor = match &plan.command {
            None => None,
            Some(command) => Some(Supervisor::start(Duty {
                recipe: Recipe {
                    agent: name.as_str().to_owned(),
                    command: command.clone(),
                    folder: folder.to_path_buf(),
                    env: environment(plan, secrets)?,
                },
                sink,
                client: client.clone(),
                health: health.clone(),
                start_timeout: plan.start_timeout,
                restart,
            })),
        };
        Ok(Self { name: name.clone(), channel, client: client.clone(), health, supervisor })
    }

    fn unavailable(&self, why: &str) -> Error {
        Error::new(&codes::APP_UNAVAILABLE, format!("the app of agent `{}` {why}", self.name))
            .with_help("read the app's output, which bears the agent's name")
    }

    /// Whether a call can be tried. Errors: `APP_UNAVAILABLE`.
    fn admit(&self) -> Result<()> {
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

#[async_trait]
impl App for AppService {
    async fn invoke(&self, ctx: &Ctx, request: AppRequest) -> Result<BoxStream<Result<AppEvent>>> {
        self.admit()?;
        let outcome = self.channel.ask(ctx, &request).await;
        if let (Err(error), Some(supervisor)) = (&outcome, &self.supervisor)
            && error.code() == &codes::APP_UNAVAILABLE
        {
            supervisor.doubt();
        }
        outcome
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.admit()?;
        let left = ctx.remaining(Instant::now()).unwrap_or(health::PROBE_TIMEOUT);
        let probe = health::probe(&self.client, &self.health, left.min(health::PROBE_TIMEOUT)).await;
        probe.map_err(|why| self.unavailable(&why))
    }

    async fn stop(&self, grace: Duration) {
        if let Some(supervisor) = &self.supervisor {
            supervisor.stop(grace).await;
        }
    }
}

/// The plan's variables with their secrets. Errors: `SECRET_UNAVAILABLE`.
fn environment(plan: &AppPlan, secrets: &dyn SecretSource) -> Result<Vec<(String, Redacted<String>)>> {
    let value = |value: &EnvValue| match value {
        EnvValue::Plain(text) => Ok(Redacted::new(text.clone())),
        EnvValue::Secret(reference) => secrets.resolve(reference),
    };
    plan.env.iter().map(|(name, given)| Ok((name.clone(), value(given)?))).collect()
}

#[cfg(test)]
mod tests;
