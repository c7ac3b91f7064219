//! A trace: when requests came, and how large they were. Text in three formats becomes one; the format is told by its
//! first line. Reads no file itself.

mod readers;

use std::fmt;

/// Requests of a trace.
pub const REQUESTS_MAX: usize = 2_000_000;
/// The longest trace, in milliseconds: eight days.
pub const SPAN_MS_MAX: u64 = 8 * 24 * 3_600_000;
/// Tokens of a request, in each direction.
pub const TOKENS_MAX: u32 = 10_000_000;
/// The longest time in tools of a request, in milliseconds: a day.
pub const TOOL_MS_MAX: u64 = 24 * 3_600_000;

/// What a trace is rounded up to, in milliseconds: its last request is not its end.
const SPAN_STEP_MS: u64 = 60_000;

/// A request as it came.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Request {
    /// When, in milliseconds from the trace's start.
    pub at_ms: u64,
    /// Tokens of the question with all that goes along.
    pub input_tokens: u32,
    /// Tokens of the answer.
    pub output_tokens: u32,
    /// Time spent in tools, in milliseconds.
    pub tool_ms: u64,
}

/// Requests in the order in which they came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trace {
    /// The requests.
    pub requests: Vec<Request>,
    /// How long it lasts, in milliseconds; longer than any request's time.
    pub span_ms: u64,
}

/// What is wrong with a trace's text, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1.
    pub line: usize,
    /// The character in it, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}, column {}: {}", self.line, self.column, self.message)
    }
}

impl std::error::Error for Fault {}

impl Trace {
    /// Reads a trace:
    /// - CSV under `seconds,input_tokens,output_tokens`, and `,tool_seconds` where there are tools;
    /// - CSV under `TIMESTAMP,ContextTokens,GeneratedTokens` (Azure's LLM inference traces);
    /// - a JSON object a line with `timestamp` (milliseconds), `input_length` and `output_length` (Mooncake's).
    ///
    /// The first request is at 0; lines may be in any order. Errors: the first fault, with its place.
    pub fn read(text: &str) -> Result<Self, Fault> {
        let mut requests = readers::read(text)?;
        requests.sort_by_key(|request| request.at_ms);
        let first = requests.first().map_or(0, |request| request.at_ms);
        for request in &mut requests {
            request.at_ms -= first;
        }
        let last = requests.last().map_or(0, |request| request.at_ms);
        Ok(Self { requests, span_ms: (last / SPAN_STEP_MS + 1) * SPAN_STEP_MS })
    }

    /// The same trace as text, in the first of the formats that are read.
    #[must_use]
    pub fn to_csv(&self) -> String {
        let tools = self.requests.iter().any(|request| request.tool_ms > 0);
        let mut text = String::from("seconds,input_tokens,output_tokens");
        text.push_str(if tools { ",tool_seconds\n" } else { "\n" });
        for Request { at_ms, input_tokens, output_tokens, tool_ms } in &self.requests {
            text.push_str(&format!("{},{input_tokens},{output_tokens}", seconds(*at_ms)));
            if tools {
                text.push_str(&format!(",{}", seconds(*tool_ms)));
            }
            text.push('\n');
        }
        text
    }

    /// Requests in flight on average if none ever waited.
    #[must_use]
    pub fn load_mean(&self, takes_ms: impl Fn(&Request) -> u64) -> f64 {
        let work_ms: u64 = self.requests.iter().map(takes_ms).sum();
        work_ms as f64 / self.span_ms as f64
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_trace_begins_at_its_first_request_and_is_sorted() {
        let trace = Trace::read("seconds,input_tokens,output_tokens\n75.5,10,20\n10,1,2\n").unwrap();
        let request =
            |at_ms, input_tokens, output_tokens| Request { at_ms, input_tokens, output_tokens, tool_ms: 0 };
        assert_eq!(trace.requests, [request(0, 1, 2), request(65_500, 10, 20)]);
        assert_eq!(trace.span_ms, 120_000);
    }

    #[test]
    fn a_trace_survives_being_written() {
        let text = "seconds,input_tokens,output_tokens,tool_seconds\n0.000,10,20,0.000\n1.250,1,2,3.500\n";
        assert_eq!(Trace::read(text).unwrap().to_csv(), text);
        let text = "seconds,input_tokens,output_tokens\n0.000,10,20\n";
        assert_eq!(Trace::read(text).unwrap().to_csv(), text);
    }

    #[test]
    fn the_mean_load_is_the_work_over_the_time() {
        // Two requests of 30 s each in a minute: one in flight on average.
        let trace = Trace::read("seconds,input_tokens,output_tokens\n0,1,2\n20,1,2\n").unwrap();
        assert_eq!(trace.load_mean(|_| 30_000), 1.0);
    }
}
