//! What the service says of itself, and how it refuses.

use http::Method;
use mainstay_core::RequestId;
use mainstay_ship::checks::{Finding, Item, Verdict};
use serde_json::Value;

use super::service::{Answer, Ask, Asked, Service};
use super::{LiveRule, When, streams};

/// Operations that are asked without a key.
const OPERATIONS_MAX: usize = 300;
/// A path that no service has.
const NOWHERE: &str = "/v1/there-is-no-such-path-here";

pub(super) const RULES: &[LiveRule] = &[
    LiveRule {
        item: Item::new(
            "api/live-document",
            "the service describes its API",
            "serve an OpenAPI 3 document at `/openapi.json`",
        ),
        when: When::First,
        ask: |service| {
            Box::pin(async {
                let version = service.document["openapi"].as_str().unwrap_or_default();
                match (version.starts_with("3."), service.operations().len()) {
                    (true, count) if count > 0 => {
                        Verdict::Pass(format!("OpenAPI {version}, {count} operations"))
                    }
                    (true, _) => Verdict::fail("`/openapi.json` names no operation"),
                    (false, _) => Verdict::fail("`/openapi.json` is no OpenAPI 3 document"),
                }
            })
        },
    },
    LiveRule {
        item: Item::gate(
            "security/live-authentication",
            "nothing but probes and documents is answered without a key",
            "ask for a key on every route; only what a document marks as open may do without",
        ),
        when: When::First,
        ask: |service| Box::pin(authentication(service)),
    },
    LiveRule {
        item: Item::new(
            "api/live-errors",
            "errors have one shape, with a code",
            "answer 404, 405, 415 and 422 with JSON that has a stable code",
        ),
        when: When::First,
        ask: |service| Box::pin(errors(service)),
    },
    LiveRule {
        item: Item::new(
            "api/live-request-id",
            "an answer can be found in the log",
            "give back the caller's `x-request-id`, or one of your own",
        ),
        when: When::First,
        ask: |service| {
            Box::pin(async {
                const ID: &str = "mainstay-check-1";
                let ask = Ask { headers: vec![("x-request-id", ID)], ..Ask::get("/health").bare() };
                match service.send(ask).await {
                    Ok(answer) if answer.headers.get("x-request-id").is_some_and(|id| id == ID) => {
                        Verdict::Pass("`x-request-id` came back".to_owned())
                    }
                    Ok(_) => Verdict::fail("`x-request-id` did not come back"),
                    Err(error) => Verdict::fail(format!("{error:#}")),
                }
            })
        },
    },
    LiveRule {
        item: Item::new(
            "api/live-idempotency",
            "a request that is sent twice has one effect",
            "honour `idempotency-key`: answer a second request with what the first one gave",
        ),
        when: When::First,
        ask: |service| Box::pin(idempotency(service)),
    },
    LiveRule {
        item: Item::new(
            "security/live-origins",
            "no page of another origin calls with a browser's credentials",
            "name the origins that may; never allow any origin together with credentials",
        ),
        when: When::First,
        ask: |service| Box::pin(origins(service)),
    },
];

/// Whether an operation is open by what the document says of it, and is nothing that changes anything.
pub(super) fn is_open(service: &Service, path: &str, method: &Method, operation: &Value) -> bool {
    const PROBES: [&str; 6] = ["/", "/health", "/ready", "/health/live", "/health/ready", "/openapi.json"];
    let said = operation.get("security").or_else(|| service.document.get("security"));
    let open = said.and_then(Value::as_array).is_some_and(Vec::is_empty);
    let known = PROBES.contains(&path) || path == "/docs" || path.starts_with("/docs/");
    *method == Method::GET && (open || known)
}

async fn authentication(service: &Service) -> Verdict {
    if service.given.anyone {
        return Verdict::Pass("the spec says that anyone may call".to_owned());
    }
    let operations = service.operations();
    if operations.is_empty() {
        return Verdict::Unknown("the service does not say which paths it has".to_owned());
    }
    let is_asked = |(path, method, operation): &(&str, Method, &Value)| {
        !is_open(service, path, method, operation) && !matches!(*method, Method::OPTIONS | Method::HEAD)
    };
    let ours = operations.into_iter().take(OPERATIONS_MAX).filter(is_asked);
    let ours = ours.map(|(path, method, _)| (path, method));
    // What apps answer below their routes is not described; that nobody comes there without a key is ours.
    let routes =
        service.routes().take(OPERATIONS_MAX).flat_map(|route| [(route, Method::GET), (route, Method::POST)]);
    let (mut found, mut asked) = (Vec::new(), 0_usize);
    for (path, method) in ours.chain(routes) {
        asked += 1;
        let at = filled(path);
        let body = (method != Method::GET && method != Method::DELETE).then_some("{}");
        let headers = vec![("content-type", "application/json")];
        let ask = Ask { method: method.clone(), path: &at, headers, body, keyed: false };
        let what = match service.send(ask).await {
            Ok(answer) if matches!(answer.status, 401 | 403) => continue,
            Ok(answer) => format!("{method} {path} answered {} without a key", answer.status),
            Err(error) => format!("{method} {path}: {error:#}"),
        };
        found.push(Finding { place: None, what });
    }
    Verdict::unless(found, format!("{asked} operations answered 401 or 403 without a key"))
}

