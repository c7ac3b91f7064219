//! Connections between calls, by where they lead. The one used last is used next, so that those a burst left behind
//! grow old and are closed.

use std::collections::HashMap;
use std::hash::{Hash, Hasher};
use std::sync::{Arc, Weak};
use std::time::Duration;

use http::uri::{Authority, Uri};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::link::Link;

/// Bytes of an authority hashed at once.
const HASHED_AT_ONCE: usize = 32;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Origin {
    is_tls: bool,
    authority: Authority,
}

impl Hash for Origin {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // The authority hashes itself byte by byte, which costs more than the rest of a look into the pool.
        for part in self.authority.as_str().as_bytes().chunks(HASHED_AT_ONCE) {
            let mut lower = [0; HASHED_AT_ONCE];
            lower[..part.len()].copy_from_slice(part);
            lower.make_ascii_lowercase();
            state.write(&lower[..part.len()]);
        }
        state.write_u8(u8::from(self.is_tls));
    }
}

impl Origin {
    /// The origin of a URL. `None` without a host, and for schemes other than HTTP's.
    pub(super) fn of(url: &Uri) -> Option<Self> {
        let is_tls = match url.scheme_str()? {
            "http" => false,
            "https" => true,
            _ => return None,
        };
        Some(Self { is_tls, authority: url.authority()?.clone() })
    }

    /// The value of the `host` header (RFC 9110, section 7.2).
    pub(super) fn host(&self) -> &str {
        let text = self.authority.as_str();
        let text = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let default = if self.is_tls { ":443" } else { ":80" };
        text.strip_suffix(default).unwrap_or(text)
    }
}

/// The pool; cheap to clone.
#[derive(Clone)]
pub(super) struct Pool(Arc<Inner>);

struct Inner {
    idle_timeout: Duration,
    per_origin_max: usize,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    idle: HashMap<Origin, Vec<Idle>>,
    /// Whether a task looks for old ones.
    is_swept: bool,
}

struct Idle {
    link: Link,
    since: Instant,
}

impl Pool {
    pub(super) fn new(idle_timeout: Duration, per_origin_max: usize) -> Self {
        Self(Arc::new(Inner { idle_timeout, per_origin_max, state: Mutex::default() }))
    }

    /// A connection that can take a request now, if there is one.
    pub(super) async fn take(&self, origin: &Origin) -> Option<Link> {
        loop {
            let mut link = self.0.state.lock().idle.get_mut(origin)?.pop()?.link;
            // The other side may have closed it meanwhile; it is read from to find out.
            if std::future::poll_fn(|cx| std::task::Poll::Ready(link.is_open(cx))).await {
                return Some(link);
            }
        }
    }

    /// Keeps a connection for the next call.
    pub(super) fn put(&self, origin: &Origin, link: Link) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let idle = Idle { link, since: Instant::now() };
        let mut state = self.0.state.lock();
        let start_sweep = !std::mem::replace(&mut state.is_swept, true);
        let kept = match state.idle.get_mut(origin) {
            Some(kept) => kept,
            None => state.idle.entry(origin.clone()).or_default(),
        };
        let refused = if kept.len() < self.0.per_origin_max {
            kept.push(idle);
            None
        } else {
            Some(idle)
        };
        drop(state);
        drop(refused);
        if start_sweep {
            runtime.spawn(sweep(Arc::downgrade(&self.0), self.0.idle_timeout));
        }
    }
}

impl Inner {
    /// Takes out what is too old. `None` when nothing is left to look after.
    fn old(&self) -> Option<Vec<Idle>> {
        let mut state = self.state.lock();
        if state.idle.is_empty() {
            state.is_swept = false;
            return None;
        }
        let now = Instant::now();
        let mut old = Vec::new();
        state.idle.retain(|_, kept| {
            // The oldest come first.
            let young = kept.partition_point(|idle| now.duration_since(idle.since) >= self.idle_timeout);
            old.extend(kept.drain(..young));
            !kept.is_empty()
        });
        Some(old)
    }
}

/// Closes idle connections when their time has come, until there are none or the pool is gone.
async fn sweep(pool: Weak<Inner>, idle_timeout: Duration) {
    let pause = (idle_timeout / 4).max(Duration::from_millis(10));
    loop {
        tokio::time::sleep(pause).await;
        let Some(pool) = pool.upgrade() else { return };
        let Some(old) = pool.old() else { return };
        drop(old);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_origin_is_told_by_its_scheme_and_authority() {
        let host =
            |url: &'static str| Origin::of(&Uri::from_static(url)).map(|origin| origin.host().to_owned());
        assert_eq!(host("http://a.example/x").as_deref(), Some("a.example"));
        assert_eq!(host("http://a.example:80/").as_deref(), Some("a.example"));
        assert_eq!(host("https://a.example:80/").as_deref(), Some("a.example:80"));
        assert_eq!(host("https://me:pw@a.example:8443/").as_deref(), Some("a.example:8443"));
        assert_eq!(host("http://[::1]:9/").as_deref(), Some("[::1]:9"));
        assert_eq!(host("/x"), None);
        let of = |url: &'static str| Origin::of(&Uri::from_static(url)).unwrap();
        assert_eq!(of("http://A.example/x"), of("http://a.example/y"));
        assert_ne!(of("http://a.example/"), of("https://a.example/"));
        let found = HashMap::from([(of("http://Sub.Domain.Of.A.Very.Long.Example:8080/"), 1)]);
        assert_eq!(found.get(&of("http://sub.domain.of.a.very.long.example:8080/")), Some(&1));
    }
}
