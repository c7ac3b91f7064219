//! The port through which engines and surfaces report what happened. Reports carry names and numbers, never content.

use std::time::Duration;

use crate::model::Usage;

/// A request that a surface answered.
#[derive(Clone, Copy, Debug)]
pub struct HttpReport<'a> {
    /// The route's template, e.g. `/v1/runs/{id}`; `unknown` outside the table.
    pub route: &'a str,
    /// The method.
    pub method: &'a str,
    /// The status.
    pub status: u16,
    /// From the first byte of the request to the last byte of the answer.
    pub elapsed: Duration,
}

/// A model call that ended.
#[derive(Clone, Copy, Debug)]
pub struct ModelReport<'a> {
    /// The name asked for.
    pub model: &'a str,
    /// The provider's name in the spec.
    pub provider: &'a str,
    /// `ok`, `client_closed`, or an error code.
    pub outcome: &'a str,
    /// Tokens, as far as known.
    pub usage: Usage,
    /// Until the provider's first byte.
    pub first_byte: Option<Duration>,
    /// Until the end.
    pub elapsed: Duration,
}

/// A run that ended.
#[derive(Clone, Copy, Debug)]
pub struct RunReport<'a> {
    /// The agent.
    pub agent: &'a str,
    /// The final status.
    pub status: &'a str,
    /// From creation to the end.
    pub elapsed: Duration,
    /// Model calls made.
    pub steps: u32,
}

/// A tool call that ended.
#[derive(Clone, Copy, Debug)]
pub struct ToolReport<'a> {
    /// The tool.
    pub tool: &'a str,
    /// `ok`, `error` (the tool said so), or an error code.
    pub outcome: &'a str,
    /// How long it took.
    pub elapsed: Duration,
}

/// A number that goes up and down.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gauge {
    /// Requests in flight on the public surface.
    HttpInFlight,
    /// Runs at work.
    RunsActive,
    /// Runs waiting for their session.
    RunsQueued,
    /// 1 when ready, else 0.
    Ready,
    /// Event streams open.
    StreamsOpen,
}

/// The port. Calls never block and never fail; they sit on hot paths.
pub trait Telemetry: Send + Sync {
    /// A request was answered.
    fn http(&self, report: HttpReport<'_>);
    /// A model call ended.
    fn model(&self, report: ModelReport<'_>);
    /// A run ended.
    fn run(&self, report: RunReport<'_>);
    /// A tool call ended.
    fn tool(&self, report: ToolReport<'_>);
    /// A gauge moved by `delta`.
    fn gauge(&self, gauge: Gauge, delta: i64);
    /// A request was refused before work: by rate, concurrency, overload or drain.
    fn shed(&self, reason: &'static str);
    /// What readiness rests on, each by its name and whether it works: all of it. What was told of before and is not
    /// among it is no more.
    fn dependencies(&self, found: &[(&str, bool)]);
    /// Everything so far, in a monitoring system's text format: content type and body.
    fn scrape(&self) -> (&'static str, String);
}
