//! The building blocks beside the apps, where the spec names `components`: a sidecar for each of its `apps`, under the
//! app's name, and one for the app of the agents, under the service's. All are in this process and share the stores
//! inside it; the apps find each other by their ids. Without components there is none of it, and no port is bound.

mod one;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use mainstay_core::plan::{self, AgentKind, AppPlan, EnvValue, Process};
use mainstay_core::resources::Resources;
use mainstay_core::{Name, Plan};
use mainstay_gateway::Gateway;
use mainstay_http::Look;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::environment;
use crate::sidecar::running::Ports;
use crate::wire::sidecar::{Inside, Plugged};
use one::{At, One};

/// The sidecars, if there are any.
pub(super) struct Blocks(Option<AtWork>);

struct AtWork {
    inside: Inside,
    plugged: Vec<Plugged>,
    gateway: Gateway,
    /// The ports of the agents' sidecar, which no reload changes.
    ports: plan::Sidecar,
    beside: BTreeMap<Name, One>,
    /// Sidecars of apps that are there no longer: nothing is delivered, and what is asked is answered until the app has
    /// ended.
    leaving: Vec<One>,
    /// Those whose apps are ending, and what has them not wait for that.
    ending: TaskTracker,
    hurry: CancellationToken,
    /// Where the sidecars were that a reload under way took away: their apps run and know these ports.
    told: BTreeMap<Name, (At, Ports)>,
    /// What readiness looks at; it was given to the surface, and follows what comes and goes here.
    looks: Looks,
    /// An app asks for the end.
    asked: Arc<Notify>,
}

type Looks = Arc<RwLock<Vec<Look>>>;

impl Blocks {
    /// Opens the components and serves the APIs; those of them that are models ask through `gateway`. `plugged` are the
    /// types that sockets serve. Errors: a port that is taken, a component that cannot be opened.
    pub(super) async fn open(plan: &Plan, plugged: &[Plugged], gateway: &Gateway) -> anyhow::Result<Self> {
        let Some(ports) = plan.sidecar.filter(|_| !environment::blocks_are_elsewhere()) else {
            return Ok(Self(None));
        };
        let mut at_work = AtWork {
            inside: Inside::of(plan.data.folder.clone()),
            plugged: plugged.to_vec(),
            gateway: gateway.clone(),
            ports,
            beside: BTreeMap::new(),
            leaving: Vec::new(),
            ending: TaskTracker::new(),
            hurry: CancellationToken::new(),
            told: BTreeMap::new(),
            looks: Looks::default(),
            asked: Arc::default(),
        };
        for (id, at) in wanted(plan, ports) {
            let one = at_work.opened(plan, &id, at, None).await?;
            at_work.beside.insert(id, one);
        }
        Ok(Self(Some(at_work)))
    }

    /// Tells the commands of apps who they are and where their sidecar is, unless the spec says otherwise.
    pub(super) fn tell(&self, plan: &mut Plan) {
        let Some(at_work) = &self.0 else { return };
        if let Some(one) = at_work.beside.get(&plan.name) {
            for agent in plan.agents.values_mut() {
                let AgentKind::App(app) = &mut agent.kind else { continue };
                tell(&mut app.process, &plan.name, one);
            }
        }
        for (name, app) in &mut plan.apps {
            if let Some(one) = at_work.beside.get(name) {
                tell(&mut app.process, name, one);
            }
        }
    }

    /// Begins to wait for the apps and to deliver to them; readiness depends on the components from here on.
    pub(super) fn begin(&self, surface: &mainstay_http::Surface) {
        if let Some(at_work) = &self.0 {
            at_work.look();
            surface.depend_on(combined(Arc::clone(&at_work.looks)));
            at_work.beside.values().for_each(|one| one.begin(&at_work.asked));
        }
    }

    /// Waits until an app asks the service to stop; for ever without a sidecar.
    pub(super) async fn asked_to_stop(&self) {
        match &self.0 {
            Some(at_work) => at_work.asked.notified().await,
            None => std::future::pending().await,
        }
    }

