//! How a cluster's API is reached: by the pod's service account, or as a kubeconfig file's present context says. Files
//! are read when the store is opened; a token in a file at each call, for it is renewed there.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use mainstay_core::{Error, Redacted, Result, codes};
use serde::Deserialize;

/// Where a pod finds its service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// Bytes of a file.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// The way to a cluster.
pub(super) struct Access {
    /// The API's URL, without a slash at the end.
    pub(super) server: String,
    /// The root certificates to trust, as PEM; the host's without.
    pub(super) roots: Option<Vec<u8>>,
    /// Our certificate and its key, as PEM.
    pub(super) identity: Option<(Vec<u8>, Redacted<Vec<u8>>)>,
    /// The namespace that it names.
    pub(super) namespace: Option<String>,
    token: Token,
}

enum Token {
    None,
    Text(Redacted<String>),
    File(PathBuf),
}

impl Access {
    /// The way that a file names, or the present surroundings. Errors: `CONFIG_FILE`, `CONFIG_VALUE`.
    pub(super) fn find(named: Option<&Path>) -> Result<Self> {
        if let Some(path) = named {
            return Self::of_file(path);
        }
        if let (Ok(host), Ok(port)) =
            (std::env::var("KUBERNETES_SERVICE_HOST"), std::env::var("KUBERNETES_SERVICE_PORT"))
        {
            return Self::of_pod(&host, &port, Path::new(ACCOUNT));
        }
        // Of several files, which `KUBECONFIG` may list, the first is the one that is written to.
        let listed = std::env::var_os("KUBECONFIG").filter(|list| !list.is_empty());
        let listed = listed.and_then(|list| std::env::split_paths(&list).next());
        let home = || Some(PathBuf::from(std::env::var_os("HOME")?).join(".kube/config"));
        let path = listed.or_else(home).ok_or_else(|| {
            let message = "reach the cluster: this is no pod, and there is no kubeconfig";
            Error::new(&codes::CONFIG_VALUE, message).with_help("name one in `kubeconfigPath`")
        })?;
        Self::of_file(&path)
    }

    fn of_pod(host: &str, port: &str, account: &Path) -> Result<Self> {
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        let namespace = read(&account.join("namespace")).ok();
        let namespace = namespace.and_then(|bytes| String::from_utf8(bytes).ok());
        Ok(Self {
            server: format!("https://{host}:{port}"),
            roots: Some(read(&account.join("ca.crt"))?),
            identity: None,
            namespace: namespace.map(|text| text.trim().to_owned()).filter(|text| !text.is_empty()),
            token: Token::File(account.join("token")),
        })
    }

    fn of_file(path: &Path) -> Result<Self> {
        let text = read(path)?;
        let folder = path.parent().unwrap_or(Path::new("."));
        of_text(&text, folder).map_err(|why| {
            Error::new(&codes::CONFIG_VALUE, format!("reach the cluster: its kubeconfig {why}"))
                .with_internal(path.display().to_string())
        })
    }

    /// What is shown at a call. Errors: `SECRET_UNAVAILABLE`.
    pub(super) fn token(&self) -> Result<Option<Redacted<String>>> {
        match &self.token {
            Token::None => Ok(None),
            Token::Text(text) => Ok(Some(text.clone())),
            Token::File(path) => {
                let bytes = read(path).map_err(|error| {
                    Error::new(&codes::SECRET_UNAVAILABLE, "ask the cluster: our token cannot be read")
                        .with_source(error)
                })?;
                Ok(Some(Redacted::new(String::from_utf8_lossy(&bytes).trim().to_owned())))
            }
        }
    }
}

/// A file's bytes. Errors: `CONFIG_FILE`.
fn read(path: &Path) -> Result<Vec<u8>> {
    let unreadable = |why: String| {
        Error::new(&codes::CONFIG_FILE, "reach the cluster: a file with credentials cannot be read")
            .with_internal(format!("{}: {why}", path.display()))
    };
    let length = std::fs::metadata(path).map_err(|error| unreadable(error.to_string()))?.len();
    if length > FILE_BYTES_MAX {
        return Err(unreadable(format!("it has more than {FILE_BYTES_MAX} bytes")));
    }
    std::fs::read(path).map_err(|error| unreadable(error.to_string()))
}

#[derive(Deserialize)]
struct File {
    #[serde(rename = "current-context", default)]
    current_context: String,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    users: Vec<NamedUser>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    #[serde(default)]
    user: String,
    namespace: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    certificate_authority: Option<PathBuf>,
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: bool,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    token: Option<String>,
    #[serde(rename = "tokenFile")]
    token_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_certificate_data: Option<String>,
    client_key: Option<PathBuf>,
    client_key_data: Option<String>,
    exec: Option<serde::de::IgnoredAny>,
    #[serde(rename = "auth-provider")]
    auth_provider: Option<serde::de::IgnoredAny>,
}

