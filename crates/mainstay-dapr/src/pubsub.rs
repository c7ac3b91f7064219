//! Failures of the pub/sub API.

use mainstay_core::{Error, Kind};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// The kind of resource that a broker is.
const KIND: &str = "pubsub";

/// The failure of publishing to `topic` of `pubsub` by `app`. `any`: whether there is a broker at all.
#[must_use]
pub fn fault(pubsub: &str, topic: &str, app: &str, any: bool, error: &Error) -> Fault {
    if is_not_found(error) {
        return not_found(pubsub, any);
    }
    let on_broker = |fault: Fault| {
        let message = fault.message.clone();
        fault.on(KIND, pubsub, &message)
    };
    let about = [("topic", topic), ("error", error.message())];
    match (error.kind(), error.field()) {
        (Kind::InvalidArgument, Some("topic")) => {
            let message = format!("topic is empty in pubsub {pubsub}");
            on_broker(Fault::new(404, Grpc::InvalidArgument, "ERR_TOPIC_NAME_EMPTY", message))
                .because("DAPR_PUBSUB_TOPIC_NAME_EMPTY", &[])
        }
        (Kind::InvalidArgument, Some("metadata")) => {
            let code = "ERR_PUBSUB_REQUEST_METADATA";
            on_broker(Fault::new(400, Grpc::InvalidArgument, code, error.message()))
                .because("DAPR_PUBSUB_METADATA_DESERIALIZATION", &[])
        }
        (Kind::PermissionDenied, _) => {
            let message = format!("topic {topic} is not allowed for app id {app}");
            on_broker(Fault::new(403, Grpc::PermissionDenied, "ERR_PUBSUB_FORBIDDEN", message))
                .because("DAPR_PUBSUB_FORBIDDEN", &about)
        }
        _ => {
            let message =
                format!("error when publishing to topic {topic} in pubsub {pubsub}: {}", said(error));
            on_broker(Fault::new(500, Grpc::Internal, "ERR_PUBSUB_PUBLISH_MESSAGE", message))
                .because("DAPR_PUBSUB_PUBLISH_MESSAGE", &about)
        }
    }
}

fn not_found(pubsub: &str, any: bool) -> Fault {
    if !any {
        let message = format!("pubsub {pubsub} is not configured");
        return Fault::new(400, Grpc::FailedPrecondition, "ERR_PUBSUB_NOT_CONFIGURED", message)
            .because("DAPR_PUBSUB_NOT_CONFIGURED", &[]);
    }
    if pubsub.is_empty() {
        let message = "pubsub name is empty";
        return Fault::new(404, Grpc::InvalidArgument, "ERR_PUBSUB_EMPTY", message)
            .on(KIND, pubsub, message)
            .because("DAPR_PUBSUB_NAME_EMPTY", &[]);
    }
    Fault::new(404, Grpc::InvalidArgument, "ERR_PUBSUB_NOT_FOUND", format!("pubsub {pubsub} is not found"))
        .because("DAPR_PUBSUB_NOT_FOUND", &[])
}

/// A bulk publish whose body cannot be read, over HTTP.
#[must_use]
pub fn unreadable(pubsub: &str, topic: &str, app: &str, why: &str) -> Fault {
    let message = format!("error when unmarshaling the request for topic {topic} pubsub {pubsub}: {why}");
    of_entries(pubsub, app, why, message, "DAPR_PUBSUB_UNMARSHAL_EVENTS")
}

/// Entries of a bulk publish that cannot be told apart.
#[must_use]
pub fn ambiguous(pubsub: &str, topic: &str, app: &str) -> Fault {
    let why = "an entry has no `entryId`, or one that another has";
    let message = format!("error marshaling events to bytes for topic {topic} pubsub {pubsub}: {why}");
    of_entries(pubsub, app, why, message, "DAPR_PUBSUB_MARSHAL_EVENTS")
}

fn of_entries(pubsub: &str, app: &str, why: &str, message: String, reason: &'static str) -> Fault {
    let on = message.clone();
    Fault::new(400, Grpc::InvalidArgument, "ERR_PUBSUB_EVENTS_SER", message)
        .on(KIND, pubsub, &on)
        .because(reason, &[("appID", app), ("error", why)])
}

#[cfg(test)]
mod tests {
    use mainstay_core::codes;

    use super::*;

    #[test]
    fn statuses_are_the_protocols_own() {
        let check = |any: bool, error: Error, expect: (u16, Grpc, &str)| {
            let fault = fault("bus", "t", "app", any, &error);
            assert_eq!((fault.http, fault.grpc, fault.code), expect, "{}", fault.message);
        };
        let missing = || Error::new(&codes::COMPONENT_NOT_FOUND, "no broker");
        check(true, missing(), (404, Grpc::InvalidArgument, "ERR_PUBSUB_NOT_FOUND"));
        check(false, missing(), (400, Grpc::FailedPrecondition, "ERR_PUBSUB_NOT_CONFIGURED"));
        let nameless = fault("", "t", "app", true, &missing());
        assert_eq!((nameless.grpc, nameless.code), (Grpc::InvalidArgument, "ERR_PUBSUB_EMPTY"));
        let field = |name: &str| Error::new(&codes::INVALID_FIELD, "x").with_field(name);
        check(true, field("topic"), (404, Grpc::InvalidArgument, "ERR_TOPIC_NAME_EMPTY"));
        check(true, field("metadata"), (400, Grpc::InvalidArgument, "ERR_PUBSUB_REQUEST_METADATA"));
        let denied = Error::new(&codes::PERMISSION_DENIED, "x");
        check(true, denied, (403, Grpc::PermissionDenied, "ERR_PUBSUB_FORBIDDEN"));
        let down = Error::new(&codes::BROKER_UNAVAILABLE, "x");
        check(true, down, (500, Grpc::Internal, "ERR_PUBSUB_PUBLISH_MESSAGE"));
    }
}
