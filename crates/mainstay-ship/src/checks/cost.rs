//! What it may cost.

use mainstay_core::plan::AgentKind;

use super::subject::Subject;
use super::{Finding, Item, Rule, Verdict};

/// Model calls of one run beyond which it is a loop.
const STEPS_MAX: u32 = 50;

pub(super) const RULES: &[Rule] = &[
    Rule {
        item: Item::new(
            "cost/token-cap",
            "each answer of a model has a most",
            "give each declared agent `max_tokens`",
        ),
        judge: |subject| {
            each(subject, "every agent's answers are bounded", |declared| {
                declared.max_tokens.is_none().then(|| "has no `max_tokens`".to_owned())
            })
        },
    },
    Rule {
        item: Item::new(
            "cost/step-cap",
            "each run has a most of model calls",
            "let each declared agent's `steps_max` be 50 at most",
        ),
        judge: |subject| {
            each(subject, "every agent's runs are bounded", |declared| {
                (declared.steps_max > STEPS_MAX)
                    .then(|| format!("may call models {} times a run", declared.steps_max))
            })
        },
    },
    Rule {
        item: Item::new(
            "cost/replicas-cap",
            "replicas have a most",
            "let `replicas.max` be what you would pay for, 100 at most",
        ),
        judge: |subject| match subject.workload() {
            Err(refused) => refused,
            Ok(workload) if workload.sizing.replicas_max > 100 => {
                Verdict::fail(format!("there may be {} replicas", workload.sizing.replicas_max))
            }
            Ok(workload) => Verdict::Pass(format!("{} at most", workload.sizing.replicas_max)),
        },
    },
    Rule {
        item: Item::new(
            "cost/budget",
            "a caller who costs too much is refused",
            "give keys and tenants a budget",
        ),
        judge: |_| Verdict::Missing("budgets of requests, keys and tenants".to_owned()),
    },
    Rule {
        item: Item::new(
            "cost/cache",
            "the same question is not paid for twice",
            "cache answers, by the text and by the meaning",
        ),
        judge: |_| Verdict::Missing("a cache of answers".to_owned()),
    },
];

fn each(
    subject: &Subject<'_>,
    good: &str,
    fault: impl Fn(&mainstay_core::plan::Declared) -> Option<String>,
) -> Verdict {
    let mut found = Vec::new();
    for (name, agent) in &subject.plan.agents {
        if let AgentKind::Declared(declared) = &agent.kind
            && let Some(what) = fault(declared)
        {
            found.push(Finding { place: None, what: format!("agent `{name}` {what}") });
        }
    }
    Verdict::unless(found, good)
}