    /// Takes the resources of a new plan, if they are others, and has a sidecar for each of its apps; the apps are then
    /// to be told, and [`Blocks::settle`] comes last. Errors: a component that cannot be opened; all is then as it was.
    pub(super) async fn reload(&mut self, old: &Plan, new: &Plan) -> anyhow::Result<()> {
        let Some(at_work) = &mut self.0 else { return Ok(()) };
        if old.resources != new.resources {
            at_work.take(&old.resources, &new.resources).await?;
        }
        if let Err(error) = at_work.follow(new, &BTreeMap::new()).await {
            self.go_back(old, new).await;
            return Err(error);
        }
        Ok(())
    }

    /// Undoes a reload that something else could not follow.
    pub(super) async fn go_back(&mut self, old: &Plan, new: &Plan) {
        let Some(at_work) = &mut self.0 else { return };
        if old.resources != new.resources
            && let Err(error) = at_work.take(&new.resources, &old.resources).await
        {
            tracing::error!("cannot go back to the components before: {error:#}");
        }
        let told = std::mem::take(&mut at_work.told);
        if let Err(error) = at_work.follow(old, &told).await {
            tracing::error!("an app is without its building blocks until the next reload: {error:#}");
        }
        at_work.told.clear();
        // Those of apps that are never to be.
        close_all(std::mem::take(&mut at_work.leaving)).await;
    }

    /// Ends the sidecars of apps that are there no longer, once these have: `ended`.
    pub(super) fn settle(&mut self, ended: impl Future<Output = ()> + Send + 'static) {
        let Some(at_work) = &mut self.0 else { return };
        at_work.told.clear();
        let leaving = std::mem::take(&mut at_work.leaving);
        let hurry = at_work.hurry.clone();
        if !leaving.is_empty() {
            at_work.ending.spawn(async move {
                tokio::select! {
                    () = ended => {}
                    () = hurry.cancelled() => {}
                }
                close_all(leaving).await;
            });
        }
    }

    /// Delivers nothing new, and waits for what the apps are working on. The APIs are still there.
    pub(super) async fn drain(&self) {
        if let Some(at_work) = &self.0 {
            futures_util::future::join_all(at_work.beside.values().map(One::drain)).await;
        }
    }

    /// Ends the APIs.
    pub(super) async fn close(&self) {
        if let Some(at_work) = &self.0 {
            let closing = futures_util::future::join_all(at_work.beside.values().map(One::close));
            at_work.hurry.cancel();
            at_work.ending.close();
            tokio::join!(closing, at_work.ending.wait());
        }
    }

    /// Lets go of the stores inside the process.
    pub(super) async fn let_go(&self) {
        if let Some(at_work) = &self.0 {
            at_work.inside.close().await;
        }
    }
}

impl AtWork {
    /// `told` are the ports that the app knows, where it runs already.
    async fn opened(&self, plan: &Plan, id: &Name, at: At, told: Option<Ports>) -> anyhow::Result<One> {
        One::open(plan, id, at, told, (&self.plugged, &self.inside, &self.gateway)).await
    }

    /// Has every sidecar take new resources, or none.
    async fn take(&self, old: &Resources, new: &Resources) -> anyhow::Result<()> {
        let mut taken: Vec<&One> = Vec::new();
        for one in self.beside.values() {
            if let Err(error) = one.take(new).await {
                for one in taken {
                    if let Err(error) = one.take(old).await {
                        tracing::error!(app = one.id(), "cannot go back to the components before: {error:#}");
                    }
                }
                return Err(error);
            }
            taken.push(one);
        }
        tracing::info!(components = new.components.len(), "reloaded the components");
        Ok(())
    }

