//! PostgreSQL, as its own user where we are root, for it refuses to run as root. Each user of the shared one takes
//! names of its own for its tables.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

use super::below::{Below, Need};
use super::{Recipe, Server, first_program};

/// The user that Debian's package makes.
const USER: &str = "postgres";

/// How it is started.
pub static RECIPE: Recipe = Recipe {
    name: "PostgreSQL",
    packages: &["postgresql"],
    program,
    prepare,
    command: |program, folder, port| {
        let mut words = as_user();
        words.extend([program.display().to_string(), "-D".to_owned(), data(folder)]);
        let settings = [
            format!("port={port}"),
            "listen_addresses=127.0.0.1".to_owned(),
            "unix_socket_directories=".to_owned(),
            "max_connections=300".to_owned(),
            // What the tests look at is not whether PostgreSQL survives a power cut.
            "fsync=off".to_owned(),
            "full_page_writes=off".to_owned(),
        ];
        words.extend(settings.into_iter().flat_map(|setting| ["-c".to_owned(), setting]));
        words
    },
    answers: |program, port| {
        let mut ask = Command::new(program.with_file_name("pg_isready"));
        ask.args(["-q", "-h", "127.0.0.1", "-p", &port.to_string()]);
        ask.status().is_ok_and(|status| status.success())
    },
    stop: "INT",
};

/// Debian keeps the programs of each version apart; the newest is taken.
fn program() -> Option<PathBuf> {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut versions: Vec<(u32, PathBuf)> = versions
        .filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
        .collect();
    versions.sort_unstable_by(|a, b| b.cmp(a));
    let installed = versions.into_iter().map(|(_, path)| path.join("bin/postgres"));
    first_program(installed.chain([PathBuf::from("postgres")]))
}

/// The words before a command that has to run as PostgreSQL's user.
fn as_user() -> Vec<String> {
    if !rustix::process::geteuid().is_root() {
        return Vec::new();
    }
    let user = [format!("--reuid={USER}"), format!("--regid={USER}"), "--clear-groups".to_owned()];
    std::iter::once("setpriv".to_owned()).chain(user).collect()
}

fn data(folder: &Path) -> String {
    folder.join("data").display().to_string()
}

fn prepare(program: &Path, folder: &Path) -> Result<(), String> {
    if rustix::process::geteuid().is_root() {
        run(vec!["chown".to_owned(), format!("{USER}:"), folder.display().to_string()])?;
    }
    let mut words = as_user();
    let initdb = program.with_file_name("initdb").display().to_string();
    words.extend([initdb, "-D".to_owned(), data(folder)]);
    let settings = ["-A", "trust", "-U", "tester", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
    words.extend(settings.map(str::to_owned));
    run(words)
}

fn run(words: Vec<String>) -> Result<(), String> {
    let mut words = words.into_iter();
    let mut command = Command::new(words.next().unwrap_or_default());
    let out = command.args(words).current_dir("/").output().map_err(|error| error.to_string())?;
    if out.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&out.stderr).into_owned()) }
}

/// What connects to the server at this port: `host=… port=…`, as PostgreSQL's own clients take it.
#[must_use]
pub fn connection_string(port: u16) -> String {
    format!("host=127.0.0.1 port={port} user=tester dbname=postgres sslmode=disable")
}

static SHARED: LazyLock<Server> = LazyLock::new(|| RECIPE.start());

/// What connects to the one server of this process, and a number that nobody else names a table with.
///
/// # Panics
/// As [`Recipe::start`].
#[must_use]
pub fn namespace() -> (String, u32) {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    (connection_string(SHARED.port()), TAKEN.fetch_add(1, SeqCst))
}

/// What a check needs: what connects to a server, a number that nobody else names a table with, and what of it is its
/// own.
///
/// # Panics
/// As [`Recipe::start`].
pub async fn place(need: Need) -> ((String, u32), Below) {
    RECIPE.place(need, namespace, |port| (connection_string(port), 0)).await
}
