//! Delivery in bulk.

use std::time::Duration;

use mainstay_core::callback::BulkEvent;

use super::*;
use crate::layers::tests::retrying;

/// An app that answers each call with these verdicts, and with `Done` when there are none left.
struct Bulky {
    calls: Mutex<Vec<Vec<Verdict>>>,
    log: Log,
}

#[async_trait]
impl AppCallback for Bulky {
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
        panic!("what is in bulk comes in bulk");
    }

    async fn deliver_bulk(&self, _: &Ctx, event: &BulkEvent) -> Result<Vec<Verdict>> {
        let id =
            |content: &[u8]| serde_json::from_slice::<serde_json::Value>(content).unwrap()["id"].to_string();
        let ids: Vec<_> = event.entries.iter().map(|entry| id(&entry.content)).collect();
        self.log.lock().unwrap().push(format!("asked {} {}", event.path, ids.join(",")));
        let mut calls = self.calls.lock().unwrap();
        Ok(if calls.is_empty() { vec![Verdict::Done; event.entries.len()] } else { calls.remove(0) })
    }
}

async fn check(
    messages: &[(Option<u64>, &'static str)],
    calls: &[&[Verdict]],
    dead: Option<&str>,
    expect: &[&str],
) {
    let calls = calls.iter().map(|call| call.to_vec()).collect();
    let app = |log| Arc::new(Bulky { calls: Mutex::new(calls), log }) as Arc<dyn AppCallback>;
    check_app(app, messages, dead, expect).await;
}

/// The same with any app.
async fn check_app(
    app: impl FnOnce(Log) -> Arc<dyn AppCallback>,
    messages: &[(Option<u64>, &'static str)],
    dead: Option<&str>,
    expect: &[&str],
) {
    let log = Log::default();
    let broker =
        Scripted { messages: messages.to_vec(), subscribed: AtomicUsize::new(0), log: Arc::clone(&log) };
    let brokers = BTreeMap::from([("bus".to_owned(), Broker::new(Arc::new(broker), Scopes::default()))]);
    let id = App { id: "shop".to_owned(), namespace: None };
    let clock = Arc::new(ManualClock::at(1_700_000_000_000));
    let blocks = Blocks::new(id, clock, Table { brokers, ..Table::default() });
    let answers = app(Arc::clone(&log));
    let rules = vec![
        Rule { condition: Some("event.id == 9".to_owned()), path: "/nine".to_owned() },
        Rule { condition: None, path: "/orders".to_owned() },
    ];
    let bulk = Bulk { enabled: true, messages_max: Some(3), wait_max: Some(Duration::from_millis(50)) };
    let subscription = Subscription { bulk, rules, ..subscription(dead) };
    let stop = CancellationToken::new();
    let deliverer = Deliverer::new(blocks, answers, subscription).unwrap();
    let running = tokio::spawn(deliverer.run(stop.clone()));
    let enough = async {
        while log.lock().unwrap().len() < expect.len() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(60), enough).await;
    stop.cancel();
    running.await.unwrap();
    assert_eq!(*log.lock().unwrap(), expect);
}

const THREE: &str = r#"{"id":3}"#;
const FOUR: &str = r#"{"id":4}"#;
const NINE: &str = r#"{"id":9}"#;

#[tokio::test(start_paused = true)]
async fn messages_go_in_calls_of_at_most_so_many() {
    let messages = [ONE, TWO, THREE, FOUR].map(|text| (None, text));
    let expect = ["asked /orders 1,2,3", "done 0", "done 1", "done 2", "asked /orders 4", "done 3"];
    check(&messages, &[], None, &expect).await;
}

#[tokio::test(start_paused = true)]
async fn each_message_of_a_call_has_its_own_verdict() {
    let messages = [ONE, TWO, THREE].map(|text| (None, text));
    let verdicts: &[Verdict] = &[Verdict::Done, Verdict::Again, Verdict::Drop];
    let expect = ["asked /orders 1,2,3", "done 0", "again 1", "done 2"];
    check(&messages, &[verdicts], None, &expect).await;
    let dead = |id: &str, why: &str| format!(r#"published dead {{"id":{id}}} ({why})"#);
    let (two, three) = (dead("2", "the app asked to try again"), dead("3", "the app does not want it"));
    let expect = ["asked /orders 1,2,3", "done 0", &two, "done 1", &three, "done 2"];
    check(&messages, &[verdicts], Some("dead"), &expect).await;
}

#[tokio::test(start_paused = true)]
async fn what_an_answer_does_not_name_comes_again() {
    let messages = [ONE, TWO].map(|text| (None, text));
    check(&messages, &[&[Verdict::Done]], None, &["asked /orders 1,2", "done 0", "again 1"]).await;
}

#[tokio::test(start_paused = true)]
async fn another_broker_under_the_same_name_is_followed() {
    let log = Log::default();
    let table = |text| {
        let messages = vec![(None, text)];
        let broker = Scripted { messages, subscribed: AtomicUsize::new(0), log: Arc::clone(&log) };
        let brokers = BTreeMap::from([("bus".to_owned(), Broker::new(Arc::new(broker), Scopes::default()))]);
        Table { brokers, ..Table::default() }
    };
    let seen = async |count: usize| {
        while log.lock().unwrap().len() < count {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let id = App { id: "shop".to_owned(), namespace: None };
    let blocks = Blocks::new(id, Arc::new(ManualClock::at(1_700_000_000_000)), table(ONE));
    let app = Arc::new(Bulky { calls: Mutex::default(), log: Arc::clone(&log) });
    let bulk = Bulk { enabled: true, messages_max: Some(3), wait_max: Some(Duration::from_millis(50)) };
    let rules = vec![Rule { condition: None, path: "/orders".to_owned() }];
    let subscription = Subscription { bulk, rules, ..subscription(None) };
    let stop = CancellationToken::new();
    let deliverer = Deliverer::new(blocks.clone(), app, subscription).unwrap();
    let running = tokio::spawn(deliverer.run(stop.clone()));
    seen(2).await;
    blocks.reload(table(TWO));
    tokio::time::timeout(Duration::from_secs(60), seen(4)).await.expect("the new broker's message comes");
    stop.cancel();
    running.await.unwrap();
    assert_eq!(*log.lock().unwrap(), ["asked /orders 1", "done 0", "asked /orders 2", "done 0"]);
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_under_the_policies_that_hold_then() {
    let log = Log::default();
    let messages = vec![(None, ONE)];
    let broker = Scripted { messages, subscribed: AtomicUsize::new(0), log: Arc::clone(&log) };
    let broker = Arc::new(broker);
    let table = || {
        let port = Arc::clone(&broker) as Arc<dyn PubSub>;
        let brokers = BTreeMap::from([("bus".to_owned(), Broker::new(port, Scopes::default()))]);
        Table { brokers, ..Table::default() }
    };
    let id = App { id: "shop".to_owned(), namespace: None };
    let blocks = Blocks::new(id, Arc::new(ManualClock::at(1_700_000_000_000)), table());
    let calls = Mutex::new(vec![vec![Verdict::Again]; 2]);
    let app = Arc::new(Bulky { calls, log: Arc::clone(&log) });
    let bulk = Bulk { enabled: true, messages_max: Some(3), wait_max: Some(Duration::from_millis(50)) };
    let rules = vec![Rule { condition: None, path: "/orders".to_owned() }];
    let subscription = Subscription { bulk, rules, ..subscription(None) };
    let stop = CancellationToken::new();
    let deliverer = Deliverer::new(blocks.clone(), app, subscription).unwrap();
    let running = tokio::spawn(deliverer.run(stop.clone()));
    while broker.subscribed.load(Ordering::SeqCst) == 0 {
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let mut now = table();
    now.guard(retrying("DefaultPubsubComponentInboundRetryPolicy", 2));
    blocks.reload(now);
    let enough = async {
        while log.lock().unwrap().len() < 4 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    let _ = tokio::time::timeout(Duration::from_secs(60), enough).await;
    stop.cancel();
    running.await.unwrap();
    let asked = "asked /orders 1";
    assert_eq!(*log.lock().unwrap(), [asked, asked, asked, "done 0"]);
}

#[tokio::test(start_paused = true)]
async fn each_path_has_its_own_call() {
    let messages = [ONE, NINE, TWO].map(|text| (None, text));
    let expect = ["asked /orders 1,2", "done 0", "done 2", "asked /nine 9", "done 1"];
    check(&messages, &[], None, &expect).await;
}

#[tokio::test(start_paused = true)]
async fn nothing_overtakes_another_of_its_lane() {
    // 2 waits for 9, which is of its lane and for another path; 4 is of no lane and waits for nobody.
    let messages = [(Some(7), ONE), (Some(7), NINE), (Some(7), TWO), (None, FOUR)];
    let expect =
        ["asked /orders 1,4", "done 0", "done 3", "asked /nine 9", "done 1", "asked /orders 2", "done 2"];
    check(&messages, &[], None, &expect).await;
}

#[tokio::test(start_paused = true)]
async fn within_a_lane_a_message_is_tried_again_before_what_follows() {
    let messages = [(Some(7), ONE), (Some(7), TWO), (Some(7), THREE), (Some(7), FOUR)];
    let verdicts: &[Verdict] = &[Verdict::Done, Verdict::Again, Verdict::Done];
    let expect = ["asked /orders 1,2,3", "done 0", "done 2", "asked /orders 2,4", "done 1", "done 3"];
    check(&messages, &[verdicts], None, &expect).await;
}

#[tokio::test(start_paused = true)]
async fn poison_is_in_no_call() {
    check(&[(None, "no json"), (None, ONE)], &[], None, &["done 0", "asked /orders 1", "done 1"]).await;
}

/// The steps with an app that takes no calls of several messages, and answers its first calls so.
async fn check_one_by_one(
    messages: &[(Option<u64>, &'static str)],
    verdicts: &[Verdict],
    dead: Option<&str>,
    expect: &[&str],
) {
    let verdicts = Mutex::new(verdicts.to_vec());
    check_app(|log| Arc::new(Answers { verdicts, log }), messages, dead, expect).await;
}

#[tokio::test(start_paused = true)]
async fn an_app_that_takes_no_such_calls_gets_the_messages_one_by_one() {
    let messages = [ONE, NINE, TWO].map(|text| (None, text));
    let expect = ["asked /orders 1", "asked /orders 2", "done 0", "done 2", "asked /nine 9", "done 1"];
    check_one_by_one(&messages, &[], None, &expect).await;
}

#[tokio::test(start_paused = true)]
async fn one_by_one_nothing_overtakes_another_of_its_lane_either() {
    let messages = [(Some(7), ONE), (Some(7), TWO), (Some(8), THREE)];
    let expect = [
        "asked /orders 1",
        "asked /orders 3",
        "done 2",
        "asked /orders 1",
        "asked /orders 2",
        "done 0",
        "done 1",
    ];
    check_one_by_one(&messages, &[Verdict::Again], None, &expect).await;
    let buried = r#"published dead {"id":1} (the app asked to try again)"#;
    let expect = ["asked /orders 1", "asked /orders 2", buried, "done 0", "done 1"];
    check_one_by_one(&messages[..2], &[Verdict::Again], Some("dead"), &expect).await;
}
