//! The jobs of the workflow, each with the rights that its part needs.

use serde_json::{Map, Value, json};

use crate::Source;
use crate::targets::pipeline::tests::{NODE, PYTHON};
use crate::targets::pipeline::{self, Pipeline, scripts, tests};
use crate::workload::Workload;

/// The machine that a job runs on.
pub(super) const RUNNER: &str = "ubuntu-24.04";
/// The image on its way from job to job.
const ARCHIVE: &str = "image";
/// The scanner, by the digest of its image.
const TRIVY: &str = r#"trivy() {
  docker run --rm --volume trivy:/root/.cache --volume "$PWD:/work" --workdir /work "$TRIVY" "$@"
}
"#;

/// Every job, in the order of their needs.
pub(super) fn all(pipeline: &Pipeline<'_>) -> Value {
    let mut jobs = Map::new();
    jobs.insert("check".to_owned(), check(pipeline));
    let mut tested = vec!["check"];
    if let Some(job) = test(pipeline) {
        jobs.insert("test".to_owned(), job);
        tested.push("test");
    }
    jobs.insert("build".to_owned(), build(pipeline, &tested));
    jobs.insert("scan".to_owned(), scan(pipeline));
    jobs.insert("report".to_owned(), report(pipeline));
    jobs.insert("push".to_owned(), push(pipeline));
    for (name, before, workload) in pipeline.deployments() {
        let needs: Vec<String> = ["push".to_owned()].into_iter().chain(before).collect();
        jobs.insert(name, deploy(pipeline, workload, &needs));
    }
    Value::Object(jobs)
}

/// Whether the image is kept by GitHub, where the job's own token does.
pub(super) fn on_github(pipeline: &Pipeline<'_>) -> bool {
    pipeline.registry == "ghcr.io"
}

/// The right to packages, where the image is one.
pub(super) fn packages(pipeline: &Pipeline<'_>, right: &'static str) -> Option<&'static str> {
    on_github(pipeline).then_some(right)
}

/// The environment that keeps the registry's secrets, where there are any.
pub(super) fn registry_environment(pipeline: &Pipeline<'_>) -> Option<&'static str> {
    (!on_github(pipeline)).then_some("registry")
}

/// The step that lets docker, skopeo and gh into the registry.
pub(super) fn login(pipeline: &Pipeline<'_>) -> Value {
    let env = if on_github(pipeline) {
        json!({ "USERNAME": "${{ github.actor }}", "PASSWORD": "${{ github.token }}" })
    } else {
        json!({ "USERNAME": "${{ secrets.REGISTRY_USERNAME }}", "PASSWORD": "${{ secrets.REGISTRY_PASSWORD }}" })
    };
    json!({
        "name": "log in to the registry",
        "env": env,
        "run": "printf '%s' \"$PASSWORD\" | docker login \"$REGISTRY\" --username \"$USERNAME\" --password-stdin\n",
    })
}

fn checkout(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "uses": pipeline.pins().action("actions/checkout", ""),
        "with": { "persist-credentials": false },
    })
}

fn upload(pipeline: &Pipeline<'_>, name: &str, path: &str) -> Value {
    json!({
        "uses": pipeline.pins().action("actions/upload-artifact", ""),
        "with": { "name": name, "path": path, "retention-days": 3, "if-no-files-found": "error" },
    })
}

fn download(pipeline: &Pipeline<'_>, name: &str) -> Value {
    json!({ "uses": pipeline.pins().action("actions/download-artifact", ""), "with": { "name": name } })
}

/// The spec, looked at by the version of Mainstay that will serve it.
fn check(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "name": "check the spec",
        "runs-on": RUNNER,
        "timeout-minutes": 10,
        "permissions": { "contents": "read" },
        "steps": [checkout(pipeline), {
            "name": "mainstay check",
            "env": { "MAINSTAY": pipeline.mainstay() },
            "run": "docker run --rm --volume \"$PWD:/spec:ro\" --entrypoint /usr/local/bin/mainstay \"$MAINSTAY\" check /spec\n",
        }],
    })
}

