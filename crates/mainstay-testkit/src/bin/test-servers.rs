//! Starts real servers for a test that is not written in Rust, and keeps them while its standard input is open.
//!
//! For each that the command line names it prints a line: `NAME PORT`, or `NAME - REASON` for one that cannot be had
//! here; then `ready`. `NAME@LABEL` is one that is called `LABEL` from there on, so that there can be two of a kind. A
//! line `stop NAME` or `start NAME` on standard input ends a server, or starts it again on its port with its data; it
//! is repeated when that is done.

use std::collections::BTreeMap;
use std::io::Write as _;

use mainstay_testkit::servers::{self, Server};

fn main() -> std::io::Result<()> {
    let mut running: BTreeMap<String, Server> = BTreeMap::new();
    let mut out = std::io::stdout();
    for wanted in std::env::args().skip(1) {
        let (name, label) = wanted.split_once('@').unwrap_or((&wanted, &wanted));
        let recipe = servers::ALL.iter().find(|recipe| recipe.name.eq_ignore_ascii_case(name));
        match recipe.map(|recipe| (recipe, recipe.missing())) {
            None => writeln!(out, "{label} - there is no recipe for it")?,
            Some((_, Some(reason))) => writeln!(out, "{label} - {reason}")?,
            Some((recipe, None)) => {
                let server = recipe.start();
                writeln!(out, "{label} {}", server.port())?;
                running.insert(label.to_owned(), server);
            }
        }
    }
    writeln!(out, "ready")?;
    out.flush()?;
    for line in std::io::stdin().lines() {
        let line = line?;
        let (word, label) = line.split_once(' ').unwrap_or_default();
        match (word, running.get(label)) {
            ("stop", Some(server)) => server.stop(),
            ("start", Some(server)) => server.start(),
            _ => return Err(std::io::Error::other(format!("`{line}` is no order"))),
        }
        writeln!(out, "{line}")?;
        out.flush()?;
    }
    Ok(())
}
