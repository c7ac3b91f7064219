//! The surface as the binary holds it: built once, swapped on a reload, told to drain.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use mainstay_agents::Engine;
use mainstay_core::Clock;
use mainstay_core::telemetry::{Gauge, Telemetry};
use mainstay_gateway::Gateway;

use crate::access::Gate;
use crate::apps::{Apps, Served};
use crate::cors::Cors;
use crate::health::Readiness;
use crate::load::Load;
use crate::router::Router;
use crate::settings::Settings;

/// What a surface is made of.
pub struct Parts {
    /// Runs and sessions.
    pub engine: Engine,
    /// Models.
    pub gateway: Gateway,
    /// Who is told what happened.
    pub telemetry: Arc<dyn Telemetry>,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// What the spec says.
    pub settings: Settings,
    /// The apps that are no agents.
    pub apps: Vec<Served>,
}

/// Looks at what work depends on: each thing by its name, and why it is not ready. It bounds its own time.
pub type Look = Arc<dyn Fn() -> BoxFuture<'static, Vec<(String, mainstay_core::Result<()>)>> + Send + Sync>;

/// The public HTTP surface. Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Surface(Arc<Shared>);

/// What all requests share.
pub(crate) struct Shared {
    pub(crate) engine: Engine,
    pub(crate) gateway: Gateway,
    pub(crate) telemetry: Arc<dyn Telemetry>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) load: Load,
    pub(crate) readiness: Readiness,
    /// What work depends on besides the engines, once it is known.
    pub(crate) beside: OnceLock<Look>,
    /// When the surface was made, for the uptime.
    pub(crate) started: Instant,
    /// The same on the wall clock, in Unix milliseconds: what lists of models show as their creation.
    pub(crate) started_ms: u64,
    live: ArcSwap<Live>,
}

/// The settings at work, and what is derived from them. A request keeps the ones it came in with.
pub(crate) struct Live {
    pub(crate) settings: Settings,
    pub(crate) gate: Gate,
    pub(crate) cors: Cors,
    pub(crate) apps: Apps,
    /// Written when first asked for.
    pub(crate) openapi: OnceLock<Bytes>,
    pub(crate) docs: OnceLock<String>,
}

impl Live {
    fn new(settings: Settings, apps: Vec<Served>, former: Option<&Live>) -> Self {
        let gate = Gate::new(&settings.access, former.map(|live| &live.gate));
        let cors = Cors::new(&settings.access.cors_origins);
        let apps = Apps::new(apps);
        Self { settings, gate, cors, apps, openapi: OnceLock::new(), docs: OnceLock::new() }
    }
}

impl std::fmt::Debug for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Surface").field("load", &self.0.load).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl Surface {
    /// Has readiness depend on what `look` finds as well. The first one holds.
    pub fn depend_on(&self, look: Look) {
        let _ = self.0.beside.set(look);
    }

    /// A surface over the engines. Serves nothing by itself.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        let Parts { engine, gateway, telemetry, clock, settings, apps } = parts;
        let started_ms = clock.now_ms();
        Self(Arc::new(Shared {
            engine,
            gateway,
            telemetry,
            clock,
            load: Load::default(),
            readiness: Readiness::default(),
            beside: OnceLock::new(),
            started: Instant::now(),
            started_ms,
            live: ArcSwap::from_pointee(Live::new(settings, apps, None)),
        }))
    }

    /// The service for a listener.
    #[must_use]
    pub fn router(&self) -> Router {
        Router::new(&self.0)
    }

    /// Takes new settings and apps. Requests and streams under way keep the old ones; a key whose bounds did not change keeps
    /// its counts.
    pub fn reload(&self, settings: Settings, apps: Vec<Served>) {
        let former = self.0.live.load_full();
        self.0.live.store(Arc::new(Live::new(settings, apps, Some(&former))));
    }

    /// From now on refuses new work with 503 and shows itself as not ready. What is in flight goes on.
    pub fn set_draining(&self) {
        self.0.load.drain();
        self.0.readiness.lost(|delta| self.0.telemetry.gauge(Gauge::Ready, delta));
    }

    /// Requests in flight, streams included; probes of health are not counted.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.0.load.in_flight()
    }

    /// Waits until nothing is in flight.
    pub async fn idle(&self) {
        self.0.load.idle().await;
    }
}

impl Shared {
    pub(crate) fn live(&self) -> Arc<Live> {
        self.live.load_full()
    }
}
