//! Listeners that nobody has a reason to come to: on loopback, and at this machine's own address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use mainstay_core::RequestId;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::task::JoinHandle;

/// Who comes is remembered up to this many.
const CAUGHT_MAX: usize = 32;
/// Longest time for one who came to say what is wanted.
const SPOKEN_MAX: Duration = Duration::from_secs(1);
/// Bytes that are read of that.
const HEAD_BYTES_MAX: usize = 1024;
/// What clouds tell machines about themselves.
const METADATA: &str = "http://169.254.169.254/latest/meta-data/";
/// An address of documentation (RFC 5737): nothing is sent there, but the way there has this machine's own address.
const OUTSIDE: (Ipv4Addr, u16) = (Ipv4Addr::new(192, 0, 2, 1), 9);

/// One who came: what it was sent by and which host it came by, where it says so.
type Caught = Option<(usize, String)>;

/// Listeners that live as long as this.
pub(super) struct Trap {
    /// Stands in every path, so that one who comes is known.
    token: String,
    /// What the listeners answer.
    word: String,
    /// Hosts and ports by which they can be reached, in the forms that filters of addresses overlook.
    hosts: Vec<String>,
    /// The addresses themselves.
    places: Vec<SocketAddr>,
    caught: Arc<Mutex<Vec<Caught>>>,
    tasks: Vec<JoinHandle<()>>,
}

impl Trap {
    /// Begins to listen. Errors: loopback has no free port.
    pub(super) async fn set(base: &str) -> std::io::Result<Self> {
        let listeners = listeners(base).await?;
        let id = || RequestId::generate().to_string();
        let mut trap = Self {
            token: format!("mainstay-check-{}", id()),
            word: id(),
            hosts: Vec::new(),
            places: Vec::new(),
            caught: Arc::default(),
            tasks: Vec::new(),
        };
        for listener in listeners {
            let place = listener.local_addr()?;
            trap.hosts.extend(forms(place));
            trap.places.push(place);
            let (caught, token, word) = (Arc::clone(&trap.caught), trap.token.clone(), trap.word.clone());
            trap.tasks.push(tokio::spawn(async move {
                while let Ok((stream, _)) = listener.accept().await {
                    // One after the other: there should be none.
                    let came = tokio::time::timeout(SPOKEN_MAX, hear(stream, &token, &word)).await;
                    let mut caught = caught.lock().unwrap_or_else(PoisonError::into_inner);
                    if caught.len() < CAUGHT_MAX {
                        caught.push(came.ok().flatten());
                    }
                }
            }));
        }
        Ok(trap)
    }

    /// The addresses to name in an attempt; the last is the cloud's own.
    pub(super) fn urls(&self, attempt: usize) -> Vec<String> {
        let ours = self.hosts.iter().map(|host| format!("http://{host}/{}/{attempt}", self.token));
        ours.chain([METADATA.to_owned()]).collect()
    }

    /// How many forms of addresses there are.
    pub(super) fn forms(&self) -> usize {
        self.hosts.len() + 1
    }

    /// Where it listens, to be shown.
    pub(super) fn places(&self) -> String {
        let places: Vec<_> = self.places.iter().map(|place| place.ip().to_string()).collect();
        places.join(" and ")
    }

    /// The first host and port.
    pub(super) fn authority(&self) -> &str {
        self.hosts.first().map_or("127.0.0.1", String::as_str)
    }

    /// What only one who came can know.
    pub(super) fn word(&self) -> &str {
        &self.word
    }

