//! The jobs of the pipeline, each in an image of its own, with what its part needs.

use serde_json::{Map, Value, json};

use mainstay_core::plan::Environment;

use crate::targets::pipeline::{self, Pipeline, scripts, tests};
use crate::targets::{docker, kubernetes};
use crate::workload::Workload;

/// A merge request's pipeline.
pub(super) const OF_A_REQUEST: &str = "$CI_PIPELINE_SOURCE == \"merge_request_event\"";
/// The deployed branch's.
pub(super) const OF_THE_BRANCH: &str = "$CI_COMMIT_BRANCH == $BRANCH";
/// A version's.
pub(super) const OF_A_VERSION: &str = r"$CI_COMMIT_TAG =~ /^v[0-9]+\.[0-9]+\.[0-9]+/";
/// GitLab's own registry.
pub(super) const OWN_REGISTRY: &str = "registry.gitlab.com";

const BUILDAH: &str = "quay.io/buildah/stable";
const SKOPEO: &str = "quay.io/skopeo/stable";
const TRIVY: &str = "docker.io/aquasec/trivy";
const KUBECTL: &str = "docker.io/alpine/k8s";
const ALPINE: &str = "docker.io/library/alpine";
/// Images that others made.
pub(super) const IMAGES: [&str; 5] = [BUILDAH, SKOPEO, TRIVY, KUBECTL, ALPINE];

/// Every job, in the order of their needs.
pub(super) fn all(pipeline: &Pipeline<'_>) -> Map<String, Value> {
    let mut jobs = Map::new();
    jobs.insert("check".to_owned(), check(pipeline));
    let mut tested = vec!["check"];
    if let Some(job) = test(pipeline) {
        jobs.insert("test".to_owned(), job);
        tested.push("test");
    }
    jobs.insert("build".to_owned(), build(pipeline, &tested));
    jobs.insert("scan".to_owned(), scan(pipeline));
    jobs.insert("push".to_owned(), push(pipeline));
    let signs = signs(pipeline);
    if signs {
        jobs.insert("sign".to_owned(), sign(pipeline));
    }
    for (name, before, workload) in pipeline.deployments() {
        let mut needs = vec![with_artifacts("push"), with_artifacts("check")];
        needs.extend(signs.then_some("sign").map(without_artifacts));
        needs.extend(before.as_deref().map(without_artifacts));
        jobs.insert(name, deploy(pipeline, workload, needs));
    }
    jobs.insert("release".to_owned(), release(pipeline));
    jobs
}

fn with_artifacts(job: &str) -> Value {
    json!({ "job": job, "artifacts": true })
}

fn without_artifacts(job: &str) -> Value {
    json!({ "job": job, "artifacts": false })
}

fn image(pipeline: &Pipeline<'_>, name: &str) -> Value {
    json!({ "name": pipeline.pins().image(name), "entrypoint": [""] })
}

fn requests_and_branch() -> Value {
    json!([{ "if": OF_A_REQUEST }, { "if": OF_THE_BRANCH }])
}

/// Images are built and opened without a daemon and without rights on the runner.
fn rootless() -> Value {
    json!({ "BUILDAH_ISOLATION": "chroot", "STORAGE_DRIVER": "vfs" })
}

/// The spec, looked at by the version of Mainstay that will serve it; its program goes on to the smoke tests.
fn check(pipeline: &Pipeline<'_>) -> Value {
    let mut variables = rootless();
    variables["MAINSTAY"] = pipeline.mainstay().into();
    json!({
        "stage": "test",
        "image": image(pipeline, BUILDAH),
        "timeout": "10m",
        "rules": requests_and_branch(),
        "variables": variables,
        "script": [CHECK],
        "artifacts": { "paths": ["mainstay"], "expire_in": "30 days" },
    })
}

const CHECK: &str = r#"container="$(buildah from "$MAINSTAY")"
cp "$(buildah mount "$container")/usr/local/bin/mainstay" mainstay
./mainstay check .
"#;

