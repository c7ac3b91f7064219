//! Failures of the state API.

use mainstay_core::{Error, Kind, codes};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op<'a> {
    /// One key.
    Get(&'a str),
    /// Several keys.
    GetBulk,
    /// Saving.
    Save,
    /// Deleting one key.
    Delete(&'a str),
    /// Deleting several.
    DeleteBulk,
    /// A transaction.
    Transaction,
    /// A query.
    Query,
}

/// The failure of a call to `store` by `app`. `any_store`: whether there is a state store at all.
#[must_use]
pub fn fault(op: Op<'_>, store: &str, app: &str, any_store: bool, error: &Error) -> Fault {
    let about = |fault: Fault, reason| fault.about(reason, "state", store, app);
    if is_not_found(error) && !any_store {
        let fault = Fault::new(
            500,
            Grpc::FailedPrecondition,
            "ERR_STATE_STORE_NOT_CONFIGURED",
            format!("state store {store} is not configured"),
        );
        return about(fault, "DAPR_STATE_NOT_CONFIGURED");
    }
    if is_not_found(error) {
        let message = format!("state store {store} is not found");
        let fault = Fault::new(400, Grpc::InvalidArgument, "ERR_STATE_STORE_NOT_FOUND", message);
        return about(fault, "DAPR_STATE_NOT_FOUND");
    }
    if error.code() == &codes::INVALID_FIELD && error.field() == Some("key") {
        let fault = Fault::malformed(error.message());
        return about(fault, "DAPR_STATE_ILLEGAL_KEY").with_field("key", error.message());
    }
    if error.kind() == Kind::Unsupported {
        let (what, reason) = match op {
            Op::Query => ("query", "DAPR_STATE_QUERYING_NOT_SUPPORTED"),
            _ => ("transactions", "DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED"),
        };
        let grpc = if op == Op::Query { Grpc::Internal } else { Grpc::Unimplemented };
        let message = format!("state store {store} does not support {what}");
        return about(Fault::new(500, grpc, "ERR_STATE_STORE_NOT_SUPPORTED", message), reason);
    }
    of_operation(op, store, error)
}

fn of_operation(op: Op<'_>, store: &str, error: &Error) -> Fault {
    let why = said(error);
    let (code, message) = match op {
        Op::Get(key) => ("ERR_STATE_GET", format!("fail to get {key} from state store {store}: {why}")),
        Op::GetBulk => ("ERR_STATE_BULK_GET", format!("fail to get keys from state store {store}: {why}")),
        Op::Save => ("ERR_STATE_SAVE", format!("failed saving state in state store {store}: {why}")),
        Op::Delete(key) => ("ERR_STATE_DELETE", format!("failed deleting state with key {key}: {why}")),
        Op::DeleteBulk => {
            ("ERR_STATE_DELETE", format!("failed deleting state in state store {store}: {why}"))
        }
        Op::Transaction => {
            ("ERR_STATE_TRANSACTION", format!("error while executing state transaction: {why}"))
        }
        Op::Query => ("ERR_STATE_QUERY", format!("failed query in state store {store}: {why}")),
    };
    let in_transaction = op == Op::Transaction;
    if error.code() == &codes::ETAG_MISMATCH && !in_transaction {
        return Fault::new(
            409,
            Grpc::Aborted,
            code,
            format!("possible etag mismatch. error from state store: {why}"),
        );
    }
    if error.code() == &codes::ETAG_INVALID && !in_transaction {
        return Fault::new(400, Grpc::InvalidArgument, code, format!("invalid etag value: {why}"));
    }
    if in_transaction && error.field() == Some("operations") {
        let code = "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS";
        return Fault::new(400, Grpc::InvalidArgument, code, message);
    }
    if in_transaction && error.kind() != Kind::InvalidArgument {
        return Fault::new(500, Grpc::Internal, code, message);
    }
    Fault::other(code, message, error)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: Op<'_>, any: bool, error: &Error, expect: (u16, Grpc, &str)) {
        let fault = fault(op, "orders", "app", any, error);
        assert_eq!((fault.http, fault.grpc, fault.code), expect, "{op:?}: {}", fault.message);
    }

    #[test]
    fn statuses_are_the_protocols_own() {
        let missing = Error::new(&codes::COMPONENT_NOT_FOUND, "no store");
        check(Op::Save, true, &missing, (400, Grpc::InvalidArgument, "ERR_STATE_STORE_NOT_FOUND"));
        check(Op::Save, false, &missing, (500, Grpc::FailedPrecondition, "ERR_STATE_STORE_NOT_CONFIGURED"));
        let stale = Error::new(&codes::ETAG_MISMATCH, "changed");
        check(Op::Save, true, &stale, (409, Grpc::Aborted, "ERR_STATE_SAVE"));
        check(Op::Delete("k"), true, &stale, (409, Grpc::Aborted, "ERR_STATE_DELETE"));
        check(Op::Transaction, true, &stale, (500, Grpc::Internal, "ERR_STATE_TRANSACTION"));
        let odd = Error::new(&codes::ETAG_INVALID, "odd");
        check(Op::Save, true, &odd, (400, Grpc::InvalidArgument, "ERR_STATE_SAVE"));
        let key = Error::new(&codes::INVALID_FIELD, "bad key").with_field("key");
        check(Op::Get("a||b"), true, &key, (400, Grpc::InvalidArgument, "ERR_MALFORMED_REQUEST"));
        let cannot = Error::new(&codes::UNSUPPORTED, "cannot");
        check(Op::Query, true, &cannot, (500, Grpc::Internal, "ERR_STATE_STORE_NOT_SUPPORTED"));
        check(Op::Transaction, true, &cannot, (500, Grpc::Unimplemented, "ERR_STATE_STORE_NOT_SUPPORTED"));
        let many = Error::new(&codes::INVALID_FIELD, "many").with_field("operations");
        check(
            Op::Transaction,
            true,
            &many,
            (400, Grpc::InvalidArgument, "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS"),
        );
        let down = Error::new(&codes::STORE_UNAVAILABLE, "down");
        check(Op::Get("k"), true, &down, (500, Grpc::Internal, "ERR_STATE_GET"));
    }

    #[test]
    fn an_illegal_key_has_three_details() {
        let key = Error::new(&codes::INVALID_FIELD, "bad key").with_field("key");
        assert_eq!(fault(Op::Save, "orders", "app", true, &key).details.len(), 3);
    }
}
