//! The production checklist on paper: the shipped example passes it, and each item can fail. The table's rows are what a
//! hand could do to the files.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mainstay_e2e::Place;
use mainstay_testkit::process::Finished;
use serde_json::Value;

/// A digest, as `ship` takes it.
const DIGEST: &str = "sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// A file of the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").join(path)
}

/// The shipped example in a folder of its own.
fn desk() -> Place {
    let read = |path: &str| std::fs::read_to_string(repository(path)).expect("the example is there");
    let place = Place::new(&read("examples/desk/mainstay.yaml"));
    put(&place, "prompts/triage.md", &read("examples/desk/prompts/triage.md"));
    place
}

fn put(place: &Place, path: &str, text: &str) {
    let at = place.path().join(path);
    std::fs::create_dir_all(at.parent().expect("it is in a folder")).expect("a folder can be made");
    std::fs::write(at, text).expect("a file can be written");
}

async fn shipped(place: &Place) {
    let done = place.command(&["ship", "all", "--digest", DIGEST]).finish().await;
    assert_eq!(done.code, Some(0), "{}", done.stderr);
}

/// The report as JSON.
pub(crate) fn report(done: &Finished) -> Value {
    serde_json::from_str(&done.stdout)
        .unwrap_or_else(|error| panic!("no JSON ({error}): {}{}", done.stdout, done.stderr))
}

async fn judged(place: &Place) -> Value {
    let done = place.command(&["check", "--production", "--format", "json"]).finish().await;
    let report = report(&done);
    assert_eq!(done.code, Some(i32::from(report["failed"] == true)), "{}", done.stderr);
    report
}

/// Ids of the items that `which` picks.
pub(crate) fn ids(report: &Value, which: impl Fn(&Value) -> bool) -> BTreeSet<String> {
    let items = report["items"].as_array().expect("there are items").iter().filter(|item| which(item));
    items.map(|item| item["id"].as_str().expect("an id is text").to_owned()).collect()
}

fn failing(report: &Value) -> BTreeSet<String> {
    ids(report, |item| item["verdict"] == "fail")
}

#[tokio::test]
async fn the_shipped_example_passes_all_that_mainstay_can_do() {
    let place = desk();
    let before = judged(&place).await;
    assert_eq!(failing(&before), BTreeSet::new(), "{before:#}");
    shipped(&place).await;
    let after = judged(&place).await;
    assert_eq!(failing(&after), BTreeSet::new(), "{after:#}");
    let unknown = ids(&after, |item| {
        item["verdict"] == "unknown" && item["missing"].is_null() && item["layer"] == "paper"
    });
    assert_eq!(unknown, BTreeSet::new(), "{after:#}");
    let judged = after["judged"].to_string();
    assert!(judged.contains("as they are in deploy") && !judged.contains("would write"), "{judged}");
}

/// A change, and the items that fail by it. Every `from` becomes `to`; an empty `from` means a line at the end, in a
/// file that may be new.
struct Change {
    ids: &'static [&'static str],
    file: &'static str,
    from: &'static str,
    to: &'static str,
}

const fn change(
    ids: &'static [&'static str],
    file: &'static str,
    from: &'static str,
    to: &'static str,
) -> Change {
    Change { ids, file, from, to }
}

const SPEC: &str = "mainstay.yaml";
const DOCKER: &str = "deploy/docker/Dockerfile";
const COMPOSE: &str = "deploy/compose/compose.yaml";
const PODS: &str = "deploy/kubernetes/05-stateful-set.yaml";
const CONFIG: &str = "deploy/kubernetes/02-config-map.yaml";
const SCALER: &str = "deploy/kubernetes/06-autoscaler.yaml";
const POLICY: &str = "deploy/kubernetes/08-network-policy.yaml";

