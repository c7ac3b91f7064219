//! Streams: their form, and what becomes of a turn whose reader leaves. Each asks a model for a short answer.

use std::time::Duration;

use mainstay_ship::checks::{Item, Verdict};

use super::service::{Ask, Asked, Service, Stream};
use super::work::Work;
use super::{LiveRule, When, exhaustion};

/// Longest time for the gauge to fall once the reader has left.
const LEFT_MAX: Duration = Duration::from_secs(5);
/// How often a stream is asked for with a key that was used up, and how long that waits each time.
const OPENINGS_MAX: usize = 3;
const REPLENISHED_MAX: Duration = Duration::from_secs(20);
/// How often the gauge is read.
const LOOK_INTERVAL: Duration = Duration::from_millis(100);

pub(super) const RULES: &[LiveRule] = &[
    LiveRule {
        item: Item::new(
            "api/live-stream",
            "a stream has the form that browsers read",
            "answer `text/event-stream`: lines of `data:`, a blank line after each event, an end",
        ),
        when: When::First,
        ask: |service| Box::pin(form(service)),
    },
    LiveRule {
        item: Item::new(
            "resilience/live-disconnect",
            "a reader who leaves gives the place back",
            "end a request when its connection ends, and let the gauge of what is in flight fall",
        ),
        when: When::First,
        ask: |service| Box::pin(disconnect(service)),
    },
];

/// What is said of a service without agents, where only what an agent does can be judged.
pub(super) fn no_agent() -> Verdict {
    Verdict::Unknown("an agent would show it, and the spec has none".to_owned())
}

/// Opens a stream, or says why none can be judged.
pub(super) async fn open(service: &Service) -> Result<Stream, Verdict> {
    let Some((path, question)) = service.question_for(true) else {
        return Err(match service.given.asked {
            Asked::Nobody => Verdict::Unknown("the spec has neither an agent nor a model to ask".to_owned()),
            _ => Verdict::fail("the service describes no path that streams"),
        });
    };
    let ask = || Ask::post(&path, &question);
    let mut opened = service.stream(ask()).await;
    for _ in 1..OPENINGS_MAX {
        let Ok(refused) =
            opened.as_ref().map(|stream| (stream.status == 429).then(|| stream.headers.clone()))
        else {
            break;
        };
        let Some(headers) = refused.filter(|_| service.given.exhaust.is_some()) else { break };
        exhaustion::wait_out(&headers, REPLENISHED_MAX).await;
        opened = service.stream(ask()).await;
    }
    match opened {
        Ok(stream) if matches!(stream.status, 401 | 403) => {
            Err(Verdict::Unknown("a key is wanted: put one into MAINSTAY_API_KEY".to_owned()))
        }
        // It may be for embeddings alone.
        Ok(Stream { status: 400 | 404 | 422, .. }) if let Asked::Model(model) = &service.given.asked => {
            Err(Verdict::Unknown(format!("the model `{model}` takes no question")))
        }
        Ok(stream) if stream.status != 200 => {
            Err(Verdict::fail(format!("POST {path} answered {}", stream.status)))
        }
        Ok(stream) => Ok(stream),
        Err(error) => Err(Verdict::fail(format!("POST {path}: {error:#}"))),
    }
}

async fn form(service: &Service) -> Verdict {
    let mut stream = match open(service).await {
        Ok(stream) => stream,
        Err(verdict) => return verdict,
    };
    let kind = stream.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
    if !kind.starts_with("text/event-stream") {
        return Verdict::fail(format!("the stream's type is `{kind}`"));
    }
    let text = match stream.rest().await {
        Ok(text) => text,
        Err(error) => return Verdict::fail(format!("the stream was cut: {error:#}")),
    };
    match fault(&text) {
        Some(what) => Verdict::fail(what),
        None => Verdict::Pass(format!("{} events", text.replace("\r\n", "\n").matches("\n\n").count())),
    }
}

/// What is wrong with the text of a stream.
fn fault(text: &str) -> Option<String> {
    let known = |line: &str| {
        let field = line.split(':').next().unwrap_or_default();
        line.is_empty() || matches!(field, "" | "data" | "event" | "id" | "retry")
    };
    if let Some(n) = text.lines().position(|line| !known(line)) {
        return Some(format!("line {} of the stream is no field", n + 1));
    }
    if !text.lines().any(|line| line.starts_with("data:")) {
        return Some("the stream has no data".to_owned());
    }
    let ended = text.ends_with("\n\n") || text.ends_with("\r\n\r\n");
    (!ended).then(|| "the last event has no end".to_owned())
}

async fn disconnect(service: &Service) -> Verdict {
    let Some(before) = service.in_flight().await else {
        return Verdict::Unknown("the metrics do not say what is in flight".to_owned());
    };
    match Work::begin(service).await {
        Ok(work) => drop(work),
        Err(verdict) => return verdict,
    }
    let deadline = tokio::time::Instant::now() + LEFT_MAX;
    loop {
        match service.in_flight().await {
            Some(now) if now <= before => {
                return Verdict::Pass(format!("{now} in flight after the reader left, as before"));
            }
            now if tokio::time::Instant::now() > deadline => {
                let now = now.unwrap_or(f64::NAN);
                let seconds = LEFT_MAX.as_secs();
                return Verdict::fail(format!(
                    "{now} in flight {seconds} s after the reader left, {before} before"
                ));
            }
            _ => tokio::time::sleep(LOOK_INTERVAL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_form_of_a_stream_is_checked() {
        assert_eq!(fault("data: a\n\n: beat\n\nid: 1\nevent: x\ndata: [DONE]\n\n"), None);
        for bad in ["", "{\"a\":1}\n\n", "data: a\n", ": beat\n\n"] {
            assert!(fault(bad).is_some(), "{bad:?}");
        }
    }
}
