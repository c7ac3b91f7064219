//! Kafka: one node that is broker and controller (KRaft), with little memory. Its jars are where `cargo xtask test
//! --only servers` has put them. Each user of the shared one takes names of its own for its topics and groups.
//!
//! What listens besides is named in the file `listeners` of the node's folder, a name and a port a line; a test that
//! writes it says in `server.properties` what they are, and starts the node again.

use std::fmt::Write as _;
use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use super::below::{Below, Need};
use super::{Recipe, Server, first_program, free_port};

/// How it is started.
pub static RECIPE: Recipe = Recipe {
    name: "Kafka",
    packages: &["default-jre-headless", "maven"],
    program: || jars().and_then(|_| first_program(["java".into(), "/usr/bin/java".into()])),
    prepare,
    command,
    answers: |_, port| answers(port).is_some(),
    // Its data is in the log that a killed broker reads again; an orderly end would take seconds.
    stop: "KILL",
};

/// Partitions of a topic that nobody has made: more than a member holds messages in any test.
pub const PARTITIONS: usize = 12;

/// A user and password that every node knows by SCRAM.
pub const USER: (&str, &str) = ("tester", "tester-secret");

/// What is the same for every node.
const SETTINGS: &[(&str, &str)] = &[
    ("process.roles", "broker,controller"),
    ("node.id", "1"),
    ("controller.listener.names", "CONTROLLER"),
    ("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT"),
    ("offsets.topic.replication.factor", "1"),
    ("offsets.topic.num.partitions", "4"),
    ("transaction.state.log.replication.factor", "1"),
    ("transaction.state.log.num.partitions", "1"),
    ("transaction.state.log.min.isr", "1"),
    // Groups of tests form at once, and notice soon who has died.
    ("group.initial.rebalance.delay.ms", "0"),
    ("group.min.session.timeout.ms", "100"),
    // A node that was killed is back at once.
    ("broker.session.timeout.ms", "1000"),
    ("broker.heartbeat.interval.ms", "200"),
    ("log.cleaner.enable", "false"),
    ("log.index.size.max.bytes", "65536"),
    ("num.network.threads", "2"),
    ("num.io.threads", "2"),
];

/// The folder that holds the jars, beside what cargo builds: the target folder is above this program.
fn jars() -> Option<PathBuf> {
    let program = std::env::current_exe().ok()?;
    let folders = program.ancestors().map(|folder| folder.join("xtask-tools/kafka"));
    folders
        .into_iter()
        .find(|folder| folder.join("installed.sha256").is_file())
        .map(|folder| folder.join("jars"))
}

/// The words that run a class of Kafka's.
fn java(program: &Path, class: &str) -> Vec<String> {
    let jars = jars().unwrap_or_default().join("*").display().to_string();
    let mut words = vec![program.display().to_string()];
    // Quick to start and small, not fast.
    let options = ["-Xms32m", "-Xmx256m", "-Xss512k", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1"];
    words.extend(options.map(str::to_owned));
    words.extend(["-cp".to_owned(), jars, class.to_owned()]);
    words
}

fn settings(folder: &Path) -> PathBuf {
    folder.join("server.properties")
}

fn listeners(folder: &Path, port: u16, controller: u16) -> [(&'static str, String); 3] {
    let (mut listen, mut shown) =
        (format!("PLAINTEXT://127.0.0.1:{port}"), format!("PLAINTEXT://127.0.0.1:{port}"));
    let more = std::fs::read_to_string(folder.join("listeners")).unwrap_or_default();
    for (name, port) in more.lines().filter_map(|line| line.split_once(' ')) {
        let _ = write!(listen, ",{name}://127.0.0.1:{port}");
        // By the name that certificates are of.
        let _ = write!(shown, ",{name}://localhost:{port}");
    }
    let _ = write!(listen, ",CONTROLLER://127.0.0.1:{controller}");
    [
        ("listeners", listen),
        ("advertised.listeners", shown),
        ("controller.quorum.voters", format!("1@127.0.0.1:{controller}")),
    ]
}

fn prepare(program: &Path, folder: &Path) -> Result<(), String> {
    let mut text = format!("log.dirs={}\nnum.partitions={PARTITIONS}\n", folder.join("data").display());
    for (name, value) in SETTINGS {
        let _ = writeln!(text, "{name}={value}");
    }
    let controller = free_port();
    // Formatting asks for listeners and does not use them.
    for (name, value) in listeners(folder, 0, controller) {
        let _ = writeln!(text, "{name}={value}");
    }
    std::fs::write(settings(folder), text).map_err(|error| error.to_string())?;
    std::fs::write(folder.join("controller"), controller.to_string()).map_err(|error| error.to_string())?;
    let mut words = java(program, "kafka.tools.StorageTool").into_iter();
    let mut format = Command::new(words.next().unwrap_or_default());
    format.args(words).args(["format", "-t", "MkU3OEVBNTcwNTJENDM2Qk", "-c"]).arg(settings(folder));
    for mechanism in ["SCRAM-SHA-256", "SCRAM-SHA-512"] {
        let (name, password) = USER;
        format.args(["--add-scram", &format!("{mechanism}=[name={name},password={password}]")]);
    }
    let out = format.output().map_err(|error| error.to_string())?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

fn command(program: &Path, folder: &Path, port: u16) -> Vec<String> {
    let controller = std::fs::read_to_string(folder.join("controller")).unwrap_or_default();
    let mut words = java(program, "kafka.Kafka");
    words.push(settings(folder).display().to_string());
    for (name, value) in listeners(folder, port, controller.trim().parse().unwrap_or_default()) {
        words.extend(["--override".to_owned(), format!("{name}={value}")]);
    }
    words
}

/// Asks which requests it takes; it answers when it has started.
fn answers(port: u16) -> Option<()> {
    /// A request for the versions of its API, in the oldest form: its length, kind, version, number, and no client's
    /// name.
    const ASK: [u8; 14] = [0, 0, 0, 10, 0, 18, 0, 0, 0, 0, 0, 1, 0xff, 0xff];
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(&ASK).ok()?;
    let mut answer = [0; 10];
    stream.read_exact(&mut answer).ok()?;
    // Its length, then the number of the request, then no error.
    (answer[4..] == [0, 0, 0, 1, 0, 0]).then_some(())
}

static SHARED: LazyLock<Server> = LazyLock::new(|| RECIPE.start());

/// The address of the one server of this process, and a number that nobody else names topics and groups with.
///
/// # Panics
/// As [`Recipe::start`].
#[must_use]
pub fn namespace() -> (String, u32) {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    (format!("127.0.0.1:{}", SHARED.port()), TAKEN.fetch_add(1, SeqCst))
}

/// What a check needs: the address of a server, a number that nobody else names topics and groups with, and what of it
/// is its own.
///
/// # Panics
/// As [`Recipe::start`].
pub async fn place(need: Need) -> ((String, u32), Below) {
    RECIPE.place(need, namespace, |port| (format!("127.0.0.1:{port}"), 0)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_killed_broker_is_back_on_its_port() {
        if RECIPE.missing().is_some() {
            return;
        }
        let server = RECIPE.start();
        server.stop();
        assert!(answers(server.port()).is_none());
        server.start();
        assert!(answers(server.port()).is_some());
    }
}
