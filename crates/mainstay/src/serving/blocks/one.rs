//! The sidecar of one app: opened, begun, drained, closed.

use std::sync::Arc;

use mainstay_core::resources::Resources;
use mainstay_core::{Name, Plan};
use mainstay_gateway::Gateway;
use mainstay_http::Look;
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;
use tracing::{Instrument as _, Span, info_span};

use crate::sidecar::flags;
use crate::sidecar::running::{Ports, Sidecar};
use crate::wire::sidecar::{Inside, Plugged};

/// Where an app is, and where its sidecar is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct At {
    /// The app's address; `None` where nothing is delivered.
    pub(super) url: Option<String>,
    /// Ports of the APIs; 0 for free ones.
    pub(super) http_port: u16,
    pub(super) grpc_port: u16,
}

/// A sidecar at work.
pub(super) struct One {
    id: String,
    at: At,
    sidecar: Arc<Sidecar>,
    /// Ends the deliveries.
    leave: CancellationToken,
    attending: TaskTracker,
    /// Says in the log whose sidecar a line is of.
    span: Span,
}

impl One {
    /// Opens the components that are for the app `id`, and serves the APIs, at the ports `told` where the app knows them
    /// already. Errors: as of [`Sidecar::open`].
    pub(super) async fn open(
        plan: &Plan,
        id: &Name,
        at: At,
        told: Option<Ports>,
        (plugged, inside, gateway): (&[Plugged], &Inside, &Gateway),
    ) -> anyhow::Result<Self> {
        let mut options = flags::Options::plain()?;
        options.app_id = id.to_string();
        options.app = at.url.as_deref().and_then(flags::AppAt::at);
        (options.http_port, options.grpc_port) =
            told.map_or((at.http_port, at.grpc_port), |told| (told.http, told.grpc));
        options.folder = plan.folder.clone();
        // What the service measures is at its own address.
        options.listening.metrics = None;
        let with = (plan.resources.clone(), plugged.to_vec());
        let span = info_span!("beside", app = %id);
        let opening = Sidecar::open(options, with, inside, gateway.clone()).instrument(span.clone());
        let sidecar = Arc::new(opening.await?);
        let (leave, attending) = (CancellationToken::new(), TaskTracker::new());
        Ok(Self { id: id.to_string(), at, sidecar, leave, attending, span })
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn at(&self) -> &At {
        &self.at
    }

    pub(super) fn ports(&self) -> Ports {
        self.sidecar.ports
    }

    pub(super) fn look(&self) -> Look {
        self.sidecar.look()
    }

    /// Begins to wait for the app and to deliver to it. `asked` hears when the app asks for the end.
    pub(super) fn begin(&self, asked: &Arc<Notify>) {
        self.attend();
        let (sidecar, leave) = (Arc::clone(&self.sidecar), self.leave.clone());
        let retrying = async move { sidecar.retry(&leave).await };
        self.attending.spawn(retrying.instrument(self.span.clone()));
        let (sidecar, leave, asked) = (Arc::clone(&self.sidecar), self.leave.clone(), Arc::clone(asked));
        self.attending.spawn(async move {
            tokio::select! {
                () = sidecar.asked_to_stop() => asked.notify_one(),
                () = leave.cancelled() => {}
            }
        });
    }

    /// Takes other resources. Errors: a component that cannot be opened; the old ones stay.
    pub(super) async fn take(&self, resources: &Resources) -> anyhow::Result<()> {
        self.sidecar.reload(resources.clone(), &self.leave).await?;
        // The app may be another one, too, and want other messages.
        self.attend();
        Ok(())
    }

    fn attend(&self) {
        let (sidecar, leave) = (Arc::clone(&self.sidecar), self.leave.clone());
        let attending = async move {
            tokio::select! {
                () = sidecar.attend(&leave) => {}
                () = leave.cancelled() => {}
            }
        };
        self.attending.spawn(attending.instrument(self.span.clone()));
    }

    /// Delivers nothing new, and waits for what the app is working on.
    pub(super) async fn drain(&self) {
        self.attending.close();
        self.sidecar.drain(&self.leave).await;
        self.attending.wait().await;
    }

    /// Ends the APIs.
    pub(super) async fn close(&self) {
        self.sidecar.close().await;
    }
}
