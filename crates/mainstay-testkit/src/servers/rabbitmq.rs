//! RabbitMQ, with an epmd of its own beside it: the one that Erlang starts by itself would outlive every test. Each
//! user of the shared one takes names of its own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::time::Duration;

use super::below::{Below, Need};
use super::{Recipe, Server, first_program, free_port};

/// Runs epmd and the server `$1`, and ends both when it is told to end.
const BOTH: &str = r#"
epmd -address 127.0.0.1 &
epmd=$!
"$1" &
server=$!
trap 'kill -TERM "$server"' TERM
while kill -0 "$server" 2>/dev/null; do wait "$server"; done
kill "$epmd"
wait "$epmd"
"#;

/// Threads that wait, rather than turn in circles; nobody from outside.
const ERLANG: &str = "+sbwt none +sbwtdcpu none +sbwtdio none -kernel inet_dist_use_interface {127,0,0,1}";

/// How it is started.
pub static RECIPE: Recipe = Recipe {
    name: "RabbitMQ",
    packages: &["rabbitmq-server"],
    // The one on the `PATH` becomes another user.
    program: || first_program(["/usr/lib/rabbitmq/bin/rabbitmq-server".into()]),
    prepare: |_, folder| {
        let write = |name, text| std::fs::write(folder.join(name), text).map_err(|error| error.to_string());
        write("rabbitmq.conf", "disk_free_limit.absolute = 1MB\nlog.console.level = warning\n")?;
        write("plugins", "[].")
    },
    command: |program, folder, port| {
        let (path, folder) = (|name: &str| folder.join(name).display().to_string(), folder.display());
        let settings = [
            format!("HOME={folder}"),
            format!("ERL_EPMD_PORT={}", free_port()),
            format!("RABBITMQ_DIST_PORT={}", free_port()),
            format!("RABBITMQ_NODENAME=mainstay{port}@localhost"),
            format!("RABBITMQ_NODE_PORT={port}"),
            "RABBITMQ_NODE_IP_ADDRESS=127.0.0.1".to_owned(),
            format!("RABBITMQ_MNESIA_DIR={}", path("data")),
            format!("RABBITMQ_LOG_BASE={folder}"),
            "RABBITMQ_LOGS=-".to_owned(),
            format!("RABBITMQ_CONF_ENV_FILE={}", path("none")),
            format!("RABBITMQ_CONFIG_FILE={}", path("rabbitmq.conf")),
            format!("RABBITMQ_ENABLED_PLUGINS_FILE={}", path("plugins")),
            format!("RABBITMQ_FEATURE_FLAGS_FILE={}", path("features")),
            format!("RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS={ERLANG}"),
            // The server itself, and no shell around it.
            "RUNNING_UNDER_SYSTEMD=1".to_owned(),
        ];
        let mut command = vec!["env".to_owned()];
        command.extend(settings);
        command.extend(["sh", "-c", BOTH, "sh"].map(str::to_owned));
        command.push(program.display().to_string());
        command
    },
    answers: |_, port| greeted(port).is_some(),
    stop: "TERM",
};

/// Says which protocol it speaks, and hears the beginning of `connection.start`.
fn greeted(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"AMQP\x00\x00\x09\x01").ok()?;
    let mut answer = [0];
    stream.read_exact(&mut answer).ok()?;
    (answer == [1]).then_some(())
}

static SHARED: LazyLock<Server> = LazyLock::new(|| RECIPE.start());

/// The port of the one server of this process, and a name that nobody else begins a topic with.
///
/// # Panics
/// As [`Recipe::start`].
#[must_use]
pub fn namespace() -> (u16, String) {
    static TAKEN: AtomicU32 = AtomicU32::new(0);
    (SHARED.port(), format!("rig{}", TAKEN.fetch_add(1, SeqCst)))
}

/// What a check needs: the port of a server, a name that nobody else begins a topic with, and what of it is its own.
///
/// # Panics
/// As [`Recipe::start`].
pub async fn place(need: Need) -> ((u16, String), Below) {
    RECIPE.place(need, namespace, |port| (port, "own".to_owned())).await
}
