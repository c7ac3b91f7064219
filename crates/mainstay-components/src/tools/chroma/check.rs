//! What the schema of a `chroma` tool cannot say. Pure; every fault at once.

use mainstay_core::{Fault, codes};
use serde_json::Value;

use super::settings::Settings;
use crate::tools::http::check::{check_header, check_host, fault};

/// Checks settings that fit the schema.
pub(super) fn check(settings: &Value) -> Vec<Fault> {
    let Ok(settings) = serde_json::from_value::<Settings>(settings.clone()) else { return Vec::new() };
    let mut faults = Vec::new();
    match host(&settings.url) {
        Ok(host) if !settings.allow_private => check_host(&host, &mut faults),
        Ok(_) => {}
        Err(why) => faults.push(why),
    }
    settings.headers.iter().for_each(|(name, text)| check_header(name, text, &mut faults));
    faults
}

/// The address' host, if it is that of a server.
fn host(url: &str) -> Result<String, Fault> {
    if url.contains('@') {
        let help = "put credentials into `headers`, by reference";
        let message = "the address carries credentials".to_owned();
        return Err(fault(&codes::CONFIG_SECRET_LITERAL, "/url", message, Some(help)));
    }
    let uri = url.parse::<http::Uri>().ok();
    let sound = uri.filter(|uri| matches!(uri.scheme_str(), Some("http" | "https")) && uri.query().is_none());
    sound.and_then(|uri| uri.host().map(str::to_owned)).ok_or_else(|| {
        let help = "write it like `http://chroma:8000`";
        fault(&codes::CONFIG_VALUE, "/url", format!("`{url}` is not the address of a server"), Some(help))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check_with(changes: &Value, wanted: &[(&str, &str)]) {
        let mut settings =
            json!({"description": "d", "url": "https://c.example", "collection": "c", "model": "m"});
        settings.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        let faults = check(&settings);
        let found: Vec<_> = faults.iter().map(|fault| (fault.code.id, fault.pointer.as_str())).collect();
        assert_eq!(found, wanted, "{changes}");
    }

    #[test]
    fn an_address_is_that_of_a_server_that_may_be_reached() {
        check_with(&json!({}), &[]);
        check_with(&json!({"url": "http://chroma:8000"}), &[]);
        check_with(&json!({"url": "chroma:8000"}), &[("CONFIG_VALUE", "/url")]);
        check_with(&json!({"url": "ftp://chroma"}), &[("CONFIG_VALUE", "/url")]);
        check_with(&json!({"url": "http://u:p@chroma"}), &[("CONFIG_SECRET_LITERAL", "/url")]);
        check_with(&json!({"url": "http://127.0.0.1:8000"}), &[("CONFIG_VALUE", "/url")]);
        check_with(&json!({"url": "http://127.0.0.1:8000", "allow_private": true}), &[]);
    }

    #[test]
    fn a_token_is_a_reference() {
        check_with(&json!({"headers": {"x-chroma-token": "env:TOKEN"}}), &[]);
        let literal = json!({"headers": {"x-chroma-token": "ck-123"}});
        check_with(&literal, &[("CONFIG_SECRET_LITERAL", "/headers/x-chroma-token")]);
    }
}
