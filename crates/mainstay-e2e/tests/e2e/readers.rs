//! Readers that go away: a closed or full standard output ends a command quietly, and a server not at all.

use std::fs::File;
use std::process::{Child, Command, Stdio};

use mainstay_e2e::Place;
use mainstay_testkit::process::{Client, PATIENCE, binary};
use tokio::net::TcpStream;

/// `mainstay WORDS…` in the place's folder, with this standard output.
fn command(place: &Place, words: &[&str], out: Stdio) -> Command {
    let mut command = Command::new(binary());
    command.args(words).current_dir(place.path()).env_clear().env("MAINSTAY_MODELS_FOLDER", place.path());
    command.stdin(Stdio::null()).stdout(out).stderr(Stdio::piped());
    command
}

/// A pipe that nobody reads any more.
fn closed() -> Stdio {
    let (reader, writer) = std::io::pipe().expect("a pipe can be had");
    drop(reader);
    writer.into()
}

fn full() -> Stdio {
    File::options().write(true).open("/dev/full").expect("there is a full device").into()
}

/// The exit code, and what was complained of.
fn end(mut command: Command) -> (Option<i32>, String) {
    let out = command.output().expect("the binary starts");
    (out.status.code(), String::from_utf8_lossy(&out.stderr).into_owned())
}

#[test]
fn a_listing_whose_reader_has_gone_ends_quietly() {
    let place = Place::scripted(&["{ text: Paris. }"]);
    for words in [
        &["models", "list"][..],
        &["completions", "bash"],
        &["check"],
        &["check", "--format", "json"],
        &["new", "other"],
    ] {
        assert_eq!(end(command(&place, words, closed())), (Some(0), String::new()), "{words:?}");
    }
}

#[test]
fn the_verdict_of_a_check_does_not_depend_on_its_reader() {
    let place = Place::new("name: e2e\nserver: { drian: 5s }\n");
    assert_eq!(end(command(&place, &["check", "--format", "json"], closed())).0, Some(78));
}

#[test]
fn an_answer_that_cannot_be_written_is_told() {
    let place = Place::scripted(&["{ text: Paris. }"]);
    let (code, said) = end(command(&place, &["completions", "bash"], full()));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("write to standard output"), "{said}");
}

/// A server that is killed at the end.
struct Served(Child);

impl Drop for Served {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
async fn a_server_outlives_the_readers_of_its_output() {
    for (name, out) in [("serve", closed()), ("serve", full()), ("dev", closed())] {
        let place = Place::scripted(&["{ text: Paris. }"]);
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
        let address = port.expect("loopback has a free port");
        let words = [name, ".", "--listen", &address.to_string()];
        let mut served = Served(command(&place, &words, out).spawn().expect("the binary starts"));
        let deadline = tokio::time::Instant::now() + PATIENCE;
        while TcpStream::connect(address).await.is_err() {
            let ended = served.0.try_wait().expect("the process can be asked");
            assert!(ended.is_none(), "`{name}` ended with {ended:?}");
            assert!(tokio::time::Instant::now() < deadline, "`{name}` does not listen");
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        assert_eq!(Client::new(address).get("/health").await.status, 200, "{name}");
    }
}
