//! The service that is simulated: how long a request takes, how many a replica works on, and how replicas come and go.

use super::trace::Request;

/// A service, and its replicas' lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Service {
    /// What every request takes, in milliseconds.
    pub fixed_ms: u64,
    /// Tokens of the question that are read in a second.
    pub prefill_tokens_per_second: u32,
    /// What a token of the answer takes, in microseconds.
    pub decode_us_per_token: u64,
    /// Requests that a replica works on at once; further ones wait.
    pub concurrency: u32,
    /// From the decision to have a replica to its first request, in milliseconds.
    pub start_ms: u64,
    /// How long a replica that goes may finish its requests, in milliseconds.
    pub grace_ms: u64,
}

const DAY_MS: u64 = 24 * 3_600_000;

impl Default for Service {
    /// An agent of one fast model: 0.3 s, 4,000 tokens a second in, 15 ms a token out.
    fn default() -> Self {
        Self {
            fixed_ms: 300,
            prefill_tokens_per_second: 4_000,
            decode_us_per_token: 15_000,
            concurrency: 8,
            start_ms: 20_000,
            grace_ms: 30_000,
        }
    }
}

impl Service {
    /// How long a request takes once it is worked on, in milliseconds; never nothing, and a day at most. Requests of a
    /// replica do not slow each other: they wait for models, not for the processor.
    #[must_use]
    pub fn takes_ms(&self, request: &Request) -> u64 {
        let prefill =
            u64::from(request.input_tokens) * 1000 / u64::from(self.prefill_tokens_per_second.max(1));
        let decode = u64::from(request.output_tokens).saturating_mul(self.decode_us_per_token) / 1000;
        (self.fixed_ms + prefill + decode + request.tool_ms).clamp(1, DAY_MS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_takes_the_sum_of_its_parts() {
        // 300 + 2000/4000 s + 100 × 15 ms + 1000 = 3300 ms
        let request = Request { at_ms: 0, input_tokens: 2000, output_tokens: 100, tool_ms: 1000 };
        assert_eq!(Service::default().takes_ms(&request), 3300);
        let nothing = Service { fixed_ms: 0, ..Service::default() };
        assert_eq!(nothing.takes_ms(&Request::default()), 1);
        let endless = Service { decode_us_per_token: 1 << 40, ..nothing };
        assert_eq!(endless.takes_ms(&Request { output_tokens: u32::MAX, ..request }), 86_400_000);
    }
}
