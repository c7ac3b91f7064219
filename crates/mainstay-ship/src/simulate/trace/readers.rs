//! The formats of traces, line by line. A fault names its line and the character where the field begins.

use serde_json::Value;

use super::{Fault, REQUESTS_MAX, Request, SPAN_MS_MAX, TOKENS_MAX, TOOL_MS_MAX};

const PLAIN: &str = "seconds,input_tokens,output_tokens";
const PLAIN_TOOLS: &str = "seconds,input_tokens,output_tokens,tool_seconds";
const AZURE: &str = "TIMESTAMP,ContextTokens,GeneratedTokens";

type Reader = fn(&Line<'_>) -> Result<Request, Fault>;

pub(super) fn read(text: &str) -> Result<Vec<Request>, Fault> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let lines = text.lines().enumerate().map(|(at, text)| Line { number: at + 1, text });
    let mut lines = lines.filter(|line| !line.text.trim().is_empty()).peekable();
    let Some(first) = lines.peek().copied() else {
        return Err(Fault { line: 1, column: 1, message: "the trace is empty".to_owned() });
    };
    let (reader, head_lines): (Reader, usize) = match first.text.trim_end() {
        PLAIN | PLAIN_TOOLS => (plain, 1),
        AZURE => (azure, 1),
        json if json.starts_with('{') => (mooncake, 0),
        _ => return Err(first.fault(1, format!("expected `{PLAIN}`, `{AZURE}` or a JSON object"))),
    };
    let mut requests: Vec<Request> = Vec::new();
    let (mut earliest, mut latest) = (u64::MAX, 0);
    for line in lines.skip(head_lines) {
        let request = reader(&line)?;
        (earliest, latest) = (earliest.min(request.at_ms), latest.max(request.at_ms));
        if latest - earliest > SPAN_MS_MAX {
            return Err(line.fault(1, "a trace lasts eight days at most".to_owned()));
        }
        if requests.len() == REQUESTS_MAX {
            return Err(line.fault(1, format!("a trace has {REQUESTS_MAX} requests at most")));
        }
        requests.push(request);
    }
    if requests.is_empty() {
        return Err(first.fault(1, "the trace has no request".to_owned()));
    }
    Ok(requests)
}

/// A line, and which one it is.
#[derive(Clone, Copy)]
struct Line<'a> {
    number: usize,
    text: &'a str,
}

/// A field, and the character where it begins.
#[derive(Clone, Copy)]
struct Field<'a> {
    line: Line<'a>,
    column: usize,
    text: &'a str,
}

impl<'a> Line<'a> {
    fn fault(&self, column: usize, message: String) -> Fault {
        Fault { line: self.number, column, message }
    }

    /// Its fields; there must be `least` to `most` of them.
    fn fields(&self, least: usize, most: usize) -> Result<Vec<Field<'a>>, Fault> {
        let mut fields = Vec::new();
        let mut column = 1;
        for text in self.text.trim_end().split(',') {
            fields.push(Field { line: *self, column, text: text.trim() });
            column += text.chars().count() + 1;
        }
        if fields.len() < least || fields.len() > most {
            let message = format!("{} fields where {least} are expected", fields.len());
            return Err(self.fault(1, message));
        }
        Ok(fields)
    }
}

impl Field<'_> {
    fn fault(&self, expected: &str) -> Fault {
        let shown: String = self.text.chars().take(40).collect();
        self.line.fault(self.column, format!("`{shown}` is not {expected}"))
    }

    fn tokens(&self) -> Result<u32, Fault> {
        let count = self.text.parse().ok().filter(|count| *count <= TOKENS_MAX);
        count.ok_or_else(|| self.fault("a number of tokens (up to 10 million)"))
    }

    /// Seconds with a point, as milliseconds.
    fn seconds_ms(&self, most_ms: u64) -> Result<u64, Fault> {
        let seconds = self.text.parse::<f64>().ok().filter(|s| s.is_finite() && *s >= 0.0);
        let ms = seconds.map(|seconds| (seconds * 1000.0).round()).filter(|ms| *ms <= most_ms as f64);
        ms.map(|ms| ms as u64).ok_or_else(|| self.fault("a time in seconds that fits a trace"))
    }
}

