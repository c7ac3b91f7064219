//! Docker Compose: the service and the servers that it needs, on one machine.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use mainstay_core::Result;

use super::{Rendered, Target, alerts, docker};
use crate::services::Service;
use crate::value::{dense, texts};
use crate::workload::{DATA, PORT, UNKEPT, USER, Workload};
use crate::{File, Secret, Shipment, text};

pub(super) const TARGET: Target = Target {
    name: "compose",
    about: "Docker Compose: the service and the servers it needs, on one machine",
    needs: &["docker"],
    render,
};

/// Where passwords of servers are in a container.
const SECRETS: &str = "/run/secrets";

fn render(shipment: &Shipment<'_>) -> Result<Rendered> {
    let header = shipment.project.header();
    let workload = shipment.workload;
    let mut files = vec![File::yaml("compose.yaml", &header, file(shipment))];
    if workload.watcher().is_some() {
        files.push(File::yaml("prometheus.yaml", &header, scraping(workload)));
        files.push(alerts::rules(&header, workload));
    }
    if let Some(example) = example(workload) {
        files.push(File::new("env.example", header.lines("#") + &example));
        files.push(File::new(".gitignore", header.lines("#") + "/.env\n/secrets/\n"));
    }
    Ok(Rendered { files, notes: notes(workload) })
}

fn notes(workload: &Workload) -> Vec<String> {
    // The volume `data` outlives its container, asked for or not.
    let mut notes: Vec<String> =
        workload.notes.iter().filter(|note| note.as_str() != UNKEPT).cloned().collect();
    if workload.sizing.replicas_min > 1 {
        notes.push(format!(
            "Compose runs one replica, where {} asks for {} at least.",
            workload.environment, workload.sizing.replicas_min
        ));
    }
    if workload.sizing.host.is_some() {
        notes.push(
            "Compose publishes the port on this machine alone; `host` needs a proxy in front.".to_owned(),
        );
    }
    notes
}

fn file(shipment: &Shipment<'_>) -> Value {
    let workload = shipment.workload;
    let mut services = Map::new();
    services.insert(workload.name.clone(), agent(shipment));
    for service in &workload.services {
        services.insert(service.name.to_owned(), server(service, workload));
    }
    let kept = workload.services.iter().filter(|service| service.data.is_some());
    let mut volumes: Map<String, Value> = kept.map(|service| (service.name.to_owned(), json!({}))).collect();
    volumes.insert("data".to_owned(), json!({}));
    dense(json!({
        "name": workload.name,
        "services": services,
        "volumes": volumes,
        "networks": (!workload.services.is_empty()).then(|| json!({ "servers": { "internal": true } })),
        "secrets": secrets(workload),
        "configs": workload.watcher().map(|_| json!({
            "prometheus": { "file": "./prometheus.yaml" },
            "rules": { "file": format!("./{}", alerts::RULES) },
        })),
    }))
}

fn agent(shipment: &Shipment<'_>) -> Value {
    let Shipment { project, workload } = shipment;
    let mut environment: Map<String, Value> =
        workload.variables.iter().map(|(name, value)| (name.clone(), escaped(value).into())).collect();
    let mut files = Vec::new();
    for secret in &workload.secrets {
        match secret {
            Secret::Variable { variable: name, key } => {
                environment.insert(name.clone(), demanded(key).into());
            }
            Secret::File { path, key } => files.push(json!({ "source": key, "target": path })),
        }
    }
    let depends: Map<String, Value> = workload
        .called()
        .map(|service| (service.name.to_owned(), json!({ "condition": "service_healthy" })))
        .collect();
    json!({
        "image": workload.image(),
        // An image that is named by its digest is there already: what is built here would have another.
        "build": workload.digest.is_none().then(|| json!({
            "context": project.context, "dockerfile": format!("{}/docker/{}", project.out, docker::PATH),
        })),
        "ports": [format!("127.0.0.1:{PORT}:{PORT}")],
        "environment": environment,
        "secrets": (!files.is_empty()).then_some(files),
        // A fresh volume takes the owner that the folder has in the image. Not every engine lets a tmpfs have one.
        "volumes": [format!("data:{DATA}")],
        "tmpfs": ["/tmp:size=64m,mode=1777"],
        "depends_on": (!depends.is_empty()).then_some(depends),
        "healthcheck": {
            "test": ["CMD", "/usr/local/bin/mainstay", "healthcheck"],
            "interval": "10s", "timeout": "5s", "retries": 3,
            "start_period": format!("{}s", workload.start.as_secs()),
        },
        "stop_grace_period": format!("{}s", workload.grace().as_secs()),
        "networks": (!workload.services.is_empty()).then(|| json!(["default", "servers"])),
        "user": format!("{USER}:{USER}"),
        "read_only": true,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "logging": logging(),
        "deploy": { "resources": {
            "limits": {
                "memory": workload.sizing.memory_bytes.to_string(),
                // Compose takes `pids_limit` and limits here for two values of one thing, and refuses both together.
                "pids": 1024,
                "cpus": workload.sizing.cpu_limit.then(|| text::cores(workload.sizing.cpu_milli)),
            },
        } },
    })
}

