//! The `mainstay` binary: reads the command line, runs one command, ends with a documented exit code.
//! What a command does is in `commands/`; how the parts are joined is in `wire.rs`.

mod checking;
mod cli;
mod commands;
mod components;
mod environment;
mod exit;
mod image;
mod logging;
mod run;
mod serving;
mod ship;
mod sidecar;
mod spec;
mod stamp;
mod stand_in;
mod surroundings;
mod terminal;
mod wire;
mod withheld;

use std::process::ExitCode;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    if let Some(code) = mainstay_app::guard_if_asked() {
        return code;
    }
    let matches = match cli::parse(std::env::args_os()) {
        Ok(matches) => matches,
        Err(code) => return code,
    };
    let code = match commands::run(&matches) {
        Ok(code) => code,
        Err(error) => exit::report(&error),
    };
    terminal::close();
    code
}
