//! The names and numbers that a scrape shows.

use super::*;

const MS: Duration = Duration::from_millis(1);

fn has(beside: &Beside, lines: &[&str]) {
    let (_, text) = beside.scrape();
    for line in lines {
        assert!(text.lines().any(|one| one == *line), "{line}\n{text}");
    }
}

#[test]
fn reports_are_shown_under_the_names_that_dashboards_know() {
    let beside = Beside::new("shop", "prod");
    let get =
        |success| Done::Component { block: Block::State, component: "orders", operation: "get", success };
    beside.took(get(true), MS);
    beside.took(get(true), MS * 7);
    beside.took(get(false), MS);
    beside.took(Done::Request { route: "/v1.0/metadata", method: "GET", status: 200 }, MS);
    beside.took(Done::Call { method: "/a.B/C", code: 5 }, MS);
    beside.took(Done::Delivered { component: "bus", topic: "t", outcome: "retry" }, MS);
    beside.took(Done::Published { component: "bus", topic: "t", success: true }, MS);
    let state = "app_id=\"shop\",namespace=\"prod\",component=\"orders\",operation=\"get\",success=\"true\"";
    has(
        &beside,
        &[
            "# TYPE dapr_component_state_count counter",
            &format!("dapr_component_state_count{{{state}}} 2"),
            "# TYPE dapr_component_state_latencies histogram",
            &format!("dapr_component_state_latencies_bucket{{{state},le=\"0.5\"}} 0"),
            &format!("dapr_component_state_latencies_bucket{{{state},le=\"1\"}} 1"),
            &format!("dapr_component_state_latencies_bucket{{{state},le=\"8\"}} 2"),
            &format!("dapr_component_state_latencies_bucket{{{state},le=\"+Inf\"}} 2"),
            &format!("dapr_component_state_latencies_sum{{{state}}} 8"),
            "dapr_http_server_request_count{app_id=\"shop\",method=\"GET\",path=\"/v1.0/metadata\",status=\"200\"} 1",
            "dapr_grpc_io_server_completed_rpcs{app_id=\"shop\",grpc_server_method=\"/a.B/C\",grpc_server_status=\"NotFound\"} 1",
            "dapr_component_pubsub_ingress_count{app_id=\"shop\",namespace=\"prod\",component=\"bus\",topic=\"t\",process_status=\"retry\",status=\"retry\"} 1",
            "dapr_component_pubsub_egress_count{app_id=\"shop\",namespace=\"prod\",component=\"bus\",success=\"true\",topic=\"t\"} 1",
        ],
    );
}

#[test]
fn series_beyond_the_bound_are_counted_together() {
    let beside = Beside::new("a\"b", "");
    for n in 0..SERIES_MAX + 10 {
        beside.took(Done::Published { component: "bus", topic: &n.to_string(), success: true }, MS);
    }
    has(
        &beside,
        &[
            "dapr_component_pubsub_egress_count{app_id=\"a\\\"b\",namespace=\"\",component=\"other\",success=\"other\",topic=\"other\"} 10",
        ],
    );
}
