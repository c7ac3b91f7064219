//! Failures of the state API.

use mainstay_core::{Error, Kind, codes};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// The kind of resource that a state store is.
const KIND: &str = "state";

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

/// Which stores can what.
const STORES: &str = "https://docs.dapr.io/reference/components-reference/supported-state-stores/";

/// The failure of a call to `store`. `any_store`: whether there is a state store at all.
#[must_use]
pub fn fault(op: Op<'_>, store: &str, any_store: bool, error: &Error) -> Fault {
    if is_not_found(error) && !any_store {
        let message = format!("state store {store} is not configured");
        return Fault::new(500, Grpc::FailedPrecondition, "ERR_STATE_STORE_NOT_CONFIGURED", message)
            .because("DAPR_STATE_NOT_CONFIGURED", &[]);
    }
    if is_not_found(error) {
        let message = format!("state store {store} is not found");
        return Fault::new(400, Grpc::InvalidArgument, "ERR_STATE_STORE_NOT_FOUND", message)
            .because("DAPR_STATE_NOT_FOUND", &[]);
    }
    if error.code() == &codes::INVALID_FIELD && error.field() == Some("key") {
        return Fault::malformed(error.message())
            .with_field("key", error.message())
            .on(KIND, store, "")
            .because("DAPR_STATE_ILLEGAL_KEY", &[]);
    }
    match (op, error.kind()) {
        (Op::Query, Kind::Unsupported) => {
            let message = format!("state store {store} does not support querying");
            Fault::new(500, Grpc::Internal, "ERR_STATE_STORE_NOT_SUPPORTED", message)
                .on(KIND, store, "")
                .because("DAPR_STATE_QUERYING_NOT_SUPPORTED", &[])
        }
        (_, Kind::Unsupported) => {
            let message = format!("state store {store} does not support transactions");
            Fault::new(500, Grpc::Unimplemented, "ERR_STATE_STORE_NOT_SUPPORTED", message)
                .with_help(STORES, "what each state store can do")
                .on(KIND, store, "")
                .because("DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED", &[])
        }
        (Op::Query, _) => query_failed(store, &said(error)),
        _ => of_operation(op, store, error),
    }
}

/// The failure of a query: of one that cannot be read, or of the store.
#[must_use]
pub fn query_failed(store: &str, why: &str) -> Fault {
    Fault::new(500, Grpc::Internal, "ERR_STATE_QUERY", format!("state store {store} query failed: {why}"))
        .on(KIND, store, "")
        .because("DAPR_STATE_QUERY_FAILED", &[])
}

/// A transaction's operation that is neither `upsert` nor `delete`.
#[must_use]
pub fn unknown_operation(operation: &str) -> Fault {
    let message = format!("operation type {operation} not supported");
    Fault::new(400, Grpc::Unimplemented, "ERR_NOT_SUPPORTED_STATE_OPERATION", message)
}

fn of_operation(op: Op<'_>, store: &str, error: &Error) -> Fault {
    let why = said(error);
    let (code, message) = match op {
        Op::Get(key) => ("ERR_STATE_GET", format!("fail to get {key} from state store {store}: {why}")),
        Op::GetBulk => ("ERR_STATE_BULK_GET", format!("fail to get keys from state store {store}: {why}")),
        Op::Save => ("ERR_STATE_SAVE", format!("failed saving state in state store {store}: {why}")),
        Op::Delete(key) => ("ERR_STATE_DELETE", format!("failed deleting state with key {key}: {why}")),
        Op::DeleteBulk => {
            ("ERR_STATE_BULK_DELETE", format!("failed deleting state in state store {store}: {why}"))
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
        return Fault::new(400, Grpc::InvalidArgument, code, message)
            .on(KIND, store, "")
            .because("DAPR_STATE_TOO_MANY_TRANSACTIONS", &[]);
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
        let fault = fault(op, "orders", any, error);
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
        check(Op::DeleteBulk, true, &stale, (409, Grpc::Aborted, "ERR_STATE_BULK_DELETE"));
        let down = Error::new(&codes::STORE_UNAVAILABLE, "down");
        check(Op::Query, true, &down, (500, Grpc::Internal, "ERR_STATE_QUERY"));
        check(Op::Get("k"), true, &down, (500, Grpc::Internal, "ERR_STATE_GET"));
    }

    #[test]
    fn an_illegal_key_has_three_details() {
        let key = Error::new(&codes::INVALID_FIELD, "bad key").with_field("key");
        assert_eq!(fault(Op::Save, "orders", true, &key).details.len(), 3);
    }
}
