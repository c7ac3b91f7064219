//! HTTP addresses as a spec gives them: enough to refuse what cannot work, with a reason. Resolves nothing.

/// The parts of an `http` or `https` address that matter here.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Url<'a> {
    /// Host, and port if given.
    pub(super) authority: &'a str,
    /// Path, beginning with `/`; empty when there is none.
    pub(super) path: &'a str,
}

/// Reads an address. The error says what is wrong with it, to follow "the address".
pub(super) fn parse(text: &str) -> Result<Url<'_>, &'static str> {
    let rest = text.strip_prefix("http://").or_else(|| text.strip_prefix("https://"));
    let rest = rest.ok_or("must begin with `http://` or `https://`")?;
    if !text.bytes().all(|b| b.is_ascii_graphic()) {
        return Err("has a space or a character that addresses do not have");
    }
    if rest.contains(['?', '#']) {
        return Err("cannot have a query or a fragment");
    }
    let at = rest.find('/').unwrap_or(rest.len());
    let (authority, path) = rest.split_at(at);
    if authority.contains('@') {
        return Err("cannot carry credentials");
    }
    if !authority_fits(authority) {
        return Err("has no valid host and port");
    }
    Ok(Url { authority, path })
}

fn authority_fits(authority: &str) -> bool {
    if let Some(rest) = authority.strip_prefix('[') {
        let Some((host, port)) = rest.split_once(']') else { return false };
        let port_fits = port.is_empty() || port.strip_prefix(':').is_some_and(port_number);
        return host.parse::<std::net::Ipv6Addr>().is_ok() && port_fits;
    }
    let (host, port) = authority.split_once(':').map_or((authority, None), |(host, port)| (host, Some(port)));
    let host_fits = host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_'));
    !host.is_empty() && host_fits && port.is_none_or(port_number)
}

fn port_number(text: &str) -> bool {
    text.parse::<u16>().is_ok_and(|port| port > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_has_a_host() {
        for good in ["http://127.0.0.1:8000", "https://a.example.com/base/", "http://[::1]:80", "http://app"]
        {
            assert!(parse(good).is_ok(), "{good}");
        }
        assert_eq!(parse("http://a:1/b/c"), Ok(Url { authority: "a:1", path: "/b/c" }));
    }

    #[test]
    fn what_cannot_work_is_refused_with_a_reason() {
        let check = |text: &str, reason: &str| {
            let message = parse(text).unwrap_err();
            assert!(message.contains(reason), "{text}: {message}");
        };
        check("127.0.0.1:8000", "begin with");
        check("ftp://a", "begin with");
        check("http://", "host");
        check("http://:80", "host");
        check("http://a:0", "host");
        check("http://a:99999", "host");
        check("http://[::1", "host");
        check("http://u:p@a", "credentials");
        check("http://a b", "space");
        check("http://a/?x=1", "query");
    }
}
