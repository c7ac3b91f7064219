//! A session with the broker: one connection under one name, which is made again whenever it is lost, and subscribes
//! anew.

use std::sync::Arc;
use std::time::Duration;

use mainstay_core::pubsub::Message;
use mainstay_core::{Error, Result, Retry, codes};
use parking_lot::Mutex;
use rumqttc::{
    AckMode, AsyncClient, ConnectReturnCode, ConnectionError, Event, EventLoop, ManualAck, MqttOptions,
    Packet, Publish, TlsConfiguration, Transport,
};
use tokio::sync::watch;
use tokio::task::AbortHandle;

use super::inbox::Inbox;
use super::settings::Options;

/// First and longest pause before a connection is made again.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Seconds of silence after which each side asks whether the other is there.
const KEEP_ALIVE_SECONDS: u16 = 30;
/// The protocol's largest packet.
const PACKET_BYTES_MAX: usize = 268_435_455;
/// Messages that are published and not yet answered; more wait in a queue of as many.
const IN_FLIGHT_MAX: u16 = 1_000;
/// Longest for the broker to answer.
pub(super) const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// Whether the broker is there.
#[derive(Clone, Debug)]
enum State {
    Connecting,
    Online,
    /// Not, and why.
    Down(Arc<Lost>),
}

#[derive(Debug)]
struct Lost {
    is_refused: bool,
    internal: String,
}

/// A session; it ends when this is dropped. The broker keeps what it keeps.
pub(super) struct Session {
    pub(super) shared: Arc<Shared>,
    task: AbortHandle,
}

/// What the session's users and its task share.
pub(super) struct Shared {
    pub(super) client: AsyncClient,
    pub(super) inbox: Mutex<Inbox>,
    state: watch::Sender<State>,
    options: Options,
}

impl Session {
    /// Begins a session under this name. Errors: `BROKER_UNAVAILABLE` where the broker is not there, or refuses us.
    pub(super) async fn open(options: &Options, client_id: &str) -> Result<Self> {
        let settings = mqtt_options(options, client_id).map_err(|error| {
            Error::new(&codes::BROKER_UNAVAILABLE, "call the MQTT broker: the certificates cannot be read")
                .with_retry(Retry::Permanent)
                .with_internal(error.to_string())
        })?;
        let (client, events) = AsyncClient::builder(settings).capacity(IN_FLIGHT_MAX.into()).build();
        let (state, mut seen) = watch::channel(State::Connecting);
        let shared = Arc::new(Shared { client, inbox: Mutex::default(), state, options: options.clone() });
        let task = tokio::spawn(run(events, Arc::clone(&shared))).abort_handle();
        let session = Self { shared, task };
        let settled = seen.wait_for(|state| !matches!(state, State::Connecting));
        match tokio::time::timeout(ANSWER_TIME_MAX, settled).await {
            Ok(_) => session.shared.check_online().map(|()| session),
            Err(_) => Err(Error::new(&codes::BROKER_UNAVAILABLE, "call the MQTT broker: it does not answer")),
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    /// Fails at once while there is no connection, rather than have a call wait for one.
    pub(super) fn check_online(&self) -> Result<()> {
        match &*self.state.borrow() {
            State::Online => Ok(()),
            State::Connecting => {
                Err(Error::new(&codes::BROKER_UNAVAILABLE, "call the MQTT broker: it does not answer"))
            }
            State::Down(lost) if lost.is_refused => {
                Err(Error::new(&codes::BROKER_UNAVAILABLE, "call the MQTT broker: it refuses us")
                    .with_retry(Retry::Permanent)
                    .with_internal(lost.internal.clone()))
            }
            State::Down(lost) => {
                Err(Error::new(&codes::BROKER_UNAVAILABLE, "call the MQTT broker: it cannot be reached")
                    .with_internal(lost.internal.clone()))
            }
        }
    }

    /// A message that has come. The subscription's filter may have wildcards; the message says which topic it is.
    fn take(&self, publish: &Publish) {
        let message = Message {
            topic: String::from_utf8_lossy(&publish.topic).into_owned(),
            data: publish.payload.clone(),
            content_type: None,
            metadata: [("retained".to_owned(), publish.retain.to_string())].into(),
        };
        let forgets = self.options.clean_session;
        let unwanted = self.inbox.lock().take(message, self.client.prepare_ack(publish), forgets);
        self.answer(unwanted);
    }

    /// Answers for messages that nobody wants. Where that cannot be queued, the broker waits until the next connection.
    pub(super) fn answer(&self, unwanted: impl IntoIterator<Item = ManualAck>) {
        for ack in unwanted {
            let _ = self.client.try_manual_ack(ack);
        }
    }

    fn connected(&self) {
        let filters = self.inbox.lock().connected();
        if !filters.is_empty() {
            // A broker that has forgotten us is told; one that has not is told what it knows.
            let (client, qos) = (self.client.clone(), self.options.qos);
            tokio::spawn(async move {
                for filter in filters {
                    if client.subscribe(filter, qos).await.is_err() {
                        return;
                    }
                }
            });
        }
        self.state.send_replace(State::Online);
    }
}

async fn run(mut events: EventLoop, shared: Arc<Shared>) {
    let mut pause = PAUSES.0;
    loop {
        match events.poll().await {
            Ok(Event::Incoming(Packet::ConnAck(_))) => {
                pause = PAUSES.0;
                shared.connected();
            }
            Ok(Event::Incoming(Packet::Publish(publish))) => shared.take(&publish),
            Ok(_) => {}
            Err(ConnectionError::RequestsDone) => return,
            Err(error) => {
                let lost = Lost { is_refused: is_refused(&error), internal: error.to_string() };
                shared.state.send_replace(State::Down(Arc::new(lost)));
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

fn is_refused(error: &ConnectionError) -> bool {
    let refusals = [ConnectReturnCode::BadUserNamePassword, ConnectReturnCode::NotAuthorized];
    matches!(error, ConnectionError::ConnectionRefused(code) if refusals.contains(code))
}

fn mqtt_options(options: &Options, client_id: &str) -> std::io::Result<MqttOptions> {
    let address = &options.address;
    let mut settings = MqttOptions::new(client_id, (address.host.as_str(), address.port));
    settings
        .set_clean_session(options.clean_session)
        .set_keep_alive(KEEP_ALIVE_SECONDS)
        .set_max_packet_size(PACKET_BYTES_MAX, PACKET_BYTES_MAX)
        .set_inflight(IN_FLIGHT_MAX)
        .set_ack_mode(AckMode::Manual);
    if let Some((user, password)) = &address.user {
        settings.set_credentials(user.as_str(), password.clone());
    }
    if address.tls {
        let config = TlsConfiguration::Rustls(Arc::new(options.certificates.client_config()?));
        settings.set_transport(Transport::tls_with_config(config));
    }
    Ok(settings)
}