fn plain(line: &Line<'_>) -> Result<Request, Fault> {
    let fields = line.fields(3, 4)?;
    // Seconds may be those of a clock, counted from 1970: the span is what is bounded.
    let at_ms = fields[0].seconds_ms(u64::from(u32::MAX) * 1000)?;
    let tool_ms = fields.get(3).map_or(Ok(0), |field| field.seconds_ms(TOOL_MS_MAX))?;
    Ok(Request { at_ms, input_tokens: fields[1].tokens()?, output_tokens: fields[2].tokens()?, tool_ms })
}

fn azure(line: &Line<'_>) -> Result<Request, Fault> {
    let fields = line.fields(3, 3)?;
    let at_ms = instant_ms(fields[0].text)
        .ok_or_else(|| fields[0].fault("a time such as `2023-11-16 18:15:46.6805900`"))?;
    Ok(Request { at_ms, input_tokens: fields[1].tokens()?, output_tokens: fields[2].tokens()?, tool_ms: 0 })
}

fn mooncake(line: &Line<'_>) -> Result<Request, Fault> {
    let row: Value = serde_json::from_str(line.text).map_err(|error| {
        let message = error.to_string();
        let message = message.split(" at line").next().unwrap_or_default().to_owned();
        line.fault(error.column().max(1), message)
    })?;
    let field = |name: &str, most: u64| {
        let value = row.get(name).and_then(|value| value.as_u64().or_else(|| whole(value)));
        let column =
            line.text.find(&format!("\"{name}\"")).map_or(1, |at| 1 + line.text[..at].chars().count());
        let expected = format!("`{name}` must be a number from 0 to {most}");
        value.filter(|value| *value <= most).ok_or_else(|| line.fault(column, expected))
    };
    let tokens =
        |name| field(name, TOKENS_MAX.into()).map(|count| u32::try_from(count).unwrap_or(TOKENS_MAX));
    Ok(Request {
        at_ms: field("timestamp", u64::from(u32::MAX) * 1000)?,
        input_tokens: tokens("input_length")?,
        output_tokens: tokens("output_length")?,
        tool_ms: 0,
    })
}

/// A number that was written with a point.
fn whole(value: &Value) -> Option<u64> {
    value.as_f64().filter(|number| number.is_finite() && *number >= 0.0).map(|number| number.round() as u64)
}

/// `2023-11-16 18:15:46.6805900`, in milliseconds since 1970 (the zone cancels out).
fn instant_ms(text: &str) -> Option<u64> {
    let (date, time) = text.split_once([' ', 'T'])?;
    let time = time.trim_end_matches('Z');
    let time = time.split_once('+').map_or(time, |(time, _)| time);
    let mut date = date.split('-');
    let (year, month, day) = (number(date.next()?)?, number(date.next()?)?, number(date.next()?)?);
    let mut time = time.split(':');
    let (hour, minute) = (number(time.next()?)?, number(time.next()?)?);
    let (second, fraction) = time.next().map(|second| second.split_once('.').unwrap_or((second, "0")))?;
    let second = number(second)?;
    let digits = fraction.bytes().all(|byte| byte.is_ascii_digit());
    let ms = format!("{:0<3.3}", fraction).parse::<u64>().ok().filter(|_| digits)?;
    let fits = (1970..=9999).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day);
    let fits =
        fits && hour < 24 && minute < 60 && second < 61 && date.next().is_none() && time.next().is_none();
    fits.then(|| ((days(year, month, day) * 24 + hour) * 60 + minute) * 60_000 + second * 1000 + ms)
}

