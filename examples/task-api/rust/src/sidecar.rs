//! The sidecar's HTTP API, as far as these services use it.

use std::time::Duration;

use reqwest::{Client, Response, StatusCode};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use crate::setting;

/// Longest wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(30);
/// Pauses while the sidecar is not up.
const PAUSE: Duration = Duration::from_millis(50);

/// The sidecar beside this app.
#[derive(Clone)]
pub struct Sidecar {
    client: Client,
    base: String,
}

/// A value and the version it has.
pub struct Versioned<T> {
    /// The value.
    pub value: T,
    /// What a change that rests on it names.
    pub etag: String,
}

/// Why a call failed.
pub type Failure = Box<dyn std::error::Error + Send + Sync>;

impl Sidecar {
    /// The sidecar at `$DAPR_HTTP_PORT`, once it answers.
    pub async fn connect() -> Result<Self, Failure> {
        let client = Client::builder().timeout(TIMEOUT).build()?;
        let sidecar = Self { client, base: format!("http://127.0.0.1:{}/v1.0", setting("DAPR_HTTP_PORT", "3500")) };
        let healthy = format!("{}/healthz/outbound", sidecar.base);
        while !sidecar.client.get(&healthy).send().await.is_ok_and(|answer| answer.status().is_success()) {
            tokio::time::sleep(PAUSE).await;
        }
        Ok(sidecar)
    }

    /// A value of a state store.
    pub async fn get<T: DeserializeOwned>(&self, store: &str, key: &str) -> Result<Option<Versioned<T>>, Failure> {
        let answer = self.client.get(format!("{}/state/{store}/{key}", self.base)).send().await?;
        let answer = checked(answer).await?;
        if answer.status() == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let etag = answer.headers().get("etag").and_then(|etag| etag.to_str().ok()).unwrap_or_default().to_owned();
        Ok(Some(Versioned { value: answer.json().await?, etag }))
    }

    /// Changes of a state store, all of them or none.
    pub async fn transact(&self, store: &str, operations: Vec<Value>) -> Result<(), Failure> {
        let url = format!("{}/state/{store}/transaction", self.base);
        checked(self.client.post(url).json(&json!({ "operations": operations })).send().await?).await?;
        Ok(())
    }

    /// Calls a method of another app by its id.
    pub async fn invoke(&self, app: &str, method: &str, body: &Value, header: (&str, &str)) -> Result<(), Failure> {
        let call = self.client.post(format!("{}/invoke/{app}/method/{method}", self.base));
        checked(call.header(header.0, header.1).json(body).send().await?).await?;
        Ok(())
    }

    /// A secret with one value.
    pub async fn secret(&self, store: &str, name: &str) -> Result<String, Failure> {
        let answer = self.client.get(format!("{}/secrets/{store}/{name}", self.base)).send().await?;
        let secret: Value = checked(answer).await?.json().await?;
        Ok(secret[name].as_str().ok_or("the secret has no value of its name")?.to_owned())
    }
}

async fn checked(answer: Response) -> Result<Response, Failure> {
    let status = answer.status();
    if status.is_success() {
        return Ok(answer);
    }
    Err(format!("the sidecar answered {status}: {}", answer.text().await?).into())
}
