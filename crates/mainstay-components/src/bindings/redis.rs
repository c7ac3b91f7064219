//! Keys of Redis: `create` sets one, `get`, `delete` and `increment` do as they say. Tested with Redis 7.0.
//! <https://docs.dapr.io/reference/components-reference/supported-bindings/redis/>

use std::collections::BTreeMap;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use mainstay_core::binding::{Binding, Capabilities, Operation, Outcome, not_supported};
use mainstay_core::{Ctx, Error, Fault, Result, codes};
use redis::{FromRedisValue, Pipeline, RedisError};

use super::{operations, required};
use crate::clients::redis::{self as client, Options, Redis};
use crate::clients::within;
use crate::def::Def;
use crate::settings::Settings;

/// The type.
pub const DEF: Def<dyn Binding> = Def {
    kind: "bindings.redis",
    aliases: &[],
    versions: &["v1"],
    about: "Keys of Redis.",
    settings: &client::SETTINGS,
    check: |settings| parse(settings).1,
    open: |opening| {
        let (options, _) = parse(opening.settings);
        Box::pin(async move {
            let redis = Redis::connect(&options).await.map_err(super::of_client)?;
            Ok(Arc::new(Keys { redis }) as Arc<dyn Binding>)
        })
    },
};

fn parse(settings: &Settings) -> (Options, Vec<Fault>) {
    let mut faults = Vec::new();
    let options = Options::parse(settings, &mut faults);
    (options, faults)
}

struct Keys {
    redis: Redis,
}

impl Keys {
    async fn work(&self, operation: &Operation) -> Result<Option<Outcome>> {
        let key = required(operation, "key")?;
        let mut pipeline = redis::pipe();
        match operation.name.as_str() {
            "create" => {
                pipeline.cmd("SET").arg(key).arg(operation.data.as_ref()).ignore();
                self.send(expiring(pipeline, key, operation)?).await.map(|(): ()| None)
            }
            "increment" => {
                pipeline.cmd("INCR").arg(key).ignore();
                self.send(expiring(pipeline, key, operation)?).await.map(|(): ()| None)
            }
            "delete" => {
                pipeline.cmd("DEL").arg(key).ignore();
                self.send(pipeline).await.map(|(): ()| None)
            }
            "get" => {
                let and_delete = operation.metadata.get("delete").is_some_and(|text| text == "true");
                pipeline.cmd(if and_delete { "GETDEL" } else { "GET" }).arg(key);
                let (data,): (Option<Bytes>,) = self.send(pipeline).await?;
                Ok(Some(Outcome { data: data.unwrap_or_default(), metadata: BTreeMap::new() }))
            }
            other => Err(not_supported(other)),
        }
    }

    async fn send<T: FromRedisValue>(&self, pipeline: Pipeline) -> Result<T> {
        let sent: std::result::Result<T, RedisError> = pipeline.query_async(&mut self.redis.clone()).await;
        sent.map_err(|error| super::of_client(client::failed(error)))
    }
}

/// The commands, and one that ends the key's time where the caller asks for that. Errors: `INVALID_FIELD`.
fn expiring(mut pipeline: Pipeline, key: &str, operation: &Operation) -> Result<Pipeline> {
    if let Some(text) = operation.metadata.get("ttlInSeconds").filter(|text| !text.is_empty()) {
        let seconds = text.parse::<u32>().ok().filter(|seconds| *seconds > 0).ok_or_else(|| {
            let message = "`metadata.ttlInSeconds` must be a whole number of seconds above zero";
            Error::new(&codes::INVALID_FIELD, message).with_field("metadata.ttlInSeconds")
        })?;
        pipeline.cmd("EXPIRE").arg(key).arg(seconds).ignore();
    }
    Ok(pipeline)
}

#[async_trait]
impl Binding for Keys {
    fn capabilities(&self) -> Capabilities {
        Capabilities { operations: operations(&["create", "delete", "get", "increment"]), events: false }
    }

    async fn ready(&self, ctx: &Ctx) -> Result<()> {
        within(ctx, async {
            let mut pipeline = redis::pipe();
            pipeline.cmd("PING").ignore();
            self.send(pipeline).await
        })
        .await
    }

    async fn invoke(&self, ctx: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        within(ctx, self.work(&operation)).await
    }
}
