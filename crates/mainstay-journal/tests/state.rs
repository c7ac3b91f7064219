//! The embedded state store keeps every promise of the port: with its defaults, and with bounds so small that segments,
//! blobs and view commits all change within each check.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Arguments;
use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded as _;
use mainstay_core::state::{Capabilities, Change, Entry, Page, Query, StateStore};
use mainstay_core::{Ctx, Result};
use mainstay_journal::{EmbeddedOptions, Stores};
use mainstay_testkit::conformance::state::{OUTAGES, Open, Rig, trials};

fn main() {
    let no_server: Vec<_> = OUTAGES.iter().map(|check| (check.name, "it has no server")).collect();
    let mut all = trials("embedded", &open(|options| options), &no_server);
    all.extend(trials("embedded-small", &open(small), &no_server));
    libtest_mimic::run(&Arguments::from_args(), all).exit();
}

fn small(options: EmbeddedOptions) -> EmbeddedOptions {
    EmbeddedOptions {
        segment_bytes: 64 * 1024,
        inline_bytes_max: 200,
        view_delay: Duration::from_millis(1),
        recent_bytes_max: 4 * 1024,
        care_interval: Duration::from_millis(5),
        ..options
    }
}

fn open(bounds: fn(EmbeddedOptions) -> EmbeddedOptions) -> Open {
    Arc::new(move |_| {
        Box::pin(async move {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let clock = Arc::new(ManualClock::at(1_700_000_000_000));
            let stores = Stores::new(bounds(EmbeddedOptions::new(folder.path())), clock.clone());
            Arc::new(Inside(Arc::new((stores, folder)), clock)) as Arc<dyn Rig>
        })
    })
}

/// What must outlive every store: a check may keep a store and let the rig go.
type Ground = Arc<(Stores, tempfile::TempDir)>;

struct Inside(Ground, Arc<ManualClock>);

#[async_trait]
impl Rig for Inside {
    fn store(&self) -> Arc<dyn StateStore> {
        let store = self.0.0.state_store("rig").expect("the store opens");
        Arc::new(Grounded { store, _ground: self.0.clone() })
    }

    async fn again(&self) -> Option<Arc<dyn StateStore>> {
        Some(self.store())
    }

    async fn tick(&self) {
        self.1.advance(100);
    }
}

struct Grounded {
    store: Arc<dyn StateStore>,
    _ground: Ground,
}

#[async_trait]
impl StateStore for Grounded {
    fn capabilities(&self) -> Capabilities {
        self.store.capabilities()
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        self.store.ready(ctx).await
    }

    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        self.store.get(ctx, key).await
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        self.store.apply(ctx, change).await
    }

    async fn get_many(&self, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
        self.store.get_many(ctx, keys).await
    }

    async fn apply_each(&self, ctx: &Ctx, changes: Vec<Change>) -> Vec<Result<()>> {
        self.store.apply_each(ctx, changes).await
    }

    async fn transact(&self, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        self.store.transact(ctx, changes).await
    }

    async fn scan(&self, ctx: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        self.store.scan(ctx, prefix, token, limit).await
    }

    async fn query(&self, ctx: &Ctx, query: Query) -> Result<Page> {
        self.store.query(ctx, query).await
    }
}
