//! The service as such: whether it is there and ready, what it stands on, and whether it is full.

use mainstay_core::metric;

use super::alert::{Alert, Severity, Trial, bucket, made, series};
use crate::promql::{Scope, UP, over, sum};
use crate::workload::Workload;

/// Of the requests that a replica takes, and of the memory that it has: the share, in percent, that is too much.
const FULL_PERCENT: u64 = 90;
/// The longest duration that is told apart: the last bound of the histograms is 300 s.
const SECONDS_MAX: u64 = 240;

/// Replicas in trials.
const ONE: &str = "10.0.0.1:8080";
const TWO: &str = "10.0.0.2:8080";

/// The alerts.
pub(super) fn alerts(scope: &Scope, workload: &Workload) -> Vec<Alert> {
    let mut alerts = Vec::new();
    // Where none runs until somebody calls, that none runs says nothing.
    if workload.sizing.replicas_min > 0 {
        alerts.push(absent(scope));
    }
    alerts.extend([
        down(scope),
        none_ready(scope),
        not_ready(scope),
        restarts(scope),
        journal(scope),
        dependency(scope),
        full(scope, workload),
        sheds(scope),
        memory(scope, workload),
        slow_runs(scope, workload),
    ]);
    if workload.scaled() {
        alerts.push(too_few(scope, workload));
    }
    alerts
}

fn of_replica() -> Vec<(&'static str, String)> {
    vec![("instance", ONE.to_owned())]
}

fn absent(scope: &Scope) -> Alert {
    Alert {
        name: "MainstayAbsent",
        severity: Severity::Critical,
        query: format!("absent({} == 1)", scope.named(UP, "")),
        minutes: 3,
        summary: "No replica answers",
        description: "Prometheus reaches no replica of the service.".to_owned(),
        trial: Trial {
            after: 10,
            every: 1,
            of_service: false,
            labels: Vec::new(),
            fires: vec![made(UP, "0x20").of_replica(ONE)],
            silent: vec![made(UP, "0x20").of_replica(ONE), made(UP, "1x20").of_replica(TWO)],
        },
    }
}

fn down(scope: &Scope) -> Alert {
    Alert {
        name: "MainstayDown",
        severity: Severity::Warning,
        query: format!("{} == 0", scope.named(UP, "")),
        minutes: 5,
        summary: "A replica does not answer",
        description: "Prometheus does not reach {{ $labels.instance }}.".to_owned(),
        trial: Trial {
            after: 10,
            every: 1,
            of_service: true,
            labels: of_replica(),
            fires: vec![made(UP, "0x20").of_replica(ONE), made(UP, "1x20").of_replica(TWO)],
            silent: vec![made(UP, "1 0 0 1 1 1 1 1 1 1 1").of_replica(ONE)],
        },
    }
}

fn none_ready(scope: &Scope) -> Alert {
    Alert {
        name: "MainstayNoneReady",
        severity: Severity::Critical,
        query: format!("{} == 0", over("max", &[], &scope.series(&metric::READY, ""))),
        minutes: 2,
        summary: "No replica is ready",
        description: "Replicas run, and none of them takes work.".to_owned(),
        trial: Trial {
            after: 10,
            every: 1,
            of_service: true,
            labels: Vec::new(),
            fires: vec![series(&metric::READY, &[], "0x20").of_replica(ONE)],
            silent: vec![
                series(&metric::READY, &[], "0x20").of_replica(ONE),
                series(&metric::READY, &[], "1x20").of_replica(TWO),
            ],
        },
    }
}

fn not_ready(scope: &Scope) -> Alert {
    Alert {
        name: "MainstayNotReady",
        severity: Severity::Warning,
        query: format!("{} == 0", scope.series(&metric::READY, "")),
        minutes: 10,
        summary: "A replica is not ready",
        description: "{{ $labels.instance }} runs and takes no work.".to_owned(),
        trial: Trial {
            after: 15,
            every: 1,
            of_service: true,
            labels: of_replica(),
            fires: vec![series(&metric::READY, &[], "0x20").of_replica(ONE)],
            silent: vec![series(&metric::READY, &[], "1 1 0 0 0 0 1+0x20").of_replica(ONE)],
        },
    }
}

