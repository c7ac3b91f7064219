//! NATS with JetStream. Each user of the shared one takes subjects of its own.

use std::io::Read as _;
use std::net::TcpStream;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use super::below::{Below, Need};
use super::{Recipe, Server, first_program};

/// How it is started.
pub static RECIPE: Recipe = Recipe {
    name: "NATS",
    packages: &["nats-server"],
    program: || first_program(["nats-server".into(), "/usr/sbin/nats-server".into()]),
    prepare: |_, _| Ok(()),
    command: |program, folder, port| {
        let words = ["-a", "127.0.0.1", "-p", &port.to_string(), "-js", "-sd"].map(str::to_owned);
        let mut command = vec![program.display().to_string()];
        command.extend(words);
        command.push(folder.join("data").display().to_string());
        command
    },
    answers: |_, port| greeted(port).is_some(),
    stop: "TERM",
};

fn greeted(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).ok()?;
    (answer == *b"INFO").then_some(())
}

static SHARED: LazyLock<Server> = LazyLock::new(|| RECIPE.start());

/// The port of the one server of this process, and a name that nobody else begins a subject with.
///
/// # Panics
/// As [`Recipe::start`].
#[must_use]
pub fn namespace() -> (u16, String) {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    (SHARED.port(), format!("rig{}", TAKEN.fetch_add(1, SeqCst)))
}

/// What a check needs: the port of a server, a name that nobody else begins a subject with, and what of it is its own.
///
/// # Panics
/// As [`Recipe::start`].
pub async fn place(need: Need) -> ((u16, String), Below) {
    RECIPE.place(need, namespace, |port| (port, "own".to_owned())).await
}
