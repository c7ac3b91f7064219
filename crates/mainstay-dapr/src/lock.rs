//! Failures of the lock API, and how it tells what giving a lock back came to.

use mainstay_core::lock::Unlocked;
use mainstay_core::{Error, Kind};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// What was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Op {
    /// Taking a lock.
    TryLock,
    /// Giving it back.
    Unlock,
}

/// The status of an answer, in both formats.
#[must_use]
pub fn status(unlocked: Unlocked) -> i32 {
    match unlocked {
        Unlocked::Done => 0,
        Unlocked::NotHeld => 1,
        Unlocked::HeldByAnother => 2,
    }
}

/// The failure of a call to `store`. `any`: whether there is a lock store at all.
#[must_use]
pub fn fault(op: Op, store: &str, any: bool, error: &Error) -> Fault {
    if is_not_found(error) && !any {
        let message = "lock store is not configured";
        return Fault::new(500, Grpc::FailedPrecondition, "ERR_LOCK_STORE_NOT_CONFIGURED", message);
    }
    if is_not_found(error) {
        let message = format!("lock store {store} not found");
        return Fault::new(400, Grpc::InvalidArgument, "ERR_LOCK_STORE_NOT_FOUND", message);
    }
    if error.kind() == Kind::InvalidArgument && error.field().is_some() {
        return Fault::malformed(&format!("{} in lock store {store}", error.message()));
    }
    match op {
        Op::TryLock => {
            let message = format!("failed to try acquiring lock: {}", said(error));
            Fault::new(500, Grpc::Internal, "ERR_TRY_LOCK", message)
        }
        Op::Unlock => {
            let message = format!("failed to release lock: {}", said(error));
            Fault::new(500, Grpc::Internal, "ERR_UNLOCK", message)
        }
    }
}

#[cfg(test)]
mod tests {
    use mainstay_core::codes;

    use super::*;

    #[test]
    fn statuses_are_the_protocols_own() {
        let check = |op: Op, any: bool, error: Error, expect: (u16, Grpc, &str)| {
            let fault = fault(op, "locks", any, &error);
            assert_eq!((fault.http, fault.grpc, fault.code), expect, "{}", fault.message);
        };
        let missing = || Error::new(&codes::COMPONENT_NOT_FOUND, "no store");
        check(Op::TryLock, true, missing(), (400, Grpc::InvalidArgument, "ERR_LOCK_STORE_NOT_FOUND"));
        check(Op::Unlock, false, missing(), (500, Grpc::FailedPrecondition, "ERR_LOCK_STORE_NOT_CONFIGURED"));
        let field = Error::new(&codes::INVALID_FIELD, "LockOwner is empty").with_field("lockOwner");
        check(Op::Unlock, true, field, (400, Grpc::InvalidArgument, "ERR_MALFORMED_REQUEST"));
        let illegal = || Error::new(&codes::INVALID_FIELD, "illegal");
        check(Op::TryLock, true, illegal(), (500, Grpc::Internal, "ERR_TRY_LOCK"));
        let gone = Error::new(&codes::STORE_UNAVAILABLE, "x");
        check(Op::Unlock, true, gone, (500, Grpc::Internal, "ERR_UNLOCK"));
    }
}
