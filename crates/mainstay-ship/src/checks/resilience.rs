//! What happens when something goes away: replicas, probes, ends in order, other models.

mod state;

use std::time::Duration;

use mainstay_core::plan::{AgentKind, Environment};
use serde_json::Value;

use super::subject::{Subject, counted, named};
use super::{Finding, Item, Rule, Verdict};
use crate::targets::kubernetes::IN_FLIGHT;

pub(super) const RULES: &[Rule] = &[
    Rule {
        item: Item::new(
            "resilience/backup",
            "what was recorded can be brought back on another disk",
            "copy the volume by what your platform offers, with the service stopped",
        ),
        judge: |_| Verdict::Missing("copies of the data folder while it is written to".to_owned()),
    },
    Rule {
        item: Item::new(
            "resilience/probes",
            "the platform asks each replica how it is",
            "give the container a startupProbe, a livenessProbe and a readinessProbe; Compose: a healthcheck",
        ),
        judge: probes,
    },
    Rule {
        item: Item::new(
            "resilience/liveness",
            "liveness and readiness do not mean the same",
            "liveness asks `/health`, the process alone; readiness asks `/ready`, what it needs too",
        ),
        judge: liveness,
    },
    Rule {
        item: Item::gate(
            "resilience/grace",
            "nothing is killed before it has drained",
            "let the grace period be the wait before the end, `server.drain` and 10 s together",
        ),
        judge: grace,
    },
    Rule {
        item: Item::new(
            "resilience/rollout",
            "a new version takes no replica away before its own are ready",
            "Deployment: `maxUnavailable: 0`; StatefulSet: `RollingUpdate`, one at a time",
        ),
        judge: |subject| subject.each_pod("a rollout takes none away first", rollout),
    },
    Rule {
        item: Item::new(
            "resilience/replicas",
            "one replica can go without anyone noticing",
            "let `replicas.min` be 2 or more in production",
        ),
        judge: replicas,
    },
    Rule {
        item: Item::new(
            "resilience/disruption-budget",
            "the cluster takes one replica at a time",
            "add a PodDisruptionBudget with `maxUnavailable: 1`",
        ),
        judge: disruption,
    },
    Rule {
        item: Item::new(
            "resilience/spread",
            "replicas are on different machines",
            "give the pods `topologySpreadConstraints` over `kubernetes.io/hostname`",
        ),
        judge: spread,
    },
    Rule {
        item: Item::new(
            "resilience/replicas-owner",
            "one thing alone says how many replicas there are",
            "take `replicas` out of what an autoscaler owns",
        ),
        judge: owner,
    },
    Rule {
        item: Item::new(
            "resilience/autoscaler",
            "the autoscaler has bounds and follows what is in flight",
            "give it a least and a greater most, and the metric `mainstay_requests_in_flight`",
        ),
        judge: autoscaler,
    },
    Rule {
        item: Item::new(
            "resilience/fallback",
            "an agent answers when its model's provider does not",
            "give the model a second target at another provider, or the agent a `fallback`",
        ),
        judge: fallback,
    },
    Rule {
        item: Item::new(
            "resilience/timeouts",
            "no model is waited for without end",
            "let `first_byte_timeout` and `idle_timeout` of each model be below the agent's `timeout`",
        ),
        judge: timeouts,
    },
    Rule {
        item: Item::new(
            "resilience/state",
            "what was recorded survives a restart",
            "give `deploy.base.storage` a size",
        ),
        judge: state::kept,
    },
    Rule {
        item: Item::new(
            "resilience/shared-state",
            "what one replica stored is there for the others",
            "give the component a type that is a server, or let `replicas.max` be 1",
        ),
        judge: state::shared,
    },
];

fn probes(subject: &Subject<'_>) -> Verdict {
    let pods = subject.each_pod("replicas are asked", |_, pod| {
        let containers = pod["containers"].as_array().into_iter().flatten();
        let lacking = containers.into_iter().find_map(|container| {
            let wanted = ["startupProbe", "livenessProbe", "readinessProbe"];
            wanted.into_iter().find(|probe| container[*probe].is_null())
        });
        lacking.map(|probe| ("containers", format!("has no {probe}")))
    });
    let unasked = subject.compose().filter(|one| one.value["healthcheck"]["test"].is_null());
    let unasked =
        unasked.map(|one| one.artifact.finding(&one.name, format!("`{}` has no healthcheck", one.name)));
    joined(pods, unasked.collect())
}

/// A verdict, and what was found beside it.
fn joined(verdict: Verdict, more: Vec<Finding>) -> Verdict {
    match verdict {
        Verdict::Fail(mut found) => {
            found.extend(more);
            Verdict::Fail(found)
        }
        _ if !more.is_empty() => Verdict::Fail(more),
        other => other,
    }
}

