//! Schedules: patterns of cron in a time zone, and fixed intervals. Pure but for the host's time zone.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// When something is due.
#[derive(Clone, Debug)]
pub(super) enum Schedule {
    /// At the times of a pattern.
    Pattern(Box<Cron>, TimeZone),
    /// After so long, in whole seconds.
    Every(Duration),
}

impl Schedule {
    /// Reads a schedule; `None` for what is none.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (zone, text) = match text.strip_prefix("CRON_TZ=").or_else(|| text.strip_prefix("TZ=")) {
            None => (TimeZone::system(), text),
            Some(rest) => {
                let (name, text) = rest.split_once(' ')?;
                (TimeZone::get(name).ok()?, text)
            }
        };
        let text = text.trim();
        if let Some(interval) = text.strip_prefix("@every ") {
            let interval = mainstay_core::duration::parse(interval.trim())?;
            return Some(Self::Every(Duration::from_secs(interval.as_secs().max(1))));
        }
        let pattern = match text.strip_prefix('@') {
            None => text,
            Some("yearly" | "annually") => "0 0 1 1 *",
            Some("monthly") => "0 0 1 * *",
            Some("weekly") => "0 0 * * 0",
            Some("daily" | "midnight") => "0 0 * * *",
            Some("hourly") => "0 * * * *",
            Some(_) => return None,
        };
        let parser = CronParser::builder().seconds(Seconds::Optional).year(Year::Disallowed).build();
        let cron = parser.parse(pattern).ok()?;
        Some(Self::Pattern(Box::new(cron), zone))
    }

    /// The next time after `after`, both in milliseconds since the Unix epoch; `None` where there is none any more.
    pub(super) fn next(&self, after_ms: u64) -> Option<u64> {
        match self {
            Self::Every(interval) => {
                let seconds = after_ms / 1_000 + interval.as_secs();
                Some(seconds * 1_000)
            }
            Self::Pattern(cron, zone) => {
                let after = zoned(after_ms, zone)?;
                let next = cron.find_next_occurrence(&after, false).ok()?;
                u64::try_from(next.timestamp().as_millisecond()).ok()
            }
        }
    }
}

fn zoned(ms: u64, zone: &TimeZone) -> Option<Zoned> {
    let at = Timestamp::from_millisecond(i64::try_from(ms).ok()?).ok()?;
    Some(at.to_zoned(zone.clone()))
}

/// A time in UTC, as the protocol's own sidecar writes it.
pub(super) fn in_utc(ms: u64) -> String {
    let time = zoned(ms, &TimeZone::UTC);
    time.map_or_else(String::new, |time| time.strftime("%Y-%m-%d %H:%M:%S%.f +0000 UTC").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2023-11-14T22:13:20Z, a Tuesday.
    const NOW: u64 = 1_700_000_000_000;

    #[track_caller]
    fn check(text: &str, expect: &str) {
        let next = Schedule::parse(text).and_then(|schedule| schedule.next(NOW)).unwrap();
        let at = Timestamp::from_millisecond(i64::try_from(next).unwrap()).unwrap();
        assert_eq!(at.to_string(), expect, "{text}");
    }

    #[test]
    fn five_or_six_fields_words_and_intervals() {
        check("TZ=UTC */15 * * * *", "2023-11-14T22:15:00Z");
        check("TZ=UTC */15 * * * * *", "2023-11-14T22:13:30Z");
        check("TZ=UTC 0 30 * * * *", "2023-11-14T22:30:00Z");
        check("TZ=UTC 0 3 * * MON", "2023-11-20T03:00:00Z");
        check("TZ=UTC 0 0 1 1 ?", "2024-01-01T00:00:00Z");
        check("TZ=UTC @daily", "2023-11-15T00:00:00Z");
        check("TZ=UTC @midnight", "2023-11-15T00:00:00Z");
        check("TZ=UTC @hourly", "2023-11-14T23:00:00Z");
        check("TZ=UTC @weekly", "2023-11-19T00:00:00Z");
        check("TZ=UTC @yearly", "2024-01-01T00:00:00Z");
        check("@every 1m30s", "2023-11-14T22:14:50Z");
        check("@every 10ms", "2023-11-14T22:13:21Z");
    }

    #[test]
    fn a_schedule_keeps_to_its_time_zone() {
        check("CRON_TZ=Asia/Tokyo 0 9 * * *", "2023-11-15T00:00:00Z");
    }

    #[test]
    fn what_is_no_schedule_is_refused() {
        for text in
            ["", "*", "* * * *", "61 * * * *", "@sometimes", "@every", "@every soon", "TZ=Nowhere * * * * *"]
        {
            assert!(Schedule::parse(text).is_none(), "{text}");
        }
    }

    #[test]
    fn a_time_is_written_as_the_protocol_writes_it() {
        assert_eq!(in_utc(NOW + 5), "2023-11-14 22:13:20.005 +0000 UTC");
    }
}