const SECRET: &str = "apiVersion: v1\nkind: Secret\nmetadata: { name: x }\ndata: { a: aHVudGVyMg== }\n";
const PARAMETER: &str = "resource \"aws_ssm_parameter\" \"key\" {\n  value = var.key\n}";
const LATEST: &str = "variable \"image\" {\n  default = \"ghcr.io/acme/other:latest\"\n}";
const TAGGED: &str = "variable \"image\" {\n  default = \"ghcr.io/acme/support-desk:1.4.0\"\n}";
const INGRESS: &str =
    "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: { name: x }\nspec: { rules: [] }\n";
const COMPONENT: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: store }\n\
                         spec: { type: state.redis, version: v1, metadata: [{ name: redisHost, value: \"redis:6379\" }, { name: redisPassword, value: hunter2 }] }\n";

const INSIDE: &str = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: { name: inside }\n\
                      spec: { type: state.embedded, version: v1, metadata: [] }\n";

static CHANGES: &[Change] = &[
    change(&["container/non-root"], DOCKER, "USER 10001:10001", "USER nonroot"),
    change(&["container/user"], COMPOSE, "user: 10001:10001", "user: root"),
    change(&["container/user"], PODS, "runAsNonRoot: true", "runAsNonRoot: false"),
    change(&["container/user"], PODS, "runAsUser: 10001", "runAsUser: 0"),
    change(&["container/no-latest"], COMPOSE, "prometheus:v2.55.1", "prometheus:latest"),
    change(&["container/no-latest"], "deploy/terraform/own/image.tf", "", LATEST),
    change(&["container/digest"], PODS, DIGEST_AT, ":1.4.0"),
    change(&["container/digest"], "deploy/terraform/own/image.tf", "", TAGGED),
    change(
        &["container/entrypoint"],
        DOCKER,
        "ENTRYPOINT [\"/usr/local/bin/mainstay\"]",
        "ENTRYPOINT mainstay",
    ),
    change(&["container/entrypoint"], DOCKER, "ENTRYPOINT [\"", "ENTRYPOINT [\"/bin/sh\", \"-c\", \""),
    change(
        &["container/healthcheck"],
        DOCKER,
        "CMD [\"/usr/local/bin/mainstay\", \"healthcheck\"]",
        "CMD curl -f x",
    ),
    change(&["container/no-secret-in-image"], DOCKER, "=/data", "=/data API_TOKEN=hunter2"),
    change(&["container/ignore"], "deploy/docker/Dockerfile.dockerignore", "**/.env\n", ""),
    change(&["container/last-stage"], DOCKER, "WORKDIR /app\n", "WORKDIR /app\nRUN apt-get install curl\n"),
    change(&["container/privilege-escalation"], PODS, "Escalation: false", "Escalation: true"),
    change(&["container/privilege-escalation"], COMPOSE, "no-new-privileges:true", "label:disable"),
    change(&["container/capabilities"], PODS, "- ALL", "- NET_RAW"),
    change(&["container/capabilities"], COMPOSE, "- ALL", "- NET_RAW"),
    change(&["container/seccomp"], PODS, "type: RuntimeDefault", "type: Unconfined"),
    change(&["container/seccomp"], COMPOSE, "- no-new", "- seccomp:unconfined\n    - no-new"),
    change(
        &["container/read-only-root"],
        PODS,
        "readOnlyRootFilesystem: true",
        "readOnlyRootFilesystem: false",
    ),
    change(&["container/read-only-root"], COMPOSE, "read_only: true", "read_only: false"),
    change(&["container/resources"], PODS, "            memory: 256Mi\n            eph", "            eph"),
    change(&["container/resources"], COMPOSE, "memory: \"", "cpus: \""),
    change(&["api/body-limit"], SPEC, "", "server: { body_bytes_max: 128MiB }"),
    change(&["api/timeouts"], SPEC, "", "server: { body_timeout: 2m }"),
    change(&["api/load-limit"], SPEC, "", "server: { requests_max: 20000 }"),
    change(&["api/rate-limits"], SPEC, ", requests_per_minute: 600", ""),
    change(&["api/stream-route"], "deploy/kubernetes/09-route.yaml", "  request: 0s", "  request: 15s"),
    change(&["config/no-secrets"], "notes.txt", "", "redis://desk:hunter2@redis:6379"),
    change(&["config/no-secrets"], "settings.toml", "", "signing_key = \"changeme\""),
    change(&["config/secret-objects"], "deploy/kubernetes/10-secret.yaml", "", SECRET),
    change(&["config/secret-objects"], "deploy/terraform/own/secret.tf", "", PARAMETER),
    change(&["config/no-secrets"], "deploy/terraform/own/own.tfvars", "", "api_token = \"hunter2\""),
    change(&["config/fails-fast"], PODS, "key: WEB_KEY", "key: WEB_KEY\n              optional: true"),
    change(
        &["config/fails-fast"],
        COMPOSE,
        "${OPENAI_API_KEY:?set OPENAI_API_KEY in .env}",
        "${OPENAI_API_KEY}",
    ),
    change(&["config/immutable"], CONFIG, "immutable: true", "immutable: false"),
    change(&["config/parity"], SPEC, "{ host: dev.", "{ env: { MODE: dev }, host: dev."),
    change(&["resilience/probes"], PODS, "startupProbe", "noProbe"),
    change(&["resilience/probes"], COMPOSE, "healthcheck:", "x-healthcheck:"),
    change(&["resilience/liveness"], PODS, "path: /ready", "path: /health"),
    change(&["resilience/grace"], PODS, "PeriodSeconds: 45", "PeriodSeconds: 30"),
    change(&["resilience/grace"], COMPOSE, "stop_grace_period: 45s", "stop_grace_period: 10s"),
    change(&["resilience/rollout"], PODS, "type: RollingUpdate", "type: OnDelete"),
    change(&["resilience/replicas"], SCALER, "minReplicas: 2", "minReplicas: 1"),
    change(
        &["resilience/disruption-budget"],
        "deploy/kubernetes/07-disruption-budget.yaml",
        "lable: 1",
        "lable: 0",
    ),
    change(
        &["resilience/spread"],
        PODS,
        "topologyKey: kubernetes.io/hostname",
        "topologyKey: example.com/rack",
    ),
    change(
        &["resilience/replicas-owner"],
        PODS,
        "  revisionHistoryLimit",
        "  replicas: 3\n  revisionHistoryLimit",
    ),
    change(&["resilience/autoscaler"], SCALER, "name: mainstay_requests_in_flight", "name: requests"),
    change(&["resilience/autoscaler"], SCALER, "maxReplicas: 10", "maxReplicas: 2"),
    change(&["resilience/fallback"], SPEC, "    fallback: [", "    # fallback: ["),
    change(&["resilience/timeouts"], SPEC, "targets: [", "idle_timeout: 20m, targets: ["),
    change(&["resilience/state"], SPEC, ", storage: 1GiB", ""),
    change(
        &["observability/scraped"],
        PODS,
        "prometheus.io/scrape: \"true\"",
        "prometheus.io/scrape: \"false\"",
    ),
    change(&["observability/alerts"], "deploy/alerts/rules.yaml", "alert:", "record:"),
    change(&["observability/runbooks"], "deploy/alerts/rules.yaml", "runbook_url:", "runbook:"),
    change(&["observability/runbooks"], "deploy/alerts/rules.yaml", "severity: critical", "severity: \"\""),
    change(
        &["observability/logs"],
        DOCKER,
        "CMD [\"serve\", ",
        "CMD [\"serve\", \"--log-format\", \"text\", ",
    ),
    change(&["observability/dashboard"], "deploy/grafana/dashboard.json", "\"panels\"", "\"rows\""),
    change(
        &["security/pipeline"],
        "deploy/github/workflows/ship.yaml",
        "actions/checkout@",
        "actions/checkout@v4 # ",
    ),
    change(&["cost/token-cap"], SPEC, "      max_tokens: 200\n", ""),
    change(&["cost/step-cap"], SPEC, "max_tokens: 200", "max_tokens: 200\n      steps_max: 60"),
    change(&["cost/replicas-cap"], SPEC, "storage: 1GiB", "storage: 1GiB, replicas: { min: 2, max: 200 }"),
    change(&["security/keys", "api/rate-limits"], SPEC, "  keys: [", "  keys: [] # ["),
    change(&["security/origins"], SPEC, "access:\n", "access:\n  cors: { origins: [\"*\"] }\n"),
    change(&["security/network-policy"], POLICY, "  - Egress\n", ""),
    change(&["security/metadata-address"], POLICY, "        except:\n        - 169.254.0.0/16\n", ""),
    change(
        &["security/service-account"],
        PODS,
        "serviceAccountName: support-desk",
        "serviceAccountName: default",
    ),
    change(&["security/no-token"], PODS, "AccountToken: false", "AccountToken: true"),
    change(
        &["security/namespace"],
        "deploy/kubernetes/00-namespace.yaml",
        "enforce: restricted",
        "enforce: baseline",
    ),
    change(
        &["security/host"],
        PODS,
        "      enableServiceLinks",
        "      hostNetwork: true\n      enableServiceLinks",
    ),
    change(&["security/published-ports"], COMPOSE, "127.0.0.1:8080:8080", "8080:8080"),
    change(&["security/published-ports"], PODS, "containerPort: 8080", "containerPort: 3500"),
    change(
        &["security/tls"],
        "deploy/terraform/own/app.tf",
        "",
        "ingress {\n  allow_insecure_connections = true\n}",
    ),
    change(&["security/tls"], "deploy/kubernetes/10-ingress.yaml", "", INGRESS),
];

/// The digest, behind the image's name.
const DIGEST_AT: &str = "@sha256:aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa";

/// Items that a spec of another kind shows; tests of their own are below.
const ELSEWHERE: [&str; 3] = ["container/lock", "config/component-secrets", "resilience/shared-state"];

#[tokio::test]
async fn each_item_on_paper_fails_by_what_it_is_there_for() {
    let place = desk();
    shipped(&place).await;
    for Change { ids: expected, file, from, to } in CHANGES {
        let at = place.path().join(file);
        // A target that is not there yet has nothing to change; what it proves is asked for below.
        if !from.is_empty() && !at.exists() {
            continue;
        }
        let before = std::fs::read_to_string(&at).ok();
        let text = before.clone().unwrap_or_default();
        assert!(from.is_empty() || text.contains(from), "{expected:?}: `{file}` has no `{from}`: {text}");
        let changed = if from.is_empty() { format!("{text}{to}\n") } else { text.replace(from, to) };
        put(&place, file, &changed);
        let report = judged(&place).await;
        let expected: BTreeSet<String> = expected.iter().map(|id| (*id).to_owned()).collect();
        assert_eq!(failing(&report), expected, "`{from}` to `{to}` in `{file}`:\n{report:#}");
        match before {
            Some(before) => std::fs::write(&at, before).expect("it can be written"),
            None => std::fs::remove_file(&at).expect("it is there"),
        }
    }
    let able = |item: &Value| item["layer"] == "paper" && item["verdict"] == "pass";
    let mut unproven = ids(&judged(&place).await, able);
    let changed =
        CHANGES.iter().filter(|change| change.from.is_empty() || place.path().join(change.file).exists());
    let proven = changed.flat_map(|change| change.ids).chain(&ELSEWHERE);
    for id in proven {
        unproven.remove(*id);
    }
    assert_eq!(unproven, BTreeSet::new(), "no change shows that these can fail");
}

#[tokio::test]
async fn what_is_not_locked_components_with_secrets_and_stores_in_replicas_fail() {
    let place = Place::new(
        "name: shop\ncomponents: components\nagents: { a: { app: { url: \"http://127.0.0.1:1\", command: exec python3 app.py } } }\n\
         access: { keys: [{ name: web, key: \"env:WEB_KEY\" }] }\n",
    );
    put(&place, "requirements.txt", "starlette==0.50.0\nuvicorn\n");
    put(&place, "components/store.yaml", COMPONENT);
    put(&place, "components/inside.yaml", INSIDE);
    let report = judged(&place).await;
    let failing = failing(&report);
    assert!(ELSEWHERE.iter().all(|id| failing.contains(*id)), "{report:#}");
    let lines = report["items"].to_string();
    assert!(lines.contains("`uvicorn` names no version"), "{lines}");
    assert!(lines.contains("\"file\":\"components/store.yaml\""), "{lines}");
    assert!(lines.contains("`inside` (`state.embedded`) is 10 stores with 10 replicas"), "{lines}");
    assert!(lines.contains("component `store`") && !lines.contains("hunter2"), "{lines}");
}

#[tokio::test]
async fn a_deployment_that_takes_replicas_away_first_fails() {
    let place = desk();
    let spec = std::fs::read_to_string(place.spec_path()).expect("it is there");
    place.write(&spec.replace(", storage: 1GiB", ""));
    shipped(&place).await;
    let at = place.path().join("deploy/kubernetes/04-deployment.yaml");
    let text = std::fs::read_to_string(&at).expect("it was written");
    std::fs::write(&at, text.replace("maxUnavailable: 0", "maxUnavailable: 1")).expect("it can be written");
    let report = judged(&place).await;
    let expected = ["resilience/rollout", "resilience/state"].map(str::to_owned);
    assert_eq!(failing(&report), BTreeSet::from(expected), "{report:#}");
}

#[tokio::test]
async fn waivers_hold_until_their_day_and_their_faults_have_a_place() {
    let place = desk();
    let spec = std::fs::read_to_string(place.spec_path()).expect("it is there");
    place.write(&spec.replace(", storage: 1GiB", ""));
    let waived = "- { id: resilience/state, reason: nothing to keep, expires: 2999-01-01 }\n";
    let check = async |text: &str| {
        put(&place, "mainstay-waivers.yaml", text);
        place.command(&["check", "--production"]).finish().await
    };
    let done = check("[]\n").await;
    assert_eq!(done.code, Some(1), "{}", done.stdout);
    let done = check(&waived.replace("2999", "2099")).await;
    assert_eq!(done.code, Some(0), "{}", done.stdout);
    assert!(done.stdout.contains("waived  resilience/state"), "{}", done.stdout);
    let done = check(&waived.replace("2999", "2020")).await;
    assert_eq!(done.code, Some(1));
    assert!(done.stdout.contains("the waiver ended on 2020-01-01"), "{}", done.stdout);
    let done = check(&waived.replace("2999", "2099").replace("state", "stat")).await;
    assert_eq!(done.code, Some(78));
    assert!(done.stderr.contains("mainstay-waivers.yaml:1:9"), "{}", done.stderr);
    assert!(done.stderr.contains("did you mean `resilience/state`?"), "{}", done.stderr);
}

#[tokio::test]
async fn findings_are_sarif_for_those_who_want_it() {
    let place = desk();
    shipped(&place).await;
    put(
        &place,
        COMPOSE,
        &std::fs::read_to_string(place.path().join(COMPOSE))
            .expect("it is there")
            .replace("read_only: true", ""),
    );
    let done = place.command(&["check", "--production", "--format", "sarif"]).finish().await;
    let sarif = report(&done);
    assert_eq!((&sarif["version"], done.code), (&"2.1.0".into(), Some(1)));
    let results = sarif["runs"][0]["results"].as_array().expect("there are results");
    let found = results.iter().find(|result| result["kind"] == "fail").expect("one fails");
    assert_eq!(found["ruleId"], "container/read-only-root");
    assert_eq!(found["locations"][0]["physicalLocation"]["artifactLocation"]["uri"], COMPOSE);
    let done = place.command(&["check", "--format", "sarif"]).finish().await;
    assert_eq!(done.code, Some(64), "{}", done.stderr);
}
