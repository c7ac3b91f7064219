//! State in Redis, in the layout of Dapr's `state.redis` v1: a hash a key, with the fields `data` and `version`; the
//! etag is the version. Linearizable on one server; a failover of a cluster can lose the last changes, as Redis says of
//! itself. Durable as far as the server's own settings make it so. Tested with Redis 7.0.
//! <https://docs.dapr.io/reference/components-reference/supported-state-stores/setup-redis/>

use std::sync::{Arc, LazyLock};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::state::{Capabilities, Change, Entry, Page, Precondition, RESERVED, StateStore};
use mainstay_core::{Clock, Ctx, Error, Fault, Result, codes};
use redis::{Pipeline, RedisError, Script, ScriptInvocation};

use crate::clients::redis::{self as client, Options, Redis};
use crate::clients::within;
use crate::def::{Def, SettingDef, joined};
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn StateStore> = Def {
    kind: "state.redis",
    aliases: &[],
    versions: &["v1"],
    about: "Redis: one server, or a cluster.",
    settings: &SETTINGS,
    check: |settings| parse(settings).1,
    open: |opening| {
        let (options, _) = parse(opening.settings);
        let clock = Arc::clone(opening.clock);
        Box::pin(async move {
            let redis = Redis::connect(&options.client).await?;
            Ok(Arc::new(Store { redis, clock, ttl: options.ttl }) as Arc<dyn StateStore>)
        })
    },
};

const SETTINGS: [SettingDef; 18] = joined(
    &client::SETTINGS,
    &[SettingDef {
        name: "ttlInSeconds",
        about: "How long a value lives whose request does not say so; for ever by default.",
        required: false,
        secret: false,
    }],
);

/// Changes of one run of the script, which nothing else runs beside on the server.
const CHANGES_MAX: usize = 1_000;

struct Settled {
    client: Options,
    ttl: Option<Duration>,
}

fn parse(settings: &Settings) -> (Settled, Vec<Fault>) {
    let mut faults = Vec::new();
    let client = Options::parse(settings, &mut faults);
    let ttl = settings.number::<i64>("ttlInSeconds", &mut faults);
    let ttl = ttl.and_then(|seconds| u64::try_from(seconds).ok()).filter(|seconds| *seconds > 0);
    (Settled { client, ttl: ttl.map(Duration::from_secs) }, faults)
}

static CHANGES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("redis.lua")));

struct Store {
    redis: Redis,
    clock: Arc<dyn Clock>,
    ttl: Option<Duration>,
}

/// Data, version, and milliseconds to live, as one read gives them.
type Fields = ((Option<Bytes>, Option<String>), i64);

fn ask(pipeline: &mut Pipeline, key: &str) {
    pipeline.cmd("HMGET").arg(key).arg("data").arg("version").cmd("PTTL").arg(key);
}

impl Store {
    fn entry(&self, ((data, version), left_ms): Fields) -> Option<Entry> {
        let left_ms = u64::try_from(left_ms).ok();
        let expires_at_ms = left_ms.map(|left| self.clock.now_ms().saturating_add(left));
        Some(Entry { value: data?, etag: version.unwrap_or_else(|| "0".to_owned()), expires_at_ms })
    }

    /// What is under the keys, in one round trip.
    async fn read(&self, keys: &[String]) -> std::result::Result<Vec<Option<Entry>>, RedisError> {
        // The client refuses a pipeline of nothing.
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let mut pipeline = Pipeline::with_capacity(2 * keys.len());
        keys.iter().for_each(|key| ask(&mut pipeline, key));
        let answers: Vec<redis::Value> = pipeline.query_async(&mut self.redis.clone()).await?;
        let pairs = answers
            .chunks_exact(2)
            .map(|pair| redis::from_redis_value::<Fields>(redis::Value::Array(pair.to_vec())));
        Ok(pairs
            .collect::<std::result::Result<Vec<_>, _>>()?
            .into_iter()
            .map(|fields| self.entry(fields))
            .collect())
    }

