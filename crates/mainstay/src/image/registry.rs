//! Pushing an image, by the distribution specification 1.1: what the registry lacks, then the manifest.

use anyhow::{Context as _, bail};
use mainstay_core::{Error, Redacted, codes};
use mainstay_ship::image::{Blob, Image, MANIFEST_TYPE};
use reqwest::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION, WWW_AUTHENTICATE};
use reqwest::{Client, RequestBuilder, Response, StatusCode, Url};
use serde_json::Value;

use super::credentials;

/// Where an image goes: registry, repository and tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reference {
    host: String,
    repository: String,
    tag: String,
}

impl Reference {
    /// Reads `HOST/REPOSITORY:TAG`. Errors: no host, which Docker would take for its own hub.
    pub(crate) fn parse(text: &str) -> anyhow::Result<Self> {
        let (name, tag) =
            text.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).unwrap_or((text, "latest"));
        let (host, repository) = name.split_once('/').unwrap_or(("", name));
        let host = if host == "docker.io" { "registry-1.docker.io" } else { host };
        if !(host.contains(['.', ':']) || host == "localhost") {
            return Err(Error::new(&codes::SHIP_UNSUPPORTED, format!("`{text}` names no registry"))
                .with_help("give `deploy.image` one, e.g. `ghcr.io/acme/support-desk`")
                .into());
        }
        Ok(Self { host: host.to_owned(), repository: repository.to_owned(), tag: tag.to_owned() })
    }

    /// Registries on this machine speak without TLS, as Docker has it.
    fn base(&self) -> String {
        let name = self.host.split(':').next().unwrap_or_default();
        let scheme = if matches!(name, "localhost" | "127.0.0.1") { "http" } else { "https" };
        format!("{scheme}://{}/v2/{}", self.host, self.repository)
    }
}

/// A registry, and the token that it gave us.
pub(crate) struct Registry {
    client: Client,
    reference: Reference,
    base: String,
    token: Option<Redacted<String>>,
}

impl Registry {
    /// Errors: `INTERNAL`, where the TLS stack cannot be set up.
    pub(crate) fn new(reference: Reference) -> anyhow::Result<Self> {
        let client = mainstay_net::client::download_client()?;
        Ok(Self { client, base: reference.base(), reference, token: None })
    }

    /// Pushes an image. What is there already is not sent again, and the tag moves last.
    pub(crate) async fn push(&mut self, image: &Image) -> anyhow::Result<()> {
        for blob in &image.blobs {
            self.blob(blob)
                .await
                .with_context(|| format!("push {} to {}", blob.digest, self.reference.host))?;
        }
        let url = format!("{}/manifests/{}", self.base, self.reference.tag);
        let put = |client: &Client| {
            client.put(&url).header(CONTENT_TYPE, MANIFEST_TYPE).body(image.manifest.bytes.clone())
        };
        let answer = self.send(&put).await?;
        demand(answer, &[StatusCode::CREATED], "take the manifest").await?;
        Ok(())
    }

    async fn blob(&mut self, blob: &Blob) -> anyhow::Result<()> {
        let there = format!("{}/blobs/{}", self.base, blob.digest);
        if self.send(&|client: &Client| client.head(&there)).await?.status() == StatusCode::OK {
            return Ok(());
        }
        let begin = format!("{}/blobs/uploads/", self.base);
        let begun = self.send(&|client: &Client| client.post(&begin).header(CONTENT_LENGTH, 0)).await?;
        let begun = demand(begun, &[StatusCode::ACCEPTED], "begin an upload").await?;
        let place = begun.headers().get(LOCATION).and_then(|place| place.to_str().ok());
        let place = place.context("the registry says nowhere to upload to")?;
        let mut place: Url = begun.url().join(place)?;
        place.query_pairs_mut().append_pair("digest", &blob.digest);
        let put = |client: &Client| {
            client
                .put(place.clone())
                .header(CONTENT_TYPE, "application/octet-stream")
                .body(blob.bytes.clone())
        };
        let answer = self.send(&put).await?;
        demand(answer, &[StatusCode::CREATED], "take a layer").await?;
        Ok(())
    }

