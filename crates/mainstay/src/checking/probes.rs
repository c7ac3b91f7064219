//! Whether the process lives, whether it can work, what it counts.

use http::Method;
use mainstay_ship::checks::{Item, Verdict};

use super::service::{Ask, Service};
use super::{LiveRule, When};

/// Series beyond which labels are taken from what callers send.
const SERIES_MAX: usize = 10_000;

pub(super) const RULES: &[LiveRule] = &[
    LiveRule {
        item: Item::new(
            "resilience/live-health",
            "the service says that its process lives",
            "answer 200 at `/health` whatever is away: a process that is ended for a dead database comes back to it",
        ),
        when: When::First,
        ask: |service| Box::pin(health(service)),
    },
    LiveRule {
        item: Item::new(
            "resilience/live-ready",
            "the service says, in another answer, whether it can work",
            "let `/ready` ask what the service needs, and answer 503 while that is away or it drains",
        ),
        when: When::First,
        ask: |service| Box::pin(ready(service)),
    },
    LiveRule {
        item: Item::new(
            "observability/live-metrics",
            "the metrics can be read, and their labels are bounded",
            "serve Prometheus' text format at `/metrics`; take no label from what callers send",
        ),
        when: When::First,
        ask: |service| Box::pin(metrics(service)),
    },
    LiveRule {
        item: Item::new(
            "security/live-metrics-key",
            "the metrics are for those who have a key",
            "ask for a key at `/metrics`, or serve them on a port of their own",
        ),
        when: When::First,
        ask: |service| Box::pin(metrics_key(service)),
    },
];

async fn health(service: &Service) -> Verdict {
    match service.send(Ask::get("/health").bare()).await {
        Ok(answer) if answer.status == 200 => Verdict::Pass("`/health` answered 200".to_owned()),
        Ok(answer) => Verdict::fail(format!("`/health` answered {}", answer.status)),
        Err(error) => Verdict::fail(format!("`/health`: {error:#}")),
    }
}

async fn ready(service: &Service) -> Verdict {
    let health = service.send(Ask::get("/health").bare()).await;
    match (health, service.send(Ask::get("/ready").bare()).await) {
        (Ok(health), Ok(ready)) if health.body == ready.body => {
            Verdict::fail("`/ready` says the same as `/health`")
        }
        (_, Ok(ready)) if matches!(ready.status, 200 | 503) => {
            Verdict::Pass(format!("`/ready` answered {}, in its own words", ready.status))
        }
        (_, Ok(ready)) => Verdict::fail(format!("`/ready` answered {}", ready.status)),
        (_, Err(error)) => Verdict::fail(format!("`/ready`: {error:#}")),
    }
}

async fn metrics(service: &Service) -> Verdict {
    let answer = match service.send(Ask::get("/metrics")).await {
        Ok(answer) if answer.status == 200 => answer,
        Ok(answer) if matches!(answer.status, 401 | 403) => {
            return Verdict::Unknown("`/metrics` wants a key: put one into MAINSTAY_API_KEY".to_owned());
        }
        Ok(answer) => return Verdict::fail(format!("`/metrics` answered {}", answer.status)),
        Err(error) => return Verdict::fail(format!("`/metrics`: {error:#}")),
    };
    let lines =
        || answer.body.lines().enumerate().filter(|(_, line)| !line.is_empty() && !line.starts_with('#'));
    // The line itself may hold what must not be shown.
    if let Some((n, _)) = lines().find(|(_, line)| !is_sample(line)) {
        return Verdict::fail(format!("line {} of `/metrics` is no sample", n + 1));
    }
    match lines().count() {
        0 => Verdict::fail("`/metrics` has no sample"),
        count if count > SERIES_MAX => Verdict::fail(format!("`/metrics` has {count} series")),
        count => Verdict::Pass(format!("{count} series")),
    }
}

/// Whether a line is a sample: a name, labels in braces, a number, a time perhaps.
fn is_sample(line: &str) -> bool {
    let (name, rest) = match line.split_once('{') {
        Some((name, rest)) => match rest.rsplit_once('}') {
            Some((_, rest)) => (name, rest),
            None => return false,
        },
        None => line.split_once(' ').unwrap_or((line, "")),
    };
    let named = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | ':');
    let mut words = rest.split_whitespace();
    let number = words
        .next()
        .is_some_and(|word| word.parse::<f64>().is_ok() || matches!(word, "+Inf" | "-Inf" | "NaN"));
    !name.is_empty() && name.chars().all(named) && number && words.count() <= 1
}

async fn metrics_key(service: &Service) -> Verdict {
    if !service.given.keyed {
        return Verdict::fail("there is no key that could be asked for");
    }
    let ask = Ask { method: Method::GET, ..Ask::get("/metrics").bare() };
    match service.send(ask).await {
        Ok(answer) if matches!(answer.status, 401 | 403) => {
            Verdict::Pass(format!("without a key: {}", answer.status))
        }
        Ok(answer) if answer.status == 404 => Verdict::Pass("they are not at this address".to_owned()),
        Ok(answer) => Verdict::fail(format!("without a key, `/metrics` answered {}", answer.status)),
        Err(error) => Verdict::fail(format!("`/metrics`: {error:#}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_told_from_other_lines() {
        for line in ["a 1", "a{b=\"c d}\"} 1.5e3", "a:b +Inf 1700000000000"] {
            assert!(is_sample(line), "{line}");
        }
        for line in ["a", "a b", "{} 1", "a{b=\"c\" 1", "<html>", "a 1 2 3"] {
            assert!(!is_sample(line), "{line}");
        }
    }
}