    /// Makes changes in one run of the script. Which of them were made; `all` for either all or none.
    async fn make(&self, all: bool, changes: &[Change]) -> Result<Vec<bool>> {
        let mut call = CHANGES.prepare_invoke();
        call.arg(if all { "all" } else { "each" });
        call.arg(if self.redis.is_cluster() { "" } else { RESERVED });
        for change in changes {
            self.add(&mut call, change);
        }
        let made: Vec<u8> = call.invoke_async(&mut self.redis.clone()).await.map_err(client::failed)?;
        Ok(made.into_iter().map(|made| made == 1).collect())
    }

    fn add(&self, call: &mut ScriptInvocation<'_>, change: &Change) {
        let condition = match change.precondition() {
            Precondition::None => "",
            Precondition::Absent => "absent",
            Precondition::Etag(etag) => etag,
        };
        call.key(change.key());
        match change {
            Change::Set { value, ttl, .. } => {
                let default = self.ttl.filter(|_| !change.key().starts_with(RESERVED));
                let ttl_ms = ttl.or(default).map_or(0, |ttl| ttl.as_millis().clamp(1, TTL_MS_MAX));
                call.arg("set").arg(condition).arg(ttl_ms.to_string()).arg(value.as_ref());
            }
            Change::Delete { .. } => {
                call.arg("delete").arg(condition).arg("0").arg("");
            }
        }
    }

    /// A page of the list of reserved keys. What has outlived its time is still in the list and is passed over.
    async fn list(&self, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        let mut after = token.map_or_else(|| format!("[{prefix}"), |token| format!("({token}"));
        // No character of a key is encoded with this byte.
        let end = [b"(", prefix.as_bytes(), b"\xff"].concat();
        loop {
            let mut ask = redis::cmd("ZRANGEBYLEX");
            ask.arg(RESERVED).arg(&after).arg(&end[..]).arg("LIMIT").arg(0).arg(limit);
            let keys: Vec<String> = ask.query_async(&mut self.redis.clone()).await.map_err(client::failed)?;
            let next = keys.last().filter(|_| keys.len() >= limit && limit > 0).cloned();
            let found = self.read(&keys).await.map_err(client::failed)?;
            let entries: Vec<_> =
                keys.into_iter().zip(found).filter_map(|(key, entry)| Some((key, entry?))).collect();
            match next {
                Some(last) if entries.is_empty() => after = format!("({last}"),
                token => return Ok(Page { entries, token }),
            }
        }
    }

    /// Makes changes that do not depend on each other; those that the check refuses do not reach the server.
    async fn make_each(&self, changes: Vec<Change>) -> Vec<Result<()>> {
        let mut outcomes: Vec<Result<()>> = changes.iter().map(check).collect();
        let (at, sound): (Vec<usize>, Vec<Change>) = changes
            .into_iter()
            .enumerate()
            .filter(|(at, _)| outcomes.get(*at).is_some_and(Result::is_ok))
            .unzip();
        for (at, changes) in at.chunks(CHANGES_MAX).zip(sound.chunks(CHANGES_MAX)) {
            let made = self.make(false, changes).await;
            for (index, (at, change)) in at.iter().zip(changes).enumerate() {
                let outcome = match &made {
                    Ok(made) if made.get(index).copied().unwrap_or_default() => Ok(()),
                    Ok(_) => Err(changed(change)),
                    Err(error) => Err(same(error)),
                };
                if let Some(place) = outcomes.get_mut(*at) {
                    *place = outcome;
                }
            }
        }
        outcomes
    }
}

/// A hundred years: beyond that Redis takes no time.
const TTL_MS_MAX: u128 = 100 * 365 * 24 * 3_600_000;

