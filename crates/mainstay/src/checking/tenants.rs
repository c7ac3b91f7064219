//! What one caller sees of another: with a second key, and nothing else of the service's.

use http::Method;
use mainstay_core::RequestId;
use mainstay_ship::checks::{Finding, Item, Verdict};
use serde_json::{Value, json};

use super::service::{Ask, Asked, Service};
use super::{LiveRule, When, streams};

pub(super) const RULES: &[LiveRule] = &[LiveRule {
    item: Item::gate(
        "security/live-tenants",
        "a caller sees nothing of another's",
        "look runs and sessions up among those of the key that asks; answer 404 for any other",
    ),
    when: When::First,
    ask: |service| Box::pin(tenants(service)),
}];

async fn tenants(service: &Service) -> Verdict {
    if service.given.asked != Asked::Agents {
        return streams::no_agent();
    }
    let Some(other) = service.given.other_key.as_deref() else {
        return Verdict::Unknown(
            "another caller's key is wanted: put one into MAINSTAY_OTHER_API_KEY".to_owned(),
        );
    };
    if service.given.key.as_deref().is_none_or(|key| key == other) {
        return Verdict::Unknown(
            "MAINSTAY_API_KEY and MAINSTAY_OTHER_API_KEY must be two callers'".to_owned(),
        );
    }
    let session = format!("mainstay-check-{}", RequestId::generate());
    let run = match run_in(service, &session).await {
        Ok(run) => run,
        Err(verdict) => return verdict,
    };
    let (mut found, mut hidden) = (Vec::new(), 0_usize);
    for (template, path) in places(service, &session, run.as_deref()) {
        let own = service.send(Ask::get(&path)).await;
        if !own.is_ok_and(|answer| answer.status == 200) {
            // What its owner cannot see either shows nothing.
            continue;
        }
        let bearer = format!("Bearer {other}");
        let ask = Ask { headers: vec![("authorization", &bearer)], ..Ask::get(&path).bare() };
        let what = match service.send(ask).await {
            Ok(answer) if answer.status == 401 => {
                return Verdict::Unknown(
                    "the service does not know the key of MAINSTAY_OTHER_API_KEY".to_owned(),
                );
            }
            Ok(answer) if matches!(answer.status, 403 | 404) => {
                hidden += 1;
                continue;
            }
            Ok(answer) => format!("GET {template} answered another caller with {}", answer.status),
            Err(error) => format!("GET {template}: {error:#}"),
        };
        found.push(Finding { place: None, what });
    }
    if found.is_empty() && hidden == 0 {
        return Verdict::Unknown("there is no run and no session that could be looked up".to_owned());
    }
    Verdict::unless(found, format!("{hidden} paths of a caller's run and session are hidden from another"))
}

/// Asks a question in a session; gives its run, where the answer names one. Errors: it is not answered.
async fn run_in(service: &Service, session: &str) -> Result<Option<String>, Verdict> {
    let path = service.asking(false).unwrap_or("/v1/invoke");
    let question = json!({ "query": "Answer with one word: are you there?", "session_id": session });
    match service.question(Ask::post(path, &question.to_string())).await {
        Ok(answer) if answer.status == 200 => {
            let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
            Ok(["id", "run_id"].iter().find_map(|name| body[name].as_str().map(str::to_owned)))
        }
        Ok(answer) if matches!(answer.status, 401 | 403) => {
            Err(Verdict::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned()))
        }
        Ok(answer) => Err(Verdict::Unknown(format!("POST {path} answered {}", answer.status))),
        Err(error) => Err(Verdict::Unknown(format!("POST {path}: {error:#}"))),
    }
}

/// Paths that show a run or a session, as the document has them and with the ids in them.
fn places(service: &Service, session: &str, run: Option<&str>) -> Vec<(String, String)> {
    let shown = service.operations().into_iter().filter(|(_, method, _)| *method == Method::GET);
    let filled = shown.filter_map(|(template, ..)| {
        let (before, rest) = template.split_once('{')?;
        let (_, after) = rest.split_once('}')?;
        let id = match before.rsplit('/').nth(1)? {
            "sessions" => session,
            "runs" => run?,
            _ => return None,
        };
        // What lies deeper may be a stream that stays open.
        after.is_empty().then(|| (template.to_owned(), format!("{before}{id}")))
    });
    filled.collect()
}
