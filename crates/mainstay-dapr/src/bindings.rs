//! Failures of the bindings API.

use mainstay_core::{Error, codes};

use crate::fault::{Fault, Grpc, is_not_found, said};

/// Longest baggage, in bytes (W3C Baggage, section 3.3.2).
const BAGGAGE_BYTES_MAX: usize = 8_192;

/// The failure of an operation of the binding `name`. Whatever it is, its status is the same.
#[must_use]
pub fn fault(name: &str, error: &Error) -> Fault {
    let why = if is_not_found(error) { format!("couldn't find output binding {name}") } else { said(error) };
    let grpc =
        if error.code() == &codes::DEADLINE_EXCEEDED { Grpc::DeadlineExceeded } else { Grpc::Internal };
    let message = format!("error invoking output binding {name}: {why}");
    Fault::new(500, grpc, "ERR_INVOKE_OUTPUT_BINDING", message)
}

/// What of a caller's baggage goes with an operation: it as it came, several headers as one. Errors:
/// `ERR_MALFORMED_REQUEST` for what is none (W3C Baggage, section 3.3).
pub fn baggage<'a>(headers: impl Iterator<Item = &'a str>) -> Result<Option<String>, Fault> {
    let text = headers.collect::<Vec<_>>().join(",");
    if text.is_empty() {
        return Ok(None);
    }
    let is_member = |member: &str| {
        let (key, rest) = member.split_once('=').unwrap_or_default();
        let (key, value) = (key.trim(), rest.split(';').next().unwrap_or_default().trim());
        let is_token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
        let is_value = |byte: u8| byte.is_ascii_graphic() && !b"\"\\".contains(&byte);
        !key.is_empty() && key.bytes().all(is_token) && value.bytes().all(is_value)
    };
    if text.len() > BAGGAGE_BYTES_MAX || !text.split(',').all(is_member) {
        return Err(Fault::malformed("invalid baggage header: it is no list of `key=value`"));
    }
    Ok(Some(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn baggage_is_a_list_of_members_or_nothing() {
        let of = |headers: &[&'static str]| baggage(headers.iter().copied()).map_err(|fault| fault.code);
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&["a=1;p=x, b=%20", "c="]), Ok(Some("a=1;p=x, b=%20,c=".to_owned())));
        for bad in ["a", "=1", "a b=1", "a=1,,b=2", "a=\"1\""] {
            assert_eq!(of(&[bad]), Err("ERR_MALFORMED_REQUEST"), "{bad}");
        }
    }

    #[test]
    fn statuses_are_the_protocols_own() {
        let check = |error: Error, says: &str| {
            let fault = fault("mail", &error);
            assert_eq!(
                (fault.http, fault.grpc, fault.code),
                (500, Grpc::Internal, "ERR_INVOKE_OUTPUT_BINDING")
            );
            assert!(fault.message.contains(says), "{}", fault.message);
        };
        check(Error::new(&codes::COMPONENT_NOT_FOUND, "x"), "couldn't find output binding mail");
        check(Error::new(&codes::UNSUPPORTED, "no such operation"), "no such operation");
        check(Error::new(&codes::BINDING_FAILED, "down"), "down");
    }
}