/// A container's log does not fill the disk.
fn logging() -> Value {
    json!({ "driver": "json-file", "options": { "max-size": "10m", "max-file": "3" } })
}

fn server(service: &Service, workload: &Workload) -> Value {
    let mut environment: Map<String, Value> =
        service.variables.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
    let mut secrets = Vec::new();
    if let Some((variable, key)) = service.password {
        environment.insert(variable.to_owned(), format!("{SECRETS}/{key}").into());
        secrets.push(json!(key));
    }
    let test: Vec<&str> = std::iter::once("CMD").chain(service.health.iter().copied()).collect();
    if service.watches
        && let Some(key) = &workload.metrics_key
    {
        secrets.push(json!(key));
    }
    json!({
        "image": service.image,
        "command": (!service.command.is_empty()).then_some(service.command),
        "environment": (!environment.is_empty()).then_some(environment),
        "secrets": (!secrets.is_empty()).then_some(secrets),
        "configs": service.watches.then(|| json!([
            { "source": "prometheus", "target": "/etc/prometheus/prometheus.yaml" },
            { "source": "rules", "target": format!("/etc/prometheus/{}", alerts::RULES) },
        ])),
        "volumes": service.data.map(|folder| json!([format!("{}:{folder}", service.name)])),
        "tmpfs": (!service.scratch.is_empty()).then_some(service.scratch),
        "ports": service.watches.then(|| json!([format!("127.0.0.1:{0}:{0}", service.port)])),
        "healthcheck": {
            "test": test,
            "interval": "5s", "timeout": "3s", "retries": 10, "start_period": "10s",
        },
        "networks": if service.watches { json!(["default", "servers"]) } else { json!(["servers"]) },
        "user": service.user,
        "read_only": true,
        "cap_drop": ["ALL"],
        "security_opt": ["no-new-privileges:true"],
        "restart": "unless-stopped",
        "logging": logging(),
        "deploy": { "resources": { "limits": { "memory": "536870912" } } },
    })
}

/// What Prometheus asks, and with which key.
fn scraping(workload: &Workload) -> Value {
    let authorization = workload.metrics_key.as_ref();
    dense(json!({
        "global": { "scrape_interval": "15s" },
        "rule_files": [alerts::RULES],
        "scrape_configs": [{
            "job_name": workload.name,
            "authorization": authorization.map(|key| json!({ "credentials_file": format!("{SECRETS}/{key}") })),
            "static_configs": [{ "targets": [format!("{}:{PORT}", workload.name)] }],
        }],
    }))
}

