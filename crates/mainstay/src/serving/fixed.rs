//! What a reload cannot change: it was taken at the start. Compared with what runs, not with the spec before.

use mainstay_core::Plan;
use mainstay_core::plan::Sidecar;

/// The settings at work that need a restart.
#[derive(Debug)]
pub(super) struct Fixed(Vec<(&'static str, String)>);

impl Fixed {
    /// Those of the plan that a server starts with.
    pub(super) fn of(plan: &Plan) -> Self {
        let server = &plan.server;
        let port =
            |of: fn(&Sidecar) -> u16| plan.sidecar.as_ref().map_or_else(String::new, |at| of(at).to_string());
        Self(vec![
            ("components", if plan.sidecar.is_some() { "given" } else { "none" }.to_owned()),
            ("sidecar.http_port", port(|at| at.http_port)),
            ("sidecar.grpc_port", port(|at| at.grpc_port)),
            ("server.listen", server.listen.to_string()),
            ("server.header_timeout", format!("{:?}", server.header_timeout)),
            ("server.idle_timeout", format!("{:?}", server.idle_timeout)),
            ("server.write_timeout", format!("{:?}", server.write_timeout)),
            ("server.connections_max", server.connections_max.to_string()),
            ("data.folder", plan.data.folder.display().to_string()),
            ("metrics.aliases", plan.metrics.aliases.join(", ")),
        ])
    }

    /// Says which keys of a new plan wait for a restart.
    pub(super) fn warn(&self, plan: &Plan) {
        let new = Self::of(plan);
        for ((key, running), (_, wanted)) in self.0.iter().zip(new.0).filter(|((_, is), (_, new))| is != new)
        {
            tracing::warn!(key, running, wanted, "`{key}` changes with a restart only");
        }
    }
}
