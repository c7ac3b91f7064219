//! ★ Servers that a service may need beside it. To add one: a `Service` in `ALL`. Its name becomes one of those that
//! `deploy.services` takes, and components whose type begins with one of `kinds` bring it along.

use mainstay_core::Plan;

/// A server that others wrote.
#[derive(Debug)]
pub struct Service {
    /// Its name: also the host that it is found under.
    pub name: &'static str,
    /// What it is for.
    pub about: &'static str,
    /// Its image, with a tag that was there when this was written.
    pub image: &'static str,
    /// The port that it serves on.
    pub port: u16,
    /// The command and its arguments, where the image's own does not do.
    pub command: &'static [&'static str],
    /// Plain variables of its own.
    pub variables: &'static [(&'static str, &'static str)],
    /// A variable that takes the path of a file with its password, and the name of that secret.
    pub password: Option<(&'static str, &'static str)>,
    /// The folder that it keeps things in.
    pub data: Option<&'static str>,
    /// Folders that it writes to and that are not kept.
    pub scratch: &'static [&'static str],
    /// The user that it runs as.
    pub user: &'static str,
    /// The command that says whether it is well, run in its container.
    pub health: &'static [&'static str],
    /// Whether it watches the service through its metrics: the service calls the others, and waits for them.
    pub watches: bool,
    /// Types of component that need it, up to their first point or whole.
    pub kinds: &'static [&'static str],
}

/// Every server, by name.
pub static ALL: &[Service] = &[
    Service {
        name: "chroma",
        about: "documents, found by their meaning",
        image: "docker.io/chromadb/chroma:1.0.0",
        port: 8000,
        command: &[],
        variables: &[("ANONYMIZED_TELEMETRY", "FALSE")],
        password: None,
        data: Some("/data"),
        scratch: &["/tmp"],
        user: "10001:10001",
        health: &["/bin/bash", "-c", "exec 3<>/dev/tcp/127.0.0.1/8000"],
        watches: false,
        kinds: &[],
    },
    Service {
        name: "postgresql",
        about: "state, in tables",
        image: "docker.io/library/postgres:17-alpine",
        port: 5432,
        command: &[],
        variables: &[("POSTGRES_USER", "mainstay"), ("POSTGRES_DB", "mainstay")],
        password: Some(("POSTGRES_PASSWORD_FILE", "postgresql-password")),
        data: Some("/var/lib/postgresql/data"),
        scratch: &["/tmp", "/var/run/postgresql"],
        user: "70:70",
        health: &["pg_isready", "--username", "mainstay"],
        watches: false,
        kinds: &["state.postgresql", "configuration.postgresql", "bindings.postgresql", "bindings.postgres"],
    },
    Service {
        name: "prometheus",
        about: "metrics, and alerts on them",
        image: "docker.io/prom/prometheus:v2.55.1",
        port: 9090,
        command: &["--config.file=/etc/prometheus/prometheus.yaml", "--storage.tsdb.path=/prometheus"],
        variables: &[],
        password: None,
        data: Some("/prometheus"),
        scratch: &[],
        user: "65534:65534",
        health: &["/bin/wget", "-q", "-O", "/dev/null", "http://127.0.0.1:9090/-/ready"],
        watches: true,
        kinds: &[],
    },
    Service {
        name: "redis",
        about: "state, messages and locks, in memory and on disk",
        image: "docker.io/library/redis:7.4-alpine",
        port: 6379,
        command: &["redis-server", "--appendonly", "yes"],
        variables: &[],
        password: None,
        data: Some("/data"),
        scratch: &["/tmp"],
        user: "999:1000",
        health: &["redis-cli", "ping"],
        watches: false,
        kinds: &["state.redis", "pubsub.redis", "lock.redis", "configuration.redis", "bindings.redis"],
    },
];

/// The names.
#[must_use]
pub fn names() -> Vec<&'static str> {
    ALL.iter().map(|service| service.name).collect()
}

/// Those that a plan needs: named, or needed by a component's type.
pub(crate) fn of(plan: &Plan) -> Vec<&'static Service> {
    let needed = |service: &&Service| {
        let named = plan.deploy.services.iter().any(|name| name == service.name);
        let kinds = plan.resources.components.iter().map(|component| component.kind.as_str());
        named || kinds.into_iter().any(|kind| service.kinds.contains(&kind))
    };
    ALL.iter().filter(needed).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_order_and_their_own() {
        let names = names();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }
}
