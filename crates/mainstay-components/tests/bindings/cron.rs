//! The rig of the schedule: events by themselves, once a second.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::bindings::Def;
use mainstay_core::binding::{Binding, Operation};
use mainstay_testkit::components;
use mainstay_testkit::conformance::bindings::{Open, Rig};

use crate::{Member, Way, clock, no_server};

pub(crate) fn member(def: &'static Def) -> Member {
    let open: Open = Arc::new(move |_| {
        Box::pin(async move {
            let settings = [("schedule", "@every 1s")];
            Arc::new(Cron(
                components::open_with(def, &settings, Path::new("."), &components::NoStores, &clock())
                    .await
                    .unwrap(),
            )) as Arc<dyn Rig>
        })
    });
    Way::new("cron", open).without(no_server()).into()
}

struct Cron(Arc<dyn Binding>);

#[async_trait]
impl Rig for Cron {
    fn binding(&self) -> Arc<dyn Binding> {
        Arc::clone(&self.0)
    }

    fn samples(&self) -> Vec<Operation> {
        Vec::new()
    }
}