/// A path with something in the place of each parameter.
pub(super) fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "x" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

async fn errors(service: &Service) -> Verdict {
    let asking = service.asking(false).unwrap_or("/v1/invoke").to_owned();
    let text = Ask { headers: vec![("content-type", "text/plain")], ..Ask::post(&asking, "hello") };
    let removal = Ask { method: Method::DELETE, ..Ask::get("/health") };
    let wanted = [(404, Ask::get(NOWHERE)), (405, removal), (415, text), (422, Ask::post(&asking, "{}"))];
    let mut found = Vec::new();
    for (status, ask) in wanted {
        let what = format!("{} {}", ask.method, ask.path);
        let what = match service.send(ask).await {
            Ok(answer) if matches!(answer.status, 401 | 403) => {
                return Verdict::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned());
            }
            Ok(answer) if answer.status != status => {
                format!("{what} answered {} instead of {status}", answer.status)
            }
            Ok(answer) if !has_code(&answer) => format!("{what}: the {status} has no code"),
            Ok(_) => continue,
            Err(error) => format!("{what}: {error:#}"),
        };
        found.push(Finding { place: None, what });
    }
    Verdict::unless(found, "404, 405, 415 and 422 are JSON with a code")
}

/// Whether an error has a code: the error's own field, or the error itself in a flat shape.
pub(super) fn has_code(answer: &Answer) -> bool {
    let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
    let error = &body["error"];
    error.is_string() || error["code"].is_string() || error["type"].is_string()
}

async fn idempotency(service: &Service) -> Verdict {
    if service.given.asked != Asked::Agents {
        return streams::no_agent();
    }
    let Some((path, question)) = service.question_for(false) else {
        return Verdict::fail("the service describes no path that takes a question");
    };
    let key = RequestId::generate().to_string();
    let mut given = Vec::new();
    for _ in 0..2 {
        let headers = vec![("content-type", "application/json"), ("idempotency-key", key.as_str())];
        let ask = Ask { headers, ..Ask::post(&path, &question) };
        match service.question(ask).await {
            Ok(answer) if answer.status == 200 => {
                let body: Value = serde_json::from_str(&answer.body).unwrap_or_default();
                given.push(body["id"].as_str().map(str::to_owned));
            }
            Ok(answer) if matches!(answer.status, 401 | 403) => {
                return Verdict::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned());
            }
            Ok(answer) => return Verdict::Unknown(format!("POST {path} answered {}", answer.status)),
            Err(error) => return Verdict::Unknown(format!("POST {path}: {error:#}")),
        }
    }
    match given.as_slice() {
        [Some(first), Some(second)] if first == second => {
            Verdict::Pass("two requests with one key had the same answer".to_owned())
        }
        _ => Verdict::fail("two requests with one `idempotency-key` were answered as two"),
    }
}

async fn origins(service: &Service) -> Verdict {
    const ELSEWHERE: &str = "https://elsewhere.example";
    let asking = service.asking(false).unwrap_or("/v1/invoke").to_owned();
    let plain = Ask { headers: vec![("origin", ELSEWHERE)], ..Ask::get("/health") };
    let headers = vec![("origin", ELSEWHERE), ("access-control-request-method", "POST")];
    let before = Ask { method: Method::OPTIONS, headers, ..Ask::get(&asking).bare() };
    let mut found = Vec::new();
    for (what, ask) in [("an answer", plain), ("a preflight", before)] {
        let Ok(answer) = service.send(ask).await else { continue };
        let header =
            |name: &str| answer.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
        let allowed = header("access-control-allow-origin");
        if header("access-control-allow-credentials") == "true" && (allowed == "*" || allowed == ELSEWHERE) {
            let what = format!("{what} allows `{allowed}` with credentials");
            found.push(Finding { place: None, what });
        }
    }
    Verdict::unless(found, "an origin that nobody named gets no credentials")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_of_paths_are_filled() {
        assert_eq!(filled("/v1/runs/{run}/events"), "/v1/runs/x/events");
    }
}
