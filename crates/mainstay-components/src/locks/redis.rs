//! Locks in Redis, in the layout of Dapr's `lock.redis` v1: a string a lock, its value the owner, its time to live the
//! lock's. Sound on one server; one that fails over to a replica can forget a lock, as Redis says of itself. Tested
//! with Redis 7.0. <https://docs.dapr.io/reference/components-reference/supported-locks/redis-lock/>

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use mainstay_core::lock::{LockStore, Unlocked};
use mainstay_core::{Ctx, Fault, Result};
use redis::{RedisError, Script};

use crate::clients::redis::{self as client, Options, Redis};
use crate::clients::within;
use crate::def::Def;
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn LockStore> = Def {
    kind: "lock.redis",
    aliases: &[],
    versions: &["v1"],
    about: "Redis: one server, or a cluster.",
    settings: &client::SETTINGS,
    check: |settings| parse(settings).1,
    open: |opening| {
        let (options, _) = parse(opening.settings);
        Box::pin(async move {
            let redis = Redis::connect(&options).await?;
            Ok(Arc::new(Store(redis)) as Arc<dyn LockStore>)
        })
    },
};

fn parse(settings: &Settings) -> (Options, Vec<Fault>) {
    let mut faults = Vec::new();
    let options = Options::parse(settings, &mut faults);
    (options, faults)
}

/// Looks and removes in one step: between two, the lock could end and become another's.
const UNLOCK: &str = "
local owner = redis.call('GET', KEYS[1])
if not owner then return 'free' end
if owner ~= ARGV[1] then return 'other' end
redis.call('DEL', KEYS[1])
return 'done'
";

static UNLOCKING: LazyLock<Script> = LazyLock::new(|| Script::new(UNLOCK));

/// A hundred years: beyond that Redis takes no time.
const TIME_MS_MAX: u128 = 100 * 365 * 24 * 3_600_000;

struct Store(Redis);

#[async_trait]
impl LockStore for Store {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let ping = async {
            let answer: std::result::Result<(), RedisError> =
                redis::cmd("PING").query_async(&mut self.0.clone()).await;
            answer.map_err(client::failed)
        };
        within(ctx, ping).await
    }

    async fn try_lock(&self, ctx: &Ctx, name: &str, owner: &str, time: Duration) -> Result<bool> {
        let time_ms = time.as_millis().clamp(1, TIME_MS_MAX).to_string();
        let set = async {
            let mut command = redis::cmd("SET");
            command.arg(name).arg(owner).arg("NX").arg("PX").arg(time_ms);
            let made: Option<String> =
                command.query_async(&mut self.0.clone()).await.map_err(client::failed)?;
            Ok(made.is_some())
        };
        within(ctx, set).await
    }

    async fn unlock(&self, ctx: &Ctx, name: &str, owner: &str) -> Result<Unlocked> {
        let unlock = async {
            let mut call = UNLOCKING.prepare_invoke();
            call.key(name).arg(owner);
            let said: String = call.invoke_async(&mut self.0.clone()).await.map_err(client::failed)?;
            Ok(match said.as_str() {
                "done" => Unlocked::Done,
                "other" => Unlocked::HeldByAnother,
                _ => Unlocked::NotHeld,
            })
        };
        within(ctx, unlock).await
    }
}