fn test(pipeline: &Pipeline<'_>) -> Option<Value> {
    let tests = tests::of(pipeline.shipment)?;
    let pins = pipeline.pins();
    let mut steps = vec![checkout(pipeline)];
    match tests.source {
        Source::Uv | Source::Pip => steps.push(json!({
            "uses": pins.action("actions/setup-python", ""), "with": { "python-version": PYTHON },
        })),
        Source::Npm => steps.push(json!({
            "uses": pins.action("actions/setup-node", ""),
            // What others could have put into a cache does not go into an image.
            "with": { "node-version": NODE, "package-manager-cache": false },
        })),
        Source::Cargo => {}
    }
    steps.push(json!({ "name": "test", "run": tests.script }));
    Some(json!({
        "name": "test the app",
        "runs-on": RUNNER,
        "timeout-minutes": 30,
        "permissions": { "contents": "read" },
        "steps": steps,
    }))
}

/// One image, kept as a file: what is scanned is what is pushed.
fn build(pipeline: &Pipeline<'_>, needs: &[&str]) -> Value {
    json!({
        "name": "build the image",
        "needs": needs,
        "runs-on": RUNNER,
        "timeout-minutes": 45,
        "permissions": { "contents": "read" },
        "steps": [
            checkout(pipeline),
            {
                "name": "build",
                "env": { "DOCKERFILE": pipeline.file("docker/Dockerfile") },
                "run": BUILD,
            },
            upload(pipeline, ARCHIVE, "image.tar"),
        ],
    })
}

const BUILD: &str = r#"docker build --file "$DOCKERFILE" --build-arg REVISION="$GITHUB_SHA" --tag "$IMAGE:sha-$GITHUB_SHA" .
docker save --output image.tar "$IMAGE:sha-$GITHUB_SHA"
"#;

/// The gate. It runs what others wrote on what others wrote, so it has no right and no secret.
fn scan(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "name": "scan the image",
        "needs": ["build"],
        "runs-on": RUNNER,
        "timeout-minutes": 20,
        "permissions": {},
        "steps": [
            download(pipeline, ARCHIVE),
            {
                "name": "end here for a HIGH or CRITICAL finding that has a fix",
                "env": { "TRIVY": pipeline.pins().image("docker.io/aquasec/trivy") },
                "run": format!("{TRIVY}{}", scripts::scan("")),
            },
            {
                "if": "${{ !cancelled() }}",
                "uses": pipeline.pins().action("actions/upload-artifact", ""),
                "with": { "name": "scan", "path": "scan.sarif", "retention-days": 30, "if-no-files-found": "warn" },
            },
        ],
    })
}

/// What the scan found, for the repository's own list. Not a gate: a private repository may have no such list.
fn report(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "name": "report what the scan found",
        "needs": ["scan"],
        "if": "${{ !cancelled() && github.event_name == 'push' && needs.scan.result != 'skipped' }}",
        "runs-on": RUNNER,
        "timeout-minutes": 10,
        "continue-on-error": true,
        "permissions": { "actions": "read", "contents": "read", "security-events": "write" },
        "steps": [
            download(pipeline, "scan"),
            {
                "uses": pipeline.pins().action("github/codeql-action", "/upload-sarif"),
                "with": { "sarif_file": "scan.sarif", "category": "image" },
            },
        ],
    })
}