    /// Opens the sidecars of apps that are new or elsewhere, and has those of apps that are there no longer leave. An id
    /// belongs to one at a time, so an app that is elsewhere has no sidecar for a moment. Where `told` has ports for an
    /// app, its sidecar is there again.
    async fn follow(&mut self, plan: &Plan, told: &BTreeMap<Name, (At, Ports)>) -> anyhow::Result<()> {
        let mut wanted = wanted(plan, self.ports);
        let gone = |(id, one): (&Name, &One)| (wanted.get(id) != Some(one.at())).then(|| id.clone());
        let gone: Vec<Name> = self.beside.iter().filter_map(gone).collect();
        for id in gone {
            if let Some(one) = self.beside.remove(&id) {
                one.drain().await;
                self.told.insert(id, (one.at().clone(), one.ports()));
                self.leaving.push(one);
            }
        }
        self.look();
        wanted.retain(|id, _| !self.beside.contains_key(id));
        if !wanted.is_empty() {
            self.hurry().await;
        }
        for (id, at) in wanted {
            for one in self.leaving.extract_if(.., |one| one.id() == id.as_str()) {
                one.close().await;
            }
            let known = told.get(&id).filter(|(before, _)| *before == at).map(|(_, ports)| *ports);
            let one = self.opened(plan, &id, at, known).await?;
            one.begin(&self.asked);
            self.beside.insert(id, one);
        }
        self.look();
        Ok(())
    }

    /// Ends the sidecars whose apps are ending still: one of them may have the id of one that is to come.
    async fn hurry(&mut self) {
        std::mem::take(&mut self.hurry).cancel();
        self.ending.close();
        self.ending.wait().await;
        self.ending.reopen();
    }

    /// Has readiness look at the sidecars that are there now.
    fn look(&self) {
        let looks = self.beside.values().map(One::look).collect();
        *self.looks.write().unwrap_or_else(PoisonError::into_inner) = looks;
    }
}

async fn close_all(sidecars: Vec<One>) {
    futures_util::future::join_all(sidecars.iter().map(One::close)).await;
}

/// Which sidecars there are for a plan, by the ids of their apps.
fn wanted(plan: &Plan, ports: plan::Sidecar) -> BTreeMap<Name, At> {
    let mut wanted = BTreeMap::new();
    let is_app = |kind: &AgentKind| matches!(kind, AgentKind::App(_));
    if plan.apps.is_empty() || plan.agents.values().any(|agent| is_app(&agent.kind)) {
        let url = of_agents(plan).map(|app| app.process.url.clone());
        let plan::Sidecar { http_port, grpc_port } = ports;
        wanted.insert(plan.name.clone(), At { url, http_port, grpc_port });
    }
    let free = |process: &Process| At { url: Some(process.url.clone()), http_port: 0, grpc_port: 0 };
    wanted.extend(plan.apps.iter().map(|(name, app)| (name.clone(), free(&app.process))));
    wanted
}

/// The app of the agents that messages go to: the default agent's, or the only one.
fn of_agents(plan: &Plan) -> Option<&AppPlan> {
    let of = |name: &Name| match &plan.agents.get(name)?.kind {
        AgentKind::App(app) => Some(app),
        AgentKind::Declared(_) => None,
    };
    let mut apps = plan.agents.keys().filter_map(of);
    let only = apps.next().filter(|_| apps.next().is_none());
    plan.default_agent.as_ref().and_then(of).or(only)
}

fn tell(process: &mut Process, id: &Name, one: &One) {
    let ports = one.ports();
    let mut told = vec![
        ("APP_ID", id.to_string()),
        ("DAPR_HTTP_PORT", ports.http.to_string()),
        ("DAPR_GRPC_PORT", ports.grpc.to_string()),
    ];
    let port = process.url.parse::<http::Uri>().ok().and_then(|url| url.port_u16());
    told.extend(port.map(|port| ("APP_PORT", port.to_string())));
    for (name, value) in told {
        if !process.env.iter().any(|(given, _)| given == name) {
            process.env.push((name.to_owned(), EnvValue::Plain(value)));
        }
    }
}

/// One look for all: a component that several sidecars have is ready where it is in each.
fn combined(looks: Looks) -> Look {
    Arc::new(move || {
        let looks = looks.read().unwrap_or_else(PoisonError::into_inner).clone();
        Box::pin(async move {
            let found = futures_util::future::join_all(looks.iter().map(|look| look())).await;
            let mut all: BTreeMap<String, mainstay_core::Result<()>> = BTreeMap::new();
            for (name, state) in found.into_iter().flatten() {
                let known = all.entry(name).or_insert(Ok(()));
                if known.is_ok() {
                    *known = state;
                }
            }
            all.into_iter().collect()
        })
    })
}
