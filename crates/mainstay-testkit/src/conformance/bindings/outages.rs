//! The other side is out.

use std::time::{Duration, Instant};

use super::{Need, Open, Outage as _, PATIENCE, ctx, promises, within};

promises! {
    a_call_fails_while_the_server_is_gone_and_works_when_it_is_back,
    a_call_of_a_frozen_server_ends_at_its_deadline,
}

async fn a_call_fails_while_the_server_is_gone_and_works_when_it_is_back(open: Open) {
    let rig = open(Need::Server).await;
    let binding = rig.binding();
    let sample = || rig.samples().remove(0);
    binding.invoke(&ctx(), sample()).await.expect("it works");
    rig.below().stop().await;
    let error = binding.invoke(&within(Duration::from_secs(10)), sample()).await.expect_err("it is gone");
    assert!(["BINDING_FAILED", "DEADLINE_EXCEEDED"].contains(&error.code().id), "{error:?}");
    assert!(binding.ready(&within(Duration::from_secs(10))).await.is_err(), "it is not ready");
    rig.below().start().await;
    let patience = Instant::now() + PATIENCE;
    while let Err(error) = binding.invoke(&within(Duration::from_secs(5)), sample()).await {
        assert!(Instant::now() < patience, "it works again: {error:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn a_call_of_a_frozen_server_ends_at_its_deadline(open: Open) {
    let rig = open(Need::Server).await;
    let binding = rig.binding();
    let sample = || rig.samples().remove(0);
    binding.invoke(&ctx(), sample()).await.expect("it works");
    rig.below().freeze().await;
    let called =
        tokio::time::timeout(PATIENCE, binding.invoke(&within(Duration::from_secs(1)), sample())).await;
    let error = called.expect("it ends").expect_err("nobody answers");
    rig.below().thaw().await;
    assert!(["BINDING_FAILED", "DEADLINE_EXCEEDED"].contains(&error.code().id), "{error:?}");
}
