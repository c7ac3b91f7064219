//! Redis. Each user of the shared one takes a database of its own.

pub mod cluster;

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use super::below::{Below, Need};
use super::{Recipe, Server, first_program};

/// Databases of the shared server: more than a test binary has tests.
const DATABASES: &str = "4096";

/// How it is started.
pub static RECIPE: Recipe = Recipe {
    name: "Redis",
    packages: &["redis-server"],
    program: || first_program(["redis-server".into(), "/usr/bin/redis-server".into()]),
    prepare: |_, _| Ok(()),
    command: |program, folder, port| {
        let settings = [
            ("--bind", "127.0.0.1".to_owned()),
            ("--port", port.to_string()),
            ("--dir", folder.display().to_string()),
            ("--databases", DATABASES.to_owned()),
            ("--appendonly", "yes".to_owned()),
            ("--appendfsync", "no".to_owned()),
            ("--save", String::new()),
        ];
        let mut command = vec![program.display().to_string()];
        command.extend(settings.into_iter().flat_map(|(name, value)| [name.to_owned(), value]));
        command
    },
    answers: |_, port| ping(port).is_some(),
    stop: "TERM",
};

fn ping(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"PING\r\n").ok()?;
    let mut answer = [0; 5];
    stream.read_exact(&mut answer).ok()?;
    (answer == *b"+PONG").then_some(())
}

static SHARED: LazyLock<Server> = LazyLock::new(|| RECIPE.start());

/// The address of the one server of this process, and a database that nobody else uses.
///
/// # Panics
/// As [`Recipe::start`]; after 4,096 databases.
#[must_use]
pub fn database() -> (String, u32) {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    let address = format!("127.0.0.1:{}", SHARED.port());
    let database = TAKEN.fetch_add(1, SeqCst);
    assert!(database < 4096, "every database is taken");
    (address, database)
}

/// What a check needs: the address of a server, the text of the number of a database there that nobody else uses, and
/// what of it is its own.
///
/// # Panics
/// As [`database`].
pub async fn place(need: Need) -> ((String, String), Below) {
    let own = |port| (format!("127.0.0.1:{port}"), 0);
    let ((host, database), below) = RECIPE.place(need, database, own).await;
    ((host, database.to_string()), below)
}