/// The only job that can write to the registry, and never for a pull request.
fn push(pipeline: &Pipeline<'_>) -> Value {
    let subject = match pipeline.image.strip_prefix("docker.io/") {
        Some(rest) => format!("index.docker.io/{rest}"),
        None if pipeline.registry == "docker.io" => format!("index.docker.io/{}", pipeline.image),
        None => pipeline.image.to_owned(),
    };
    json!({
        "name": "push the image",
        "needs": ["scan"],
        "if": format!("${{{{ github.event_name == 'push' && github.ref == 'refs/heads/{}' }}}}", pipeline.branch()),
        "runs-on": RUNNER,
        "timeout-minutes": 20,
        "environment": registry_environment(pipeline),
        "permissions": {
            "attestations": "write", "id-token": "write", "packages": packages(pipeline, "write"),
        },
        "outputs": { "digest": "${{ steps.push.outputs.digest }}" },
        "steps": [
            download(pipeline, ARCHIVE),
            login(pipeline),
            { "name": "push", "id": "push", "run": PUSH },
            {
                "name": "attest where it comes from",
                "uses": pipeline.pins().action("actions/attest-build-provenance", ""),
                "with": {
                    "subject-name": subject,
                    "subject-digest": "${{ steps.push.outputs.digest }}",
                    "push-to-registry": true,
                },
            },
        ],
    })
}

const PUSH: &str = r#"skopeo copy --digestfile digest docker-archive:image.tar "docker://$IMAGE:sha-$GITHUB_SHA"
echo "digest=$(cat digest)" >> "$GITHUB_OUTPUT"
"#;

/// An environment: the objects by digest, a smoke test, and the way back.
fn deploy(pipeline: &Pipeline<'_>, workload: &Workload, needs: &[String]) -> Value {
    let environment = workload.environment;
    let overlay = pipeline.file(&format!("kustomize/overlays/{environment}"));
    json!({
        "name": format!("deploy to {environment}"),
        "needs": needs,
        "runs-on": RUNNER,
        "timeout-minutes": 60,
        "environment": environment.name(),
        "concurrency": { "group": format!("deploy-{environment}"), "cancel-in-progress": false },
        "permissions": { "contents": "read", "id-token": "write", "packages": packages(pipeline, "read") },
        "env": {
            "NAME": workload.name,
            "NAMESPACE": crate::targets::kubernetes::namespace_name(workload),
            "WORKLOAD": pipeline::workload(workload),
            "OVERLAY": overlay,
            "HOST": workload.sizing.host.as_deref().unwrap_or_default(),
            "DIGEST": "${{ needs.push.outputs.digest }}",
        },
        "steps": [
            checkout(pipeline),
            login(pipeline),
            {
                "name": "reach the cluster, as this environment",
                "env": {
                    "AUDIENCE": workload.name,
                    "KUBE_SERVER": "${{ vars.KUBE_SERVER }}",
                    "KUBE_CA": "${{ vars.KUBE_CA }}",
                },
                "run": scripts::connect(TOKEN, USER),
            },
            { "name": "write the objects, by digest", "run": scripts::RENDER },
            { "name": "apply", "id": "apply", "run": scripts::APPLY },
            { "name": "smoke test", "run": scripts::smoke(PROBE) },
            {
                "name": "roll back",
                "if": "${{ (failure() || cancelled()) && steps.apply.outcome != 'skipped' }}",
                "run": scripts::ROLL_BACK,
            },
        ],
    })
}

/// A token lasts minutes, a rollout may take longer: kubectl asks for one each time.
const TOKEN: &str = r#"cat > "$RUNNER_TEMP/token" <<END
#!/bin/sh
curl --fail --silent --show-error --header "Authorization: bearer \$ACTIONS_ID_TOKEN_REQUEST_TOKEN" "\$ACTIONS_ID_TOKEN_REQUEST_URL&audience=$AUDIENCE" |
  jq '{ apiVersion: "client.authentication.k8s.io/v1", kind: "ExecCredential", status: { token: .value } }'
END
chmod 700 "$RUNNER_TEMP/token"
"#;

const USER: &str = r#"{ exec: { apiVersion: client.authentication.k8s.io/v1, command: "$RUNNER_TEMP/token", interactiveMode: Never } }"#;

/// The image itself asks: it has the program.
const PROBE: &str = r#"probe() {
  docker run --rm --network host --entrypoint /usr/local/bin/mainstay "$IMAGE@$DIGEST" healthcheck --url "$1"
}
"#;
