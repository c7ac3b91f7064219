//! An answer as server-sent events. Names differ between services; the end does not go without saying: a stream that
//! just stops was cut.

use mainstay_core::app::{AppEvent, AppOutput};
use mainstay_core::{Error, Result, codes};
use serde_json::{Map, Value};

use super::broken;
use super::reply::{self, Parts};

/// Says that nothing follows.
const DONE: &str = "[DONE]";
/// Begins an error that is sent as text.
const ERROR: &str = "[ERROR]";
/// Fields that hold a piece of text.
const PIECES: [&str; 5] = ["delta", "token", "content", "text", "chunk"];
/// The name of JSON without a name of its own.
const NAMELESS: &str = "app.event";

/// Reads a stream, event by event.
#[derive(Debug, Default)]
pub(crate) struct Events {
    parts: Parts,
    has_pieces: bool,
    /// Answers without a name came more than once: they are pieces, not the whole.
    answers_are_pieces: bool,
}

/// What an event's name means.
enum Meaning {
    Piece,
    Complete,
    Failure,
    Beat,
    Nameless,
    Own,
}

fn meaning(name: &str) -> Meaning {
    match name {
        "message.delta" | "token" | "delta" | "text" | "chunk" => Meaning::Piece,
        "complete" | "completed" | "done" | "end" | "final" | "run.completed" => Meaning::Complete,
        "error" | "run.failed" => Meaning::Failure,
        "ping" | "heartbeat" | "keepalive" => Meaning::Beat,
        "" | "message" => Meaning::Nameless,
        _ => Meaning::Own,
    }
}

impl Events {
    /// Takes the next event and appends what it means; after a `Done`, nothing follows. Errors: `APP_FAILED` for an
    /// event that reports one.
    pub(crate) fn read(&mut self, name: Option<&str>, data: &str, out: &mut Vec<AppEvent>) -> Result<()> {
        if data.trim() == DONE {
            out.push(AppEvent::Done(self.finish()));
            return Ok(());
        }
        if data.starts_with(ERROR) {
            return Err(reported());
        }
        let data = Payload::of(data);
        let name = name.or(data.type_name()).unwrap_or_default().to_owned();
        match meaning(&name) {
            Meaning::Piece => self.piece(&name, data, out),
            Meaning::Complete => self.complete(data, out),
            Meaning::Failure => return Err(reported()),
            Meaning::Beat => {}
            Meaning::Nameless => return self.nameless(data, out),
            Meaning::Own => out.push(AppEvent::Custom { name, data: data.into_value() }),
        }
        Ok(())
    }

    /// The stream ended without an event that says so. Always an error.
    pub(crate) fn cut() -> Error {
        broken("was cut: the stream ended without a closing event")
            .with_help("end a stream with `data: [DONE]` or an event `complete`")
    }

    fn piece(&mut self, name: &str, data: Payload, out: &mut Vec<AppEvent>) {
        match data {
            Payload::Text(text) => self.text(text, out),
            Payload::Object(fields) => match piece_in(&fields) {
                Some(text) => self.text(text, out),
                None => out.push(AppEvent::Custom { name: name.to_owned(), data: Value::Object(fields) }),
            },
        }
    }

    fn text(&mut self, text: String, out: &mut Vec<AppEvent>) {
        if !text.is_empty() {
            self.has_pieces = true;
            out.push(AppEvent::Text(text));
        }
    }

    fn complete(&mut self, data: Payload, out: &mut Vec<AppEvent>) {
        match data {
            Payload::Text(text) if !text.is_empty() && self.parts.answer.is_none() => {
                self.parts.answer = Some(text)
            }
            Payload::Text(_) => {}
            Payload::Object(mut fields) => {
                fields.shift_remove("type");
                self.parts.merge(reply::take_output(&mut fields));
                out.extend(reply::besides(fields));
            }
        }
        out.push(AppEvent::Done(self.finish()));
    }

    /// Data without a name: a piece, a part of the output, an end, or something of the app's own.
    fn nameless(&mut self, data: Payload, out: &mut Vec<AppEvent>) -> Result<()> {
        let mut fields = match data {
            Payload::Text(text) => {
                self.text(text, out);
                return Ok(());
            }
            Payload::Object(fields) => fields,
        };
        if fields.get("error").is_some_and(|error| !error.is_null() && *error != Value::Bool(false)) {
            return Err(reported());
        }
        if let Some(text) = piece_in(&fields) {
            self.text(text, out);
        } else {
            let said = fields.len();
            let is_done = fields.shift_remove("done") == Some(Value::Bool(true));
            let parts = reply::take_output(&mut fields);
            self.take_nameless(parts, out);
            if is_done {
                out.extend(reply::besides(fields));
                out.push(AppEvent::Done(self.finish()));
            } else if fields.len() == said {
                out.push(AppEvent::Custom { name: NAMELESS.to_owned(), data: Value::Object(fields) });
            } else {
                out.extend(reply::besides(fields));
            }
        }
        Ok(())
    }

    fn take_nameless(&mut self, mut parts: Parts, out: &mut Vec<AppEvent>) {
        if parts.answer.is_some()
            && let Some(before) = self.parts.answer.take()
        {
            self.answers_are_pieces = true;
            self.text(before, out);
        }
        if self.answers_are_pieces
            && let Some(piece) = parts.answer.take()
        {
            self.text(piece, out);
        }
        self.parts.merge(parts);
    }

    fn finish(&mut self) -> AppOutput {
        std::mem::take(&mut self.parts).finish(self.has_pieces)
    }
}

/// The app says that it failed. What it says stays out: it may hold anything.
fn reported() -> Error {
    Error::new(&codes::APP_FAILED, "the app reported an error within its stream")
        .with_help("read the app's output for this run")
}

fn piece_in(fields: &Map<String, Value>) -> Option<String> {
    PIECES.iter().find_map(|name| fields.get(*name)?.as_str()).map(str::to_owned)
}

/// The data of an event.
enum Payload {
    Object(Map<String, Value>),
    Text(String),
}

impl Payload {
    /// A JSON object or text is read as such; anything else, a bare number too, is text as it stands.
    fn of(data: &str) -> Self {
        let parsed = data.starts_with(['{', '"']).then(|| serde_json::from_str(data).ok()).flatten();
        match parsed {
            Some(Value::Object(fields)) => Self::Object(fields),
            Some(Value::String(text)) => Self::Text(text),
            _ => Self::Text(data.to_owned()),
        }
    }

    fn type_name(&self) -> Option<&str> {
        let Self::Object(fields) = self else { return None };
        fields.get("type")?.as_str()
    }

    fn into_value(self) -> Value {
        match self {
            Self::Object(fields) => Value::Object(fields),
            Self::Text(text) => Value::String(text),
        }
    }
}

#[cfg(test)]
mod tests;
