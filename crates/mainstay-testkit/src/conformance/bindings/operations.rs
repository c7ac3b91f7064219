//! What goes out.

use mainstay_core::binding::Operation;

use super::{Need, Open, ctx, is_code, promises};

promises! {
    it_says_that_it_is_ready,
    every_declared_operation_works,
    an_operation_that_is_not_declared_is_unsupported,
    metadata_that_is_missing_is_named,
    what_it_can_do_does_not_change,
}

async fn it_says_that_it_is_ready(open: Open) {
    let rig = open(Need::Namespace).await;
    rig.binding().ready(&ctx()).await.unwrap_or_else(|e| panic!("it is ready: {e:?}"));
}

async fn every_declared_operation_works(open: Open) {
    let rig = open(Need::Namespace).await;
    let (binding, samples) = (rig.binding(), rig.samples());
    for name in binding.capabilities().operations {
        assert!(samples.iter().any(|sample| sample.name == name), "the rig has no sample of `{name}`");
    }
    for sample in samples {
        let name = sample.name.clone();
        let done = binding.invoke(&ctx(), sample).await;
        done.unwrap_or_else(|e| panic!("`{name}` works: {e:?}"));
    }
}

async fn an_operation_that_is_not_declared_is_unsupported(open: Open) {
    let rig = open(Need::Namespace).await;
    let binding = rig.binding();
    for name in ["no-such-operation", ""] {
        // Metadata of any kind, so that it is the name that is refused.
        let metadata = rig.samples().into_iter().flat_map(|sample| sample.metadata).collect();
        let operation = Operation { name: name.to_owned(), metadata, ..Operation::default() };
        let outcome = binding.invoke(&ctx(), operation).await;
        is_code(&outcome.expect_err("there is no such operation"), "UNSUPPORTED");
    }
}

async fn metadata_that_is_missing_is_named(open: Open) {
    let rig = open(Need::Namespace).await;
    let Some(operation) = rig.lacking() else { return };
    let error = rig.binding().invoke(&ctx(), operation).await.expect_err("something is missing");
    is_code(&error, "INVALID_FIELD");
    assert!(error.field().is_some_and(|field| field.starts_with("metadata.")), "{error:?}");
}

async fn what_it_can_do_does_not_change(open: Open) {
    let rig = open(Need::Namespace).await;
    let binding = rig.binding();
    let before = binding.capabilities();
    for sample in rig.samples() {
        let _ = binding.invoke(&ctx(), sample).await;
    }
    assert_eq!(binding.capabilities(), before);
    assert!(before.events || !before.operations.is_empty(), "it can do something");
}
