//! Who may do what, and what goes in and out.

use mainstay_core::plan::Anonymous;
use serde_json::Value;

use super::subject::{Subject, named};
use super::{Finding, Item, Place, Rule, Verdict, terraform};
use crate::targets;

/// The address that tells a machine's credentials to whoever asks.
const METADATA: &str = "169.254.";
/// Ports of the building blocks: for the app beside the binary alone.
const SIDECAR_PORTS: [u64; 2] = [3500, 50001];

pub(super) const RULES: &[Rule] = &[
    Rule {
        item: Item::gate(
            "security/keys",
            "whoever calls has a key, or the spec says in words that anyone may",
            "add a key under `access.keys`, or write `access: { anonymous: anyone }`",
        ),
        judge: |subject| {
            let access = &subject.plan.access;
            match (access.keys.len(), access.anonymous) {
                (_, Anonymous::Anyone) => Verdict::Pass("the spec says that anyone may call".to_owned()),
                (0, _) => Verdict::fail("there is no key"),
                (count, _) => Verdict::Pass(format!("keys: {count}")),
            }
        },
    },
    Rule {
        item: Item::new(
            "security/origins",
            "browsers may call from origins that are named",
            "name the origins in `access.cors.origins` instead of `*`",
        ),
        judge: |subject| {
            let wild = subject.plan.access.cors_origins.iter().any(|origin| origin == "*");
            if wild { Verdict::fail("any origin may call") } else { Verdict::Pass("no wildcard".to_owned()) }
        },
    },
    Rule {
        item: Item::new(
            "security/network-policy",
            "only what is needed comes in and goes out",
            "add a NetworkPolicy for the pods with `Ingress` and `Egress`, and with rules that name ports",
        ),
        judge: network_policy,
    },
    Rule {
        item: Item::new(
            "security/metadata-address",
            "no tool can ask the machine for its credentials",
            "leave 169.254.0.0/16 out of what the NetworkPolicy lets out",
        ),
        judge: metadata_address,
    },
    Rule {
        item: Item::new(
            "security/service-account",
            "the pods are themselves, not everybody",
            "give them a ServiceAccount of their own",
        ),
        judge: service_account,
    },
    Rule {
        item: Item::new(
            "security/no-token",
            "the pods hold no key of the cluster",
            "set `automountServiceAccountToken: false` on the pods",
        ),
        judge: |subject| {
            subject.each_pod("no token is mounted", |_, pod| {
                let off = pod["automountServiceAccountToken"] == Value::Bool(false);
                (!off).then(|| ("automountServiceAccountToken", "gets a token of the cluster".to_owned()))
            })
        },
    },
    Rule {
        item: Item::new(
            "security/namespace",
            "the namespace admits restricted pods alone",
            "label it `pod-security.kubernetes.io/enforce: restricted`",
        ),
        judge: namespace,
    },
    Rule {
        item: Item::new(
            "security/host",
            "the pods share nothing with their machine",
            "take `hostNetwork`, `hostPID`, `hostIPC` and `hostPath` volumes away",
        ),
        judge: |subject| subject.each_pod("nothing is shared", host),
    },
    Rule {
        item: Item::new(
            "security/published-ports",
            "a port is published where it must be",
            "Compose: bind to 127.0.0.1; never publish the building blocks' ports 3500 and 50001",
        ),
        judge: published,
    },
    Rule {
        item: Item::new(
            "security/tls",
            "what comes from outside comes over TLS",
            "give the Ingress `tls`, with each of its hosts; on Container Apps no `allow_insecure_connections`",
        ),
        judge: tls,
    },
    Rule {
        item: Item::new(
            "security/pipeline",
            "a pipeline tests, scans and uses pinned actions",
            "ship the target `github`, and name each action by the hash of its commit",
        ),
        judge: pipeline,
    },
    Rule {
        item: Item::new(
            "security/signatures",
            "what runs is what was built",
            "sign images, and give them a list of what is in them",
        ),
        judge: |_| Verdict::Missing("signatures of images and lists of what is in them".to_owned()),
    },
];

fn network_policy(subject: &Subject<'_>) -> Verdict {
    let policies: Vec<_> = subject.objects(&["NetworkPolicy"]).collect();
    if policies.is_empty() {
        return match subject.pods().next() {
            Some(_) => Verdict::fail("there is no NetworkPolicy"),
            None => subject.nothing("no pods are described under `deploy/kubernetes`"),
        };
    }
    let mut found = Vec::new();
    for (artifact, object) in policies {
        let spec = &object["spec"];
        let types = spec["policyTypes"].as_array().into_iter().flatten();
        let types: Vec<&str> = types.filter_map(Value::as_str).collect();
        for kind in ["Ingress", "Egress"].into_iter().filter(|kind| !types.contains(kind)) {
            found.push(artifact.finding("policyTypes", format!("{} bounds no {kind}", named(object))));
        }
        let rules =
            ["ingress", "egress"].into_iter().flat_map(|key| spec[key].as_array().into_iter().flatten());
        if rules.into_iter().any(|rule| rule["ports"].as_array().is_none_or(Vec::is_empty)) {
            found.push(artifact.finding("spec", format!("{} has a rule for every port", named(object))));
        }
    }
    Verdict::unless(found, "ways in and out are named")
}

