//! Failures of the bindings API.

use mainstay_core::{Error, codes};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// The failure of an operation of the binding `name`. Whatever it is, its status is the same.
#[must_use]
pub fn fault(name: &str, error: &Error) -> Fault {
    let why = if is_not_found(error) { format!("couldn't find output binding {name}") } else { said(error) };
    let grpc =
        if error.code() == &codes::DEADLINE_EXCEEDED { Grpc::DeadlineExceeded } else { Grpc::Internal };
    let message = format!("error invoking output binding {name}: {why}");
    Fault::new(500, grpc, "ERR_INVOKE_OUTPUT_BINDING", message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_are_the_protocols_own() {
        let check = |error: Error, says: &str| {
            let fault = fault("mail", &error);
            assert_eq!(
                (fault.http, fault.grpc, fault.code),
                (500, Grpc::Internal, "ERR_INVOKE_OUTPUT_BINDING")
            );
            assert!(fault.message.contains(says), "{}", fault.message);
        };
        check(Error::new(&codes::COMPONENT_NOT_FOUND, "x"), "couldn't find output binding mail");
        check(Error::new(&codes::UNSUPPORTED, "no such operation"), "no such operation");
        check(Error::new(&codes::BINDING_FAILED, "down"), "down");
    }
}
