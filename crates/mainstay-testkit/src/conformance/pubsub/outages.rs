//! A server that is gone, or does not answer: calls fail in time, and the broker recovers by itself.

use std::time::{Duration, Instant};

use mainstay_core::Error;

use super::{Need, Open, Outage as _, PATIENCE, Stage, promises, within};

promises! {
    a_server_that_is_gone_is_unavailable_until_it_is_back,
    a_server_that_does_not_answer_is_given_up_at_the_deadline,
}

/// What a call has; much less than what the test waits for it.
const DEADLINE: Duration = Duration::from_millis(500);

/// The failures of one call of each kind.
async fn failures(stage: &Stage) -> Vec<Error> {
    let mut failures = vec![
        stage.broker.publish(&within(DEADLINE), stage.message("x")).await.expect_err("a publish fails"),
        stage.broker.ready(&within(DEADLINE)).await.expect_err("it is not ready"),
    ];
    let each =
        stage.broker.publish_each(&within(DEADLINE), vec![stage.message("x"), stage.message("y")]).await;
    assert_eq!(each.len(), 2);
    failures.extend(each.into_iter().map(|one| one.expect_err("a publish fails")));
    failures
}

/// Waits until messages are published and come again.
async fn recovered(stage: &Stage) {
    let deadline = Instant::now() + PATIENCE;
    while let Err(error) = stage.broker.publish(&within(DEADLINE), stage.message("after")).await {
        assert!(Instant::now() < deadline, "it does not recover: {error:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stage.broker.ready(&within(PATIENCE)).await.expect("it is ready again");
    let mut member = stage.subscribe("g").await;
    while member.text().await != "after" {
        assert!(Instant::now() < deadline, "what was published does not come");
    }
}

fn is_told(error: &Error) {
    let code = error.code().id;
    assert!(["BROKER_UNAVAILABLE", "DEADLINE_EXCEEDED"].contains(&code), "{error:?}");
}

async fn a_server_that_is_gone_is_unavailable_until_it_is_back(open: Open) {
    let stage = Stage::with(open(Need::Server).await);
    drop(stage.subscribe("g").await);
    for _ in 0..2 {
        stage.rig.below().stop().await;
        failures(&stage).await.iter().for_each(is_told);
        stage.rig.below().start().await;
        recovered(&stage).await;
    }
}

async fn a_server_that_does_not_answer_is_given_up_at_the_deadline(open: Open) {
    let stage = Stage::with(open(Need::Server).await);
    drop(stage.subscribe("g").await);
    stage.rig.below().freeze().await;
    // What a call in time would take is nothing beside this; one that waits for the server never ends.
    let given_up = tokio::time::timeout(PATIENCE, failures(&stage)).await;
    stage.rig.below().thaw().await;
    given_up.expect("calls are given up at their deadline").iter().for_each(is_told);
    recovered(&stage).await;
}
