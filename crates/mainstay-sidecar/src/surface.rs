//! The surface and what it stands on.

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};

use arc_swap::ArcSwap;
use bytes::Bytes;
use mainstay_blocks::Blocks;
use mainstay_core::Redacted;
use mainstay_dapr::Token;
use mainstay_net::client::Client;

use crate::cors::Origins;
use crate::invoke::{self, Targets};
use crate::neighbours::Inbound;
use crate::public::Public;
use crate::router::Router;
use crate::rules::{InForce, Rules};

/// What a surface is made of.
pub struct Parts {
    /// The building blocks.
    pub blocks: Blocks,
    /// What callers must show in `dapr-api-token`; nothing without.
    pub api_token: Option<Redacted<String>>,
    /// Largest body, in bytes.
    pub body_bytes_max: usize,
    /// Whom calls can be passed on to.
    pub targets: Targets,
    /// What passes them on.
    pub client: Client,
    /// What files say, and may say anew.
    pub rules: Rules,
    /// Which pages in browsers may call; none when `None`.
    pub origins: Option<Origins>,
    /// Ends the process; at once where that is asked for.
    pub shutdown: Arc<dyn Fn(bool) + Send + Sync>,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// How far the start has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// Components are being opened.
    Starting,
    /// The app can call us.
    Outbound,
    /// The app answers too.
    Ready,
    /// The process is ending.
    Ending,
}

pub(crate) struct Shared {
    pub(crate) blocks: Blocks,
    pub(crate) api_token: Token,
    pub(crate) body_bytes_max: usize,
    pub(crate) targets: Targets,
    pub(crate) client: Client,
    in_force: ArcSwap<InForce>,
    pub(crate) origins: Option<Origins>,
    pub(crate) shutdown: Arc<dyn Fn(bool) + Send + Sync>,
    phase: AtomicU8,
}

impl Shared {
    /// The rules that hold now. A call takes them once.
    pub(crate) fn in_force(&self) -> Arc<InForce> {
        self.in_force.load_full()
    }

    pub(crate) fn is_at_least(&self, phase: Phase) -> bool {
        let now = self.phase.load(Ordering::Acquire);
        now >= phase as u8 && now != Phase::Ending as u8
    }
}

/// The surface; cheap to clone.
#[derive(Clone)]
pub struct Surface(Arc<Shared>);

impl std::fmt::Debug for Surface {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Surface")
    }
}

impl Surface {
    /// A surface that is starting.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            blocks: parts.blocks,
            api_token: Token::new(parts.api_token.as_ref()),
            body_bytes_max: parts.body_bytes_max,
            targets: parts.targets,
            client: parts.client,
            in_force: ArcSwap::from_pointee(InForce::new(parts.rules)),
            origins: parts.origins,
            shutdown: parts.shutdown,
            phase: AtomicU8::new(Phase::Starting as u8),
        }))
    }

    /// The service for a listener.
    #[must_use]
    pub fn router(&self) -> Router {
        Router::new(&self.0)
    }

    /// The service for the listener of health and metadata alone.
    #[must_use]
    pub fn public(&self) -> Public {
        Public::new(&self.0)
    }

    /// The service for the socket by which other apps on this host call.
    #[must_use]
    pub fn inbound(&self) -> Inbound {
        Inbound::new(&self.0)
    }

    /// Makes a call that came as a message: to `/v1.0/invoke/{id}/method/{method}`. The answer is whole. Where it is no
    /// app's own answer over HTTP, its extensions hold a `CallStatus`.
    pub async fn invoke(&self, request: http::Request<Bytes>) -> http::Response<Bytes> {
        invoke::by_message(&self.0, request).await
    }

    /// Takes new rules for the calls that come from now on.
    pub fn adopt(&self, rules: Rules) {
        self.0.in_force.store(Arc::new(InForce::new(rules)));
    }

    /// The start has come so far.
    pub fn reach(&self, phase: Phase) {
        self.0.phase.store(phase as u8, Ordering::Release);
    }
}
