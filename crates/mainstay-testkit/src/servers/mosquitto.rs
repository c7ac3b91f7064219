//! Mosquitto. It starts within milliseconds, so every user starts one: sessions are known by the client's name alone,
//! and names of groups are the tests' own.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::time::Duration;

use super::{Recipe, first_program};

/// How it is started.
pub static RECIPE: Recipe = Recipe {
    name: "Mosquitto",
    packages: &["mosquitto"],
    program: || first_program(["mosquitto".into(), "/usr/sbin/mosquitto".into()]),
    prepare: |_, folder| {
        // Without a listener of its own it takes calls from this machine alone. Started as root, it would become a user
        // who may not write here.
        let settings = format!(
            "user root\npersistence true\npersistence_location {}/\nmax_queued_messages 0\nallow_anonymous true\n",
            folder.display()
        );
        std::fs::write(folder.join("settings"), settings).map_err(|error| error.to_string())
    },
    command: |program, folder, port| {
        let settings = folder.join("settings").display().to_string();
        vec![program.display().to_string(), "-c".to_owned(), settings, "-p".to_owned(), port.to_string()]
    },
    answers: |_, port| greeted(port).is_some(),
    stop: "TERM",
};

/// Says CONNECT with no name, and hears CONNACK.
fn greeted(port: u16) -> Option<()> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).ok()?;
    stream.write_all(b"\x10\x0c\x00\x04MQTT\x04\x02\x00\x0a\x00\x00").ok()?;
    let mut answer = [0; 4];
    stream.read_exact(&mut answer).ok()?;
    (answer == [0x20, 2, 0, 0]).then_some(())
}
