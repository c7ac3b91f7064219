//! ★ The benchmarks. To add one: a file in `bench/` with `Options` and `run`, and a line in `Bench` and in `run`.
//!
//! A benchmark prints one table and can write it as Markdown. What is portable between machines is processor time a
//! request and ratios within a run, so every run has peers beside ours; nothing here passes or fails on a time.

mod blocks;
mod gateway;
mod journal;
mod load;
mod local;
mod mock;
mod peers;
mod service;
mod streams;
mod table;

use clap::Subcommand;

/// What to measure.
#[derive(Subcommand)]
pub(crate) enum Bench {
    /// A model call through the gateway, beside nginx, vllm-router and LiteLLM
    Gateway(gateway::Options),
    /// State, messages and invocation through a sidecar, beside the app called directly
    Blocks(blocks::Options),
    /// Many concurrent streams, every event checked, memory watched
    Streams(streams::Options),
    /// Durable appends to the journal
    Journal(journal::Options),
    /// The local model: prefill and decode speed
    Local(local::Options),
    /// The upstream of the benchmarks
    #[command(hide = true)]
    Mock(mock::Options),
    /// The load generator of the benchmarks
    #[command(hide = true)]
    Load(load::Options),
}

/// Runs one; false when something that must hold did not (a lost event, a failed request).
pub(crate) fn run(bench: Bench) -> anyhow::Result<bool> {
    match bench {
        Bench::Gateway(options) => gateway::run(&options),
        Bench::Blocks(options) => blocks::run(&options),
        Bench::Streams(options) => streams::run(&options),
        Bench::Journal(options) => journal::run(&options).map(|()| true),
        Bench::Local(options) => local::run(&options).map(|()| true),
        Bench::Mock(options) => mock::run(&options).map(|()| true),
        Bench::Load(options) => load::run(&options).map(|()| true),
    }
}
