//! Joins adapters to engines and engines to surfaces. The only file that names both an adapter and a surface.
//!
//! A reload opens what changed and keeps what did not: a provider, tool or app whose settings are the same, and the
//! secrets and files that they refer to, stays open. Commands of apps are started when everything is open.

mod origin;
pub(crate) mod provider;
pub(crate) mod sidecar;

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use futures_util::future::join_all;
use mainstay_agents::{Engine, Entry, Ports};
use mainstay_app::{AppService, Form};
use mainstay_core::app::App;
use mainstay_core::embedding::Embedder;
use mainstay_core::plan::{AgentKind, AppPlan, Member, Process};
use mainstay_core::provider::Provider;
use mainstay_core::secret::SecretSource;
use mainstay_core::telemetry::Telemetry;
use mainstay_core::tool::ToolSource;
use mainstay_core::{Clock, Ctx, Error, Name, Plan};
use mainstay_gateway::Gateway;
use mainstay_http::{Served, Surface};
use mainstay_journal::Journal;
use mainstay_net::client::{Client, ClientOptions};
use mainstay_net::clock::SystemClock;
use tokio_util::task::TaskTracker;

use crate::{logging, spec, withheld};
use origin::{Open, keep_or_open};

/// Everything that runs.
pub(crate) struct House {
    pub(crate) engine: Engine,
    pub(crate) gateway: Gateway,
    pub(crate) surface: Surface,
    pub(crate) journal: Arc<Journal>,
    members: Members,
    /// Replaced apps on their way out.
    retiring: TaskTracker,
    models_folder: std::path::PathBuf,
    client: Client,
}

/// What models are asked through. It is there before the house, whose models it knows from then on: what is served to
/// apps is bound before their commands start, and asks through it, too.
pub(crate) struct Models {
    pub(crate) gateway: Gateway,
    telemetry: Arc<dyn Telemetry>,
}

impl Models {
    /// A gateway without models.
    pub(crate) fn of(plan: &Plan) -> Self {
        let telemetry: Arc<dyn Telemetry> =
            Arc::new(mainstay_telemetry::Prometheus::new(&plan.metrics.aliases));
        let gateway = Gateway::new(Arc::clone(&telemetry), mainstay_gateway::Table::default());
        Self { gateway, telemetry }
    }
}

/// The members that are open, with what they were opened from.
#[derive(Default)]
struct Members {
    providers: BTreeMap<Name, Open<Member, dyn Provider>>,
    tools: BTreeMap<Name, Open<Member, dyn ToolSource>>,
    apps: Apps,
}

type Apps = BTreeMap<Name, Open<Kept, AppService>>;

/// What an app is opened from. What callers may ask of it, and for how long, is not: that changes without a new start.
#[derive(Clone, PartialEq)]
enum Kept {
    Agent(AppPlan),
    Plain(Process),
}

impl Kept {
    fn form(&self) -> Form<'_> {
        match self {
            Self::Agent(plan) => Form::Agent(plan),
            Self::Plain(process) => Form::Plain(process),
        }
    }
}

