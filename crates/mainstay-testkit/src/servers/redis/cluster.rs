//! A cluster of three nodes of Redis, each with a third of the slots. Each user of the shared one takes a name of its
//! own for its keys: a cluster has one database.

use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Instant;

use super::super::below::{Below, Need};
use super::super::{LOOK_INTERVAL, PATIENCE, Server, WORDS, first_program, free_port};
use super::RECIPE;

/// Starts one.
///
/// # Panics
/// As [`Recipe::start`](super::super::Recipe::start); where the nodes do not become a cluster within a minute.
#[must_use]
pub fn start() -> Vec<Server> {
    let node = || {
        RECIPE.start_with(|folder, _| {
            let words = [
                ["--cluster-enabled", "yes"],
                ["--cluster-port", &free_port().to_string()],
                // A node that was away is back at once.
                ["--cluster-node-timeout", "2000"],
            ];
            std::fs::write(folder.join(WORDS), words.as_flattened().join("\n"))
                .expect("the words are written");
        })
    };
    let nodes = vec![node(), node(), node()];
    let mut words = vec!["--cluster".to_owned(), "create".to_owned()];
    words.extend(nodes.iter().map(address));
    words.push("--cluster-yes".to_owned());
    manage(&words);
    let deadline = Instant::now() + PATIENCE;
    let is_whole = |node: &Server| {
        manage(&["-p", &node.port().to_string(), "cluster", "info"]).contains("cluster_state:ok")
    };
    while !nodes.iter().all(is_whole) {
        assert!(Instant::now() < deadline, "the nodes do not become a cluster");
        std::thread::sleep(LOOK_INTERVAL);
    }
    nodes
}

fn address(node: &Server) -> String {
    format!("127.0.0.1:{}", node.port())
}

/// The addresses of nodes, as the setting `redisHost` has them.
#[must_use]
pub fn addresses(nodes: &[Server]) -> String {
    nodes.iter().map(address).collect::<Vec<_>>().join(",")
}

/// Runs `redis-cli`, and gives what it says.
///
/// # Panics
/// When it fails.
pub fn manage(words: &[impl AsRef<std::ffi::OsStr>]) -> String {
    let program = first_program(["redis-cli".into(), "/usr/bin/redis-cli".into()]);
    let out = Command::new(program.expect("redis-cli is there")).args(words).output().expect("it runs");
    let said = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(out.status.success(), "{said}{}", String::from_utf8_lossy(&out.stderr));
    said
}

static SHARED: LazyLock<Vec<Server>> = LazyLock::new(start);

/// What a check needs: the addresses of a cluster, a name that nobody else uses there, and what of it is its own.
///
/// # Panics
/// As [`start`].
pub async fn place(need: Need) -> ((String, String), Below) {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let placed = tokio::task::spawn_blocking(move || match need {
        Need::Namespace => {
            let name = format!("rig{}", TAKEN.fetch_add(1, SeqCst));
            ((addresses(&SHARED), name), Below::default())
        }
        Need::Server => {
            let nodes = start();
            ((addresses(&nodes), "own".to_owned()), Below::of(nodes))
        }
    });
    placed.await.expect("the cluster starts")
}
