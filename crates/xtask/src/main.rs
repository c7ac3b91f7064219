//! Developer tasks: `cargo xtask test | bench | tidy | docs`. Every task says what it did and what it did not do; none
//! changes a file of the checkout except `docs` without `--check` and `bench --out`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tasks talk to a developer's terminal")]

mod bench;
mod project;
mod shell;
mod tidy;

use std::process::ExitCode;

use clap::Parser;

/// Developer tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
enum Task {
    /// Measure, with peers in the same run
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Hold the house rules
    Tidy,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Bench(bench) => bench::run(bench),
        Task::Tidy => tidy::run(),
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
