//! Configuration. A watch is a stream whose first message says its id; it ends with the stream.

use std::collections::BTreeMap;

use futures_util::{StreamExt as _, stream};
use mainstay_blocks::configuration;
use mainstay_core::Error;
use mainstay_core::configuration::Items;
use mainstay_dapr::configuration::Op;
use mainstay_proto::common::v1::ConfigurationItem;
use mainstay_proto::runtime::v1 as wire;
use tonic::Status;
use tonic::codegen::BoxStream;

use crate::call::{self, Call, Result};

type Update = wire::SubscribeConfigurationResponse;

pub(crate) async fn get(
    call: &Call,
    asked: wire::GetConfigurationRequest,
) -> Result<wire::GetConfigurationResponse> {
    let wire::GetConfigurationRequest { store_name: store, keys, metadata } = asked;
    let read = configuration::get(call.blocks(), &call.ctx, &store, &keys, &metadata).await;
    let items = read.map_err(|error| failed(call, Op::Get, &store, &keys, &error))?;
    Ok(wire::GetConfigurationResponse { items: shown(items) })
}

pub(crate) async fn subscribe(
    call: &Call,
    asked: wire::SubscribeConfigurationRequest,
) -> Result<BoxStream<Update>> {
    let wire::SubscribeConfigurationRequest { store_name: store, keys, metadata } = asked;
    let opened = configuration::watch(call.blocks(), &call.ctx, &store, keys.clone(), metadata).await;
    let watch = opened.map_err(|error| failed(call, Op::Subscribe, &store, &keys, &error))?;
    let first = Update { id: watch.id().to_owned(), items: BTreeMap::new() };
    let updates = stream::unfold(watch, |mut watch| async move {
        let items = watch.next().await?;
        Some((Ok(Update { id: watch.id().to_owned(), items: shown(items) }), watch))
    });
    Ok(Box::pin(stream::iter([Ok(first)]).chain(updates)))
}

pub(crate) async fn unsubscribe(
    call: &Call,
    asked: wire::UnsubscribeConfigurationRequest,
) -> Result<wire::UnsubscribeConfigurationResponse> {
    let wire::UnsubscribeConfigurationRequest { store_name: store, id } = asked;
    let ended = configuration::unwatch(call.blocks(), &store, &id);
    let ok = ended.map_err(|error| failed(call, Op::Subscribe, &store, &[], &error))?;
    let message = if ok { String::new() } else { mainstay_dapr::configuration::no_watch(&id) };
    Ok(wire::UnsubscribeConfigurationResponse { ok, message })
}

fn shown(items: Items) -> BTreeMap<String, ConfigurationItem> {
    let item = |(key, item): (String, mainstay_core::configuration::Item)| {
        (key, ConfigurationItem { value: item.value, version: item.version, metadata: item.metadata })
    };
    items.into_iter().map(item).collect()
}

fn failed(call: &Call, op: Op, store: &str, keys: &[String], error: &Error) -> Status {
    let any = !call.blocks().table().configuration.is_empty();
    call::failed(&mainstay_dapr::configuration::fault(op, store, keys, any, error), error)
}
