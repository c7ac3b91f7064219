//! What an endpoint's answer means to the model: text, or an error in words. Bounded; never cut in silence.

use http::StatusCode;
use http_body_util::BodyExt;
use mainstay_core::tool::ToolOutput;
use mainstay_core::{Error, Result, codes};
use mainstay_net::client::AnswerBody;

/// Bytes of a failed answer's body that the model sees.
const FAILURE_BYTES_MAX: usize = 4 * 1024;

/// Reads the answer. Errors: `TOOL_RESPONSE_TOO_LARGE`, `TOOL_UNAVAILABLE`.
pub(super) async fn read(response: http::Response<AnswerBody>, bytes_max: usize) -> Result<ToolOutput> {
    let status = response.status();
    let (parts, body) = response.into_parts();
    if status.is_redirection() {
        return Ok(failure(format!("the tool answered {status}; redirects are not followed")));
    }
    if !status.is_success() {
        let (bytes, _) = read_up_to(body, FAILURE_BYTES_MAX.min(bytes_max)).await?;
        return Ok(failure(describe(status, &bytes)));
    }
    let (bytes, more) = read_up_to(body, bytes_max).await?;
    if more {
        let why = format!("the tool's answer is larger than {bytes_max} bytes");
        return Err(Error::new(&codes::TOOL_RESPONSE_TOO_LARGE, why));
    }
    let size = bytes.len();
    Ok(match String::from_utf8(bytes) {
        Ok(text) if text.is_empty() => {
            ToolOutput { content: format!("the tool answered {status} without content"), is_error: false }
        }
        Ok(content) => ToolOutput { content, is_error: false },
        Err(_) => {
            let kind = parts.headers.get(http::header::CONTENT_TYPE).and_then(|v| v.to_str().ok());
            let kind = kind.unwrap_or("no content type");
            failure(format!("the tool answered {size} bytes that are not text ({kind})"))
        }
    })
}

pub(in crate::tools) fn failure(content: String) -> ToolOutput {
    ToolOutput { content, is_error: true }
}

pub(in crate::tools) fn describe(status: StatusCode, body: &[u8]) -> String {
    // Cut at a character: the bound may have split one.
    let text = match std::str::from_utf8(body) {
        Ok(text) => text,
        Err(error) if error.error_len().is_none() => {
            std::str::from_utf8(&body[..error.valid_up_to()]).expect("valid up to there")
        }
        Err(_) => "",
    };
    match text.trim() {
        "" => format!("the tool answered {status}"),
        text => format!("the tool answered {status}: {text}"),
    }
}

/// At most `bytes_max` bytes, and whether there was more.
pub(in crate::tools) async fn read_up_to(mut body: AnswerBody, bytes_max: usize) -> Result<(Vec<u8>, bool)> {
    let mut bytes = Vec::new();
    while let Some(frame) = body.frame().await {
        let frame = frame.map_err(|error| {
            Error::new(&codes::TOOL_UNAVAILABLE, "the connection to the tool broke within its answer")
                .with_source(error)
        })?;
        let Ok(data) = frame.into_data() else { continue };
        let room = bytes_max - bytes.len();
        bytes.extend_from_slice(&data[..data.len().min(room)]);
        if data.len() > room {
            return Ok((bytes, true));
        }
    }
    Ok((bytes, false))
}
