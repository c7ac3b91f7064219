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

/// The failure of a call of `app` to `store`. `any_store`: whether there is a state store at all.
#[must_use]
pub fn fault(op: Op<'_>, store: &str, app: &str, any_store: bool, error: &Error) -> Fault {
    let of_app = [("appID", app)];
    let of_app = if app.is_empty() { &of_app[..0] } else { &of_app };
    if is_not_found(error) && !any_store {
        let message = format!("state store {store} is not configured");
        return Fault::new(500, Grpc::FailedPrecondition, "ERR_STATE_STORE_NOT_CONFIGURED", message)
            .because("DAPR_STATE_NOT_CONFIGURED", of_app);
    }
    if is_not_found(error) {
        let message = format!("state store {store} is not found");
        return Fault::new(400, Grpc::InvalidArgument, "ERR_STATE_STORE_NOT_FOUND", message)
            .because("DAPR_STATE_NOT_FOUND", of_app);
    }
    if error.code() == &codes::INVALID_FIELD && error.field() == Some("key") {
        return Fault::malformed(error.message())
            .with_field(illegal_key(error.message()), error.message())
            .on(KIND, store, "")
            .because("DAPR_STATE_ILLEGAL_KEY", &[]);
    }
    match (op, error.kind()) {
        (Op::Query, Kind::Unsupported) => {
            let message = "state store does not support querying";
            Fault::new(500, Grpc::Internal, "ERR_STATE_STORE_NOT_SUPPORTED", message)
                .on(KIND, store, "")
                .because("DAPR_STATE_QUERYING_NOT_SUPPORTED", &[])
        }
        (_, Kind::Unsupported) => {
            let message = format!("state store {store} doesn't support transactions");
            Fault::new(500, Grpc::Unimplemented, "ERR_STATE_STORE_NOT_SUPPORTED", message)
                .with_help(STORES, "Check the list of state stores and the features they support")
                .on(KIND, store, "")
                .because("DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED", &[])
        }
        (Op::Query, _) => query_failed(store, &said(error)),
        _ => of_operation(op, store, error),
    }
}

/// The key that a message about an illegal one names.
fn illegal_key(message: &str) -> &str {
    let key = message
        .strip_prefix("input key/keyPrefix '")
        .and_then(|rest| rest.strip_suffix("' can't contain '||'"));
    key.unwrap_or("key")
}

/// An option that no store takes. What a store says of it, callers hear as a failure of the store.
#[must_use]
pub fn refused(op: Op<'_>, store: &str, why: &str) -> Fault {
    let (code, message) = told(op, store, why);
    Fault::new(500, Grpc::Internal, code, message)
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

/// The code of an operation's failure, and what is said of it.
fn told(op: Op<'_>, store: &str, why: &str) -> (&'static str, String) {
    match op {
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
    }
}

fn of_operation(op: Op<'_>, store: &str, error: &Error) -> Fault {
    let why = said(error);
    let in_transaction = op == Op::Transaction;
    let of_etag = [&codes::ETAG_MISMATCH, &codes::ETAG_INVALID].contains(&error.code());
    if of_etag && !in_transaction {
        let (http, grpc, what) = if error.code() == &codes::ETAG_MISMATCH {
            (409, Grpc::Aborted, "possible etag mismatch. error from state store")
        } else {
            (400, Grpc::InvalidArgument, "invalid etag value")
        };
        let (code, message) = told(op, store, &format!("{what}: {why}"));
        return Fault::new(http, grpc, code, message);
    }
    if in_transaction && error.field() == Some("operations") {
        let code = "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS";
        return Fault::new(400, Grpc::InvalidArgument, code, error.message())
            .on(KIND, store, "")
            .because("DAPR_STATE_TOO_MANY_TRANSACTIONS", &[]);
    }
    let (code, message) = told(op, store, &why);
    let is_late = error.kind() == Kind::Timeout && !in_transaction;
    Fault::new(500, if is_late { Grpc::DeadlineExceeded } else { Grpc::Internal }, code, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(op: Op<'_>, any: bool, error: &Error, expect: (u16, Grpc, &str)) {
        let fault = fault(op, "orders", "shop", any, error);
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
        let ttl = Error::new(&codes::INVALID_FIELD, "no number").with_field("metadata.ttlInSeconds");
        check(Op::Save, true, &ttl, (500, Grpc::Internal, "ERR_STATE_SAVE"));
        let late = Error::new(&codes::DEADLINE_EXCEEDED, "late");
        check(Op::Save, true, &late, (500, Grpc::DeadlineExceeded, "ERR_STATE_SAVE"));
    }

    #[test]
    fn messages_say_what_was_asked_for_before_what_went_wrong() {
        let stale = Error::new(&codes::ETAG_MISMATCH, "changed");
        let said = |op| fault(op, "orders", "shop", true, &stale).message;
        let mismatch = "possible etag mismatch. error from state store: changed";
        assert_eq!(said(Op::Save), format!("failed saving state in state store orders: {mismatch}"));
        assert_eq!(said(Op::Delete("k")), format!("failed deleting state with key k: {mismatch}"));
    }

    #[test]
    fn who_asks_a_store_that_is_not_there_is_named() {
        let missing = Error::new(&codes::COMPONENT_NOT_FOUND, "no store");
        for any in [true, false] {
            let details = fault(Op::Save, "orders", "shop", any, &missing).json()["details"].clone();
            assert_eq!(details[0]["metadata"], serde_json::json!({"appID": "shop"}));
        }
    }

    #[test]
    fn an_illegal_key_has_three_details_the_first_of_which_names_it() {
        let why = "input key/keyPrefix 'a||b' can't contain '||'";
        let key = Error::new(&codes::INVALID_FIELD, why).with_field("key");
        let details = fault(Op::Save, "orders", "shop", true, &key).json()["details"].clone();
        assert_eq!(details.as_array().map(Vec::len), Some(3));
        assert_eq!(details[0]["field_violations"][0]["field"], "a||b");
    }
}
