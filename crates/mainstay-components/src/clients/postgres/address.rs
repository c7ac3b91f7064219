//! Connection strings as PostgreSQL's own clients take them (libpq, 34.1.1): words `name=value`, or a URL. What
//! concerns TLS and pools is taken out of them before the driver reads the rest.

use std::path::PathBuf;

use mainstay_core::Redacted;
use tokio_postgres::Config;
use tokio_postgres::config::SslMode;

/// Where a server is, and how it is to be trusted.
#[derive(Clone, Debug, Default)]
pub(super) struct Address {
    /// What the driver reads, each word once; the values can be secrets.
    words: Vec<(String, Redacted<String>)>,
    tls: Option<SslMode>,
    /// Whether the server's certificate is checked: only with `verify-ca` and `verify-full`.
    pub(super) verify: bool,
    /// Where the roots to trust are; the host's without.
    pub(super) roots: Option<PathBuf>,
    /// Where our certificate and its key are.
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    /// Connections at most, as `pool_max_conns` says.
    pub(super) connections: Option<usize>,
}

impl Address {
    /// Takes a whole connection string. Errors: what is wrong with it, without a value.
    pub(super) fn read(&mut self, text: &str) -> Result<(), String> {
        let text = text.trim();
        let url = text.strip_prefix("postgres://").or_else(|| text.strip_prefix("postgresql://"));
        let words = match url {
            Some(url) => words_of_url(url),
            None => words(text)?,
        };
        words.into_iter().try_for_each(|(name, value)| self.set(&name, &value))
    }

    /// Takes one parameter; the last one of a name counts. Errors: as [`Address::read`].
    pub(super) fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "sslmode" => return self.ssl_mode(value),
            "sslrootcert" => self.roots = Some(PathBuf::from(value)),
            "sslcert" => self.certificate = Some(PathBuf::from(value)),
            "sslkey" => self.key = Some(PathBuf::from(value)),
            "pool_max_conns" => {
                self.connections =
                    Some(value.parse().map_err(|_| "`pool_max_conns` must be a number".to_owned())?);
            }
            // Of other clients' pools and caches.
            _ if name.starts_with("pool_")
                || name.ends_with("_cache_capacity")
                || name == "default_query_exec_mode" => {}
            "database" => self.pass("dbname", value)?,
            "search_path" => self.pass("options", &format!("-c search_path={value}"))?,
            _ => self.pass(name, value)?,
        }
        Ok(())
    }

    /// What the driver connects with. Errors: as [`Address::read`].
    pub(super) fn config(&self) -> Result<Config, String> {
        if self.certificate.is_some() != self.key.is_some() {
            return Err("`sslcert` and `sslkey` belong together".to_owned());
        }
        let words: Vec<String> =
            self.words.iter().map(|(name, value)| quoted(name, value.expose())).collect();
        let mut config: Config = words.join(" ").parse().map_err(|_| "it cannot be read".to_owned())?;
        config.ssl_mode(self.tls.unwrap_or(SslMode::Prefer));
        Ok(config)
    }

    fn ssl_mode(&mut self, mode: &str) -> Result<(), String> {
        let (mode, verify) = match mode {
            "disable" => (SslMode::Disable, false),
            "allow" | "prefer" => (SslMode::Prefer, false),
            "require" => (SslMode::Require, false),
            "verify-ca" | "verify-full" => (SslMode::Require, true),
            _ => {
                return Err("`sslmode` must be `disable`, `prefer`, `require`, `verify-ca` or `verify-full`"
                    .to_owned());
            }
        };
        self.verify = verify;
        self.tls = Some(mode);
        Ok(())
    }

    /// Keeps what the driver can read.
    fn pass(&mut self, name: &str, value: &str) -> Result<(), String> {
        let is_name = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        // What is no name can be anything, a password too.
        let shown = if is_name { name } else { "NAME=VALUE" };
        let read = is_name.then(|| quoted(name, value).parse::<Config>());
        if read.is_none_or(|read| read.is_err()) {
            return Err(format!("`{shown}` is not known, or its value cannot be read"));
        }
        self.words.retain(|(had, _)| had != name);
        self.words.push((name.to_owned(), Redacted::new(value.to_owned())));
        Ok(())
    }
}

/// A word as the driver reads it.
fn quoted(name: &str, value: &str) -> String {
    format!("{name}='{}'", value.replace('\\', "\\\\").replace('\'', "\\'"))
}

