//! A caller sees its own runs and sessions; those of others do not exist for it.

use std::sync::atomic::Ordering;

use mainstay_core::journal::{After, RunFilter};
use mainstay_core::plan::SessionPolicy;
use mainstay_core::{Ctx, Principal, RequestId};

use crate::stage::model::{Ruled, puppet};
use crate::stage::{Cast, Stage, ask, ask_in, caller, name, ses, soon};

fn anonymous() -> Ctx {
    Ctx::new(RequestId::generate(), Principal::Anonymous)
}

async fn invoke(stage: &Stage, ctx: &Ctx, start: mainstay_agents::Start) -> mainstay_core::RunId {
    let handle = stage.engine.start(ctx, &name("a"), start).await.unwrap();
    soon(handle.wait()).await.unwrap().id
}

#[tokio::test]
async fn runs_of_others_do_not_exist() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let (alice, bob) = (caller("alice"), caller("bob"));
    let run = invoke(&stage, &alice, ask("hi")).await;
    for stranger in [&bob, &anonymous()] {
        assert_eq!(stage.engine.run(stranger, &run).await.unwrap_err().code().id, "RUN_NOT_FOUND");
        assert_eq!(stage.engine.wait(stranger, &run).await.unwrap_err().code().id, "RUN_NOT_FOUND");
        assert_eq!(stage.engine.cancel(stranger, &run).await.unwrap_err().code().id, "RUN_NOT_FOUND");
        assert!(stage.engine.follow(stranger, &run, 0).await.is_err());
    }
    for friend in [&alice, &Ctx::system()] {
        assert_eq!(stage.engine.run(friend, &run).await.unwrap().id, run);
        assert!(stage.engine.follow(friend, &run, 0).await.is_ok());
    }
}

#[tokio::test]
async fn a_run_at_work_is_as_closed_to_others_as_a_finished_one() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::plain());
    let handle = stage.engine.start(&caller("alice"), &name("a"), ask("hi")).await.unwrap();
    let call = strings.call().await;
    let bob = caller("bob");
    assert_eq!(stage.engine.cancel(&bob, handle.id()).await.unwrap_err().code().id, "RUN_NOT_FOUND");
    assert_eq!(stage.engine.follow(&bob, handle.id(), 0).await.err().unwrap().code().id, "RUN_NOT_FOUND");
    call.end().await;
    assert!(soon(handle.wait()).await.unwrap().error.is_none());
}

#[tokio::test]
async fn lists_hold_the_callers_own_and_pages_are_full() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let (alice, bob) = (caller("alice"), caller("bob"));
    let mut own = Vec::new();
    for n in 0..6 {
        own.push(invoke(&stage, &alice, ask_in(&format!("alice-{n}"), "hi")).await);
        for m in 0..5 {
            invoke(&stage, &bob, ask_in(&format!("bob-{n}-{m}"), "hi")).await;
        }
        stage.clock.advance(1);
    }
    own.reverse();
    let page = async |after: Option<mainstay_core::RunId>, limit| {
        let after = after.map(After::Run);
        let filter = RunFilter { after, limit, ..RunFilter::default() };
        let page = stage.engine.runs(&alice, &filter).await.unwrap().runs;
        page.into_iter().map(|run| run.id).collect::<Vec<_>>()
    };
    assert_eq!(page(None, 4).await, own[..4]);
    assert_eq!(page(Some(own[3].clone()), 4).await, own[4..]);
    let sessions = stage.engine.sessions(&alice, None, 4).await.unwrap();
    let sessions: Vec<_> = sessions.into_iter().map(|session| session.id.to_string()).collect();
    assert_eq!(sessions, ["alice-5", "alice-4", "alice-3", "alice-2"]);
    assert_eq!(
        stage
            .engine
            .runs(&Ctx::system(), &RunFilter { limit: 100, ..Default::default() })
            .await
            .unwrap()
            .runs
            .len(),
        36
    );
}

