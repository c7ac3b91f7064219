//! What is printed when the server is up: where it is, and a line to copy.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use mainstay_core::Plan;

use crate::terminal;

/// Prints the machine-readable line and, for development, the banner.
pub(super) fn print(plan: &Plan, address: SocketAddr, dev: bool, took: Duration) {
    if dev {
        terminal::print(&(text(plan, address, took) + "\n"));
    }
    terminal::print(&format!("mainstay: listening on http://{address}\n"));
}

fn text(plan: &Plan, address: SocketAddr, took: Duration) -> String {
    let base = format!("http://{}", reachable(address));
    let mut lines =
        vec![String::new(), format!("  {} is up ({} ms)", plan.name, took.as_millis()), String::new()];
    for name in plan.agents.keys() {
        lines.push(format!("  agent      {base}/v1/agents/{name}/invoke"));
    }
    for (name, app) in &plan.apps {
        for route in &app.routes {
            lines.push(format!("  app        {base}{route}   ({name})"));
        }
    }
    if !plan.models.is_empty() {
        lines.push(format!("  models     {base}/v1/chat/completions   {}", names(plan)));
    }
    lines.push(format!("  docs       {base}/docs"));
    lines.push(format!("  health     {base}/health   {base}/ready   {base}/metrics"));
    if let Some(agent) = &plan.default_agent {
        lines.push(String::new());
        lines.push(format!("  Ask `{agent}`:"));
        lines.push(String::new());
        lines.push(format!(
            "    curl -s {base}/v1/agents/{agent}/invoke -H 'content-type: application/json' \\"
        ));
        lines.push("      -d '{\"query\": \"What is the capital of France?\"}'".to_owned());
    }
    lines.push(String::new());
    lines.join("\n")
}

fn names(plan: &Plan) -> String {
    let names: Vec<&str> = plan.models.keys().map(mainstay_core::Name::as_str).collect();
    format!("({})", names.join(", "))
}

/// An unspecified address listens everywhere; a person calls it on loopback.
fn reachable(address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), address.port())
    } else {
        address
    }
}
