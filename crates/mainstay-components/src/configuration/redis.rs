//! Configuration in Redis, in the layout of Dapr's `configuration.redis` v1: a string a key, `VALUE` or
//! `VALUE||VERSION`. Changes are Redis' own keyspace notifications, which it tells to whoever is connected. A cluster
//! tells each node's keys apart, so one server is needed. Tested with Redis 7.0.
//! <https://docs.dapr.io/reference/components-reference/supported-configuration-stores/redis-configuration-store/>

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use futures_util::{StreamExt as _, stream};
use mainstay_core::configuration::{ConfigurationStore, Item, Items};
use mainstay_core::{BoxStream, Ctx, Fault, Result};
use redis::aio::PubSub;
use redis::{ErrorKind, RedisError, Value};
use tokio::sync::mpsc;

use super::{CHANGES_MAX, ITEMS_MAX, PING_INTERVAL, cut, too_many};
use crate::clients::redis::{self as client, Options, Redis};
use crate::clients::within;
use crate::def::Def;
use crate::settings::{Settings, fault};

/// The type.
pub const DEF: Def<dyn ConfigurationStore> = Def {
    kind: "configuration.redis",
    aliases: &[],
    versions: &["v1"],
    about: "Redis: one server.",
    settings: &client::SETTINGS,
    check: |settings| parse(settings).1,
    open: |opening| {
        let (options, _) = parse(opening.settings);
        Box::pin(async move {
            let redis = Redis::connect(&options).await?;
            Ok(Arc::new(Store { redis, options }) as Arc<dyn ConfigurationStore>)
        })
    },
};

fn parse(settings: &Settings) -> (Options, Vec<Fault>) {
    let mut faults = Vec::new();
    let options = Options::parse(settings, &mut faults);
    if options.is_cluster() {
        let message =
            "`redisType` must be `node`: a cluster does not tell of changes in one place".to_owned();
        faults.push(fault("redisType", message, Some("name one server")));
    }
    (options, faults)
}

/// Between a value and its version.
const SEPARATOR: &str = "||";
/// Keys of one round trip.
const KEYS_AT_ONCE: usize = 500;
/// The setting of the server that says which changes it tells of.
const NOTIFY: &str = "notify-keyspace-events";

struct Store {
    redis: Redis,
    options: Options,
}

impl Store {
    /// The keys that there are.
    async fn keys(redis: &Redis) -> Result<Vec<String>> {
        let (mut keys, mut cursor) = (BTreeSet::new(), 0_u64);
        loop {
            let mut scan = redis::cmd("SCAN");
            scan.arg(cursor).arg("COUNT").arg(KEYS_AT_ONCE);
            let (next, found): (u64, Vec<Value>) =
                scan.query_async(&mut redis.clone()).await.map_err(client::failed)?;
            // A key that is no text is nothing that could be asked for.
            keys.extend(found.into_iter().filter_map(|key| redis::from_redis_value::<String>(key).ok()));
            if keys.len() > ITEMS_MAX {
                return Err(too_many());
            }
            cursor = next;
            if cursor == 0 {
                return Ok(keys.into_iter().collect());
            }
        }
    }

    async fn read(redis: &Redis, keys: &[String]) -> Result<Items> {
        let mut items = Items::new();
        for keys in keys.chunks(KEYS_AT_ONCE) {
            let mut get = redis::cmd("MGET");
            get.arg(keys);
            // What is no string, or not there, is nil.
            let values: Vec<Option<Vec<u8>>> =
                get.query_async(&mut redis.clone()).await.map_err(client::failed)?;
            let found = keys.iter().zip(values);
            items.extend(found.filter_map(|(key, value)| Some((key.clone(), item(&value?)?))));
        }
        Ok(items)
    }
}

/// The item that a value holds; none for an empty one.
fn item(value: &[u8]) -> Option<Item> {
    let text = String::from_utf8_lossy(value);
    let mut parts = text.split(SEPARATOR).map(str::to_owned);
    let value = parts.next().filter(|value| !value.is_empty())?;
    Some(Item { value, version: parts.next().unwrap_or_default(), metadata: BTreeMap::new() })
}

