//! Something that a service is in the middle of: an answer that streams, or, where there is neither an agent nor a model, a
//! request to an app whose body has begun.

use std::time::Duration;

use mainstay_ship::checks::Verdict;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::Instant;

use super::service::{Asked, Service, Stream};
use super::{limits, raw, streams};

/// No JSON, so that no app takes it for an order.
const BODY: [&[u8]; 2] = [b"{", b"x"];
/// Longest time for the gauge to show a request that has begun.
const BEGUN_MAX: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_millis(50);
/// Bytes of an answer that are read.
const ANSWER_BYTES_MAX: u64 = 1 << 20;

/// Work that a service has begun.
pub(super) enum Work {
    /// A stream, whose first event is there.
    Stream(Stream),
    /// A request whose body is not complete.
    Request(TcpStream),
}

impl Work {
    /// Has the service begin something, or says why that cannot be judged.
    pub(super) async fn begin(service: &Service) -> Result<Self, Verdict> {
        if service.given.asked != Asked::Nobody {
            let mut stream = streams::open(service).await?;
            return match stream.next().await {
                Ok(Some(_)) => Ok(Self::Stream(stream)),
                Ok(None) => Err(Verdict::fail("the stream ended before anything came")),
                Err(error) => Err(Verdict::fail(format!("the stream was cut: {error:#}"))),
            };
        }
        let Some(route) = service.routes().next() else {
            return Err(Verdict::Unknown("callers can ask for nothing that takes a while".to_owned()));
        };
        let Some(place) = raw::place(service) else { return Err(limits::over_tls()) };
        let before = service.in_flight().await;
        let bytes = BODY.iter().map(|part| part.len() as u64).sum();
        let opened = open(&place, &limits::head(service, &place, route, bytes)).await;
        let connection = opened.map_err(|error| Verdict::fail(format!("POST {route}: {error}")))?;
        let deadline = Instant::now() + BEGUN_MAX;
        while service.in_flight().await.zip(before).is_none_or(|(now, before)| now <= before) {
            if Instant::now() > deadline {
                let why = format!(
                    "the metrics do not show POST {route} at work: its app may answer what it has not read"
                );
                return Err(Verdict::Unknown(why));
            }
            tokio::time::sleep(LOOK_INTERVAL).await;
        }
        Ok(Self::Request(connection))
    }

    /// What it is called.
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Stream(_) => "stream",
            Self::Request(_) => "request",
        }
    }

    /// Brings it to its end, once `meanwhile` has; a stream is read all the while. Errors: what became of it instead.
    pub(super) async fn finish<T>(
        self,
        meanwhile: impl Future<Output = T>,
        patience: Duration,
    ) -> (T, Result<(), String>) {
        match self {
            Self::Stream(mut stream) => {
                let (seen, rest) = tokio::join!(meanwhile, tokio::time::timeout(patience, stream.rest()));
                let end = match rest {
                    Ok(Ok(text)) if text.ends_with("\n\n") || text.is_empty() => Ok(()),
                    Ok(Ok(_)) => Err("the open stream ended inside an event"),
                    Ok(Err(_)) => Err("the open stream was cut"),
                    Err(_) => Err("the open stream did not end with the drain"),
                };
                (seen, end.map_err(str::to_owned))
            }
            Self::Request(connection) => {
                let seen = meanwhile.await;
                let end = match tokio::time::timeout(patience, complete(connection)).await {
                    Ok(Ok(Some(408))) => {
                        Err("the open request was answered with 408 before its body was complete")
                    }
                    Ok(Ok(Some(_))) => Ok(()),
                    Ok(Ok(None) | Err(_)) => Err("the open request was cut"),
                    Err(_) => Err("the open request was not answered within the drain"),
                };
                (seen, end.map_err(str::to_owned))
            }
        }
    }
}

async fn open((host, port): &(String, u16), head: &str) -> std::io::Result<TcpStream> {
    let mut connection = TcpStream::connect((host.trim_matches(['[', ']']), *port)).await?;
    connection.write_all(&[head.as_bytes(), BODY[0]].concat()).await?;
    Ok(connection)
}

/// Sends the rest; the status of the answer, where one comes.
async fn complete(mut connection: TcpStream) -> std::io::Result<Option<u16>> {
    connection.write_all(BODY[1]).await?;
    let mut answer = Vec::new();
    // The head says that the connection is to be closed after the answer.
    connection.take(ANSWER_BYTES_MAX).read_to_end(&mut answer).await?;
    Ok(raw::status(&answer))
}
