//! Events at the times of a schedule. What falls due while nobody listens, or while the process is down, does not come
//! later. <https://docs.dapr.io/reference/components-reference/supported-bindings/cron/>

mod schedule;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_stream::stream;
use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::binding::{Binding, Capabilities, Event, Receipt};
use mainstay_core::{BoxStream, Clock, Ctx, Fault, Result};

use crate::def::{Def, SettingDef};
use crate::settings::Settings;
use schedule::Schedule;

/// The type.
pub const DEF: Def<dyn Binding> = Def {
    kind: "bindings.cron",
    aliases: &[],
    versions: &["v1"],
    about: "Events at the times of a schedule.",
    settings: &[SettingDef {
        name: "schedule",
        about: "Five fields (minute, hour, day, month, weekday), or six with seconds first; `@every 15s`; `@hourly`, \
                `@daily`, `@weekly`, `@monthly`, `@yearly`. In the host's time zone, or in that of a `CRON_TZ=Europe/Oslo` \
                before it.",
        required: true,
        secret: false,
    }],
    check: |settings| parse(settings).1,
    open: |opening| {
        let (schedule, _) = parse(opening.settings);
        let clock = Arc::clone(opening.clock);
        Box::pin(async move {
            // Settings that were checked have a schedule.
            let schedule = schedule.unwrap_or(Schedule::Every(Duration::from_secs(3_600)));
            Ok(Arc::new(Cron { schedule, clock }) as Arc<dyn Binding>)
        })
    },
};

/// Longest wait without a look at the clock, which somebody may have set.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

fn parse(settings: &Settings) -> (Option<Schedule>, Vec<Fault>) {
    let mut faults = Vec::new();
    settings.require(&["schedule"], &mut faults);
    let wanted = "a schedule such as `*/15 * * * * *`, `0 3 * * 1` or `@every 1m`";
    let schedule = settings.read("schedule", wanted, Schedule::parse, &mut faults);
    (schedule, faults)
}

struct Cron {
    schedule: Schedule,
    clock: Arc<dyn Clock>,
}

#[async_trait]
impl Binding for Cron {
    fn capabilities(&self) -> Capabilities {
        Capabilities { operations: Vec::new(), events: true }
    }

    async fn ready(&self, _ctx: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn events(&self, _ctx: &Ctx) -> Result<BoxStream<Result<Event>>> {
        let (schedule, clock) = (self.schedule.clone(), Arc::clone(&self.clock));
        Ok(Box::pin(stream! {
            let mut last = clock.now_ms();
            while let Some(due) = schedule.next(last) {
                let mut now = clock.now_ms();
                while now < due {
                    tokio::time::sleep(Duration::from_millis(due - now).min(LOOK_INTERVAL)).await;
                    now = clock.now_ms();
                }
                // Times that were missed, because nobody took the one before, are one.
                last = now;
                yield Ok(event(now));
            }
        }))
    }
}

fn event(now_ms: u64) -> Event {
    let metadata = BTreeMap::from([
        ("timeZone".to_owned(), "Local".to_owned()),
        ("readTimeUTC".to_owned(), schedule::in_utc(now_ms)),
    ]);
    Event { data: Bytes::new(), metadata, receipt: Box::new(Nothing) }
}

/// There is nothing to settle: a tick that failed does not come again.
struct Nothing;

#[async_trait]
impl Receipt for Nothing {
    async fn done(self: Box<Self>, _answer: Bytes) -> Result<()> {
        Ok(())
    }

    async fn failed(self: Box<Self>, _why: &str) -> Result<()> {
        Ok(())
    }
}