/// Has the server tell of changes. One that does not let us may be set so already.
async fn have_told(redis: &Redis) -> Result<()> {
    let mut ask = redis::cmd("CONFIG");
    let said: std::result::Result<Vec<String>, RedisError> =
        ask.arg("GET").arg(NOTIFY).query_async(&mut redis.clone()).await;
    let said = match said {
        Ok(said) => said.into_iter().nth(1).unwrap_or_default(),
        Err(error) if error.kind() == ErrorKind::Io => return Err(client::failed(error)),
        Err(_) => return Ok(()),
    };
    let wanted = ['K', 'A'].into_iter().filter(|flag| !said.contains(*flag));
    let flags: String = said.chars().chain(wanted).collect();
    if flags != said {
        let mut set = redis::cmd("CONFIG");
        set.arg("SET").arg(NOTIFY).arg(flags);
        let _: std::result::Result<(), RedisError> = set.query_async(&mut redis.clone()).await;
    }
    Ok(())
}

/// Listens for keys that change until nobody takes them any more, or the connection is cut.
async fn listen(subscribed: PubSub, prefix: String, keys: mpsc::Sender<String>) {
    let (mut sink, mut messages) = subscribed.split();
    let mut ping = tokio::time::interval(PING_INTERVAL);
    loop {
        tokio::select! {
            message = messages.next() => {
                let Some(message) = message else { return };
                let Some(key) = message.get_channel_name().strip_prefix(&prefix).map(str::to_owned) else { continue };
                // Where nobody takes them in time, the watch begins anew and reads.
                if keys.try_send(key).is_err() {
                    return;
                }
            }
            _ = ping.tick() => {
                let answered = tokio::time::timeout(PING_INTERVAL, sink.ping::<Value>()).await;
                if !matches!(answered, Ok(Ok(_))) {
                    return;
                }
            }
            () = keys.closed() => return,
        }
    }
}

#[async_trait]
impl ConfigurationStore for Store {
    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        let ping = async {
            let answer: std::result::Result<(), RedisError> =
                redis::cmd("PING").query_async(&mut self.redis.clone()).await;
            answer.map_err(client::failed)
        };
        within(ctx, ping).await
    }

    async fn get(&self, ctx: &Ctx, keys: &[String], _: &BTreeMap<String, String>) -> Result<Items> {
        let read = async {
            if keys.is_empty() {
                let all = Self::keys(&self.redis).await?;
                return Self::read(&self.redis, &all).await;
            }
            Self::read(&self.redis, keys).await
        };
        within(ctx, read).await
    }

    async fn watch(
        &self,
        ctx: &Ctx,
        keys: &[String],
        _: &BTreeMap<String, String>,
    ) -> Result<BoxStream<Result<Items>>> {
        let prefix = format!("__keyspace@{}__:", self.options.database());
        let subscribe = async {
            have_told(&self.redis).await?;
            let mut subscribed = client::subscriber(&self.options).await?;
            let joined = if keys.is_empty() {
                subscribed.psubscribe(format!("{prefix}*")).await
            } else {
                let channels: Vec<String> = keys.iter().map(|key| format!("{prefix}{key}")).collect();
                subscribed.subscribe(channels).await
            };
            joined.map_err(client::failed)?;
            Ok(subscribed)
        };
        let subscribed = within(ctx, subscribe).await?;
        let (tell, told) = mpsc::channel(CHANGES_MAX);
        tokio::spawn(listen(subscribed, prefix, tell));
        let redis = self.redis.clone();
        Ok(Box::pin(stream::unfold(Some((told, redis)), |going| async move {
            let (mut told, redis) = going?;
            let mut keys = Vec::new();
            if told.recv_many(&mut keys, CHANGES_MAX).await == 0 {
                return Some((Err(cut()), None));
            }
            // The newest value of each: a change of several was told several times.
            let keys: Vec<String> = keys.into_iter().collect::<BTreeSet<_>>().into_iter().collect();
            match Self::read(&redis, &keys).await {
                Ok(mut items) => {
                    for key in keys {
                        items.entry(key).or_default();
                    }
                    Some((Ok(items), Some((told, redis))))
                }
                Err(error) => Some((Err(error), None)),
            }
        })))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_may_have_a_version_behind_it() {
        let check = |text: &str, expect: Option<(&str, &str)>| {
            let found = item(text.as_bytes());
            let found = found.as_ref().map(|item| (item.value.as_str(), item.version.as_str()));
            assert_eq!(found, expect, "{text}");
        };
        check("on", Some(("on", "")));
        check("on||7", Some(("on", "7")));
        check("a|b||1||x", Some(("a|b", "1")));
        check("", None);
        check("||7", None);
    }
}
