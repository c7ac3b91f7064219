//! Whether the process lives, whether it can work, and its metrics. Probes need no key and are never refused.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderValue, Method, StatusCode, header};
use mainstay_core::telemetry::Gauge;
use mainstay_core::{Ctx, Error, codes};
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::Mutex;

use crate::call::Call;
use crate::error::{Result, Shape, page};
use crate::reply;
use crate::routes::{Class, Handler, Reply, Route, of, text};
use crate::surface::Shared;

pub(crate) const ROUTES: &[Route] = &[
    live("/health", "health"),
    live("/health/live", "healthLive"),
    ready("/ready", "ready"),
    ready("/health/ready", "healthReady"),
    Route {
        method: Method::GET,
        path: "/metrics",
        id: "metrics",
        summary: "Everything measured, in Prometheus' text format",
        tag: "operations",
        class: Class::Watch,
        errors: Shape::Ours,
        params: &[],
        body: None,
        replies: &[Reply { status: 200, about: "The metrics", content: &[("text/plain", text)] }],
        statuses: &[],
        handler: |call| Box::pin(metrics(call)),
    },
];

const fn live(path: &'static str, id: &'static str) -> Route {
    const REPLIES: &[Reply] =
        &[Reply { status: 200, about: "The process lives", content: &[("application/json", of::<Health>)] }];
    probe(path, id, "Whether the process lives; asks nothing else", REPLIES, |call| Box::pin(health(call)))
}

const fn ready(path: &'static str, id: &'static str) -> Route {
    const REPLIES: &[Reply] = &[
        Reply { status: 200, about: "It can take work", content: &[("application/json", of::<ReadyView>)] },
        Reply { status: 503, about: "It cannot", content: &[("application/json", of::<ReadyView>)] },
    ];
    let summary = "Whether it can take work: a durable write succeeds, apps and tools' servers answer, models can be loaded, it is not draining";
    probe(path, id, summary, REPLIES, |call| Box::pin(readiness(call)))
}

const fn probe(
    path: &'static str,
    id: &'static str,
    summary: &'static str,
    replies: &'static [Reply],
    handler: Handler,
) -> Route {
    Route {
        method: Method::GET,
        path,
        id,
        summary,
        tag: "operations",
        class: Class::Probe,
        errors: Shape::Ours,
        params: &[],
        body: None,
        replies,
        statuses: &[],
        handler,
    }
}

/// How long a look at the dependencies is good for: probes come from anyone, and each look writes to the disk.
const LOOK_LIFETIME: Duration = Duration::from_millis(250);
/// Longest look.
const LOOK_TIME_MAX: Duration = Duration::from_secs(3);

/// The latest look at the dependencies.
#[derive(Default)]
pub(crate) struct Readiness {
    latest: Mutex<Option<(Instant, Vec<Dependency>)>>,
    /// What the gauge shows.
    shown: AtomicBool,
}

impl Readiness {
    /// The dependencies as of now, or of a moment ago. Callers who come together share a look.
    async fn look(&self, shared: &Shared) -> Vec<Dependency> {
        let mut latest = self.latest.lock().await;
        if let Some((at, dependencies)) = &*latest
            && at.elapsed() < LOOK_LIFETIME
        {
            return dependencies.clone();
        }
        let ctx = Ctx::system().with_deadline(Instant::now() + LOOK_TIME_MAX);
        let beside = async {
            match shared.beside.get() {
                Some(look) => look().await,
                None => Vec::new(),
            }
        };
        let live = shared.live();
        let looks = async { tokio::join!(shared.engine.ready(&ctx), live.apps.ready(&ctx), beside) };
        let found = match tokio::time::timeout(LOOK_TIME_MAX, looks).await {
            Ok((mut found, apps, beside)) => {
                found.extend(beside);
                let models = shared.gateway.unready().into_iter();
                let models =
                    models.map(|(name, error)| Dependency::new(format!("model {name}"), Some(error)));
                let found = found.into_iter().map(|(name, state)| Dependency::new(name, state.err()));
                found.chain(apps).chain(models).collect()
            }
            Err(_) => {
                let error = Error::new(&codes::NOT_READY, "the dependencies did not answer in time");
                vec![Dependency::new("dependencies".to_owned(), Some(error))]
            }
        };
        let told: Vec<(&str, bool)> = found.iter().map(|found| (found.name.as_str(), found.ready)).collect();
        shared.telemetry.dependencies(&told);
        latest.insert((Instant::now(), found)).1.clone()
    }

    /// Moves the gauge if it shows otherwise.
    fn show(&self, ready: bool, gauge: impl FnOnce(i64)) {
        if self.shown.swap(ready, Ordering::AcqRel) != ready {
            gauge(if ready { 1 } else { -1 });
        }
    }

    /// It is not ready from now on.
    pub(crate) fn lost(&self, gauge: impl FnOnce(i64)) {
        self.show(false, gauge);
    }
}

async fn health(call: Call) -> Result {
    let settings = &call.live.settings;
    Ok(reply::json(&Health {
        status: "ok",
        service: settings.name.to_string(),
        version: settings.version.clone(),
        uptime_seconds: call.shared.started.elapsed().as_secs_f64(),
    }))
}

async fn readiness(call: Call) -> Result {
    let shared = &call.shared;
    let dependencies = shared.readiness.look(shared).await;
    let draining = shared.load.is_draining();
    let ready = !draining && dependencies.iter().all(|dependency| dependency.ready);
    shared.readiness.show(ready, |delta| shared.telemetry.gauge(Gauge::Ready, delta));
    let status = match (draining, ready) {
        (true, _) => ReadyWord::Draining,
        (false, true) => ReadyWord::Ready,
        (false, false) => ReadyWord::NotReady,
    };
    let mut response = reply::json(&ReadyView { status, dependencies });
    if !ready {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
        response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    Ok(response)
}

async fn metrics(call: Call) -> Result {
    let (content_type, body) = call.shared.telemetry.scrape();
    Ok(reply::whole(StatusCode::OK, HeaderValue::from_static(content_type), body))
}

/// The process.
#[derive(Serialize, JsonSchema)]
struct Health {
    /// Always `ok`.
    status: &'static str,
    service: String,
    version: String,
    uptime_seconds: f64,
}

/// Whether it can take work.
#[derive(Serialize, JsonSchema)]
struct ReadyView {
    status: ReadyWord,
    dependencies: Vec<Dependency>,
}

/// Whether it can take work, in a word.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
enum ReadyWord {
    Ready,
    NotReady,
    Draining,
}

/// Something that work depends on.
#[derive(Clone, Serialize, JsonSchema)]
pub(crate) struct Dependency {
    name: String,
    ready: bool,
    /// Why it is not, as a stable code.
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<String>,
    /// What to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    help: Option<String>,
    /// The path of the code's page.
    #[serde(skip_serializing_if = "Option::is_none")]
    docs: Option<String>,
}

impl Dependency {
    pub(crate) fn new(name: String, error: Option<Error>) -> Self {
        let code = error.as_ref().map(|error| error.code().id);
        Self {
            name,
            ready: error.is_none(),
            code,
            message: error.as_ref().map(|error| error.message().to_owned()),
            help: error.and_then(|error| error.help().map(str::to_owned)),
            docs: code.map(page),
        }
    }
}
