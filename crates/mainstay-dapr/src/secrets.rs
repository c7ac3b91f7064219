//! Failures of the secrets API.

use mainstay_core::{Error, Kind};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// The failure of reading `key` (all secrets without) from `store`. `any`: whether there is a secret store at all.
#[must_use]
pub fn fault(store: &str, key: Option<&str>, any: bool, error: &Error) -> Fault {
    if is_not_found(error) && !any {
        let message = "secret store is not configured";
        return Fault::new(500, Grpc::FailedPrecondition, "ERR_SECRET_STORES_NOT_CONFIGURED", message);
    }
    if is_not_found(error) {
        let message = format!("failed finding secret store with key {store}");
        return Fault::new(401, Grpc::InvalidArgument, "ERR_SECRET_STORE_NOT_FOUND", message);
    }
    if error.kind() == Kind::PermissionDenied {
        let key = key.unwrap_or_default();
        let message = format!("access denied by policy to get \"{key}\" from \"{store}\"");
        return Fault::new(403, Grpc::PermissionDenied, "ERR_PERMISSION_DENIED", message);
    }
    let message = match key {
        Some(key) => {
            format!("failed getting secret with key {key} from secret store {store}: {}", said(error))
        }
        None => format!("failed getting secrets from secret store {store}: {}", said(error)),
    };
    Fault::new(500, Grpc::Internal, "ERR_SECRET_GET", message)
}

#[cfg(test)]
mod tests {
    use mainstay_core::codes;

    use super::*;

    #[test]
    fn statuses_are_the_protocols_own() {
        let check = |any: bool, error: Error, expect: (u16, Grpc, &str)| {
            let fault = fault("vault", Some("k"), any, &error);
            assert_eq!((fault.http, fault.grpc, fault.code), expect, "{}", fault.message);
        };
        let missing = || Error::new(&codes::COMPONENT_NOT_FOUND, "no store");
        check(true, missing(), (401, Grpc::InvalidArgument, "ERR_SECRET_STORE_NOT_FOUND"));
        check(false, missing(), (500, Grpc::FailedPrecondition, "ERR_SECRET_STORES_NOT_CONFIGURED"));
        let denied = Error::new(&codes::PERMISSION_DENIED, "x");
        check(true, denied, (403, Grpc::PermissionDenied, "ERR_PERMISSION_DENIED"));
        let gone = Error::new(&codes::SECRET_UNAVAILABLE, "x");
        check(true, gone, (500, Grpc::Internal, "ERR_SECRET_GET"));
    }
}
