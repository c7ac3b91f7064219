//! The two ways to send: as fast as answers come, or at a rate whatever comes.

use std::time::{Duration, Instant};

use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::Seen;
use super::client::{Connection, Target};

/// Every connection asks again when it is answered, until the time is over.
pub(super) async fn closed_loop(target: Target, connections: usize, time: Duration) -> Seen {
    let deadline = Instant::now() + time;
    let mut workers = JoinSet::new();
    for number in 0..connections {
        let mut connection = Connection::new(target.clone(), number);
        workers.spawn(async move {
            let mut seen = Seen::default();
            while Instant::now() < deadline {
                let since = Instant::now();
                let outcome = connection.ask().await;
                let failed = outcome.is_err();
                seen.add(outcome, since);
                if failed {
                    // A server that refuses at once is not to be hammered at full speed.
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
            }
            seen
        });
    }
    gather(workers).await
}

/// Due requests that may wait for the sender; more than come in a second at any rate in use.
const DUE_WAITING_MAX: usize = 10_000;

/// A request every `1/rate` seconds, each on a connection that is free; its latency counts from when it was due.
pub(super) async fn open_loop(target: Target, connections: usize, rate: u32, time: Duration) -> Seen {
    let (give_back, mut free) = mpsc::channel(connections);
    for number in 0..connections {
        // The channel holds as many as are made here.
        let _ = give_back.try_send(Connection::new(target.clone(), number));
    }
    let total = (time.as_secs_f64() * f64::from(rate)) as u32;
    let mut due_times = schedule(rate, total);
    let mut requests = JoinSet::new();
    while let Some(due) = due_times.recv().await {
        let Some(mut connection) = free.recv().await else { break };
        let give_back = give_back.clone();
        requests.spawn(async move {
            let mut seen = Seen::default();
            seen.add(connection.ask().await, due);
            // The channel has room for every connection.
            let _ = give_back.try_send(connection);
            seen
        });
    }
    gather(requests).await
}

/// The times at which requests are due, each delivered when it comes. A thread keeps them, for the runtime's timer has
/// a resolution of a millisecond, which is more than most of the answers take.
fn schedule(rate: u32, total: u32) -> mpsc::Receiver<Instant> {
    let (send, receive) = mpsc::channel(DUE_WAITING_MAX);
    std::thread::spawn(move || {
        let begin = Instant::now();
        for number in 0..total {
            let due = begin + Duration::from_secs(1) * number / rate;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if send.blocking_send(due).is_err() {
                return;
            }
        }
    });
    receive
}

async fn gather(mut tasks: JoinSet<Seen>) -> Seen {
    let mut all = Seen::default();
    while let Some(done) = tasks.join_next().await {
        match done {
            Ok(seen) => all.merge(seen),
            Err(error) => {
                all.merge(Seen { failed: 1, first_failure: Some(error.to_string()), ..Seen::default() })
            }
        }
    }
    all
}
