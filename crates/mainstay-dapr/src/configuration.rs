//! Failures of the configuration API.

use mainstay_core::callback::ConfigurationChange;
use mainstay_core::configuration::Item;
use mainstay_core::{Error, codes};
use serde_json::{Value, json};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Reading.
    Get,
    /// Watching.
    Subscribe,
}

/// The failure of a call to `store` about `keys`. `any`: whether there is a configuration store at all.
#[must_use]
pub fn fault(op: Op, store: &str, keys: &[String], any: bool, error: &Error) -> Fault {
    if is_not_found(error) && !any {
        let (code, message) =
            ("ERR_CONFIGURATION_STORE_NOT_CONFIGURED", "configuration stores not configured");
        return Fault::new(500, Grpc::FailedPrecondition, code, message);
    }
    if is_not_found(error) {
        let message = format!("configuration store {store} not found");
        return Fault::new(400, Grpc::InvalidArgument, "ERR_CONFIGURATION_STORE_NOT_FOUND", message);
    }
    if error.code() == &codes::APP_UNAVAILABLE {
        let message = "app channel is not initialized. cannot subscribe to configuration updates";
        return Fault::new(500, Grpc::Internal, "ERR_APP_CHANNEL_NIL", message);
    }
    let (keys, why) = (keys.join(" "), said(error));
    match op {
        Op::Get => {
            let message = format!("failed to get [{keys}] from Configuration store {store}: {why}");
            Fault::new(500, Grpc::Internal, "ERR_CONFIGURATION_GET", message)
        }
        Op::Subscribe => {
            let message = format!("failed to subscribe [{keys}] from Configuration store {store}: {why}");
            Fault::new(500, Grpc::InvalidArgument, "ERR_CONFIGURATION_SUBSCRIBE", message)
        }
    }
}

/// An item as JSON has it: what is empty is left out.
#[must_use]
pub fn shown(item: &Item) -> Value {
    let mut shown = json!({"metadata": item.metadata});
    for (name, text) in [("value", &item.value), ("version", &item.version)] {
        if !text.is_empty() {
            shown[name] = text.as_str().into();
        }
    }
    shown
}

/// A change as the app is told of it: JSON, in UTF-8.
#[must_use]
pub fn change(change: &ConfigurationChange) -> Vec<u8> {
    let items: serde_json::Map<String, Value> =
        change.items.iter().map(|(key, item)| (key.clone(), shown(item))).collect();
    json!({"id": change.id, "items": items}).to_string().into_bytes()
}

/// What is said of a watch that is not there and was to be ended.
#[must_use]
pub fn no_watch(id: &str) -> String {
    format!("failed to unsubscribe to configuration request {id}: subscription with id {id} does not exist")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_the_protocols_own() {
        let check = |op: Op, any: bool, error: Error, expect: (u16, Grpc, &str)| {
            let fault = fault(op, "conf", &["a".to_owned()], any, &error);
            assert_eq!((fault.http, fault.grpc, fault.code), expect, "{}", fault.message);
        };
        let missing = || Error::new(&codes::COMPONENT_NOT_FOUND, "no store");
        let not_found = (400, Grpc::InvalidArgument, "ERR_CONFIGURATION_STORE_NOT_FOUND");
        check(Op::Get, true, missing(), not_found);
        let not_configured = (500, Grpc::FailedPrecondition, "ERR_CONFIGURATION_STORE_NOT_CONFIGURED");
        check(Op::Subscribe, false, missing(), not_configured);
        let down = || Error::new(&codes::STORE_UNAVAILABLE, "x");
        check(Op::Get, true, down(), (500, Grpc::Internal, "ERR_CONFIGURATION_GET"));
        check(Op::Subscribe, true, down(), (500, Grpc::InvalidArgument, "ERR_CONFIGURATION_SUBSCRIBE"));
        let alone = Error::new(&codes::APP_UNAVAILABLE, "x");
        check(Op::Subscribe, true, alone, (500, Grpc::Internal, "ERR_APP_CHANNEL_NIL"));
    }
}