#[async_trait]
impl StateStore for Store {
    fn capabilities(&self) -> Capabilities {
        Capabilities {
            transaction_changes_max: Some(CHANGES_MAX),
            scan: false,
            // The list is one key, and a cluster runs a script on the keys of one slot alone.
            scan_reserved: !self.redis.is_cluster(),
            query: false,
            durable: true,
        }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let ping = async {
            let answer: std::result::Result<(), RedisError> =
                redis::cmd("PING").query_async(&mut self.redis.clone()).await;
            answer.map_err(client::failed)
        };
        within(ctx, ping).await
    }

    async fn get(&self, ctx: &Ctx, key: &str) -> Result<Option<Entry>> {
        let read = async {
            let mut pipeline = Pipeline::with_capacity(2);
            ask(&mut pipeline, key);
            let fields: Fields =
                pipeline.query_async(&mut self.redis.clone()).await.map_err(client::failed)?;
            Ok(self.entry(fields))
        };
        within(ctx, read).await
    }

    async fn apply(&self, ctx: &Ctx, change: Change) -> Result<()> {
        check(&change)?;
        let made = within(ctx, self.make(false, std::slice::from_ref(&change))).await?;
        if made.first() == Some(&true) { Ok(()) } else { Err(changed(&change)) }
    }

    async fn get_many(&self, ctx: &Ctx, keys: &[String]) -> Vec<Result<Option<Entry>>> {
        if keys.len() > 1 && !self.redis.is_cluster() {
            let read = within(ctx, async { self.read(keys).await.map_err(client::failed) }).await;
            if let Ok(found) = read {
                return found.into_iter().map(Ok).collect();
            }
        }
        // One key of another type fails the whole round trip, and a cluster has no such thing: each by itself.
        futures_util::future::join_all(keys.iter().map(|key| self.get(ctx, key))).await
    }

    async fn apply_each(&self, ctx: &Ctx, changes: Vec<Change>) -> Vec<Result<()>> {
        if self.redis.is_cluster() {
            let mut outcomes = Vec::with_capacity(changes.len());
            for change in changes {
                outcomes.push(self.apply(ctx, change).await);
            }
            return outcomes;
        }
        let count = changes.len();
        match within(ctx, async { Ok(self.make_each(changes).await) }).await {
            Ok(outcomes) => outcomes,
            Err(late) => (0..count).map(|_| Err(same(&late))).collect(),
        }
    }

    async fn scan(&self, ctx: &Ctx, prefix: &str, token: Option<&str>, limit: usize) -> Result<Page> {
        if !prefix.starts_with(RESERVED) || self.redis.is_cluster() {
            return Err(Error::new(&codes::UNSUPPORTED, "this state store cannot list its keys"));
        }
        within(ctx, self.list(prefix, token, limit)).await
    }

    async fn transact(&self, ctx: &Ctx, changes: Vec<Change>) -> Result<()> {
        if changes.len() > CHANGES_MAX {
            let message = format!("make {} changes at once: the store takes {CHANGES_MAX}", changes.len());
            return Err(Error::new(&codes::INVALID_FIELD, message));
        }
        changes.iter().try_for_each(check)?;
        if changes.is_empty() {
            return Ok(());
        }
        let made = within(ctx, self.make(true, &changes)).await?;
        match changes.iter().zip(made).find(|(_, made)| !made) {
            Some((change, _)) => Err(changed(change)),
            None => Ok(()),
        }
    }
}

/// Whether an etag can be a version.
fn check(change: &Change) -> Result<()> {
    match change.precondition() {
        Precondition::Etag(etag) if etag.is_empty() || !etag.bytes().all(|byte| byte.is_ascii_digit()) => {
            let message = format!("change `{}`: its etag is no number", change.key());
            Err(Error::new(&codes::ETAG_INVALID, message))
        }
        _ => Ok(()),
    }
}

fn changed(change: &Change) -> Error {
    Error::new(&codes::ETAG_MISMATCH, format!("change `{}`: it was changed meanwhile", change.key()))
}

/// The failure of a call that was of several changes, for each of them.
fn same(error: &Error) -> Error {
    Error::new(error.code(), error.message())
        .with_internal(error.internal().unwrap_or_default())
        .with_retry(error.retry())
}
