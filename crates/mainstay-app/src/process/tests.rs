//! A group that ends as a whole.

use std::sync::{Arc, Mutex};

use super::*;

/// How often a condition is looked at.
const LOOK: Duration = Duration::from_millis(10);

async fn start(command: &str) -> (Process, Arc<Mutex<Vec<String>>>) {
    let recipe = Recipe {
        app: "helper".to_owned(),
        command: command.to_owned(),
        folder: ".".into(),
        env: vec![("TOKEN".to_owned(), Redacted::new("hunter2".to_owned()))],
        withheld: ["CARGO_PKG_NAME", "TOKEN"].map(str::to_owned).into(),
    };
    assert!(!format!("{recipe:?}").contains("hunter2"), "a secret was shown");
    let lines = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&lines);
    let sink: Sink = Arc::new(move |line| kept.lock().unwrap().push(line.text.to_owned()));
    (Process::start(&recipe, &sink).await.unwrap(), lines)
}

#[tokio::test]
async fn a_command_ends_with_its_own_status_and_its_last_words_are_kept() {
    let (mut process, lines) = start("printf 'a\\nlast'; exit 5").await;
    assert_eq!(process.ended().await.unwrap().code(), Some(5));
    assert_eq!(*lines.lock().unwrap(), ["a", "last"]);
}

#[tokio::test]
async fn a_command_inherits_what_is_not_withheld_and_has_what_it_is_given() {
    let (mut process, lines) = start("echo ${CARGO_PKG_NAME-none} $CARGO_PKG_VERSION $TOKEN").await;
    process.ended().await.unwrap();
    assert_eq!(*lines.lock().unwrap(), [concat!("none ", env!("CARGO_PKG_VERSION"), " hunter2")]);
}

#[tokio::test]
async fn what_a_command_leaves_running_ends_with_it() {
    let (mut process, _) = start("sleep 1000 & exit 0").await;
    assert!(process.ended().await.unwrap().success());
    tokio::time::timeout(Duration::from_secs(10), process.group.emptied()).await.unwrap();
}

#[tokio::test]
async fn nothing_of_a_run_stays_as_a_zombie_where_we_inherit_it() {
    // As process 1 of a container does.
    rustix::process::set_child_subreaper(Some(rustix::process::getpid())).unwrap();
    let (mut process, _) = start("sh -c 'sleep 1000 & sleep 1000 & wait' & exit 0").await;
    process.ended().await.unwrap();
    let left: Vec<_> = table::entries().unwrap().filter(|left| left.group == process.group.id()).collect();
    assert_eq!(left, []);
}

#[tokio::test]
async fn a_command_that_leaves_the_group_does_not_hold_up_the_end() {
    let (mut process, lines) =
        start("exec setsid sh -c 'trap \"\" TERM; echo up; while :; do sleep 0.05; done'").await;
    let up = async {
        while lines.lock().unwrap().is_empty() {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), up).await.unwrap();
    tokio::time::timeout(Duration::from_secs(10), process.stop(Duration::from_millis(100))).await.unwrap();
    assert!(process.child.id().is_none());
}

#[tokio::test]
async fn the_group_ends_when_we_are_gone() {
    use std::os::unix::process::ExitStatusExt as _;
    // What is left of us when we are killed is a closed pipe.
    let (mut process, _) = start("trap '' TERM; while :; do sleep 0.05; done").await;
    process.leash = None;
    let status = tokio::time::timeout(Duration::from_secs(10), process.child.wait()).await.unwrap().unwrap();
    assert_eq!(status.signal(), Some(9));
    tokio::time::timeout(Duration::from_secs(10), process.group.emptied()).await.unwrap();
}

#[tokio::test]
async fn the_guard_outlives_what_it_guards_but_is_not_waited_for() {
    let (mut process, lines) =
        start("trap 'echo asked; exit' TERM; echo up; while :; do sleep 0.05; done").await;
    let said = async |word: &str| {
        while !lines.lock().unwrap().iter().any(|line| line == word) {
            tokio::time::sleep(LOOK).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(10), said("up")).await.unwrap();
    process.group.terminate();
    tokio::time::timeout(Duration::from_secs(10), said("asked")).await.unwrap();
    let emptied = tokio::time::timeout(Duration::from_secs(10), process.group.emptied());
    assert!(emptied.await.is_ok(), "the guard is taken for one at work");
    assert!(process.guard.try_wait().unwrap().is_none(), "the guard is gone");
    process.close().await;
    assert!(!table::entries().unwrap().any(|entry| entry.group == process.group.id()));
}

#[tokio::test]
async fn the_command_reads_nothing_and_sees_no_descriptor_of_ours() {
    let list = "ls /proc/self/fd | tr '\\n' ' '";
    let (mut process, lines) = start(&format!("read -r line || echo empty; {list}")).await;
    process.ended().await.unwrap();
    let lines = lines.lock().unwrap().clone();
    let unguarded =
        tokio::process::Command::new("sh").args(["-c", list]).stdin(Stdio::null()).output().await.unwrap();
    assert_eq!(lines, ["empty", &String::from_utf8(unguarded.stdout).unwrap()]);
}

#[tokio::test]
async fn a_folder_that_does_not_exist_is_an_error_of_the_start() {
    let recipe = Recipe {
        app: "a".to_owned(),
        command: "true".to_owned(),
        folder: "/no/such".into(),
        env: Vec::new(),
        withheld: BTreeSet::new(),
    };
    let sink: Sink = Arc::new(|_| ());
    assert!(Process::start(&recipe, &sink).await.is_err());
}
