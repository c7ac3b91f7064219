//! Failures of the pub/sub API.

use mainstay_core::{Error, Kind, codes};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// The kind of resource that a broker is.
const KIND: &str = "pubsub";

/// The failure of publishing to `topic` of `pubsub` by `app`.
#[must_use]
pub fn fault(pubsub: &str, topic: &str, app: &str, error: &Error) -> Fault {
    if is_not_found(error) {
        return not_found(pubsub);
    }
    let on_broker = |fault: Fault| {
        let message = fault.message.clone();
        fault.on(KIND, pubsub, &message)
    };
    let about = [("topic", topic), ("error", error.message())];
    if error.code() == &codes::INVALID_JSON {
        let code = "ERR_PUBSUB_CLOUD_EVENTS_SER";
        return on_broker(Fault::new(500, Grpc::InvalidArgument, code, "cannot create cloudevent"))
            .because("DAPR_PUBSUB_CLOUD_EVENT_CREATION", &[("appID", app), ("error", error.message())]);
    }
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

/// The same whether there are other brokers or none.
fn not_found(pubsub: &str) -> Fault {
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

/// An entry of a bulk publish whose event is not what its content type says, over HTTP.
#[must_use]
pub fn unfit(pubsub: &str, topic: &str, app: &str, why: &str) -> Fault {
    let message =
        format!("error when marshalling cloud event envelope for topic {topic} pubsub {pubsub}: {why}");
    of_entries(pubsub, app, why, message, "DAPR_PUBSUB_MARSHAL_ENVELOPE")
}

/// Entries of a bulk publish that cannot be told apart.
#[must_use]
pub fn ambiguous(pubsub: &str, topic: &str, app: &str) -> Fault {
    let why = "entryId is duplicated or not present for entry";
    let message = format!("error marshaling events to bytes for topic {topic} pubsub {pubsub}. error: {why}");
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
        let check = |error: Error, expect: (u16, Grpc, &str)| {
            let fault = fault("bus", "t", "app", &error);
            assert_eq!((fault.http, fault.grpc, fault.code), expect, "{}", fault.message);
        };
        let missing = || Error::new(&codes::COMPONENT_NOT_FOUND, "no broker");
        check(missing(), (404, Grpc::InvalidArgument, "ERR_PUBSUB_NOT_FOUND"));
        let nameless = fault("", "t", "app", &missing());
        assert_eq!((nameless.grpc, nameless.code), (Grpc::InvalidArgument, "ERR_PUBSUB_EMPTY"));
        let field = |name: &str| Error::new(&codes::INVALID_FIELD, "x").with_field(name);
        check(field("topic"), (404, Grpc::InvalidArgument, "ERR_TOPIC_NAME_EMPTY"));
        check(field("metadata"), (400, Grpc::InvalidArgument, "ERR_PUBSUB_REQUEST_METADATA"));
        let denied = Error::new(&codes::PERMISSION_DENIED, "x");
        check(denied, (403, Grpc::PermissionDenied, "ERR_PUBSUB_FORBIDDEN"));
        let down = Error::new(&codes::BROKER_UNAVAILABLE, "x");
        check(down, (500, Grpc::Internal, "ERR_PUBSUB_PUBLISH_MESSAGE"));
        let no_event = Error::new(&codes::INVALID_JSON, "x");
        check(no_event, (500, Grpc::InvalidArgument, "ERR_PUBSUB_CLOUD_EVENTS_SER"));
    }
}