    /// Sends a request; once more with what the registry asks for, where it asks.
    async fn send(&mut self, request: &dyn Fn(&Client) -> RequestBuilder) -> anyhow::Result<Response> {
        let shown = |builder: RequestBuilder, token: &Option<Redacted<String>>| match token {
            Some(token) => builder.header("authorization", token.expose()),
            None => builder,
        };
        let answer = shown(request(&self.client), &self.token).send().await?;
        if answer.status() != StatusCode::UNAUTHORIZED {
            return Ok(answer);
        }
        let challenge = answer.headers().get(WWW_AUTHENTICATE).and_then(|value| value.to_str().ok());
        let challenge = challenge.unwrap_or_default().to_owned();
        self.token = Some(self.authorization(&challenge).await?);
        Ok(shown(request(&self.client), &self.token).send().await?)
    }

    /// The header that answers a challenge: our name and password, or a token that they are worth.
    async fn authorization(&self, challenge: &str) -> anyhow::Result<Redacted<String>> {
        let credentials = credentials::of(&self.reference.host)?;
        let Some(parameters) = challenge.strip_prefix("Bearer ") else {
            let Some(known) = credentials else {
                bail!("{} wants a password; log in first (`docker login {0}`)", self.reference.host);
            };
            let pair = format!("{}:{}", known.user, known.password.expose());
            let pair = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pair);
            return Ok(Redacted::new(format!("Basic {pair}")));
        };
        let realm = parameter(parameters, "realm").context("the registry says nowhere to get a token")?;
        let mut url = Url::parse(&realm).with_context(|| format!("read the address `{realm}`"))?;
        if let Some(service) = parameter(parameters, "service") {
            url.query_pairs_mut().append_pair("service", &service);
        }
        let scope = format!("repository:{}:pull,push", self.reference.repository);
        url.query_pairs_mut().append_pair("scope", &scope);
        let mut asked = self.client.get(url);
        if let Some(known) = &credentials {
            asked = asked.basic_auth(&known.user, Some(known.password.expose()));
        }
        let answer = demand(asked.send().await?, &[StatusCode::OK], "give a token").await?;
        let found: Value = serde_json::from_slice(&answer.bytes().await?)?;
        let token = found["token"].as_str().or_else(|| found["access_token"].as_str());
        Ok(Redacted::new(format!("Bearer {}", token.context("the registry gave no token")?)))
    }
}

/// A parameter of a challenge: `realm="…",service="…"`.
fn parameter(parameters: &str, name: &str) -> Option<String> {
    let (_, rest) = parameters.split_once(&format!("{name}=\""))?;
    rest.split_once('"').map(|(value, _)| value.to_owned())
}

/// The answer, if it has one of these statuses. Errors: what the registry says instead.
async fn demand(answer: Response, wanted: &[StatusCode], what: &str) -> anyhow::Result<Response> {
    if wanted.contains(&answer.status()) {
        return Ok(answer);
    }
    let status = answer.status();
    let said: String = answer.text().await.unwrap_or_default().chars().take(500).collect();
    bail!("the registry would not {what}: {status} {said}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_names_its_registry() {
        for (text, base, tag) in [
            ("ghcr.io/acme/desk:1.0.0", "https://ghcr.io/v2/acme/desk", "1.0.0"),
            ("localhost:5000/desk:2", "http://localhost:5000/v2/desk", "2"),
            ("docker.io/acme/desk", "https://registry-1.docker.io/v2/acme/desk", "latest"),
        ] {
            let reference = Reference::parse(text).unwrap();
            assert_eq!((reference.base().as_str(), reference.tag.as_str()), (base, tag), "{text}");
        }
        assert!(Reference::parse("desk:1").is_err());
    }

    #[test]
    fn a_challenge_has_parameters() {
        let challenge = r#"realm="https://auth.example.com/token",service="registry.example.com",scope="x""#;
        assert_eq!(parameter(challenge, "realm").as_deref(), Some("https://auth.example.com/token"));
        assert_eq!(parameter(challenge, "service").as_deref(), Some("registry.example.com"));
        assert_eq!(parameter(challenge, "none"), None);
    }
}