/// The way that a kubeconfig's present context says. Errors: what is wrong with it, without a value.
fn of_text(text: &[u8], folder: &Path) -> std::result::Result<Access, String> {
    let text = std::str::from_utf8(text).map_err(|_| "is no text".to_owned())?;
    let file: File = serde_saphyr::from_str(text).map_err(|_| "cannot be read".to_owned())?;
    let missing = |what: &str, name: &str| format!("has no {what} `{name}`");
    let present = &file.current_context;
    let context = file.contexts.into_iter().find(|one| one.name == *present);
    let context = context.ok_or_else(|| missing("context", present))?.context;
    let cluster = file.clusters.into_iter().find(|one| one.name == context.cluster);
    let cluster = cluster.ok_or_else(|| missing("cluster", &context.cluster))?.cluster;
    if cluster.insecure_skip_tls_verify {
        return Err("asks for `insecure-skip-tls-verify`, which would show secrets to anybody".to_owned());
    }
    let user = if context.user.is_empty() {
        User::default()
    } else {
        let user = file.users.into_iter().find(|one| one.name == context.user);
        user.ok_or_else(|| missing("user", &context.user))?.user
    };
    let pem = |data: Option<String>, path: Option<PathBuf>, what: &str| match (data, path) {
        (Some(data), _) => {
            STANDARD.decode(data.trim()).map(Some).map_err(|_| format!("has a {what} that is no base64"))
        }
        (None, Some(path)) => read(&folder.join(path))
            .map(Some)
            .map_err(|_| format!("names a file for the {what} that cannot be read")),
        (None, None) => Ok(None),
    };
    let certificate = pem(user.client_certificate_data, user.client_certificate, "client certificate")?;
    let key = pem(user.client_key_data, user.client_key, "client key")?;
    let identity = certificate.zip(key.map(Redacted::new));
    let token = match (user.token.filter(|token| !token.is_empty()), user.token_file) {
        (Some(token), _) => Token::Text(Redacted::new(token)),
        (None, Some(path)) => Token::File(folder.join(path)),
        (None, None) if identity.is_none() && (user.exec.is_some() || user.auth_provider.is_some()) => {
            return Err("gets its credentials from a program, which is not run here".to_owned());
        }
        (None, None) => Token::None,
    };
    Ok(Access {
        server: cluster.server.trim_end_matches('/').to_owned(),
        roots: pem(cluster.certificate_authority_data, cluster.certificate_authority, "root certificate")?,
        identity,
        namespace: context.namespace.filter(|name| !name.is_empty()),
        token,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const FILE: &str = "
apiVersion: v1
kind: Config
current-context: here
contexts:
- { name: there, context: { cluster: none, user: none } }
- { name: here, context: { cluster: c, user: u, namespace: shop } }
clusters:
- { name: c, cluster: { server: 'https://10.0.0.1:6443/', certificate-authority-data: aGVp } }
users:
- name: u
  user: { token: hunter2 }
";

    fn read_text(text: &str) -> std::result::Result<Access, String> {
        of_text(text.as_bytes(), Path::new("."))
    }

    #[test]
    fn the_present_context_says_where_and_who() {
        let access = read_text(FILE).unwrap();
        assert_eq!(
            (access.server.as_str(), access.namespace.as_deref()),
            ("https://10.0.0.1:6443", Some("shop"))
        );
        assert_eq!(access.roots.as_deref(), Some(&b"hei"[..]));
        assert_eq!(access.token().unwrap().unwrap().expose(), "hunter2");
    }

    #[test]
    fn files_stand_beside_the_file_and_a_token_is_read_at_each_call() {
        let folder = tempfile::tempdir().unwrap();
        let user = "{ tokenFile: token, client-certificate: c.pem, client-key: k.pem }";
        let path = folder.path().join("config");
        std::fs::write(&path, FILE.replace("{ token: hunter2 }", user)).unwrap();
        for (name, text) in [("token", "one\n"), ("c.pem", "C"), ("k.pem", "K")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let access = Access::find(Some(&path)).unwrap();
        assert_eq!(access.token().unwrap().unwrap().expose(), "one");
        std::fs::write(folder.path().join("token"), "two").unwrap();
        assert_eq!(access.token().unwrap().unwrap().expose(), "two");
        let (certificate, key) = access.identity.unwrap();
        assert_eq!((&certificate[..], &key.expose()[..]), (&b"C"[..], &b"K"[..]));
    }

    #[test]
    fn a_pod_has_its_account_in_files() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("token", "t"), ("ca.crt", "CA"), ("namespace", "prod\n")] {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        let access = Access::of_pod("fd00::1", "443", folder.path()).unwrap();
        assert_eq!(
            (access.server.as_str(), access.namespace.as_deref()),
            ("https://[fd00::1]:443", Some("prod"))
        );
        assert_eq!(access.token().unwrap().unwrap().expose(), "t");
    }

    #[test]
    fn what_cannot_be_used_is_told_without_a_value() {
        let faults = [
            (FILE.replace("current-context: here", "current-context: nowhere"), "no context `nowhere`"),
            (FILE.replace("cluster: c,", "cluster: d,"), "no cluster `d`"),
            (FILE.replace("aGVp", "aGVp, insecure-skip-tls-verify: true"), "insecure"),
            (FILE.replace("{ token: hunter2 }", "{ exec: { command: aws } }"), "a program"),
            (FILE.replace("aGVp", "'?'"), "no base64"),
            ("contexts: 5".to_owned(), "cannot be read"),
        ];
        for (text, says) in faults {
            let why = read_text(&text).err().unwrap();
            assert!(why.contains(says) && !why.contains("hunter2"), "{why}");
        }
    }
}
