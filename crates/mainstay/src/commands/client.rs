//! What the commands that ask a running server share: where it is. They ask nothing here.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};

use clap::{Arg, ArgMatches, value_parser};
use mainstay_core::{Error, codes};

use crate::{environment, spec};

/// Where a server is whose spec does not say.
const LISTEN_DEFAULT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080);

/// The arguments that say where the server is.
pub(super) fn arguments() -> [Arg; 2] {
    [
        Arg::new("url").long("url").value_name("URL").conflicts_with("spec").help(
            "The server's base URL [default: where MAINSTAY_LISTEN says, else the spec, else http://127.0.0.1:8080]",
        ),
        Arg::new("spec")
            .long("spec")
            .value_name("FOLDER")
            .value_parser(value_parser!(PathBuf))
            .help("The folder of the server's spec [default: this one]"),
    ]
}

/// The server's base URL, without a slash at its end. Errors: a spec that was named and cannot be read.
pub(super) fn base_url(matches: &ArgMatches) -> anyhow::Result<String> {
    if let Some(url) = matches.get_one::<String>("url") {
        return Ok(with_scheme(url));
    }
    let named = matches.get_one::<PathBuf>("spec");
    let text = match (spec::text(named.map_or(Path::new("."), PathBuf::as_path)), named) {
        (Ok(text), _) => text,
        (Err(error), Some(_)) => return Err(error.into()),
        (Err(_), None) => String::new(),
    };
    let overridden = environment::listen();
    let listen = mainstay_config::listen(overridden.as_deref(), &text).unwrap_or(LISTEN_DEFAULT);
    if listen.port() == 0 {
        let message = "cannot know where the server is: it listens on any free port";
        return Err(Error::new(&codes::NOT_READY, message).with_help("give its address with `--url`").into());
    }
    Ok(format!("http://{}", reachable(listen)))
}

/// A base URL without a slash at its end, with a scheme.
pub(super) fn with_scheme(url: &str) -> String {
    let url = url.trim_end_matches('/');
    if url.contains("://") { url.to_owned() } else { format!("http://{url}") }
}

/// A server that listens everywhere is asked on loopback.
fn reachable(listen: SocketAddr) -> SocketAddr {
    let loopback = match listen.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => IpAddr::V4(Ipv4Addr::LOCALHOST),
        IpAddr::V6(ip) if ip.is_unspecified() => IpAddr::V6(Ipv6Addr::LOCALHOST),
        ip => ip,
    };
    SocketAddr::new(loopback, listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_needs_no_scheme() {
        for (given, url) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:1/", "http://localhost:1"),
            ("https://a.example/", "https://a.example"),
        ] {
            assert_eq!(with_scheme(given), url);
        }
    }

    #[test]
    fn a_server_that_listens_everywhere_is_asked_on_loopback() {
        let check = |listen: &str, asked: &str| {
            assert_eq!(reachable(listen.parse().unwrap()).to_string(), asked);
        };
        check("0.0.0.0:80", "127.0.0.1:80");
        check("[::]:80", "[::1]:80");
        check("10.0.0.7:80", "10.0.0.7:80");
    }
}