/// The processor time of a process begins anew with it; its start is known to a second only, which a clock that is set
/// moves.
fn restarts(scope: &Scope) -> Alert {
    let began = format!("resets({}[30m])", scope.series(&metric::PROCESS_CPU, ""));
    Alert {
        name: "MainstayRestarts",
        severity: Severity::Warning,
        query: format!("{began} > 2"),
        minutes: 0,
        summary: "A replica is restarted again and again",
        description: "{{ $labels.instance }} began anew three times or more within half an hour.".to_owned(),
        trial: Trial {
            after: 20,
            every: 1,
            of_service: true,
            labels: of_replica(),
            fires: vec![series(&metric::PROCESS_CPU, &[], "0+1x4 0+1x4 0+1x4 0+1x8").of_replica(ONE)],
            silent: vec![series(&metric::PROCESS_CPU, &[], "0+1x9 0+1x20").of_replica(ONE)],
        },
    }
}

fn journal(scope: &Scope) -> Alert {
    let metric = &metric::DEPENDENCY_READY;
    let journal =
        |samples: &str| vec![series(metric, &[metric::DEPENDENCY_JOURNAL], samples).of_replica(ONE)];
    let matcher = format!("dependency=\"{}\"", metric::DEPENDENCY_JOURNAL);
    let mut labels = of_replica();
    labels.push(("dependency", metric::DEPENDENCY_JOURNAL.to_owned()));
    Alert {
        name: "MainstayJournalFails",
        severity: Severity::Critical,
        query: format!("{} == 0", scope.series(metric, &matcher)),
        minutes: 1,
        summary: "The record of runs cannot be written",
        description:
            "{{ $labels.instance }} acknowledges nothing more until it is restarted on a disk that works."
                .to_owned(),
        trial: Trial {
            after: 10,
            every: 1,
            of_service: true,
            labels,
            fires: journal("1 1 0+0x20"),
            silent: journal("1x20"),
        },
    }
}

fn dependency(scope: &Scope) -> Alert {
    let metric = &metric::DEPENDENCY_READY;
    let app = format!("{}research", metric::DEPENDENCY_APP);
    let of = |name: &str, samples: &str| series(metric, &[name], samples).of_replica(ONE);
    let matcher = format!("dependency!=\"{}\"", metric::DEPENDENCY_JOURNAL);
    let mut labels = of_replica();
    labels.push(("dependency", app.clone()));
    Alert {
        name: "MainstayDependencyFails",
        severity: Severity::Warning,
        query: format!("{} == 0", scope.series(metric, &matcher)),
        minutes: 5,
        summary: "Something that the service needs is away: {{ $labels.dependency }}",
        description: "{{ $labels.instance }} is not ready because of it.".to_owned(),
        trial: Trial {
            after: 10,
            every: 1,
            of_service: true,
            labels,
            fires: vec![of(&app, "0x20"), of(metric::DEPENDENCY_JOURNAL, "1x20")],
            silent: vec![of(&app, "1x20"), of(metric::DEPENDENCY_JOURNAL, "0x20")],
        },
    }
}

fn full(scope: &Scope, workload: &Workload) -> Alert {
    let most = u64::from(workload.requests_max) * FULL_PERCENT / 100;
    let at = |requests: u64| vec![series(&metric::IN_FLIGHT, &[], format!("{requests}x20")).of_replica(ONE)];
    Alert {
        name: "MainstayFull",
        severity: Severity::Warning,
        query: format!("{} > {most}", scope.series(&metric::IN_FLIGHT, "")),
        minutes: 5,
        summary: "A replica is nearly full",
        description: format!(
            "{{{{ $labels.instance }}}} has more than {FULL_PERCENT} % of the {} requests in flight that it takes.",
            workload.requests_max
        ),
        trial: Trial {
            after: 10,
            every: 1,
            of_service: true,
            labels: of_replica(),
            fires: at(most + 1),
            silent: at(most),
        },
    }
}

