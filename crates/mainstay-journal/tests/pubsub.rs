//! The embedded broker keeps every promise of the port: with its defaults, and with bounds so small that segments and
//! blobs change within each check and space is given back all the time.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use libtest_mimic::Arguments;
use mainstay_core::clock::ManualClock;
use mainstay_core::embedded::Embedded as _;
use mainstay_core::pubsub::PubSub;
use mainstay_journal::{EmbeddedOptions, Stores};
use mainstay_testkit::conformance::pubsub::{OUTAGES, Open, Rig, trials};
use parking_lot::Mutex;

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
        retained_bytes: 0,
        care_interval: Duration::from_millis(5),
        ..options
    }
}

fn open(bounds: fn(EmbeddedOptions) -> EmbeddedOptions) -> Open {
    Arc::new(move |_| {
        Box::pin(async move {
            let folder = tempfile::tempdir().expect("a temporary folder");
            let clock = Arc::new(ManualClock::at(1_700_000_000_000));
            let options = bounds(EmbeddedOptions::new(folder.path()));
            let stores = Mutex::new(Stores::new(options.clone(), clock.clone()));
            Arc::new(Inside { stores, options, clock, _folder: folder }) as Arc<dyn Rig>
        })
    })
}

struct Inside {
    stores: Mutex<Stores>,
    options: EmbeddedOptions,
    clock: Arc<ManualClock>,
    _folder: tempfile::TempDir,
}

#[async_trait]
impl Rig for Inside {
    fn broker(&self) -> Arc<dyn PubSub> {
        self.stores.lock().pubsub("rig").expect("the broker opens")
    }

    async fn again(&self) -> Option<Arc<dyn PubSub>> {
        Some(self.broker())
    }

    async fn restarted(&self) -> Option<Arc<dyn PubSub>> {
        let mut stores = self.stores.lock();
        stores.close();
        *stores = Stores::new(self.options.clone(), self.clock.clone());
        drop(stores);
        Some(self.broker())
    }

    async fn tick(&self) {
        self.clock.advance(100);
    }
}
