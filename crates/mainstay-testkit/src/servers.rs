//! ★ Real servers for tests. To add one: a file in `servers/` with a `pub static RECIPE`, and a line in `ALL`; that
//! line has `cargo xtask test` install its packages.
//!
//! A server runs on a port of its own of loopback, with its data in a temporary folder. A shell stands between it and
//! the test and waits at a pipe: when the test ends, however it ends, the pipe closes, and the shell ends the server;
//! another one removes the folder. Most checks share one server of a kind and take a name of their own on it; those
//! that stop it start their own.

pub mod below;
pub mod kafka;
pub mod mosquitto;
pub mod nats;
pub mod postgres;
pub mod rabbitmq;
pub mod redis;

use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal};

/// How a server is found, started and asked.
#[derive(Debug)]
pub struct Recipe {
    /// Its name.
    pub name: &'static str,
    /// The Debian packages that bring it.
    pub packages: &'static [&'static str],
    /// Its program, where it is installed.
    pub program: fn() -> Option<PathBuf>,
    /// Fills the empty folder. Errors: what went wrong.
    pub prepare: fn(program: &Path, folder: &Path) -> Result<(), String>,
    /// The words that run it in the foreground, listening on this port of 127.0.0.1 alone, data in the folder.
    pub command: fn(program: &Path, folder: &Path, port: u16) -> Vec<String>,
    /// Whether it takes calls.
    pub answers: fn(program: &Path, port: u16) -> bool,
    /// The name of the signal that ends it at once with its data kept.
    pub stop: &'static str,
}

/// Every server.
pub static ALL: &[&Recipe] = &[
    &kafka::RECIPE,
    &mosquitto::RECIPE,
    &nats::RECIPE,
    &postgres::RECIPE,
    &rabbitmq::RECIPE,
    &redis::RECIPE,
];

/// In a server's folder: more words of the command that runs it, one a line.
pub const WORDS: &str = "words";

/// Longest wait for a server to answer, or to end.
const PATIENCE: Duration = Duration::from_secs(60);
/// How often that is looked at.
const LOOK_INTERVAL: Duration = Duration::from_millis(10);

/// Between the server and the test: `$1` is where its log goes, `$2` the signal, the rest is the server. It says the
/// server's id, and then waits. When a test dies while its server is frozen, the kernel sends the group that it leaves
/// behind a SIGHUP, which the shell must outlive.
const KEEPER: &str = r#"
log=$1 signal=$2; shift 2
trap '' HUP
"$@" </dev/null >>"$log" 2>&1 &
server=$!
echo "$server"
read -r _
pkill -CONT -P "$server" 2>/dev/null
kill -CONT "$server" 2>/dev/null
kill "-$signal" "$server" 2>/dev/null
wait "$server"
"#;

/// Removes the folder `$1` of a test that died; the server has a moment to end before that.
const JANITOR: &str = r#"trap '' HUP; read -r _; [ ! -e "$1" ] || { sleep 5; rm -rf "$1"; }"#;

impl Recipe {
    /// Why no test can use it here; `None` where it is installed.
    #[must_use]
    pub fn missing(&self) -> Option<String> {
        let missing = || {
            let packages = self.packages.join(", ");
            format!(
                "{} is not installed ({packages}): `cargo xtask test --only servers` does that",
                self.name
            )
        };
        (self.program)().is_none().then(missing)
    }

    /// Starts one and waits until it answers.
    ///
    /// # Panics
    /// When it is not installed, or does not answer within a minute; with what it said.
    #[must_use]
    pub fn start(&'static self) -> Server {
        self.start_with(|_, _| ())
    }

    /// The same, but what it is set to is changed before: `change` takes its folder, where what it reads lies already,
    /// and its port. Words for its command go into the file [`WORDS`] there, one a line.
    ///
    /// # Panics
    /// As [`Recipe::start`].
    #[must_use]
    pub fn start_with(&'static self, change: impl FnOnce(&Path, u16)) -> Server {
        let program = (self.program)().expect("the server is installed");
        let folder = tempfile::Builder::new().prefix("mainstay-server-").tempdir();
        let folder = folder.expect("a folder for the server").keep();
        let mut janitor =
            shell(JANITOR).arg(&folder).stdout(Stdio::null()).spawn().expect("there is a shell");
        let pipe = janitor.stdin.take().expect("it is piped");
        (self.prepare)(&program, &folder).unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let port = free_port();
        change(&folder, port);
        let server = Server {
            recipe: self,
            program,
            folder,
            port,
            life: Mutex::new(None),
            janitor: Some((janitor, pipe)),
        };
        server.start();
        server
    }
}

/// A server that runs; it ends with this, or with the process.
#[derive(Debug)]
pub struct Server {
    recipe: &'static Recipe,
    program: PathBuf,
    folder: PathBuf,
    port: u16,
    life: Mutex<Option<Life>>,
    /// Gone when this is.
    janitor: Option<(Child, ChildStdin)>,
}

#[derive(Debug)]
struct Life {
    keeper: Child,
    pipe: ChildStdin,
    pid: Pid,
}

impl Server {
    /// Its port on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its data is, in a way of its own.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Ends it; its data is kept.
    ///
    /// # Panics
    /// When it does not run, or does not end.
    pub fn stop(&self) {
        let mut life = self.life().take().expect("it runs");
        life.pipe.write_all(b"stop\n").expect("the keeper listens");
        ended(&mut life.keeper);
    }