#[tokio::test]
async fn a_session_is_its_first_callers_alone() {
    let model = Ruled::echo();
    let stage = Stage::new(model.clone(), Cast::with_policy(SessionPolicy::Interrupt));
    let (alice, bob) = (caller("alice"), caller("bob"));
    invoke(&stage, &alice, ask_in("s", "my secret")).await;
    let error = stage.engine.start(&bob, &name("a"), ask_in("s", "what was said?")).await.err().unwrap();
    assert_eq!((error.code().id, model.calls()), ("PERMISSION_DENIED", 1));
    for error in [
        stage.engine.session(&bob, &ses("s")).await.err(),
        stage.engine.session_messages(&bob, &ses("s")).await.err(),
        stage.engine.delete_session(&bob, &ses("s")).await.err(),
    ] {
        assert_eq!(error.unwrap().code().id, "SESSION_NOT_FOUND");
    }
    assert_eq!(stage.engine.session_messages(&alice, &ses("s")).await.unwrap().len(), 2);
}

#[tokio::test]
async fn a_stranger_cannot_interrupt_a_session_whose_first_run_is_at_work() {
    let (model, mut strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(SessionPolicy::Interrupt));
    let handle = stage.engine.start(&caller("alice"), &name("a"), ask_in("s", "hi")).await.unwrap();
    let call = strings.call().await;
    let error = soon(stage.engine.start(&caller("bob"), &name("a"), ask_in("s", "ho"))).await.err().unwrap();
    assert_eq!(error.code().id, "PERMISSION_DENIED");
    call.end().await;
    assert!(soon(handle.wait()).await.unwrap().error.is_none());
}

#[tokio::test]
async fn a_stranger_who_comes_before_the_first_run_is_on_record_is_refused_too() {
    let (model, _strings) = puppet();
    let stage = Stage::new(model, Cast::with_policy(SessionPolicy::Interrupt));
    stage.journal.shut();
    let engine = stage.engine.clone();
    let first =
        tokio::spawn(
            async move { engine.start(&caller("alice"), &name("a"), ask_in("s", "hi")).await.is_ok() },
        );
    crate::stage::until(|| stage.journal.begun() == 1).await;
    let error = soon(stage.engine.start(&caller("bob"), &name("a"), ask_in("s", "ho"))).await.err().unwrap();
    assert_eq!(error.code().id, "PERMISSION_DENIED");
    stage.journal.open();
    assert!(soon(first).await.unwrap());
}

#[tokio::test]
async fn a_run_that_cannot_be_read_is_marked_for_its_owner_and_hides_nobodys() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let (alice, bob) = (caller("alice"), caller("bob"));
    let lost = invoke(&stage, &alice, ask("a")).await;
    let own = invoke(&stage, &bob, ask("b")).await;
    stage.journal.inner.damage_run(&lost);
    let all = RunFilter { limit: 9, ..RunFilter::default() };
    let marked = stage.engine.runs(&alice, &all).await.unwrap().runs;
    let codes: Vec<_> =
        marked.iter().map(|run| run.error.as_ref().map(|error| error.code.as_str())).collect();
    assert_eq!((&marked[0].id, codes.as_slice()), (&lost, [Some("JOURNAL_CORRUPT")].as_slice()));
    let others = stage.engine.runs(&bob, &all).await.unwrap().runs;
    assert_eq!(others.iter().map(|run| &run.id).collect::<Vec<_>>(), [&own]);
}

#[tokio::test]
async fn lists_read_nothing_of_others() {
    let stage = Stage::new(Ruled::echo(), Cast::plain());
    let (alice, bob) = (caller("alice"), caller("bob"));
    for n in 0..20 {
        invoke(&stage, &alice, ask_in(&format!("s{n}"), "hi")).await;
    }
    let before = stage.journal.runs_read.load(Ordering::SeqCst);
    let filter = RunFilter { limit: 1, ..RunFilter::default() };
    assert!(stage.engine.runs(&bob, &filter).await.unwrap().runs.is_empty());
    assert!(stage.engine.sessions(&bob, None, 9).await.unwrap().is_empty());
    assert_eq!(stage.engine.sessions(&alice, None, 9).await.unwrap().len(), 9);
    assert_eq!(stage.journal.runs_read.load(Ordering::SeqCst), before);
}