fn liveness(subject: &Subject<'_>) -> Verdict {
    subject.each_pod("they ask different paths", |_, pod| {
        let containers = pod["containers"].as_array().into_iter().flatten();
        let same = containers.into_iter().find_map(|container| {
            let path = |probe: &str| container[probe]["httpGet"]["path"].as_str();
            let (live, ready) = (path("livenessProbe"), path("readinessProbe"));
            live.filter(|_| live == ready).map(str::to_owned)
        });
        same.map(|path| ("livenessProbe", format!("asks `{path}` for liveness and for readiness")))
    })
}

fn grace(subject: &Subject<'_>) -> Verdict {
    let drain = subject.plan.server.drain;
    let pods = subject.each_pod(&format!("there is time for a drain of {} s", drain.as_secs()), |_, pod| {
        let given = pod["terminationGracePeriodSeconds"].as_u64().unwrap_or(30);
        let waits = pod["containers"].as_array().into_iter().flatten().map(pre_stop);
        let needed = drain + waits.max().unwrap_or_default();
        (Duration::from_secs(given) < needed).then(|| {
            let needed = needed.as_secs();
            ("terminationGracePeriodSeconds", format!("is killed after {given} s and may need {needed} s"))
        })
    });
    let name = subject.workload().map(|workload| workload.name.clone()).unwrap_or_default();
    let short = subject.compose().filter(|one| one.name == name).filter_map(|one| {
        let text = one.value["stop_grace_period"].as_str().unwrap_or("10s");
        let given = text.strip_suffix('s').and_then(|text| text.parse().ok()).map(Duration::from_secs);
        let what = format!("`{name}` is killed after {text}");
        given.is_some_and(|given| given < drain).then(|| one.artifact.finding("stop_grace_period", what))
    });
    joined(pods, short.collect())
}

/// How long a container waits before it is told to stop.
fn pre_stop(container: &Value) -> Duration {
    let seconds = container["lifecycle"]["preStop"]["sleep"]["seconds"].as_u64();
    Duration::from_secs(seconds.unwrap_or_default())
}

fn rollout(object: &Value, _: &Value) -> Option<(&'static str, String)> {
    if object["kind"] == "StatefulSet" {
        let update = &object["spec"]["updateStrategy"];
        let several = update["rollingUpdate"]["maxUnavailable"].as_u64().is_some_and(|count| count > 1);
        let wrong = several || update["type"].as_str().is_some_and(|kind| kind != "RollingUpdate");
        return wrong.then(|| ("updateStrategy", "does not replace its replicas one at a time".to_owned()));
    }
    if object["kind"] != "Deployment" {
        return None;
    }
    let zero = match &object["spec"]["strategy"]["rollingUpdate"]["maxUnavailable"] {
        Value::Number(number) => number.as_u64() == Some(0),
        Value::String(text) => text == "0" || text == "0%",
        _ => false,
    };
    (!zero).then(|| ("maxUnavailable", "may take replicas away before new ones are ready".to_owned()))
}

fn replicas(subject: &Subject<'_>) -> Verdict {
    let environment = subject.environment;
    let workload = match subject.workload() {
        Ok(workload) => workload,
        Err(refused) => return refused,
    };
    if environment != Environment::Prod {
        return Verdict::Pass(format!("{environment} may have one"));
    }
    let scaled =
        subject.objects(SCALERS).map(|(artifact, object)| (artifact, least(object), "minReplica", object));
    let fixed = subject.pods().filter(|(_, object, _)| !object["spec"]["replicas"].is_null());
    let fixed = fixed
        .map(|(artifact, object, _)| (artifact, object["spec"]["replicas"].as_u64(), "replicas", object));
    let judged: Vec<_> = scaled.chain(fixed).collect();
    let few = judged.iter().filter(|(_, count, ..)| count.is_none_or(|count| count < 2));
    let mut found: Vec<Finding> = few
        .map(|(artifact, count, needle, object)| {
            let count = counted(usize::try_from(count.unwrap_or_default()).unwrap_or_default(), "replica");
            artifact.finding(needle, format!("{} goes down to {count}", named(object)))
        })
        .collect();
    if workload.sizing.replicas_min < 2 && found.is_empty() {
        let what =
            format!("the spec has {} at least", counted(workload.sizing.replicas_min as usize, "replica"));
        found.push(Finding { place: None, what });
    }
    Verdict::unless(found, "there are two at least")
}

const SCALERS: &[&str] = &["HorizontalPodAutoscaler", "ScaledObject"];

/// The fewest replicas of a scaler.
fn least(object: &Value) -> Option<u64> {
    let spec = &object["spec"];
    spec["minReplicas"].as_u64().or_else(|| spec["minReplicaCount"].as_u64())
}

fn most(object: &Value) -> Option<u64> {
    let spec = &object["spec"];
    spec["maxReplicas"].as_u64().or_else(|| spec["maxReplicaCount"].as_u64())
}