fn metadata_address(subject: &Subject<'_>) -> Verdict {
    let mut found = Vec::new();
    let mut count = 0;
    for (artifact, object) in subject.objects(&["NetworkPolicy"]) {
        for rule in object["spec"]["egress"].as_array().into_iter().flatten() {
            let Some(to) = rule["to"].as_array().filter(|to| !to.is_empty()) else {
                found.push(artifact.finding("egress", format!("{} lets out to anywhere", named(object))));
                continue;
            };
            for block in to.iter().map(|peer| &peer["ipBlock"]).filter(|block| block["cidr"] == "0.0.0.0/0") {
                count += 1;
                let except = block["except"].as_array().into_iter().flatten().filter_map(Value::as_str);
                if !except.into_iter().any(|range| range.starts_with(METADATA)) {
                    let what = format!("{} lets out to 169.254.169.254", named(object));
                    found.push(artifact.finding("cidr", what));
                }
            }
        }
    }
    if count == 0 && found.is_empty() && subject.objects(&["NetworkPolicy"]).next().is_none() {
        return subject.nothing("there is no NetworkPolicy");
    }
    Verdict::unless(found, "the machine's address is left out")
}

fn service_account(subject: &Subject<'_>) -> Verdict {
    subject.each_pod("each has an account of its own", |_, pod| {
        let own =
            pod["serviceAccountName"].as_str().is_some_and(|name| !name.is_empty() && name != "default");
        (!own).then(|| ("serviceAccountName", "runs as the namespace's default account".to_owned()))
    })
}

fn namespace(subject: &Subject<'_>) -> Verdict {
    let spaces: Vec<_> = subject.objects(&["Namespace"]).collect();
    if spaces.is_empty() {
        return match subject.pods().next() {
            Some(_) => {
                Verdict::fail("no Namespace is described, and the pods would go to one that admits anything")
            }
            None => subject.nothing("no Namespace is described under `deploy/kubernetes`"),
        };
    }
    let found = spaces.iter().filter_map(|(artifact, object)| {
        let enforced = &object["metadata"]["labels"]["pod-security.kubernetes.io/enforce"];
        let what = format!("{} does not enforce the restricted standard", named(object));
        (enforced != "restricted").then(|| artifact.finding("pod-security.kubernetes.io/enforce", what))
    });
    Verdict::unless(found.collect(), "the restricted standard is enforced")
}

fn host(_: &Value, pod: &Value) -> Option<(&'static str, String)> {
    let shared = ["hostNetwork", "hostPID", "hostIPC"].into_iter().find(|key| pod[*key] == Value::Bool(true));
    let volumes = pod["volumes"].as_array().into_iter().flatten();
    let path = volumes.into_iter().any(|volume| !volume["hostPath"].is_null()).then_some("hostPath");
    shared.or(path).map(|key| (key, format!("has `{key}`")))
}

fn published(subject: &Subject<'_>) -> Verdict {
    let mut found = Vec::new();
    for one in subject.containers() {
        for port in one.value["ports"].as_array().into_iter().flatten() {
            let number = port["containerPort"].as_u64();
            let text = port.as_str().unwrap_or_default();
            let last = text.rsplit(':').next().and_then(|text| text.split('/').next()?.parse().ok());
            let what = if number.or(last).is_some_and(|number| SIDECAR_PORTS.contains(&number)) {
                "publishes a port of the building blocks"
            } else if !text.is_empty() && !text.starts_with("127.0.0.1:") && !text.starts_with("[::1]:") {
                "publishes a port on every interface of the machine"
            } else {
                continue;
            };
            found.push(one.artifact.finding("ports", format!("container `{}` {what}", one.name)));
        }
    }
    if subject.containers().is_empty() {
        return subject.nothing("no container is described under `deploy/`");
    }
    Verdict::unless(found, "none beyond what is asked for")
}

fn tls(subject: &Subject<'_>) -> Verdict {
    let mut found = Vec::new();
    let mut ingresses = 0;
    for (artifact, object) in subject.objects(&["Ingress"]) {
        ingresses += 1;
        if object["spec"]["tls"].as_array().is_none_or(Vec::is_empty) {
            found.push(artifact.finding("spec", format!("{} has no `tls`", named(object))));
        }
    }
    found.extend(terraform::in_the_clear(subject));
    let good = if ingresses > 0 {
        "the ingress has it"
    } else {
        "left to the gateway in front; no ingress is described"
    };
    Verdict::unless(found, good)
}

fn pipeline(subject: &Subject<'_>) -> Verdict {
    if targets::find("github").is_none() {
        return Verdict::Missing("pipelines".to_owned());
    }
    let files: Vec<_> = subject.of_target("github").collect();
    if files.is_empty() {
        return subject.nothing("`deploy/github` is empty");
    }
    let mut found = Vec::new();
    for artifact in files {
        for (n, line) in artifact.file.text.lines().enumerate() {
            let Some(action) = line.trim_start_matches([' ', '-']).strip_prefix("uses:") else { continue };
            let action = action.trim().trim_matches(['"', '\'']);
            let action = action.split([' ', '"', '\'']).next().unwrap_or_default();
            let hash = action.rsplit_once('@').map_or("", |(_, hash)| hash);
            let pinned = hash.len() == 40 && hash.bytes().all(|b| b.is_ascii_hexdigit());
            if !pinned && !action.starts_with("./") && !action.contains("@sha256:") {
                let place = Some(Place { file: artifact.file.path.clone(), line: Some(n + 1) });
                found.push(Finding { place, what: format!("`{action}` is not named by a commit") });
            }
        }
    }
    Verdict::unless(found, "every action is named by a commit")
}