impl House {
    /// Opens everything the plan names. The listener is bound already; nothing is served yet.
    pub(crate) async fn open(plan: &Plan, models_folder: &Path, models: Models) -> anyhow::Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let Models { gateway, telemetry } = models;
        let journal = Arc::new(Journal::open(mainstay_journal::Options::new(&plan.data.folder))?);
        let client = Client::new(ClientOptions::default());
        let beside = Beside { models_folder, client: &client, gateway: &gateway };
        let members = open_members(plan, &Members::default(), beside)?;
        gateway.reload(gateway_table(plan, &members));
        let ports = Ports {
            journal: Arc::clone(&journal) as _,
            models: Arc::new(gateway.clone()),
            clock: Arc::clone(&clock),
            telemetry: Arc::clone(&telemetry),
        };
        let engine = Engine::new(ports, agents_table(plan, &members));
        let cut = engine.recover(&Ctx::system()).await.context("read the runs of the last process")?;
        if cut > 0 {
            tracing::warn!(runs = cut, "runs of the last process were cut; they are marked `interrupted`");
        }
        let surface = Surface::new(mainstay_http::Parts {
            engine: engine.clone(),
            gateway: gateway.clone(),
            telemetry,
            clock,
            settings: surface_settings(plan)?,
            apps: served(plan, &members),
        });
        for (_, app) in members.apps.values() {
            app.start(&[]);
        }
        let models_folder = models_folder.to_path_buf();
        let retiring = TaskTracker::new();
        Ok(Self { engine, gateway, surface, journal, members, retiring, models_folder, client })
    }

    /// Takes a new plan: all of it, or none if a part cannot be opened. Runs at work keep what they started with. What it
    /// gives waits until the apps that are there no longer have ended.
    pub(crate) async fn reload(
        &mut self,
        plan: &Plan,
    ) -> anyhow::Result<impl Future<Output = ()> + Send + use<>> {
        let beside =
            Beside { models_folder: &self.models_folder, client: &self.client, gateway: &self.gateway };
        let members = open_members(plan, &self.members, beside)?;
        let settings = surface_settings(plan)?;
        self.gateway.reload(gateway_table(plan, &members));
        self.engine.reload(agents_table(plan, &members));
        self.surface.reload(settings, served(plan, &members));
        let old = std::mem::replace(&mut self.members, members);
        Ok(self.replace_apps(old.apps))
    }

    /// Starts the apps that are new, and retires those of `old` that are not kept; what it gives waits for these.
    fn replace_apps(&self, mut old: Apps) -> impl Future<Output = ()> + Send + use<> {
        let new = |name: &Name| self.members.apps.get(name).map(|(_, app)| Arc::clone(app));
        old.retain(|name, (_, app)| new(name).is_none_or(|new| !Arc::ptr_eq(&new, app)));
        let replaced: Vec<_> = old.values().map(|(_, app)| Arc::clone(app)).collect();
        for (_, app) in self.members.apps.values() {
            app.start(&replaced);
        }
        let mut retired = Vec::new();
        for (name, (_, app)) in old {
            match new(&name) {
                Some(_) => tracing::info!(app = %name, "replacing the app: what it is opened from changed"),
                None => tracing::info!(app = %name, "stopping the app: the spec has it no longer"),
            }
            app.replace(new(&name));
            retired.push(self.retiring.spawn(async move { app.retire(APP_STOP_GRACE).await }));
        }
        async move { drop(join_all(retired).await) }
    }

    /// Stops the apps, last of all and all at once: they share the grace, and so do those that are being replaced.
    pub(crate) async fn stop_apps(&self, grace: Duration) {
        let stopping = join_all(self.members.apps.values().map(|(_, app)| app.stop(grace)));
        self.retiring.close();
        let _ = tokio::join!(stopping, tokio::time::timeout(grace, self.retiring.wait()));
    }
}

/// How long a replaced app may take to stop.
const APP_STOP_GRACE: Duration = Duration::from_secs(10);

/// What members are opened with, besides their settings.
#[derive(Clone, Copy)]
struct Beside<'a> {
    models_folder: &'a Path,
    client: &'a Client,
    gateway: &'a Gateway,
}

fn open_members(plan: &Plan, before: &Members, beside: Beside<'_>) -> anyhow::Result<Members> {
    let secrets = mainstay_components::secrets::Secrets::new(&plan.folder);
    let mut members = Members::default();
    for (name, member) in &plan.providers {
        let files = spec::provider_files(plan, member);
        let open = keep_or_open(before.providers.get(name), member, files, &secrets, |secrets| {
            open_provider(name, member, plan, secrets, beside)
        })?;
        members.providers.insert(name.clone(), open);
    }
    let embedder: Arc<dyn Embedder> = Arc::new(beside.gateway.clone());
    for (name, member) in &plan.tools {
        let open = keep_or_open(before.tools.get(name), member, [], &secrets, |secrets| {
            open_tool(name, member, secrets, &embedder)
        })?;
        members.tools.insert(name.clone(), open);
    }
    let withheld = withheld::variables(plan);
    for (name, kept) in apps(plan) {
        let open = keep_or_open(before.apps.get(name), &kept, [], &secrets, |secrets| {
            open_app(name, kept.form(), plan, secrets, &withheld)
        })?;
        members.apps.insert(name.clone(), open);
    }
    Ok(members)
}

/// The apps of a plan, those of agents first.
fn apps(plan: &Plan) -> impl Iterator<Item = (&Name, Kept)> {
    let of_agents = plan.agents.iter().filter_map(|(name, agent)| match &agent.kind {
        AgentKind::App(app) => Some((name, Kept::Agent(app.clone()))),
        AgentKind::Declared(_) => None,
    });
    of_agents.chain(plan.apps.iter().map(|(name, app)| (name, Kept::Plain(app.process.clone()))))
}