    /// Who came.
    pub(super) fn caught(&self) -> Vec<Caught> {
        self.caught.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits for somebody to come, for so long at most.
    pub(super) async fn caught_within(&self, patience: Duration) {
        const LOOK_INTERVAL: Duration = Duration::from_millis(50);
        let come = async {
            while self.caught().is_empty() {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
        };
        // Nobody is what is hoped for.
        let _ = tokio::time::timeout(patience, come).await;
    }
}

impl Drop for Trap {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

/// Loopback, and this machine's address towards the service, or towards everybody where that is loopback, too.
async fn listeners(base: &str) -> std::io::Result<Vec<TcpListener>> {
    let inside = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let port = inside.local_addr()?.port();
    let mut all = vec![inside];
    // The other addresses are not everywhere.
    all.extend(TcpListener::bind((Ipv6Addr::LOCALHOST, port)).await.ok());
    if let Some(own) = own_address(base).await {
        all.extend(TcpListener::bind((own, port)).await.ok());
    }
    Ok(all)
}

/// The address by which the service would know this machine, unless that is loopback.
async fn own_address(base: &str) -> Option<IpAddr> {
    let url = reqwest::Url::parse(base).ok()?;
    let host = url.host_str()?.trim_matches(['[', ']']).to_owned();
    let mut towards: Vec<SocketAddr> = tokio::net::lookup_host((host, url.port_or_known_default()?))
        .await
        .map(Iterator::collect)
        .unwrap_or_default();
    towards.push(SocketAddr::from(OUTSIDE));
    for to in towards {
        let any =
            if to.is_ipv4() { IpAddr::V4(Ipv4Addr::UNSPECIFIED) } else { IpAddr::V6(Ipv6Addr::UNSPECIFIED) };
        let Ok(socket) = UdpSocket::bind((any, 0)).await else { continue };
        // Connecting a datagram's socket sends nothing.
        if socket.connect(to).await.is_ok()
            && let Ok(own) = socket.local_addr()
            && !own.ip().is_loopback()
            && !own.ip().is_unspecified()
        {
            return Some(own.ip());
        }
    }
    None
}

/// The forms of an address in a URL.
fn forms(place: SocketAddr) -> Vec<String> {
    let port = place.port();
    match place.ip() {
        IpAddr::V4(ip) if ip.is_loopback() => vec![
            format!("127.0.0.1:{port}"),
            format!("localhost:{port}"),
            format!("127.1:{port}"),
            format!("{}:{port}", u32::from(ip)),
            format!("0x7f000001:{port}"),
            format!("0.0.0.0:{port}"),
            format!("[::ffff:127.0.0.1]:{port}"),
        ],
        IpAddr::V4(ip) => vec![format!("{ip}:{port}"), format!("{}:{port}", u32::from(ip))],
        IpAddr::V6(ip) => vec![format!("[{ip}]:{port}")],
    }
}

/// Hears what one who came wants, and answers.
async fn hear(mut stream: TcpStream, token: &str, word: &str) -> Caught {
    let mut head = Vec::new();
    let mut piece = [0; 256];
    while head.len() < HEAD_BYTES_MAX && !head.windows(4).any(|end| end == b"\r\n\r\n") {
        match stream.read(&mut piece).await {
            Ok(0) | Err(_) => break,
            Ok(count) => head.extend_from_slice(&piece[..count]),
        }
    }
    let length = word.len();
    let answer = format!(
        "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\ncontent-length: {length}\r\nconnection: close\r\n\r\n{word}"
    );
    // It came, whether it waits for this or not.
    let _ = stream.write_all(answer.as_bytes()).await;
    wanted(&String::from_utf8_lossy(&head), token)
}

/// The attempt and the host in the head of a request.
fn wanted(head: &str, token: &str) -> Caught {
    let (_, rest) = head.split_once(&format!("/{token}/"))?;
    let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
    let host = head.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("host").then(|| value.trim().chars().take(100).collect())
    });
    Some((digits.parse().ok()?, host.unwrap_or_else(|| "?".to_owned())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_comes_says_by_what_it_was_sent() {
        let head = "GET /tok/7 HTTP/1.1\r\naccept: */*\r\nHost: localhost:1\r\n\r\n";
        assert_eq!(wanted(head, "tok"), Some((7, "localhost:1".to_owned())));
        assert_eq!(wanted("GET /tok/7/x HTTP/1.0\r\n", "tok"), Some((7, "?".to_owned())));
        assert_eq!(wanted("GET / HTTP/1.1\r\n", "tok"), None);
    }

    #[tokio::test]
    async fn whoever_connects_is_caught_by_every_form_of_the_address() {
        let trap = Trap::set("http://127.0.0.1:9").await.unwrap();
        assert!(trap.caught().is_empty());
        let port = trap.places[0].port();
        assert_eq!(forms(trap.places[0])[3], format!("2130706433:{port}"));
        for (attempt, url) in trap.urls(4).iter().filter(|url| !url.contains("169.254")).enumerate() {
            // A client that resolves as the system does knows the numbers, too.
            let client = mainstay_net::client::download_client().unwrap();
            let answer = client.get(url).send().await.unwrap().text().await.unwrap();
            assert_eq!(answer, trap.word());
            assert_eq!(trap.caught().len(), attempt + 1);
        }
        assert!(trap.caught().iter().all(|caught| caught.as_ref().is_some_and(|(attempt, _)| *attempt == 4)));
        drop(TcpStream::connect(trap.places[0]).await.unwrap());
        let before = trap.caught().len();
        while trap.caught().len() == before {
            tokio::task::yield_now().await;
        }
        assert_eq!(trap.caught().last(), Some(&None));
    }
}
