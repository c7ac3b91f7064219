//! Failures of the conversation API.

use mainstay_core::message::Role;
use mainstay_core::{Error, Kind};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// The role that a message of the older form has.
#[must_use]
pub fn role(name: &str) -> Role {
    match name {
        "system" => Role::System,
        "assistant" | "ai" => Role::Assistant,
        _ => Role::User,
    }
}

/// The failure of asking `component`.
#[must_use]
pub fn fault(component: &str, error: &Error) -> Fault {
    if is_not_found(error) {
        let message = format!("failed finding conversation component {component}");
        return Fault::new(400, Grpc::InvalidArgument, "ERR_CONVERSATION_NOT_FOUND", message);
    }
    let message = format!("failed conversing with component {component}: {}", said(error));
    match (error.kind(), error.field()) {
        (Kind::InvalidArgument, Some("inputs")) => {
            Fault::new(400, Grpc::InvalidArgument, "ERR_CONVERSATION_MISSING_INPUTS", message)
        }
        (Kind::InvalidArgument, Some(_)) => {
            Fault::new(400, Grpc::InvalidArgument, "ERR_CONVERSATION_INVALID_PARMS", message)
        }
        _ => Fault::new(500, Grpc::Internal, "ERR_CONVERSATION_INVOKE", message),
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::codes;

    use super::*;

    #[test]
    fn statuses_are_the_protocols_own() {
        let check = |error: Error, expect: (u16, Grpc, &str)| {
            let fault = fault("llm", &error);
            assert_eq!((fault.http, fault.grpc, fault.code), expect, "{}", fault.message);
        };
        let missing = Error::new(&codes::COMPONENT_NOT_FOUND, "none");
        check(missing, (400, Grpc::InvalidArgument, "ERR_CONVERSATION_NOT_FOUND"));
        let field = |name: &str| Error::new(&codes::INVALID_FIELD, "x").with_field(name);
        check(field("inputs"), (400, Grpc::InvalidArgument, "ERR_CONVERSATION_MISSING_INPUTS"));
        check(field("tool_choice"), (400, Grpc::InvalidArgument, "ERR_CONVERSATION_INVALID_PARMS"));
        let down = Error::new(&codes::PROVIDER_UNAVAILABLE, "x");
        check(down, (500, Grpc::Internal, "ERR_CONVERSATION_INVOKE"));
    }
}