/// The parts of `USER:PASSWORD@HOST:PORT,…/DATABASE?NAME=VALUE&…`, each of which may be missing.
fn words_of_url(url: &str) -> Vec<(String, String)> {
    let (rest, query) = url.split_once('?').unwrap_or((url, ""));
    let (rest, database) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, hosts) = rest.rsplit_once('@').unwrap_or(("", rest));
    let (user, password) = user.split_once(':').unwrap_or((user, ""));
    let hosts = hosts.split(',').map(|host| match host.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (host, "5432"),
    });
    let (hosts, ports): (Vec<_>, Vec<_>) =
        hosts.map(|(host, port)| (host.trim_start_matches('[').trim_end_matches(']'), port)).unzip();
    let said = [
        ("user", user.to_owned()),
        ("password", password.to_owned()),
        ("host", hosts.join(",")),
        ("port", ports.join(",")),
        ("dbname", database.to_owned()),
    ];
    let said = said.into_iter().filter(|(_, value)| !value.is_empty());
    said.map(|(name, value)| (name.to_owned(), decode(&value))).chain(pairs_of_query(query)).collect()
}

fn pairs_of_query(query: &str) -> impl Iterator<Item = (String, String)> + '_ {
    query.split('&').filter(|pair| !pair.is_empty()).map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (decode(name), decode(value))
    })
}

fn decode(text: &str) -> String {
    let (mut bytes, mut rest) = (Vec::with_capacity(text.len()), text.as_bytes());
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match hex.filter(|_| byte == b'%') {
            Some(decoded) => {
                bytes.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                bytes.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `name = value` with spaces between; a value in single quotes may have spaces, and a backslash keeps what follows it.
fn words(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut pairs = Vec::new();
    let mut rest = text.chars().peekable();
    loop {
        while rest.next_if(|next| next.is_whitespace()).is_some() {}
        if rest.peek().is_none() {
            return Ok(pairs);
        }
        let mut name = String::new();
        while let Some(next) = rest.next_if(|next| *next != '=') {
            name.push(next);
        }
        rest.next().ok_or("it must be of words `name=value`")?;
        while rest.next_if(|next| next.is_whitespace()).is_some() {}
        let quoted = rest.next_if_eq(&'\'').is_some();
        let mut value = String::new();
        loop {
            match rest.next() {
                Some('\'') if quoted => break,
                Some('\\') => value.extend(rest.next()),
                Some(next) if !quoted && next.is_whitespace() => break,
                Some(next) => value.push(next),
                None if quoted => return Err("a quote is not closed".to_owned()),
                None => break,
            }
        }
        pairs.push((name.trim().to_owned(), value));
    }
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn read(text: &str) -> Result<Address, String> {
        let mut address = Address::default();
        address.read(text).map(|()| address)
    }

    #[track_caller]
    fn check(text: &str, verify: bool, mode: SslMode) {
        let address = read(text).unwrap();
        let config = address.config().unwrap();
        assert_eq!(config.get_hosts(), [Host::Tcp("db".to_owned())], "{text}");
        assert_eq!(config.get_ports(), [6543], "{text}");
        assert_eq!(
            (config.get_user(), config.get_password()),
            (Some("me"), Some(b"p w'".as_slice())),
            "{text}"
        );
        assert_eq!(config.get_dbname(), Some("state"), "{text}");
        assert_eq!((address.verify, config.get_ssl_mode()), (verify, mode), "{text}");
    }

    #[test]
    fn words_and_urls_say_the_same() {
        let words = r"host=db port = 6543 user=me password='p w\'' database=state";
        check(words, false, SslMode::Prefer);
        check(&format!("{words} sslmode=verify-full pool_max_conns=7"), true, SslMode::Require);
        check("postgres://me:p%20w%27@db:6543/state?sslmode=require", false, SslMode::Require);
        check("postgresql://me:p%20w%27@db:6543/state?sslmode=verify%2Dca", true, SslMode::Require);
        assert_eq!(read("host=a pool_max_conns=7").unwrap().connections, Some(7));
        let several = read("postgres://a:1,[::1]/x").unwrap().config().unwrap();
        assert_eq!((several.get_hosts().len(), several.get_ports()), (2, [1, 5432].as_slice()));
    }

    #[test]
    fn a_certificate_has_its_key() {
        assert!(read("host=a sslcert=c sslkey=k").unwrap().config().is_ok());
        assert!(read("host=a sslcert=c").unwrap().config().is_err());
        assert!(read("postgres://a/b?sslkey=k").unwrap().config().is_err());
    }

    #[test]
    fn what_cannot_be_read_is_named_without_its_value() {
        for bad in [
            "hunter2",
            "host=a port=hunter2",
            "host=a sslmode=hunter2",
            "password='hunter2",
            "host=a krb=hunter2",
        ] {
            let error = read(bad).unwrap_err();
            assert!(!error.contains("hunter2"), "{error}");
        }
    }
}
