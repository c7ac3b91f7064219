//! The suite against bindings with a fault each: every fault is caught by the check that is there for it.

use std::sync::Arc;

use async_trait::async_trait;
use futures_util::stream;
use libtest_mimic::{Failed, Trial};
use mainstay_core::binding::{Binding, Capabilities, Event, Operation, Outcome};
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use mainstay_testkit::conformance::bindings::{self as suite, Open, Rig};

use crate::operation;

#[derive(Clone, Copy, PartialEq, Eq)]
enum Fault {
    NotReady,
    OperationFails,
    TakesAnyOperation,
    MissingMetadataIsNotNamed,
    CannotDoAnything,
    EventsThatAreNotDeclared,
    EventsEnd,
}

const FAULTS: [(Fault, &str); 7] = [
    (Fault::NotReady, "it_says_that_it_is_ready"),
    (Fault::OperationFails, "every_declared_operation_works"),
    (Fault::TakesAnyOperation, "an_operation_that_is_not_declared_is_unsupported"),
    (Fault::MissingMetadataIsNotNamed, "metadata_that_is_missing_is_named"),
    (Fault::CannotDoAnything, "what_it_can_do_does_not_change"),
    (Fault::EventsThatAreNotDeclared, "one_without_events_says_so"),
    (Fault::EventsEnd, "an_event_comes_and_is_settled"),
];

pub(crate) fn trials() -> Vec<Trial> {
    FAULTS
        .into_iter()
        .map(|(fault, name)| Trial::test(format!("planted::{name}"), move || caught(fault, name)))
        .collect()
}

fn caught(fault: Fault, name: &str) -> std::result::Result<(), Failed> {
    let check = suite::checks().find(|check| check.name == name).unwrap();
    let open: Open = Arc::new(move |_| Box::pin(async move { Arc::new(Planted(fault)) as Arc<dyn Rig> }));
    match std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| suite::prove(check, open))) {
        Err(_) => Ok(()),
        Ok(()) => Err("the check passes a binding with this fault".into()),
    }
}

struct Planted(Fault);

#[async_trait]
impl Rig for Planted {
    fn binding(&self) -> Arc<dyn Binding> {
        Arc::new(Self(self.0))
    }

    fn samples(&self) -> Vec<Operation> {
        vec![operation("create", "", &[("key", "k")])]
    }

    fn lacking(&self) -> Option<Operation> {
        Some(operation("create", "", &[]))
    }
}

#[async_trait]
impl Binding for Planted {
    fn capabilities(&self) -> Capabilities {
        let operations =
            if self.0 == Fault::CannotDoAnything { Vec::new() } else { vec!["create".to_owned()] };
        Capabilities { operations, events: self.0 == Fault::EventsEnd }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        if self.0 == Fault::NotReady { Err(Error::new(&codes::BINDING_FAILED, "x")) } else { Ok(()) }
    }

    async fn invoke(&self, _: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        let is_known = operation.name == "create";
        if !is_known && self.0 != Fault::TakesAnyOperation {
            return Err(mainstay_core::binding::not_supported(&operation.name));
        }
        if is_known && self.0 == Fault::OperationFails {
            return Err(Error::new(&codes::BINDING_FAILED, "x"));
        }
        if self.0 == Fault::MissingMetadataIsNotNamed && operation.metadata.is_empty() {
            return Err(Error::new(&codes::INVALID_FIELD, "x"));
        }
        Ok(None)
    }

    async fn events(&self, _: &Ctx) -> Result<BoxStream<Result<Event>>> {
        Ok(Box::pin(stream::empty()))
    }
}