/// The apps that are no agents, as callers meet them.
fn served(plan: &Plan, members: &Members) -> Vec<Served> {
    let one = |(name, app): (&Name, &mainstay_core::plan::App)| {
        let (_, open) = members.apps.get(name)?;
        let (description, routes, timeout) = (app.description.clone(), app.routes.clone(), app.timeout);
        Some(Served { name: name.clone(), description, routes, timeout, app: Arc::clone(open) as _ })
    };
    plan.apps.iter().filter_map(one).collect()
}

fn open_provider(
    name: &Name,
    member: &Member,
    plan: &Plan,
    secrets: &dyn SecretSource,
    beside: Beside<'_>,
) -> anyhow::Result<Arc<dyn Provider>> {
    let def = mainstay_providers::providers::find(&member.kind)
        .ok_or_else(|| Error::bug(format!("the plan names provider kind `{}`", member.kind)))?;
    let settings = &member.settings;
    let Beside { models_folder, client, .. } = beside;
    let opening =
        mainstay_providers::Opening { name, settings, folder: &plan.folder, models_folder, secrets, client };
    (def.open)(opening).with_context(|| format!("open provider `{name}`"))
}

fn open_tool(
    name: &Name,
    member: &Member,
    secrets: &dyn SecretSource,
    embedder: &Arc<dyn Embedder>,
) -> anyhow::Result<Arc<dyn ToolSource>> {
    let def = mainstay_components::tools::find(&member.kind)
        .ok_or_else(|| Error::bug(format!("the plan names tool kind `{}`", member.kind)))?;
    let opening = mainstay_components::tools::Opening { name, settings: &member.settings, secrets, embedder };
    (def.open)(opening).with_context(|| format!("open tool `{name}`"))
}

fn open_app(
    name: &Name,
    form: Form<'_>,
    plan: &Plan,
    secrets: &dyn SecretSource,
    withheld: &BTreeSet<String>,
) -> anyhow::Result<Arc<AppService>> {
    let opening = mainstay_app::Opening {
        name,
        form,
        folder: &plan.folder,
        secrets,
        withheld,
        sink: Arc::new(logging::app_line),
        restart: mainstay_app::Restart::default(),
    };
    Ok(Arc::new(AppService::open(opening).with_context(|| format!("open the app `{name}`"))?))
}

fn gateway_table(plan: &Plan, members: &Members) -> mainstay_gateway::Table {
    let providers = members.providers.iter().map(|(name, (_, open))| (name.clone(), Arc::clone(open)));
    mainstay_gateway::Table { models: plan.models.clone(), providers: providers.collect() }
}

fn agents_table(plan: &Plan, members: &Members) -> mainstay_agents::Table {
    let entry = |(name, agent): (&Name, &mainstay_core::plan::Agent)| {
        let named: &[Name] = match &agent.kind {
            AgentKind::Declared(declared) => &declared.tools,
            AgentKind::App(_) => &[],
        };
        let tool = |name: &Name| members.tools.get(name).map(|(_, open)| (name.clone(), Arc::clone(open)));
        let app = members.apps.get(name).map(|(_, open)| Arc::clone(open) as Arc<dyn App>);
        (name.clone(), Entry { agent: agent.clone(), tools: named.iter().filter_map(tool).collect(), app })
    };
    mainstay_agents::Table {
        agents: plan.agents.iter().map(entry).collect(),
        default_agent: plan.default_agent.clone(),
    }
}

/// What the surface needs of the plan, with the keys read from where the spec says.
fn surface_settings(plan: &Plan) -> anyhow::Result<mainstay_http::Settings> {
    let secrets = mainstay_components::secrets::Secrets::new(&plan.folder);
    let key = |key: &mainstay_core::plan::Key| {
        let secret =
            secrets.resolve(&key.secret).with_context(|| format!("read the API key `{}`", key.name))?;
        let (name, requests_per_minute, concurrency) =
            (key.name.clone(), key.requests_per_minute, key.concurrency);
        Ok(mainstay_http::Key { name, secret, requests_per_minute, concurrency })
    };
    let access = mainstay_http::Access {
        keys: plan.access.keys.iter().map(key).collect::<anyhow::Result<_>>()?,
        anonymous: plan.access.anonymous,
        cors_origins: plan.access.cors_origins.clone(),
    };
    let (name, version) = (plan.name.clone(), env!("CARGO_PKG_VERSION").to_owned());
    Ok(mainstay_http::Settings { name, version, server: plan.server.clone(), access })
}
