//! Starts real servers for a test that is not written in Rust, and keeps them while its standard input is open.
//!
//! For each that the command line names it prints a line: `NAME PORT`, or `NAME - REASON` for one that cannot be had here;
//! then `ready`.

use std::io::{Read as _, Write as _};

use mainstay_testkit::servers::{self, Server};

fn main() -> std::io::Result<()> {
    let mut running: Vec<Server> = Vec::new();
    let mut out = std::io::stdout();
    for wanted in std::env::args().skip(1) {
        let recipe = servers::ALL.iter().find(|recipe| recipe.name.eq_ignore_ascii_case(&wanted));
        match recipe.map(|recipe| (recipe, recipe.missing())) {
            None => writeln!(out, "{wanted} - there is no recipe for it")?,
            Some((_, Some(reason))) => writeln!(out, "{wanted} - {reason}")?,
            Some((recipe, None)) => {
                let server = recipe.start();
                writeln!(out, "{wanted} {}", server.port())?;
                running.push(server);
            }
        }
    }
    writeln!(out, "ready")?;
    out.flush()?;
    std::io::stdin().read_to_end(&mut Vec::new())?;
    drop(running);
    Ok(())
}
