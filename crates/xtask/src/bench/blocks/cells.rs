//! ★ The calls of `bench blocks`. To add one: a line in `ALL`.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use super::super::load::Report;
use super::super::mock::{VALUE_BYTES, VALUE_PATH};
use super::super::service::load;

/// The paced load.
pub(super) const RATE: u32 = 1_000;
pub(super) const PACED_CONNECTIONS: u32 = 16;
/// Connections of the other.
pub(super) const CONNECTIONS: u32 = 64;
/// Keys that are read and written.
const KEYS: u32 = 1_000;
const FILL_SECONDS: f64 = 2.0;

/// Who is called.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Whom {
    App,
    Sidecar,
    Redis,
}

/// A call.
pub(super) struct Cell {
    /// Its name in the table.
    pub(super) name: &'static str,
    /// The call that it is compared with.
    pub(super) base: Option<&'static str>,
    /// Whether it goes through our process.
    pub(super) through_us: bool,
    whom: Whom,
    /// Whether it needs a server of Redis.
    redis: bool,
    path: &'static str,
    payload: &'static str,
    status: u16,
    bytes_min: usize,
}

const READ: Cell = Cell {
    name: "",
    base: None,
    through_us: true,
    whom: Whom::Sidecar,
    redis: false,
    path: "",
    payload: "get",
    status: 200,
    bytes_min: VALUE_BYTES,
};
const WRITE: Cell = Cell { status: 204, bytes_min: 0, ..READ };

pub(super) const GET_OF_APP: &str = "the app: GET";
pub(super) const POST_TO_APP: &str = "the app: POST";
pub(super) const GET_EMBEDDED: &str = "get, embedded";
pub(super) const SAVE_EMBEDDED: &str = "save, embedded (durable)";
pub(super) const PUBLISH: &str = "publish, embedded (durable)";
pub(super) const INVOKE_GET: &str = "invoke: GET";
pub(super) const INVOKE_POST: &str = "invoke: POST";
pub(super) const BARE_REDIS: &str = "Redis: HMGET, bare client";
pub(super) const GET_REDIS: &str = "get, Redis";

/// Every call, in the order of the tables.
pub(super) const ALL: &[Cell] = &[
    Cell { name: GET_OF_APP, through_us: false, whom: Whom::App, path: VALUE_PATH, ..READ },
    Cell {
        name: POST_TO_APP,
        through_us: false,
        whom: Whom::App,
        path: VALUE_PATH,
        payload: "event",
        ..WRITE
    },
    Cell { name: GET_EMBEDDED, base: Some(GET_OF_APP), path: "/v1.0/state/store/key-{n}", ..READ },
    Cell { name: "get, in memory", base: Some(GET_OF_APP), path: "/v1.0/state/memory/key-{n}", ..READ },
    Cell {
        name: SAVE_EMBEDDED,
        base: Some(POST_TO_APP),
        path: "/v1.0/state/store",
        payload: "save",
        ..WRITE
    },
    Cell {
        name: PUBLISH,
        base: Some(POST_TO_APP),
        path: "/v1.0/publish/bus/events",
        payload: "event",
        ..WRITE
    },
    Cell { name: INVOKE_GET, base: Some(GET_OF_APP), path: "/v1.0/invoke/bench/method/value", ..READ },
    Cell {
        name: INVOKE_POST,
        base: Some(POST_TO_APP),
        path: "/v1.0/invoke/bench/method/value",
        payload: "event",
        ..WRITE
    },
    Cell {
        name: BARE_REDIS,
        through_us: false,
        whom: Whom::Redis,
        redis: true,
        path: "key-0",
        payload: "redis",
        ..READ
    },
    Cell { name: GET_REDIS, base: Some(BARE_REDIS), redis: true, path: "/v1.0/state/redis/key-{n}", ..READ },
];

/// How it is asked.
#[derive(Clone, Copy)]
pub(super) enum Load {
    Paced,
    Saturated,
}

/// What came of it.
pub(super) struct Measured {
    pub(super) report: Report,
    cpu: Duration,
}

impl Measured {
    /// A report of which our processor time is not known.
    #[cfg(test)]
    pub(super) fn of(report: Report) -> Self {
        Self { report, cpu: Duration::ZERO }
    }

    /// Our processor time a call.
    pub(super) fn cpu_each(&self) -> Duration {
        self.cpu / u32::try_from(self.report.answered.max(1)).unwrap_or(u32::MAX)
    }
}

/// What is measured.
pub(super) struct Subject<'a> {
    pub(super) xtask: &'a Path,
    pub(super) app: SocketAddr,
    pub(super) redis: Option<SocketAddr>,
    pub(super) sidecar: SocketAddr,
    pub(super) cpu: &'a dyn Fn() -> Duration,
}

impl Subject<'_> {
    /// Whether what the call needs is there.
    pub(super) fn reaches(&self, cell: &Cell) -> bool {
        !cell.redis || self.redis.is_some()
    }

    pub(super) fn measure(&self, cell: &Cell, how: Load, seconds: f64) -> anyhow::Result<Measured> {
        let mut arguments = self.arguments(cell, seconds)?;
        match how {
            Load::Paced => arguments.extend([
                "--mode=open".to_owned(),
                format!("--rate={RATE}"),
                format!("--connections={PACED_CONNECTIONS}"),
            ]),
            Load::Saturated => {
                arguments.extend(["--mode=closed".to_owned(), format!("--connections={CONNECTIONS}")]);
            }
        }
        let before = (self.cpu)();
        let report = load(self.xtask, &arguments)?;
        if let Some(failure) = &report.first_failure {
            println!("{}: first failure: {failure}", cell.name);
        }
        Ok(Measured { report, cpu: (self.cpu)().saturating_sub(before) })
    }

    fn arguments(&self, cell: &Cell, seconds: f64) -> anyhow::Result<Vec<String>> {
        let address = match cell.whom {
            Whom::App => self.app,
            Whom::Sidecar => self.sidecar,
            Whom::Redis => self.redis.ok_or_else(|| anyhow::anyhow!("there is no Redis"))?,
        };
        Ok(vec![
            format!("--address={address}"),
            format!("--path={}", cell.path),
            format!("--payload={}", cell.payload),
            format!("--keys={KEYS}"),
            format!("--status={}", cell.status),
            format!("--answer-bytes-min={}", cell.bytes_min),
            format!("--body-bytes={VALUE_BYTES}"),
            format!("--seconds={seconds}"),
        ])
    }
}

/// Puts a value under every key of every store.
pub(super) fn fill(subject: &Subject<'_>) -> anyhow::Result<()> {
    let stores = ["/v1.0/state/store", "/v1.0/state/memory", "/v1.0/state/redis"];
    for path in stores.into_iter().filter(|path| subject.redis.is_some() || !path.ends_with("redis")) {
        let filled =
            subject.measure(&Cell { path, payload: "save", ..WRITE }, Load::Saturated, FILL_SECONDS)?;
        anyhow::ensure!(filled.report.failed == 0, "{path} could not be filled");
        // Each connection begins at another of the keys and goes round.
        anyhow::ensure!(filled.report.answered >= u64::from(KEYS) * 3, "{path}: too slow to fill");
    }
    Ok(())
}