fn number(text: &str) -> Option<u64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// Days from 1970-01-01 to a day of the Gregorian calendar. A year is counted from March, so that the leap day is its
/// last.
fn days(year: u64, month: u64, day: u64) -> u64 {
    let (year, month) = if month > 2 { (year, month - 3) } else { (year - 1, month + 9) };
    let of_year = (153 * month + 2) / 5 + day - 1;
    // 719,468 days lie between 0000-03-01 and 1970-01-01.
    year * 365 + year / 4 - year / 100 + year / 400 + of_year - 719_468
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(text: &str) -> String {
        read(text).unwrap_err().to_string()
    }

    fn ats(text: &str) -> Vec<u64> {
        read(text).unwrap().iter().map(|request| request.at_ms).collect()
    }

    #[test]
    fn each_format_is_told_by_its_first_line() {
        let plain = read("seconds,input_tokens,output_tokens,tool_seconds\n1.5, 10 ,20,0.25\n").unwrap();
        assert_eq!(plain, [Request { at_ms: 1500, input_tokens: 10, output_tokens: 20, tool_ms: 250 }]);
        let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\r\n2023-11-16 18:15:46.6805900,374,44\r\n2023-11-16 18:15:50.9951690,396,109\r\n";
        let azure = read(azure).unwrap();
        // 50.995 s - 46.680 s
        assert_eq!(azure[1].at_ms - azure[0].at_ms, 4315);
        assert_eq!((azure[1].input_tokens, azure[1].output_tokens), (396, 109));
        let json = "{\"timestamp\": 27482, \"input_length\": 6955, \"output_length\": 52, \"hash_ids\": [46]}\n\n{\"timestamp\":30535.4,\"input_length\":1,\"output_length\":2}\n";
        assert_eq!(ats(json), [27_482, 30_535]);
    }

    #[test]
    fn days_are_those_of_the_calendar() {
        assert_eq!(
            [days(1970, 1, 1), days(1970, 3, 1), days(2000, 2, 29), days(2024, 1, 1)],
            [0, 59, 11_016, 19_723]
        );
        assert_eq!(instant_ms("1970-01-02T00:00:01.5Z"), Some(86_401_500));
        for bad in ["2023-13-01 00:00:00", "2023-11-16", "2023-11-16 24:00:00", "2023-11-16 1:2:3.x", ""] {
            assert_eq!(instant_ms(bad), None, "{bad}");
        }
    }

    #[test]
    fn a_fault_names_its_line_and_character() {
        let head = "seconds,input_tokens,output_tokens\n";
        assert_eq!(faults(""), "line 1, column 1: the trace is empty");
        assert_eq!(faults(head), "line 1, column 1: the trace has no request");
        assert!(faults("time,a\n1,2\n").starts_with("line 1, column 1: expected `seconds,"));
        assert_eq!(
            faults(&format!("{head}1,2,3\n2,x,3\n")),
            "line 3, column 3: `x` is not a number of tokens (up to 10 million)"
        );
        assert_eq!(faults(&format!("{head}1,2\n")), "line 2, column 1: 2 fields where 3 are expected");
        assert!(faults(&format!("{head}-1,2,3\n")).starts_with("line 2, column 1: `-1` is not a time"));
        assert!(faults(&format!("{head}0,2,3\n999999,2,3\n")).starts_with("line 3, column 1: a trace lasts"));
        let azure = "TIMESTAMP,ContextTokens,GeneratedTokens\nyesterday,1,2\n";
        assert!(faults(azure).starts_with("line 2, column 1: `yesterday` is not a time"));
        let json = "{\"timestamp\": 1, \"input_length\": -4, \"output_length\": 1}\n";
        assert_eq!(faults(json), "line 1, column 18: `input_length` must be a number from 0 to 10000000");
        assert!(faults("{\"timestamp\": 1,\n").starts_with("line 1, column 16: EOF"));
    }
}
