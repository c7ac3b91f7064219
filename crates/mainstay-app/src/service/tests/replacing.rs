//! Calls that meet an app on its way up, and a service that takes another's place.

use super::processes::{Fixture, dead};
use super::*;

/// A service, the one that took its place, and the folder of both.
struct Replaced {
    old: Arc<AppService>,
    new: Arc<AppService>,
    _folder: tempfile::TempDir,
}

/// Puts a service like the fixture's, with another value of its variable, in its place.
fn replace(app: Fixture, change: impl FnOnce(&mut AppPlan)) -> Replaced {
    let Fixture { service, folder, mut plan, .. } = app;
    plan.process.env = vec![("TOKEN".to_owned(), EnvValue::Plain("new".to_owned()))];
    change(&mut plan);
    let (old, new) = (Arc::new(service), Arc::new(opened(&plan, folder.path(), Arc::new(|_| ())).unwrap()));
    new.start(&[Arc::clone(&old)]);
    old.replace(Some(Arc::clone(&new)));
    let retiring = Arc::clone(&old);
    tokio::spawn(async move { retiring.retire(PATIENCE).await });
    Replaced { old, new, _folder: folder }
}

async fn facts(service: &AppService) -> serde_json::Value {
    serde_json::from_str(&answer(service, "who").await.unwrap().answer).unwrap()
}

#[tokio::test]
async fn a_call_waits_for_an_app_that_is_starting() {
    let app = Fixture::run("while [ ! -e go ]; do sleep 0.02; done; exec APP", |_| ());
    let mut early = Box::pin(answer(&app.service, "who"));
    assert!(futures_util::poll!(&mut early).is_pending());
    app.unready("is starting").await;
    std::fs::write(app.folder.path().join("go"), "").unwrap();
    assert!(early.await.is_ok());
}

#[tokio::test]
async fn a_call_waits_no_longer_than_its_deadline_or_for_an_app_that_fails() {
    let app = Fixture::run("exec sleep 1000", |_| ());
    let soon = Ctx::system().with_deadline(Instant::now() + Duration::from_millis(50));
    let error = app.service.invoke(&soon, request("who", false)).await.err().unwrap();
    assert_eq!(error.code().id, "APP_UNAVAILABLE");
    assert!(error.message().contains("is starting"), "{error}");
    let app = Fixture::run("exit 7", |_| ());
    let error = answer(&app.service, "who").await.unwrap_err();
    assert!(error.message().contains("exit status: 7"), "{error}");
}

#[tokio::test]
async fn the_new_process_at_a_port_starts_when_the_old_one_is_gone_and_no_call_fails_meanwhile() {
    let app = Fixture::run("APP", |_| ());
    app.ready().await;
    let first = facts(&app.service).await;
    let Replaced { old, new, _folder } = replace(app, |_| ());
    // A run that was queued holds the old service.
    let (queued, fresh) = tokio::join!(facts(&old), facts(&new));
    assert_eq!((&queued["env"], &fresh["env"]), (&"new".into(), &"new".into()));
    assert_eq!(queued["pid"], fresh["pid"]);
    dead(first["pid"].as_u64().unwrap()).await;
}

#[tokio::test]
async fn a_call_at_work_is_answered_before_its_process_is_stopped() {
    let app = Fixture::run("APP", |_| ());
    app.ready().await;
    let mut at_work = app.service.invoke(&Ctx::system(), request("who", false)).await.unwrap();
    let Replaced { old, new, _folder } = replace(app, |_| ());
    let mut later = Box::pin(facts(&new));
    let waits = tokio::time::timeout(Duration::from_millis(300), &mut later).await.is_err();
    assert!(waits && old.standing().is_ok(), "the old process was stopped under its call");
    assert!(matches!(at_work.next().await, Some(Ok(AppEvent::Done(_)))));
    drop(at_work);
    assert_eq!(later.await["env"], "new");
}

#[tokio::test]
async fn at_another_port_the_new_process_does_not_wait() {
    let app = Fixture::run("APP", |_| ());
    app.ready().await;
    let at_work = app.service.invoke(&Ctx::system(), request("who", false)).await.unwrap();
    let elsewhere = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let Replaced { old, new, _folder } = replace(app, |plan| {
        plan.process.url = format!("http://127.0.0.1:{elsewhere}");
        plan.process.command = Some(format!("python3 app.py {elsewhere}"));
    });
    assert_eq!(facts(&new).await["env"], "new");
    assert!(old.standing().is_ok(), "the old one still has a call");
    drop(at_work);
}

#[tokio::test]
async fn a_service_that_nothing_replaces_takes_no_further_call() {
    let app = Fixture::run("APP", |_| ());
    app.ready().await;
    app.service.replace(None);
    let error = answer(&app.service, "who").await.unwrap_err();
    assert!(error.message().ends_with("is stopped"), "{error}");
}

#[tokio::test]
async fn a_service_that_was_never_started_can_be_stopped() {
    let mut plan = plan("http://127.0.0.1:1");
    plan.process.command = Some("true".to_owned());
    let service = opened(&plan, Path::new("."), Arc::new(|_| ())).unwrap();
    service.stop(PATIENCE).await;
    service.start(&[]);
    assert!(service.ready(&Ctx::system()).await.unwrap_err().message().ends_with("is stopped"));
}
