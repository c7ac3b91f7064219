//! Metrics behind the core telemetry port, in Prometheus text.