    /// Starts it again, on the same port with its data.
    ///
    /// # Panics
    /// When it does not answer within a minute; with what it said.
    pub fn start(&self) {
        let mut keeper = shell(KEEPER);
        keeper.arg(self.folder.join("log")).arg(self.recipe.stop);
        keeper.args((self.recipe.command)(&self.program, &self.folder, self.port));
        let more = std::fs::read_to_string(self.folder.join(WORDS)).unwrap_or_default();
        keeper.args(more.lines());
        let mut keeper = keeper.stdout(Stdio::piped()).spawn().expect("there is a shell");
        let pipe = keeper.stdin.take().expect("it is piped");
        let mut line = String::new();
        BufReader::new(keeper.stdout.take().expect("it is piped"))
            .read_line(&mut line)
            .expect("it says a line");
        let pid = line.trim().parse().ok().and_then(Pid::from_raw).expect("the keeper says the server's id");
        *self.life() = Some(Life { keeper, pipe, pid });
        let deadline = Instant::now() + PATIENCE;
        while !(self.recipe.answers)(&self.program, self.port) {
            let said = || std::fs::read_to_string(self.folder.join("log")).unwrap_or_default();
            assert!(
                rustix::process::test_kill_process(pid).is_ok(),
                "{} ended: {}",
                self.recipe.name,
                said()
            );
            assert!(Instant::now() < deadline, "{} does not answer: {}", self.recipe.name, said());
            std::thread::sleep(LOOK_INTERVAL);
        }
    }

    /// Halts it with everything it has started: it takes connections and does not answer.
    pub fn freeze(&self) {
        self.signal(Signal::STOP);
    }

    /// Lets it go on.
    pub fn thaw(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let pid = self.life().as_ref().expect("it runs").pid;
        // The parent first: it starts nothing new while its children are told.
        for pid in std::iter::once(pid).chain(children(pid)) {
            // It fails only for one that is gone.
            let _ = rustix::process::kill_process(pid, signal);
        }
    }

    fn life(&self) -> MutexGuard<'_, Option<Life>> {
        self.life.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(Life { mut keeper, pipe, .. }) = self.life().take() {
            drop(pipe);
            ended(&mut keeper);
        }
        // What cannot be removed now the janitor removes.
        let _ = std::fs::remove_dir_all(&self.folder);
        if let Some((mut janitor, pipe)) = self.janitor.take() {
            drop(pipe);
            ended(&mut janitor);
        }
    }
}

/// A script with a pipe, in a group of its own, so that an interrupt of the test reaches the server through the pipe
/// alone.
fn shell(script: &str) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", script, "sh"]).stdin(Stdio::piped()).stderr(Stdio::null()).process_group(0);
    shell
}

fn children(pid: Pid) -> Vec<Pid> {
    let pid = pid.as_raw_nonzero();
    let list = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap_or_default();
    list.split_whitespace().filter_map(|child| child.parse().ok().and_then(Pid::from_raw)).collect()
}

fn ended(keeper: &mut Child) {
    let deadline = Instant::now() + PATIENCE;
    while keeper.try_wait().expect("the keeper is ours to wait for").is_none() {
        if Instant::now() >= deadline {
            assert!(std::thread::panicking(), "the server does not end");
            return;
        }
        std::thread::sleep(LOOK_INTERVAL);
    }
}

/// A port of 127.0.0.1 that nothing listens on. Something else could take it before the server does; the next run would
/// not see that again.
///
/// # Panics
/// When there is none.
#[must_use]
pub fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a bound listener has an address").port()
}

/// The first of these programs that is there: a path, or a name to be looked for on the `PATH`.
fn first_program(candidates: impl IntoIterator<Item = PathBuf>) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    candidates.into_iter().find_map(|candidate| {
        if candidate.is_absolute() {
            return candidate.is_file().then_some(candidate);
        }
        folders.iter().map(|folder| folder.join(&candidate)).find(|path| path.is_file())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A stand-in that listens: the machinery is tested where no server is installed.
    static STAND_IN: Recipe = Recipe {
        name: "stand-in",
        packages: &[],
        program: || first_program(["python3".into()]),
        prepare: |_, folder| std::fs::write(folder.join("kept"), "").map_err(|error| error.to_string()),
        command: |program, folder, port| {
            let words = ["-m", "http.server", "--bind", "127.0.0.1", "-d"].map(str::to_owned);
            let mut command = vec![program.display().to_string()];
            command.extend(words);
            command.extend([folder.display().to_string(), port.to_string()]);
            command
        },
        answers: |_, port| std::net::TcpStream::connect(("127.0.0.1", port)).is_ok(),
        stop: "TERM",
    };

    #[test]
    fn a_server_stops_starts_again_with_its_data_and_ends_with_its_owner() {
        if STAND_IN.missing().is_some() {
            return;
        }
        let server = STAND_IN.start();
        let (port, folder) = (server.port(), server.folder.clone());
        let answers = || std::net::TcpStream::connect(("127.0.0.1", port)).is_ok();
        assert!(answers());
        server.stop();
        assert!(!answers() && folder.join("kept").exists());
        server.start();
        assert!(answers());
        server.freeze();
        drop(server);
        assert!(!answers() && !folder.exists(), "it outlives its owner");
    }
}
