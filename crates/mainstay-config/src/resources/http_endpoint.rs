//! External HTTP services.

use mainstay_core::http_endpoint::{HttpEndpoint, Renegotiation, Tls};

use super::head::{BESIDE_SPEC, Head};
use super::section::Section;
use super::values;

/// Reads an external service; `None` when it lacks what it cannot be without.
pub(super) fn read(
    head: Head,
    document: &Section<'_, '_>,
    spec: Option<Section<'_, '_>>,
) -> Option<HttpEndpoint> {
    let name = super::needed_name(&head, document, "what the app invokes it by");
    let Some(mut spec) = spec else {
        super::lacks_spec(document, "an external service has its address there");
        return None;
    };
    let base_url = spec.required_text("baseUrl", "where the service is, e.g. `https://api.example.com`");
    let headers = values::settings(&mut spec, "headers");
    let tls = spec.section("clientTLS").map(tls);
    spec.finish_beside(&BESIDE_SPEC);
    Some(HttpEndpoint {
        name: name?.value,
        namespace: head.namespace,
        base_url: base_url?.value,
        headers: headers.into_iter().map(|written| written.setting).collect(),
        tls,
        secret_store: head.secret_store,
        scopes: head.scopes,
        origin: String::new(),
    })
}

fn tls(mut section: Section<'_, '_>) -> Tls {
    let mut part = |key: &'static str| {
        let mut document = section.section(key)?;
        let value = values::document(&mut document);
        document.finish();
        value
    };
    let (root_ca, certificate, private_key) = (part("rootCA"), part("certificate"), part("privateKey"));
    let choices = [
        ("Never", Renegotiation::Never),
        ("OnceAsClient", Renegotiation::Once),
        ("FreelyAsClient", Renegotiation::Freely),
    ];
    let renegotiation = section.choice("renegotiation", &choices).unwrap_or_default();
    section.finish();
    Tls { root_ca, certificate, private_key, renegotiation }
}