fn disruption(subject: &Subject<'_>) -> Verdict {
    let workload = match subject.workload() {
        Ok(workload) => workload,
        Err(refused) => return refused,
    };
    if !workload.several() {
        return Verdict::Pass("there is one replica".to_owned());
    }
    let budgets: Vec<_> = subject.objects(&["PodDisruptionBudget"]).collect();
    if budgets.is_empty() {
        return Verdict::fail("there is no PodDisruptionBudget");
    }
    let found = budgets.iter().filter_map(|(artifact, object)| {
        let spec = &object["spec"];
        let both = !spec["maxUnavailable"].is_null() && !spec["minAvailable"].is_null();
        let stuck = spec["maxUnavailable"].as_u64() == Some(0) || spec["maxUnavailable"] == "0%";
        let what = if both {
            "has both `maxUnavailable` and `minAvailable`"
        } else if stuck {
            "lets no replica go: machines cannot be emptied"
        } else {
            return None;
        };
        Some(artifact.finding("maxUnavailable", format!("{} {what}", named(object))))
    });
    Verdict::unless(found.collect(), "one replica may be missing")
}

fn spread(subject: &Subject<'_>) -> Verdict {
    match subject.workload() {
        Err(refused) => return refused,
        Ok(workload) if !workload.several() => return Verdict::Pass("there is one replica".to_owned()),
        Ok(_) => {}
    }
    subject.each_pod("replicas go to different machines", |_, pod| {
        let constraints = pod["topologySpreadConstraints"].as_array().into_iter().flatten();
        let apart = constraints.into_iter().any(|one| one["topologyKey"] == "kubernetes.io/hostname");
        let affinity = !pod["affinity"]["podAntiAffinity"].is_null();
        (!apart && !affinity).then(|| ("topologySpreadConstraints", "may be on one machine whole".to_owned()))
    })
}

fn owner(subject: &Subject<'_>) -> Verdict {
    let owned: Vec<String> = subject
        .objects(SCALERS)
        .filter_map(|(_, object)| object["spec"]["scaleTargetRef"]["name"].as_str().map(str::to_owned))
        .collect();
    let twice = owned.iter().enumerate().find(|(n, name)| owned[..*n].contains(name));
    if let Some((_, name)) = twice {
        return Verdict::fail(format!("two autoscalers own `{name}`"));
    }
    subject.each_pod("no number stands beside an autoscaler", |object, _| {
        let name = object["metadata"]["name"].as_str().unwrap_or_default();
        let both = owned.iter().any(|owned| owned == name) && !object["spec"]["replicas"].is_null();
        both.then(|| ("replicas", "says `replicas`, which its autoscaler owns".to_owned()))
    })
}

fn autoscaler(subject: &Subject<'_>) -> Verdict {
    let scalers: Vec<_> = subject.objects(SCALERS).collect();
    if scalers.is_empty() {
        return match subject.workload() {
            Err(refused) => refused,
            Ok(workload) if !workload.scaled() => Verdict::Pass("the number of replicas is fixed".to_owned()),
            Ok(_) => Verdict::fail("the spec has replicas added and removed, and nothing does it"),
        };
    }
    let found = scalers.iter().filter_map(|(artifact, object)| {
        let (needle, what) = match (least(object), most(object)) {
            (least, Some(most)) if least.unwrap_or(1) < most => {
                let follows = object.to_string().contains(IN_FLIGHT);
                (!follows).then_some(("metrics", "does not follow the requests in flight"))?
            }
            (_, None) => ("maxReplica", "has no most"),
            _ => ("maxReplica", "has no room between least and most"),
        };
        Some(artifact.finding(needle, format!("{} {what}", named(object))))
    });
    Verdict::unless(found.collect(), format!("bounds are set, and it follows `{IN_FLIGHT}`"))
}

fn fallback(subject: &Subject<'_>) -> Verdict {
    let mut found = Vec::new();
    for (name, agent) in &subject.plan.agents {
        let AgentKind::Declared(declared) = &agent.kind else { continue };
        let providers = subject.plan.models.get(&declared.model).map_or(0, |model| {
            let names: std::collections::BTreeSet<_> =
                model.targets.iter().map(|target| &target.provider).collect();
            names.len()
        });
        if providers < 2 && agent.fallbacks.is_empty() {
            let what = format!("agent `{name}` has one provider of `{}` and no `fallback`", declared.model);
            found.push(Finding { place: None, what });
        }
    }
    Verdict::unless(found, "each declared agent has a second provider or an answer of its own")
}

fn timeouts(subject: &Subject<'_>) -> Verdict {
    let mut found = Vec::new();
    for (name, agent) in &subject.plan.agents {
        let AgentKind::Declared(declared) = &agent.kind else { continue };
        let Some(model) = subject.plan.models.get(&declared.model) else { continue };
        let longest = model.first_byte_timeout.max(model.idle_timeout);
        if longest > agent.timeout {
            let what = format!(
                "agent `{name}` ends after {} s, and `{}` may be silent for {} s",
                agent.timeout.as_secs(),
                declared.model,
                longest.as_secs()
            );
            found.push(Finding { place: None, what });
        }
    }
    Verdict::unless(found, "silence of models ends before the agents' runs do")
}
