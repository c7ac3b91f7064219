//! Keeps an app's command at work: starts it, waits for its health, starts it again with growing pauses, stops it.
//!
//! ```text
//!   (predecessor gone)
//!   Starting ──healthy──► Up ◄──healthy── Doubtful ◄── a call could not connect
//!      │  ▲               │ ended             │ ended, or not healthy within the start timeout
//!      ▼  └── pause ── Waiting ◄──────────────┘
//!   Stopped, from everywhere, when asked or when the service is dropped
//! ```

use std::future::Future;
use std::process::ExitStatus;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use mainstay_net::client::Client;
use tokio::sync::{Notify, watch};

use crate::backoff::{Backoff, Restart};
use crate::health;
use crate::output::Sink;
use crate::process::{Process, Recipe};

/// Failures in a row that are called a crash loop.
const CRASH_LOOP: u32 = 3;

/// Where the command stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Started, or soon, and not healthy yet; the last reason, if one is known.
    Starting(Option<String>),
    /// Was healthy when last asked.
    Up,
    /// Was healthy; then a call could not connect.
    Doubtful,
    /// Ended; will be started again. The reason.
    Waiting(String),
    /// Stopped on purpose.
    Stopped,
}

/// What to keep at work, and how.
pub(crate) struct Duty {
    pub(crate) recipe: Recipe,
    pub(crate) sink: Sink,
    pub(crate) client: Client,
    pub(crate) health: http::Uri,
    pub(crate) start_timeout: Duration,
    pub(crate) restart: Restart,
}

/// A supervised command; dropping it ends the command.
pub(crate) struct Supervisor {
    state: watch::Receiver<State>,
    stop: watch::Sender<Option<Duration>>,
    doubt: Arc<Notify>,
    /// Until it is started.
    idle: Mutex<Option<Watch>>,
}

impl Supervisor {
    /// A supervisor that has not started its command yet.
    pub(crate) fn new(duty: Duty) -> Self {
        let (tell, state) = watch::channel(State::Starting(None));
        let (stop, stopped) = watch::channel(None);
        let doubt = Arc::new(Notify::new());
        let watching = Watch { duty, tell, stopped, doubt: Arc::clone(&doubt) };
        Self { state, stop, doubt, idle: Mutex::new(Some(watching)) }
    }

    /// Starts the command when `before` is over. Only the first start counts. Must be called within a runtime.
    pub(crate) fn start(&self, before: impl Future<Output = ()> + Send + 'static) {
        if let Some(watching) = self.idle() {
            tokio::spawn(watching.run(before));
        }
    }

    fn idle(&self) -> Option<Watch> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Waits until it is no longer starting: healthy, failed or stopped.
    pub(crate) async fn started(&self) {
        // An error means that the task is gone, which is no start either.
        let _ = self.state.clone().wait_for(|state| !matches!(state, State::Starting(_))).await;
    }

    /// Waits until the command is stopped for good; holds nothing of the supervisor.
    pub(crate) fn gone(&self) -> impl Future<Output = ()> + Send + 'static {
        let mut state = self.state.clone();
        async move {
            // An error means that the task is gone, and the command with it.
            let _ = state.wait_for(|state| *state == State::Stopped).await;
        }
    }

    pub(crate) fn state(&self) -> State {
        self.state.borrow().clone()
    }

    /// Says that a call could not connect, so that its health is asked for.
    pub(crate) fn doubt(&self) {
        self.doubt.notify_one();
    }

    /// Stops the command and returns when it is gone. The first caller's grace holds.
    pub(crate) async fn stop(&self, grace: Duration) {
        self.stop.send_if_modified(|wanted| {
            let first = wanted.is_none();
            if first {
                *wanted = Some(grace);
            }
            first
        });
        if let Some(never_started) = self.idle() {
            never_started.tell.send_replace(State::Stopped);
        }
        self.gone().await;
    }
}

struct Watch {
    duty: Duty,
    tell: watch::Sender<State>,
    stopped: watch::Receiver<Option<Duration>>,
    doubt: Arc<Notify>,
}

/// How a run of the command ended.
enum End {
    Failed(String),
    Stopped,
}

impl Watch {
    async fn run(mut self, before: impl Future<Output = ()>) {
        tokio::select! {
            () = before => self.supervise().await,
            _ = wanted(&mut self.stopped) => {}
        }
        self.tell.send_replace(State::Stopped);
    }

    async fn supervise(&mut self) {
        let mut backoff = Backoff::new(self.duty.restart);
        loop {
            self.tell.send_replace(State::Starting(None));
            let started = Instant::now();
            let End::Failed(why) = self.once().await else { break };
            let wait = backoff.failed(started.elapsed());
            let reason = waiting(&why, backoff.failures(), wait);
            tracing::warn!(app = self.duty.recipe.app, "the app {reason}");
            self.tell.send_replace(State::Waiting(reason));
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                _ = wanted(&mut self.stopped) => break,
            }
        }
    }

    /// One run of the command, from its start to its end.
    async fn once(&mut self) -> End {
        let mut process = match Process::start(&self.duty.recipe, &self.duty.sink).await {
            Ok(process) => process,
            Err(error) => return End::Failed(format!("could not be started: {error}")),
        };
        loop {
            let (duty, tell) = (&self.duty, &self.tell);
            let health = health::until_healthy(&duty.client, &duty.health, |why| {
                tell.send_if_modified(|state| note(state, why));
            });
            tokio::select! {
                ended = process.ended() => return End::Failed(describe(ended)),
                grace = wanted(&mut self.stopped) => {
                    process.stop(grace).await;
                    return End::Stopped;
                }
                healthy = tokio::time::timeout(duty.start_timeout, health) => if healthy.is_err() {
                    process.stop(STUCK_GRACE).await;
                    return End::Failed(format!("was not healthy within {}", seconds(duty.start_timeout)));
                },
            }
            let was = self.tell.send_replace(State::Up);
            if matches!(was, State::Starting(_)) {
                let (app, url) = (&self.duty.recipe.app, &self.duty.health);
                tracing::info!(app, %url, "the app is up");
            }
            tokio::select! {
                ended = process.ended() => return End::Failed(describe(ended)),
                grace = wanted(&mut self.stopped) => {
                    process.stop(grace).await;
                    return End::Stopped;
                }
                () = self.doubt.notified() => { self.tell.send_replace(State::Doubtful); }
            }
        }
    }
}

/// Grace of an app that did not become healthy.
const STUCK_GRACE: Duration = Duration::from_secs(2);

/// Waits until the stop is wanted; at once with no grace when the service is gone.
async fn wanted(stopped: &mut watch::Receiver<Option<Duration>>) -> Duration {
    match stopped.wait_for(Option::is_some).await {
        Ok(grace) => grace.unwrap_or_default(),
        Err(_) => Duration::ZERO,
    }
}

/// Keeps why it is not healthy yet; whether that is news.
fn note(state: &mut State, why: String) -> bool {
    match state {
        State::Starting(known) if known.as_ref() != Some(&why) => {
            *known = Some(why);
            true
        }
        _ => false,
    }
}

fn describe(ended: std::io::Result<ExitStatus>) -> String {
    match ended {
        Ok(status) => format!("ended with {status}"),
        Err(error) => format!("was lost: {error}"),
    }
}

fn waiting(why: &str, failures: u32, wait: Duration) -> String {
    let next = format!("next start in {}", seconds(wait));
    if failures < CRASH_LOOP {
        return format!("{why}; {next}");
    }
    format!("ends again and again, {failures} times so far; last it {why}; {next}")
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}
