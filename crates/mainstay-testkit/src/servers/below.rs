//! What is below a rig: a place on a server that others use too, or servers of its own, which can be taken away.

use std::sync::Arc;

use async_trait::async_trait;

use super::{Recipe, Server};

/// What a check needs below what it tests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// A namespace of its own on a server that others use too.
    Namespace,
    /// A server of its own, which it will take away.
    Server,
}

/// What can be taken away.
#[async_trait]
pub trait Outage: Send + Sync {
    /// Ends it: nobody answers at its address.
    async fn stop(&self);

    /// Starts it again at the same address, with its data. Only after [`Outage::stop`].
    async fn start(&self);

    /// Freezes it: it takes calls and does not answer.
    async fn freeze(&self) {
        panic!("what is below cannot be frozen");
    }

    /// Lets it go on.
    async fn thaw(&self) {
        panic!("what is below cannot be frozen");
    }
}

/// What is a rig's own: nothing where it shares a server. It ends with the last of its clones.
#[derive(Clone, Default)]
pub struct Below(Option<Arc<dyn Outage>>);

impl std::fmt::Debug for Below {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.0.is_some() { "Below(its own)" } else { "Below(nothing)" })
    }
}

impl Below {
    /// These servers, which are taken away together.
    #[must_use]
    pub fn of(servers: Vec<Server>) -> Self {
        Self(Some(Arc::new(Servers(servers.into()))))
    }

    /// Something else.
    #[must_use]
    pub fn with(own: Arc<dyn Outage>) -> Self {
        Self(Some(own))
    }

    fn own(&self) -> &dyn Outage {
        self.0.as_deref().expect("this rig has no server to take away")
    }
}

/// Of [`Below`] nothing can be taken away where there is nothing.
#[async_trait]
impl Outage for Below {
    async fn stop(&self) {
        self.own().stop().await;
    }

    async fn start(&self) {
        self.own().start().await;
    }

    async fn freeze(&self) {
        self.own().freeze().await;
    }

    async fn thaw(&self) {
        self.own().thaw().await;
    }
}

struct Servers(Arc<[Server]>);

impl Servers {
    async fn each(&self, act: fn(&Server)) {
        let servers = Arc::clone(&self.0);
        let acted = tokio::task::spawn_blocking(move || servers.iter().for_each(act));
        acted.await.expect("the servers do as they are told");
    }
}

#[async_trait]
impl Outage for Servers {
    async fn stop(&self) {
        self.each(Server::stop).await;
    }

    async fn start(&self) {
        self.each(Server::start).await;
    }

    async fn freeze(&self) {
        self.each(Server::freeze).await;
    }

    async fn thaw(&self) {
        self.each(Server::thaw).await;
    }
}

impl Recipe {
    /// What a check needs: `shared` says where on the server that others use too; `own` where on a new one at this
    /// port, which is the check's alone.
    ///
    /// # Panics
    /// As [`Recipe::start`].
    pub async fn place<P: Send + 'static>(
        &'static self,
        need: Need,
        shared: fn() -> P,
        own: fn(u16) -> P,
    ) -> (P, Below) {
        let placed = tokio::task::spawn_blocking(move || match need {
            Need::Namespace => (shared(), Below::default()),
            Need::Server => {
                let server = self.start();
                (own(server.port()), Below::of(vec![server]))
            }
        });
        placed.await.expect("the server starts")
    }
}
