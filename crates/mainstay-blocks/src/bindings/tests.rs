//! Bindings that a test writes, and an app that answers as told.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt as _;
use futures_util::stream;
use mainstay_core::binding::{Binding as Port, Capabilities, Event, Operation, Outcome, Receipt};
use mainstay_core::callback::{AppCallback, BindingAnswer, BindingEvent, Follow, TopicEvent, Verdict};
use mainstay_core::clock::ManualClock;
use mainstay_core::subscription::Subscription;
use mainstay_core::{BoxStream, Ctx, Error, Result, codes};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{Listener, Rules, invoke};
use crate::layers::tests::retrying;
use crate::{App, Blocks, Opened, Table};

type Log = Arc<Mutex<Vec<String>>>;

fn told(log: &Log, what: String) {
    log.lock().unwrap().push(what);
}

/// A binding with one operation and these events.
struct Scripted {
    events: Vec<&'static str>,
    log: Log,
}

struct Slip(&'static str, Log);

#[async_trait]
impl Receipt for Slip {
    async fn done(self: Box<Self>, answer: Bytes) -> Result<()> {
        told(&self.1, format!("done {} {}", self.0, String::from_utf8_lossy(&answer)));
        Ok(())
    }

    async fn failed(self: Box<Self>, _: &str) -> Result<()> {
        told(&self.1, format!("failed {}", self.0));
        Ok(())
    }
}

#[async_trait]
impl Port for Scripted {
    fn capabilities(&self) -> Capabilities {
        Capabilities { operations: vec!["create".to_owned(), "get".to_owned()], events: true }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn invoke(&self, _: &Ctx, operation: Operation) -> Result<Option<Outcome>> {
        told(&self.log, format!("{} {}", operation.name, String::from_utf8_lossy(&operation.data)));
        Ok(None)
    }

    async fn events(&self, _: &Ctx) -> Result<BoxStream<Result<Event>>> {
        let log = Arc::clone(&self.log);
        let events = self.events.clone().into_iter().map(move |name| {
            let receipt = Box::new(Slip(name, Arc::clone(&log)));
            Ok(Event { data: name.into(), metadata: BTreeMap::new(), receipt })
        });
        Ok(Box::pin(stream::iter(events).chain(stream::pending())))
    }
}

/// A binding whose events the test sends, once.
struct Later(Mutex<Option<mpsc::Receiver<&'static str>>>, Log);

#[async_trait]
impl Port for Later {
    fn capabilities(&self) -> Capabilities {
        Capabilities { operations: Vec::new(), events: true }
    }

    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn invoke(&self, _: &Ctx, _: Operation) -> Result<Option<Outcome>> {
        Ok(None)
    }

    async fn events(&self, _: &Ctx) -> Result<BoxStream<Result<Event>>> {
        let told = self.0.lock().unwrap().take().unwrap();
        let log = Arc::clone(&self.1);
        Ok(Box::pin(stream::unfold((told, log), async |(mut told, log)| {
            let name = told.recv().await?;
            let receipt = Box::new(Slip(name, Arc::clone(&log)));
            Some((Ok(Event { data: name.into(), metadata: BTreeMap::new(), receipt }), (told, log)))
        })))
    }
}

/// An app that answers the question whether it wants events so, one after the other.
struct Answers {
    wants: Mutex<VecDeque<Result<bool>>>,
    log: Log,
}

#[async_trait]
impl AppCallback for Answers {
    async fn ready(&self, _: &Ctx) -> Result<()> {
        Ok(())
    }

    async fn healthy(&self, _: &Ctx) -> mainstay_core::Result<()> {
        Ok(())
    }

    async fn subscriptions(&self, _: &Ctx) -> Result<Vec<Subscription>> {
        Ok(Vec::new())
    }

    async fn deliver(&self, _: &Ctx, _: &TopicEvent) -> Result<Verdict> {
        Ok(Verdict::Done)
    }

    async fn hears(&self, _: &Ctx, binding: &str, route: &str) -> Result<bool> {
        told(&self.log, format!("asked {binding} {route}"));
        self.wants.lock().unwrap().pop_front().unwrap_or(Ok(false))
    }

    async fn tell(&self, _: &Ctx, event: &BindingEvent) -> Result<BindingAnswer> {
        if event.data == "worse" {
            told(&self.log, "told worse".to_owned());
        }
        if event.data == "bad" || event.data == "worse" {
            return Err(Error::new(&codes::APP_FAILED, "no"));
        }
        let to = if event.data == "chain" { vec!["out".to_owned(), "out".to_owned()] } else { Vec::new() };
        Ok(BindingAnswer { data: "ok".into(), follow: Follow { to, data: "1".into(), ..Follow::default() } })
    }
}

fn blocks(log: &Log, rules: Rules, events: &[&'static str]) -> Blocks {
    let open = |rules: Rules, events: &[&'static str]| {
        let port = Scripted { events: events.to_vec(), log: Arc::clone(log) };
        Opened::new(Arc::new(port) as Arc<dyn Port>, rules)
    };
    let bindings = BTreeMap::from([
        ("in".to_owned(), open(rules, events)),
        ("out".to_owned(), open(Rules::of("out", None, Some("output")), &[])),
    ]);
    let clock = Arc::new(ManualClock::at(0));
    Blocks::new(App::default(), clock, Table { bindings, ..Table::default() })
}

/// What happens, as many steps as are expected.
async fn check(direction: Option<&str>, wants: Vec<Result<bool>>, events: &[&'static str], expect: &[&str]) {
    let log = Log::default();
    let blocks = blocks(&log, Rules::of("in", Some("/route"), direction), events);
    let app = Answers { wants: Mutex::new(wants.into()), log: Arc::clone(&log) };
    let app: Arc<dyn AppCallback> = Arc::new(app);
    let stop = CancellationToken::new();
    let names = Listener::all(&blocks);
    assert_eq!(names.len(), 1, "the one that is for output alone is not listened to");
    let listener = Listener::of(&blocks, &app, &names[0], Duration::from_secs(3)).unwrap();
    let running = tokio::spawn(listener.run(stop.clone()));
    while log.lock().unwrap().len() < expect.len() {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    stop.cancel();
    running.await.unwrap();
    assert_eq!(*log.lock().unwrap(), expect);
}

#[tokio::test(start_paused = true)]
async fn an_app_that_is_not_whole_yet_is_asked_again() {
    let late = Err(Error::new(&codes::APP_UNAVAILABLE, "late"));
    let asked = "asked in /route";
    check(None, vec![late, Ok(false), Ok(true)], &["a"], &[asked, asked, asked, "done a ok"]).await;
}

#[tokio::test(start_paused = true)]
async fn a_binding_that_says_it_is_for_input_needs_no_asking() {
    check(Some("input, output"), Vec::new(), &["a", "bad"], &["done a ok", "failed bad"]).await;
}

#[tokio::test(start_paused = true)]
async fn the_answer_to_an_event_calls_other_bindings() {
    check(Some("input"), Vec::new(), &["chain"], &["create 1", "create 1", "done chain ok"]).await;
}

#[tokio::test]
async fn an_operation_must_be_named_known_and_of_a_binding_that_is_there() {
    let log = Log::default();
    let blocks = blocks(&log, Rules::of("in", None, Some("input")), &[]);
    let code = async |name: &str, operation: &str| {
        let operation = Operation { name: operation.to_owned(), ..Operation::default() };
        invoke(&blocks, &Ctx::system(), name, operation).await.map_err(|error| error.code().id)
    };
    assert_eq!(code("out", "get").await, Ok(None));
    assert_eq!(code("out", "").await, Err("INVALID_FIELD"));
    assert_eq!(code("out", "fly").await, Err("UNSUPPORTED"));
    assert_eq!(code("in", "get").await, Err("COMPONENT_NOT_FOUND"));
    assert_eq!(code("nowhere", "get").await, Err("COMPONENT_NOT_FOUND"));
    assert_eq!(*log.lock().unwrap(), ["get "]);
}

#[tokio::test(start_paused = true)]
async fn an_event_comes_under_the_policies_that_hold_when_it_comes() {
    let log = Log::default();
    let before = blocks(&log, Rules::of("in", None, Some("input")), &[]);
    let (tell, told) = mpsc::channel(1);
    let port = Opened::new(
        Arc::new(Later(Mutex::new(Some(told)), Arc::clone(&log))) as Arc<dyn Port>,
        Rules::of("in", None, Some("input")),
    );
    let table = || Table { bindings: BTreeMap::from([("in".to_owned(), port.clone())]), ..Table::default() };
    before.reload(table());
    let app: Arc<dyn AppCallback> = Arc::new(Answers { wants: Mutex::default(), log: Arc::clone(&log) });
    let stop = CancellationToken::new();
    let listener = Listener::of(&before, &app, "in", Duration::from_secs(3)).unwrap();
    let running = tokio::spawn(listener.run(stop.clone()));
    let seen = async |count: usize| {
        while log.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    tell.send("worse").await.unwrap();
    seen(2).await;
    let mut now = table();
    now.guard(retrying("DefaultBindingComponentInboundRetryPolicy", 2));
    before.reload(now);
    tell.send("worse").await.unwrap();
    tokio::time::timeout(Duration::from_secs(60), seen(6)).await.unwrap();
    stop.cancel();
    running.await.unwrap();
    let worse = "told worse";
    assert_eq!(*log.lock().unwrap(), [worse, "failed worse", worse, worse, worse, "failed worse"]);
}
