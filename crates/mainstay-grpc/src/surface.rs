//! The surface and what it stands on.

use std::sync::Arc;

use arc_swap::ArcSwap;
use mainstay_blocks::Blocks;
use mainstay_blocks::access::Access;
use mainstay_core::Redacted;
use mainstay_core::runtime_config::CallLog;
use mainstay_dapr::{About, Apis, Token};
use tokio_util::sync::CancellationToken;

use crate::invoke::Invoke;
use crate::proxy::{Inbound, Proxy, Ways};
use crate::router::Router;

/// What a surface is made of.
pub struct Parts {
    /// The building blocks.
    pub blocks: Blocks,
    /// What callers must show in `dapr-api-token`; nothing without.
    pub api_token: Option<Redacted<String>>,
    /// Largest message, in bytes, received or sent.
    pub message_bytes_max: usize,
    /// Whether callers may ask for the services and their messages.
    pub reflection: bool,
    /// What files say, and may say anew.
    pub rules: Rules,
    /// What makes calls of methods.
    pub invoke: Invoke,
    /// Where calls of other services go.
    pub ways: Ways,
    /// Ends the process; at once where that is asked for.
    pub shutdown: Arc<dyn Fn(bool) + Send + Sync>,
}

/// What files say of who may do what. A reload swaps all of it at once. The default closes nothing.
#[derive(Debug, Default)]
pub struct Rules {
    /// Which other apps may call the app beside us, and what.
    pub access: Access,
    /// What we say of ourselves to other apps; `public` when empty.
    pub trust_domain: String,
    /// Which APIs may be used.
    pub apis: Apis,
    /// Who we are, for whoever asks.
    pub about: About,
    /// Whether calls are logged.
    pub call_log: CallLog,
}

impl std::fmt::Debug for Parts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// What all calls share.
pub(crate) struct Shared {
    pub(crate) blocks: Blocks,
    pub(crate) api_token: Token,
    pub(crate) message_bytes_max: usize,
    pub(crate) reflection: bool,
    rules: ArcSwap<Rules>,
    pub(crate) invoke: Invoke,
    pub(crate) proxy: Proxy,
    pub(crate) shutdown: Arc<dyn Fn(bool) + Send + Sync>,
    /// Ends what would last.
    pub(crate) stop: CancellationToken,
}

impl Shared {
    /// The rules that hold now. A call takes them once.
    pub(crate) fn rules(&self) -> Arc<Rules> {
        self.rules.load_full()
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
    /// A surface. Serves nothing by itself.
    #[must_use]
    pub fn new(parts: Parts) -> Self {
        Self(Arc::new(Shared {
            blocks: parts.blocks,
            api_token: Token::new(parts.api_token.as_ref()),
            message_bytes_max: parts.message_bytes_max,
            reflection: parts.reflection,
            rules: ArcSwap::from_pointee(parts.rules),
            invoke: parts.invoke,
            proxy: Proxy::new(parts.ways),
            shutdown: parts.shutdown,
            stop: CancellationToken::new(),
        }))
    }

    /// Takes new rules for the calls that come from now on.
    pub fn adopt(&self, rules: Rules) {
        self.0.rules.store(Arc::new(rules));
    }

    /// Ends subscriptions in order: no more events, and the stream when those with the app are answered. Without, an
    /// open one holds up the listener's end.
    pub fn set_draining(&self) {
        self.0.stop.cancel();
    }

    /// The service for a listener. It wants HTTP/2.
    #[must_use]
    pub fn router(&self) -> Router {
        Router::new(&self.0)
    }
    /// The service for the socket by which other apps on this host call. It wants HTTP/2.
    #[must_use]
    pub fn inbound(&self) -> Inbound {
        Inbound::new(&self.0)
    }
}