/// What tells a user how to give the secrets, if there are any: values of variables, and how to make the files.
fn example(workload: &Workload) -> Option<String> {
    let variables: BTreeSet<String> = workload
        .secrets
        .iter()
        .filter(|secret| matches!(secret, Secret::Variable { .. }))
        .map(|secret| format!("{}=\n", variable(secret.key())))
        .collect();
    let files = in_files(workload);
    if variables.is_empty() && files.is_empty() {
        return None;
    }
    let mut out = "# The secrets' values: copy this file to `.env` and fill it in. `.env` belongs into no repository.\n"
        .to_owned();
    out.extend(variables);
    if !files.is_empty() {
        out.push_str(
            "# Secrets that are read from files, each with the value alone. The containers' users must be able to read \
             them;\n# the folder keeps others of this machine out.\n#   mkdir -m 700 secrets\n",
        );
        for key in files {
            let path = text::shell(&format!("secrets/{key}"));
            out.push_str(&format!("#   (umask 222; cat > {path})\n"));
        }
    }
    Some(out)
}

/// Secrets that become files. Compose takes no other kind for a service whose root cannot be written.
fn secrets(workload: &Workload) -> Option<Value> {
    let entries: Map<String, Value> = in_files(workload)
        .into_iter()
        .map(|name| (name.to_owned(), texts([("file", format!("./secrets/{name}"))])))
        .collect();
    (!entries.is_empty()).then_some(Value::Object(entries))
}

/// Those that the service reads from a file, servers' passwords, and the key for the metrics.
fn in_files(workload: &Workload) -> BTreeSet<&str> {
    let files =
        workload.secrets.iter().filter(|secret| matches!(secret, Secret::File { .. })).map(Secret::key);
    let metrics = workload.metrics_key.as_deref().filter(|_| workload.watcher().is_some());
    files.chain(passwords(workload).map(|(_, key)| key)).chain(metrics).collect()
}

fn passwords(workload: &Workload) -> impl Iterator<Item = (&'static str, &'static str)> {
    workload.services.iter().filter_map(|service| service.password)
}

/// The variable of `.env` that holds a secret.
fn variable(key: &str) -> String {
    let name: String =
        key.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect();
    if name.starts_with(|c: char| c.is_ascii_digit()) { format!("_{name}") } else { name }
}

/// A variable without which nothing starts.
fn demanded(key: &str) -> String {
    let name = variable(key);
    format!("${{{name}:?set {name} in .env}}")
}

/// A text in which Compose finds no variable.
fn escaped(text: &str) -> String {
    text.replace('$', "$$")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::workload::tests::workload;

    #[test]
    fn an_image_that_is_named_by_its_digest_is_not_built() {
        let agent_of = |digest: Option<&str>| {
            fixture::with(fixture::deploy(), |shipment| {
                let workload = Workload { digest: digest.map(str::to_owned), ..shipment.workload.clone() };
                agent(&Shipment { project: shipment.project, workload: &workload })
            })
        };
        let built = agent_of(None);
        assert_eq!(
            (&built["image"], built["build"]["context"].as_str()),
            (&json!("ghcr.io/acme/desk:0.1.0"), Some("../.."))
        );
        let named = agent_of(Some("sha256:abc"));
        assert_eq!(
            (&named["image"], &named["build"]),
            (&json!("ghcr.io/acme/desk@sha256:abc"), &Value::Null)
        );
    }

    #[test]
    fn secrets_that_are_files_come_from_files_and_the_example_says_how_to_make_them() {
        let secrets = vec![
            Secret::Variable { variable: "DATABASE".to_owned(), key: "LEDGER_DATABASE".to_owned() },
            Secret::File { path: "/app/keys/models".to_owned(), key: "keys-models".to_owned() },
        ];
        let workload = Workload { secrets, ..workload() };
        // A value from the environment would be copied into a root that cannot be written: Compose refuses.
        assert_eq!(
            super::secrets(&workload),
            Some(json!({ "keys-models": { "file": "./secrets/keys-models" } }))
        );
        let example = example(&workload).unwrap();
        assert!(example.contains("\nLEDGER_DATABASE=\n") && !example.contains("KEYS_MODELS"), "{example}");
        assert!(example.contains("cat > secrets/keys-models"), "{example}");
    }

    #[test]
    fn a_service_without_secrets_has_no_example() {
        assert_eq!(example(&workload()), None);
    }
}