fn sheds(scope: &Scope) -> Alert {
    let matcher = format!("reason=\"{}\"", metric::SHED_OVERLOAD);
    let refused = |reason: &str| vec![series(&metric::SHED, &[reason], "0+5x20")];
    Alert {
        name: "MainstayRefusesWork",
        severity: Severity::Critical,
        query: format!("{} > 0", sum(&[], &scope.increase(&metric::SHED, &matcher, "5m"))),
        minutes: 2,
        summary: "Requests are refused because too many are in flight",
        description: "Callers get 503 with OVERLOADED.".to_owned(),
        trial: Trial {
            after: 10,
            every: 1,
            of_service: true,
            labels: Vec::new(),
            fires: refused(metric::SHED_OVERLOAD),
            silent: refused("rate"),
        },
    }
}

fn memory(scope: &Scope, workload: &Workload) -> Alert {
    let most = workload.sizing.memory_bytes / 100 * FULL_PERCENT;
    let at = |bytes: u64| vec![series(&metric::PROCESS_MEMORY, &[], format!("{bytes}x30")).of_replica(ONE)];
    Alert {
        name: "MainstayMemory",
        severity: Severity::Warning,
        query: format!("{} > {most}", scope.series(&metric::PROCESS_MEMORY, "")),
        minutes: 15,
        summary: "A replica has nearly used up its memory",
        description: format!(
            "The process of {{{{ $labels.instance }}}}, apps not counted, has more than {FULL_PERCENT} % of what the \
             replica gets."
        ),
        trial: Trial {
            after: 20,
            every: 1,
            of_service: true,
            labels: of_replica(),
            fires: at(most + 1),
            silent: at(most),
        },
    }
}

fn slow_runs(scope: &Scope, workload: &Workload) -> Alert {
    let most = (workload.request_timeout.as_secs() * 8 / 10).clamp(1, SECONDS_MAX);
    let took =
        |bound: &'static str, samples: &str| bucket(&metric::RUN_SECONDS, &["research"], bound, samples);
    Alert {
        name: "MainstayRunsSlow",
        severity: Severity::Warning,
        query: format!("{} > {most}", scope.quantile(95, &metric::RUN_SECONDS, &["agent"], "10m")),
        minutes: 10,
        summary: "Runs of {{ $labels.agent }} are slow",
        description: format!(
            "One run in twenty takes longer than {most} s; callers are let go after {} s.",
            workload.request_timeout.as_secs()
        ),
        trial: Trial {
            after: 30,
            every: 1,
            of_service: true,
            labels: vec![("agent", "research".to_owned())],
            fires: vec![took("0.5", "0x40"), took("300.0", "0+9x40"), took("+Inf", "0+99x40")],
            silent: vec![took("0.5", "0+99x40"), took("300.0", "0+99x40"), took("+Inf", "0+99x40")],
        },
    }
}

fn too_few(scope: &Scope, workload: &Workload) -> Alert {
    let most = u64::from(workload.sizing.in_flight) * 5 / 4;
    let at = |requests: u64| vec![series(&metric::IN_FLIGHT, &[], format!("{requests}x40")).of_replica(ONE)];
    Alert {
        name: "MainstayTooFewReplicas",
        severity: Severity::Warning,
        query: format!("{} > {most}", over("avg", &[], &scope.series(&metric::IN_FLIGHT, ""))),
        minutes: 15,
        summary: "There are too few replicas for what is in flight",
        description: format!(
            "Replicas have more than {most} requests in flight each, where each is meant for {}; there may be {} replicas.",
            workload.sizing.in_flight, workload.sizing.replicas_max
        ),
        trial: Trial {
            after: 30,
            every: 1,
            of_service: true,
            labels: Vec::new(),
            fires: at(most + 1),
            silent: at(most),
        },
    }
}
