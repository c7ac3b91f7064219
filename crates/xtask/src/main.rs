//! Developer tasks: `cargo xtask test | bench | tidy | docs | goldens | release`. Every task says what it did and what
//! it did not do; none changes a file of the checkout except `docs` and `goldens` without `--check` and `bench --out`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "the tasks talk to a developer's terminal")]

mod bench;
mod docs;
mod goldens;
mod project;
mod release;
mod server;
mod shell;
mod test;
mod tidy;
mod tree;
mod venv;
mod wire;

use std::process::ExitCode;

use clap::Parser;

/// Developer tasks.
#[derive(Parser)]
#[command(name = "cargo xtask", version, about)]
enum Task {
    /// Run every test, or some parts of them
    Test(test::Options),
    /// Measure, with peers in the same run
    #[command(subcommand)]
    Bench(bench::Bench),
    /// Hold the house rules
    Tidy,
    /// Write docs/reference from the binary
    Docs(docs::Options),
    /// Write the deployment files of the examples
    Goldens(goldens::Options),
    /// Build the binary that is given to others
    Release,
}

fn main() -> ExitCode {
    let done = match Task::parse() {
        Task::Test(options) => test::run(&options),
        Task::Bench(bench) => bench::run(bench),
        Task::Tidy => tidy::run(),
        Task::Docs(options) => docs::run(&options),
        Task::Goldens(options) => goldens::run(&options),
        Task::Release => release::run(),
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
