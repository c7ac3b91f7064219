//! `server` and `data`.

use std::net::SocketAddr;

use mainstay_core::codes;
use mainstay_core::plan::{Access, Anonymous, Data, Server, Sidecar};

use super::Lowering;
use crate::diagnostic::short;
use crate::raw;

/// How messages name what overrides the listen address.
const LISTEN_OVERRIDE: &str = "`--listen` or `MAINSTAY_LISTEN`";
const LISTEN: &str = "/server/listen";

impl Lowering<'_, '_> {
    pub(super) fn server(&mut self, raw: raw::Server, access: &Access) -> Option<Server> {
        let written = self.written_listen(&raw.listen);
        let listen = match self.inputs.overrides.listen.as_deref() {
            Some(text) => self.overriding_listen(text),
            None => written,
        };
        if let Some(listen) = listen {
            self.safe_listen(listen, access);
        }
        Some(Server {
            listen: listen?,
            drain: raw.drain.0,
            request_timeout: raw.request_timeout.0,
            body_timeout: raw.body_timeout.0,
            header_timeout: raw.header_timeout.0,
            idle_timeout: raw.idle_timeout.0,
            write_timeout: raw.write_timeout.0,
            body_bytes_max: raw.body_bytes_max.0,
            connections_max: raw.connections_max,
            requests_max: raw.requests_max,
        })
    }

    pub(super) fn sidecar(&self, raw: &raw::Sidecar) -> Sidecar {
        let overrides = self.inputs.overrides;
        Sidecar {
            http_port: overrides.sidecar_http_port.unwrap_or(raw.http_port),
            grpc_port: overrides.sidecar_grpc_port.unwrap_or(raw.grpc_port),
        }
    }

    pub(super) fn data(&self, raw: raw::Data) -> Data {
        let written = || self.inputs.source.folder.join(&raw.folder);
        Data {
            folder: self.inputs.overrides.data_folder.clone().unwrap_or_else(written),
            retention: raw.retention.0,
            bytes_max: raw.bytes_max.0,
        }
    }

    fn written_listen(&mut self, text: &str) -> Option<SocketAddr> {
        let parsed = parse_listen(text);
        if parsed.is_none() {
            let message = format!("`server.listen` must be an address and a port, and is `{}`", short(text));
            self.fault(LISTEN, &codes::CONFIG_VALUE, message, Some(listen_help(text)));
        }
        parsed
    }

    fn overriding_listen(&mut self, text: &str) -> Option<SocketAddr> {
        let parsed = parse_listen(text);
        if parsed.is_none() {
            let message =
                format!("the listen address must be an address and a port, and is `{}`", short(text));
            self.fault_of_override(LISTEN_OVERRIDE, &codes::CONFIG_VALUE, message, Some(listen_help(text)));
        }
        parsed
    }

    /// Nothing listens beyond loopback without a key unless the spec says so in words. Keys count as written: one with
    /// a fault of its own is still meant.
    fn safe_listen(&mut self, listen: SocketAddr, access: &Access) {
        let written = self.inputs.root.entry("access").and_then(|access| access.node.entry("keys"));
        let keys =
            written.is_some_and(|keys| keys.node.to_json().as_array().is_some_and(|keys| !keys.is_empty()));
        let loopback = listen.ip().to_canonical().is_loopback();
        if keys || loopback || access.anonymous != Anonymous::Loopback || self.anonymous_unclear() {
            return;
        }
        let message = format!("`{listen}` can be reached from other machines, and no key is needed to call");
        let help = "add a key under `access.keys`, listen on `127.0.0.1`, or write `access: { anonymous: anyone }` if \
                    you mean it";
        if self.inputs.overrides.listen.is_some() {
            self.fault_of_override(
                LISTEN_OVERRIDE,
                &codes::CONFIG_UNSAFE_LISTEN,
                message,
                Some(help.to_owned()),
            );
        } else {
            self.fault(LISTEN, &codes::CONFIG_UNSAFE_LISTEN, message, Some(help.to_owned()));
        }
    }

    /// Whether `access.anonymous` was given and has a fault: what was meant is not known.
    fn anonymous_unclear(&self) -> bool {
        let access = self.inputs.root.entry("access");
        access
            .and_then(|access| access.node.entry("anonymous"))
            .is_some_and(|entry| self.faults.within(entry.span()))
    }
}

/// An address to listen on, as the spec, a flag or the environment writes it.
pub(crate) fn parse_listen(text: &str) -> Option<SocketAddr> {
    let port = text.strip_prefix("localhost:");
    port.map_or_else(|| text.parse().ok(), |port| format!("127.0.0.1:{port}").parse().ok())
}

fn listen_help(text: &str) -> String {
    let port = text.strip_prefix(':').unwrap_or(text);
    if port.parse::<u16>().is_ok() {
        return format!(
            "write `127.0.0.1:{port}` for this machine alone, `0.0.0.0:{port}` for every interface"
        );
    }
    "write it like `127.0.0.1:8080`, `[::1]:8080` or `0.0.0.0:8080`; a host's name does not do".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_and_a_port_are_needed() {
        for good in ["127.0.0.1:8080", "[::1]:0", "localhost:80", "0.0.0.0:65535"] {
            assert!(parse_listen(good).is_some(), "{good}");
        }
        for bad in ["", "8080", ":8080", "example.com:80", "127.0.0.1", "127.0.0.1:65536", "localhost:"] {
            assert!(parse_listen(bad).is_none(), "{bad}");
        }
    }
}
