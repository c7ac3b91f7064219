//! The building blocks beside the agents' apps, where the spec names `components`: a sidecar whose app is the spec's
//! app agent, under the service's name. Without components there is none of it, and no port is bound.

use std::sync::Arc;

use mainstay_core::plan::{AgentKind, AppPlan, EnvValue};
use mainstay_core::{Name, Plan};
use mainstay_gateway::Gateway;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::environment;
use crate::sidecar::flags;
use crate::sidecar::running::Sidecar;
use crate::wire::sidecar::{Inside, Plugged};

/// The sidecar, if there is one.
pub(super) struct Blocks(Option<AtWork>);

struct AtWork {
    sidecar: Arc<Sidecar>,
    inside: Inside,
    /// Ends the deliveries.
    leave: CancellationToken,
    attending: TaskTracker,
}

impl Blocks {
    /// Opens the components and serves the APIs; those of them that are models ask through `gateway`. `plugged` are the
    /// types that sockets serve. Errors: a port that is taken, a component that cannot be opened.
    pub(super) async fn open(plan: &Plan, plugged: &[Plugged], gateway: &Gateway) -> anyhow::Result<Self> {
        let Some(at) = plan.sidecar.filter(|_| !environment::blocks_are_elsewhere()) else {
            return Ok(Self(None));
        };
        let inside = Inside::of(plan.data.folder.clone());
        let mut options = flags::Options::plain()?;
        options.app_id = plan.name.to_string();
        options.app = app(plan).and_then(|app| flags::AppAt::at(&app.url));
        (options.http_port, options.grpc_port) = (at.http_port, at.grpc_port);
        options.folder = plan.folder.clone();
        // What the service measures is at its own address.
        options.listening.metrics = None;
        let (resources, plugged) = (plan.resources.clone(), plugged.to_vec());
        let sidecar = Sidecar::open(options, (resources, plugged), &inside, gateway.clone()).await?;
        let (leave, attending) = (CancellationToken::new(), TaskTracker::new());
        Ok(Self(Some(AtWork { sidecar: Arc::new(sidecar), inside, leave, attending })))
    }

    /// Tells the commands of apps where the sidecar is, unless the spec says otherwise.
    pub(super) fn tell(&self, plan: &mut Plan) {
        let Some(AtWork { sidecar, .. }) = &self.0 else { return };
        let told = [
            ("DAPR_HTTP_PORT", sidecar.ports.http.to_string()),
            ("DAPR_GRPC_PORT", sidecar.ports.grpc.to_string()),
            ("APP_ID", plan.name.to_string()),
        ];
        for agent in plan.agents.values_mut() {
            let AgentKind::App(app) = &mut agent.kind else { continue };
            for (name, value) in &told {
                if !app.env.iter().any(|(given, _)| given == name) {
                    app.env.push(((*name).to_owned(), EnvValue::Plain(value.clone())));
                }
            }
        }
    }

    /// Begins to wait for the app and to deliver to it; readiness depends on the components from here on.
    pub(super) fn begin(&self, surface: &mainstay_http::Surface) {
        if let Some(at_work) = &self.0 {
            surface.depend_on(at_work.sidecar.look());
            at_work.attend();
            let (sidecar, leave) = (Arc::clone(&at_work.sidecar), at_work.leave.clone());
            at_work.attending.spawn(async move { sidecar.retry(&leave).await });
        }
    }

    /// Waits until an app asks the service to stop; for ever without a sidecar.
    pub(super) async fn asked_to_stop(&self) {
        match &self.0 {
            Some(at_work) => at_work.sidecar.asked_to_stop().await,
            None => std::future::pending().await,
        }
    }

    /// Takes the resources of a new plan, if they are others. Errors: a component that cannot be opened; the old ones
    /// stay.
    pub(super) async fn reload(&self, old: &Plan, new: &Plan) -> anyhow::Result<()> {
        let Some(at_work) = &self.0 else { return Ok(()) };
        if old.resources == new.resources {
            return Ok(());
        }
        at_work.sidecar.reload(new.resources.clone(), &at_work.leave).await?;
        // The app may be another one, too, and want other messages.
        at_work.attend();
        tracing::info!(components = new.resources.components.len(), "reloaded the components");
        Ok(())
    }

    /// Delivers nothing new, and waits for what the app is working on. The APIs are still there.
    pub(super) async fn drain(&self) {
        if let Some(at_work) = &self.0 {
            at_work.attending.close();
            at_work.sidecar.drain(&at_work.leave).await;
            at_work.attending.wait().await;
        }
    }

    /// Ends the APIs.
    pub(super) async fn close(&self) {
        if let Some(at_work) = &self.0 {
            at_work.sidecar.close().await;
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
    fn attend(&self) {
        let (sidecar, leave) = (Arc::clone(&self.sidecar), self.leave.clone());
        self.attending.spawn(async move {
            tokio::select! {
                () = sidecar.attend(&leave) => {}
                () = leave.cancelled() => {}
            }
        });
    }
}

/// The app that messages go to: the default agent's, or the only one.
fn app(plan: &Plan) -> Option<&AppPlan> {
    let of = |name: &Name| match &plan.agents.get(name)?.kind {
        AgentKind::App(app) => Some(app),
        AgentKind::Declared(_) => None,
    };
    let mut apps = plan.agents.keys().filter_map(of);
    let only = apps.next().filter(|_| apps.next().is_none());
    plan.default_agent.as_ref().and_then(of).or(only)
}
