//! The building blocks beside the apps, where the spec names `components`: a sidecar for each of its `apps`, under the
//! app's name, and one for the app of the agents, under the service's. All are in this process and share the stores
//! inside it; the apps find each other by their ids. Without components there is none of it, and no port is bound.

mod one;

use std::collections::BTreeMap;
use std::sync::{Arc, PoisonError, RwLock};

use mainstay_core::plan::{AgentKind, AppPlan, EnvValue, Process};
use mainstay_core::resources::Resources;
use mainstay_core::{Name, Plan};
use mainstay_gateway::Gateway;
use mainstay_http::Look;
use tokio::sync::Notify;

use crate::environment;
use crate::wire::sidecar::{Inside, Plugged};
use one::{At, One};

/// The sidecars, if there are any.
pub(super) struct Blocks(Option<AtWork>);

struct AtWork {
    inside: Inside,
    plugged: Vec<Plugged>,
    gateway: Gateway,
    beside: BTreeMap<Name, One>,
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
        if plan.sidecar.is_none() || environment::blocks_are_elsewhere() {
            return Ok(Self(None));
        }
        let mut at_work = AtWork {
            inside: Inside::of(plan.data.folder.clone()),
            plugged: plugged.to_vec(),
            gateway: gateway.clone(),
            beside: BTreeMap::new(),
            looks: Looks::default(),
            asked: Arc::default(),
        };
        for (id, at) in wanted(plan) {
            let one = at_work.opened(plan, &id, at).await?;
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

    /// Takes the resources of a new plan, if they are others, and has a sidecar for each of its apps. Errors: a
    /// component that cannot be opened; those that are there keep the old ones.
    pub(super) async fn reload(&mut self, old: &Plan, new: &Plan) -> anyhow::Result<()> {
        let Some(at_work) = &mut self.0 else { return Ok(()) };
        if old.resources != new.resources {
            at_work.take(&old.resources, &new.resources).await?;
        }
        at_work.follow(new).await
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
            futures_util::future::join_all(at_work.beside.values().map(One::close)).await;
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
    async fn opened(&self, plan: &Plan, id: &Name, at: At) -> anyhow::Result<One> {
        One::open(plan, id, at, (&self.plugged, &self.inside, &self.gateway)).await
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

    /// Opens the sidecars of apps that are new or elsewhere, and ends those of apps that are neither there any more.
    /// An id belongs to one at a time, so one that is elsewhere has none for a moment.
    async fn follow(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let mut wanted = wanted(plan);
        let gone = |(id, one): (&Name, &One)| (wanted.get(id) != Some(one.at())).then(|| id.clone());
        let gone: Vec<Name> = self.beside.iter().filter_map(gone).collect();
        for id in gone {
            if let Some(one) = self.beside.remove(&id) {
                one.drain().await;
                one.close().await;
            }
        }
        wanted.retain(|id, _| !self.beside.contains_key(id));
        for (id, at) in wanted {
            let one = self.opened(plan, &id, at).await?;
            one.begin(&self.asked);
            self.beside.insert(id, one);
        }
        self.look();
        Ok(())
    }

    /// Has readiness look at the sidecars that are there now.
    fn look(&self) {
        let looks = self.beside.values().map(One::look).collect();
        *self.looks.write().unwrap_or_else(PoisonError::into_inner) = looks;
    }
}

/// Which sidecars there are for a plan, by the ids of their apps.
fn wanted(plan: &Plan) -> BTreeMap<Name, At> {
    let mut wanted = BTreeMap::new();
    let is_app = |kind: &AgentKind| matches!(kind, AgentKind::App(_));
    if let Some(sidecar) = plan.sidecar
        && (plan.apps.is_empty() || plan.agents.values().any(|agent| is_app(&agent.kind)))
    {
        let url = of_agents(plan).map(|app| app.process.url.clone());
        let (http_port, grpc_port) = (sidecar.http_port, sidecar.grpc_port);
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