fn test(pipeline: &Pipeline<'_>) -> Option<Value> {
    let tests = tests::of(pipeline.shipment)?;
    Some(json!({
        "stage": "test",
        "image": docker::workshop(tests.source),
        "rules": requests_and_branch(),
        "script": [tests.script],
    }))
}

/// One image, kept as a file: what is scanned is what is pushed.
fn build(pipeline: &Pipeline<'_>, needs: &[&str]) -> Value {
    let mut variables = rootless();
    variables["DOCKERFILE"] = pipeline.file("docker/Dockerfile").into();
    let needs: Vec<Value> = needs.iter().map(|name| without_artifacts(name)).collect();
    json!({
        "stage": "build",
        "image": image(pipeline, BUILDAH),
        "timeout": "45m",
        "needs": needs,
        "rules": requests_and_branch(),
        "variables": variables,
        "script": [BUILD],
        "artifacts": { "paths": ["image.tar"], "expire_in": "3 days" },
    })
}

const BUILD: &str = r#"buildah build --format docker --file "$DOCKERFILE" --ignorefile "$DOCKERFILE.dockerignore" --build-arg REVISION="$CI_COMMIT_SHA" --tag "$IMAGE:sha-$CI_COMMIT_SHA" .
buildah push "$IMAGE:sha-$CI_COMMIT_SHA" "docker-archive:image.tar:$IMAGE:sha-$CI_COMMIT_SHA"
"#;

/// The gate. It has no environment, hence no secret of one.
fn scan(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "stage": "scan",
        "image": image(pipeline, TRIVY),
        "timeout": "20m",
        "needs": [with_artifacts("build")],
        "rules": requests_and_branch(),
        "variables": { "GIT_STRATEGY": "none" },
        "script": [scripts::scan(REPORT)],
        "artifacts": {
            "when": "always",
            "reports": { "container_scanning": "gl-container-scanning-report.json" },
            "paths": ["scan.sarif"],
            "expire_in": "30 days",
        },
    })
}

/// The report that GitLab shows in a merge request.
const REPORT: &str = "trivy convert --format template --template \"@/contrib/gitlab.tpl\" --output \
                      gl-container-scanning-report.json scan.json\n";

/// Who may write to the registry: the job's own token where it is GitLab's.
fn login(pipeline: &Pipeline<'_>, program: &str) -> String {
    let (name, password) = if pipeline.registry == OWN_REGISTRY {
        ("$CI_REGISTRY_USER", "$CI_REGISTRY_PASSWORD")
    } else {
        ("$REGISTRY_USERNAME", "$REGISTRY_PASSWORD")
    };
    format!(
        "printf '%s' \"{password}\" | {program} login --username \"{name}\" --password-stdin \"$REGISTRY\"\n"
    )
}

/// The environment that keeps the registry's secrets; being of it deploys nothing.
fn registry() -> Value {
    json!({ "name": "registry", "action": "access" })
}

/// The only job, but for a version's, that can write to the registry.
fn push(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "stage": "push",
        "image": image(pipeline, SKOPEO),
        "timeout": "20m",
        "needs": [without_artifacts("scan"), with_artifacts("build")],
        "rules": [{ "if": OF_THE_BRANCH }],
        "interruptible": false,
        "environment": registry(),
        "variables": { "GIT_STRATEGY": "none" },
        "script": [login(pipeline, "skopeo"), PUSH],
        "artifacts": { "reports": { "dotenv": "image.env" }, "expire_in": "30 days" },
    })
}

const PUSH: &str = r#"skopeo copy --digestfile digest docker-archive:image.tar "docker://$IMAGE:sha-$CI_COMMIT_SHA"
echo "DIGEST=$(cat digest)" > image.env
"#;

/// Whether images are signed: the public authority that gives certificates to pipelines knows those of one instance.
pub(super) fn signs(pipeline: &Pipeline<'_>) -> bool {
    super::host(pipeline) == super::HOST
}

