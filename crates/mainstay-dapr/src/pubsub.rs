//! Failures of the pub/sub API.

use mainstay_core::{Error, Kind};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// The failure of publishing to `topic` of `pubsub` by `app`. `any`: whether there is a broker at all.
#[must_use]
pub fn fault(pubsub: &str, topic: &str, app: &str, any: bool, error: &Error) -> Fault {
    let about = |fault: Fault, reason| fault.about(reason, "pubsub", pubsub, app);
    if is_not_found(error) && !any {
        let fault = Fault::new(
            400,
            Grpc::FailedPrecondition,
            "ERR_PUBSUB_NOT_CONFIGURED",
            format!("pubsub {pubsub} is not configured"),
        );
        return about(fault, "DAPR_PUBSUB_NOT_CONFIGURED");
    }
    if is_not_found(error) {
        let message = format!("pubsub {pubsub} is not found");
        let fault = Fault::new(404, Grpc::InvalidArgument, "ERR_PUBSUB_NOT_FOUND", message);
        return about(fault, "DAPR_PUBSUB_NOT_FOUND");
    }
    match (error.kind(), error.field()) {
        (Kind::InvalidArgument, Some("topic")) => {
            let message = format!("topic is empty in pubsub {pubsub}");
            about(
                Fault::new(404, Grpc::InvalidArgument, "ERR_TOPIC_NAME_EMPTY", message),
                "DAPR_PUBSUB_TOPIC_NAME_EMPTY",
            )
        }
        (Kind::InvalidArgument, Some("metadata")) => {
            let fault =
                Fault::new(400, Grpc::InvalidArgument, "ERR_PUBSUB_REQUEST_METADATA", error.message());
            about(fault, "DAPR_PUBSUB_METADATA_DESERIALIZATION")
        }
        (Kind::PermissionDenied, _) => {
            let message = format!("topic {topic} is not allowed for app id {app}");
            about(
                Fault::new(403, Grpc::PermissionDenied, "ERR_PUBSUB_FORBIDDEN", message),
                "DAPR_PUBSUB_FORBIDDEN",
            )
        }
        _ => {
            let message = format!("error when publish to topic {topic} in pubsub {pubsub}: {}", said(error));
            about(
                Fault::new(500, Grpc::Internal, "ERR_PUBSUB_PUBLISH_MESSAGE", message),
                "DAPR_PUBSUB_PUBLISH_MESSAGE",
            )
        }
    }
}

/// Entries of a bulk publish that cannot be told apart or read.
#[must_use]
pub fn unreadable(pubsub: &str, topic: &str, app: &str, why: &str) -> Fault {
    let message = format!("error when unmarshaling the request for topic {topic} pubsub {pubsub}: {why}");
    Fault::new(400, Grpc::InvalidArgument, "ERR_PUBSUB_EVENTS_SER", message).about(
        "DAPR_PUBSUB_UNMARSHAL_EVENTS",
        "pubsub",
        pubsub,
        app,
    )
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
        let field = |name: &str| Error::new(&codes::INVALID_FIELD, "x").with_field(name);
        check(true, field("topic"), (404, Grpc::InvalidArgument, "ERR_TOPIC_NAME_EMPTY"));
        check(true, field("metadata"), (400, Grpc::InvalidArgument, "ERR_PUBSUB_REQUEST_METADATA"));
        let denied = Error::new(&codes::PERMISSION_DENIED, "x");
        check(true, denied, (403, Grpc::PermissionDenied, "ERR_PUBSUB_FORBIDDEN"));
        let down = Error::new(&codes::BROKER_UNAVAILABLE, "x");
        check(true, down, (500, Grpc::Internal, "ERR_PUBSUB_PUBLISH_MESSAGE"));
    }
}