/// Without a key: a certificate of minutes names this pipeline as the one who signed.
fn sign(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "stage": "push",
        "image": image(pipeline, ALPINE),
        "timeout": "10m",
        "needs": [with_artifacts("push")],
        "rules": [{ "if": OF_THE_BRANCH }],
        "interruptible": false,
        "environment": registry(),
        "id_tokens": { "SIGSTORE_ID_TOKEN": { "aud": "sigstore" } },
        "variables": { "GIT_STRATEGY": "none" },
        "script": ["apk add --no-cache cosign\n", login(pipeline, "cosign"), "cosign sign --yes \"$IMAGE@$DIGEST\"\n"],
    })
}

/// An environment: the objects by digest, a smoke test, and the way back.
fn deploy(pipeline: &Pipeline<'_>, workload: &Workload, needs: Vec<Value>) -> Value {
    let environment = workload.environment;
    let rule = if environment == Environment::Prod {
        json!({ "if": OF_THE_BRANCH, "when": "manual" })
    } else {
        json!({ "if": OF_THE_BRANCH })
    };
    let url = workload.sizing.host.as_ref().map(|host| format!("https://{host}"));
    json!({
        "stage": "deploy",
        "image": image(pipeline, KUBECTL),
        "timeout": "1h",
        "needs": needs,
        "rules": [rule],
        "interruptible": false,
        "resource_group": environment.name(),
        "environment": { "name": environment.name(), "url": url },
        "id_tokens": { "KUBE_TOKEN": { "aud": workload.name } },
        "variables": {
            "NAME": workload.name,
            "NAMESPACE": kubernetes::namespace_name(workload),
            "WORKLOAD": pipeline::workload(workload),
            "OVERLAY": pipeline.file(&format!("kustomize/overlays/{environment}")),
            "HOST": workload.sizing.host.as_deref().unwrap_or_default(),
            "RUNNER_AFTER_SCRIPT_TIMEOUT": "20m",
        },
        "script": [
            scripts::connect("", "{ token: \"$KUBE_TOKEN\" }"),
            scripts::RENDER,
            scripts::APPLY,
            scripts::smoke(PROBE),
        ],
        "after_script": [format!("{FAILED}{}fi\n", scripts::ROLL_BACK)],
    })
}

/// The program is the one that looked at the spec.
const PROBE: &str = "probe() {\n  ./mainstay healthcheck --url \"$1\"\n}\n";

/// What comes after runs whatever became of the job; nothing was applied before there is a note of what ran.
const FAILED: &str = "if [ \"$CI_JOB_STATUS\" != success ] && [ -e present ]; then\n";

/// Names the image of a commit after the version that was tagged there.
fn release(pipeline: &Pipeline<'_>) -> Value {
    json!({
        "stage": "release",
        "image": image(pipeline, ALPINE),
        "timeout": "45m",
        "needs": [],
        "rules": [{ "if": OF_A_VERSION }],
        "interruptible": false,
        "environment": registry(),
        "variables": { "GIT_STRATEGY": "none" },
        "script": [
            "apk add --no-cache cosign skopeo\n",
            login(pipeline, "cosign"),
            find(signs(pipeline)),
            format!("TAG=\"$CI_COMMIT_TAG\"\n{}", scripts::NAME_VERSION),
        ],
    })
}

/// The pipeline of the branch may still be at work on the same commit. What it signed names its file and its branch.
fn find(signed: bool) -> String {
    let verified = if signed { VERIFIED } else { "" };
    format!(
        r#"tries=60
until
  digest="$(skopeo inspect --format '{{{{ .Digest }}}}' "docker://$IMAGE:sha-$CI_COMMIT_SHA")"{verified}
do
  tries=$((tries - 1))
  if [ "$tries" -eq 0 ]; then
    echo "There is no image of this commit that the pipeline pushed{}."
    exit 1
  fi
  sleep 30
done
FROM="$IMAGE@$digest"
"#,
        if signed { " and signed" } else { "" }
    )
}

const VERIFIED: &str = r#" &&
    cosign verify "$IMAGE@$digest" --certificate-oidc-issuer "$CI_SERVER_URL" \
      --certificate-identity "$CI_PROJECT_URL//$CI_CONFIG_PATH@refs/heads/$BRANCH" > signature.json"#;
