//! An OCI image without an engine: layers from files, a configuration and a manifest, by the image specification 1.1.
//!
//! The same files give the same bytes: entries are sorted, owned by number, without a time. So the digest of an image
//! says what is in it, and is known before anything is pushed.

mod layer;

use serde_json::{Value, json};

use mainstay_core::Result;

pub use layer::{Entry, Kind};

use crate::label::sha256_hex;
use crate::workload::{DATA, FOLDER, PORT, USER, Workload};

/// Media types of the image specification.
pub const MANIFEST_TYPE: &str = "application/vnd.oci.image.manifest.v1+json";
/// That of an index.
pub const INDEX_TYPE: &str = "application/vnd.oci.image.index.v1+json";
const CONFIG_TYPE: &str = "application/vnd.oci.image.config.v1+json";
const LAYER_TYPE: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// Bytes, and what they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// `sha256:` and 64 hexadecimal digits.
    pub digest: String,
    /// The bytes.
    pub bytes: Vec<u8>,
}

impl Blob {
    fn of(bytes: Vec<u8>) -> Self {
        Self { digest: format!("sha256:{}", sha256_hex(&bytes)), bytes }
    }
}

/// An image.
#[derive(Clone, Debug)]
pub struct Image {
    /// The layers and the configuration, as a registry keeps them.
    pub blobs: Vec<Blob>,
    /// The manifest: its digest is the image's.
    pub manifest: Blob,
    /// Bytes of all files in it, as they are on a disk.
    pub unpacked: u64,
    /// The machine that the binary in it is for, as OCI names it, e.g. `amd64`.
    pub architecture: String,
}

/// What an image is made of.
#[derive(Clone, Debug)]
pub struct Parts {
    /// The binary, which needs no library of the machine's.
    pub binary: Vec<u8>,
    /// The machine that it is for, as OCI names it.
    pub architecture: String,
    /// Files of the spec's folder by their paths in it, with `/`.
    pub files: Vec<(String, Vec<u8>)>,
}

/// The image of a service whose agents are declared: the binary, the spec and the files that it names.
///
/// Errors: a path that an archive cannot hold.
pub fn image(parts: Parts, workload: &Workload) -> Result<Image> {
    let Parts { binary, architecture, files } = parts;
    let base = layer::layer(base(binary))?;
    let spec = layer::layer(spec(files))?;
    let unpacked = base.unpacked + spec.unpacked;
    let diffs = [&base.diff, &spec.diff];
    let layers = [Blob::of(base.packed), Blob::of(spec.packed)];
    let config = Blob::of(bytes(&config(workload, &architecture, &diffs)));
    let descriptors: Vec<Value> = layers.iter().map(|blob| descriptor(LAYER_TYPE, blob)).collect();
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST_TYPE,
        "config": descriptor(CONFIG_TYPE, &config),
        "layers": descriptors,
        "annotations": annotations(workload),
    });
    let manifest = Blob::of(bytes(&manifest));
    let blobs = layers.into_iter().chain([config]).collect();
    Ok(Image { blobs, manifest, unpacked, architecture })
}

impl Image {
    /// The files of an image layout with this one image, by their paths.
    #[must_use]
    pub fn layout(&self, reference: &str) -> Vec<(String, Vec<u8>)> {
        let mut manifest = descriptor(MANIFEST_TYPE, &self.manifest);
        manifest["annotations"] = json!({ "org.opencontainers.image.ref.name": reference });
        manifest["platform"] = json!({ "architecture": self.architecture, "os": "linux" });
        let index = json!({ "schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [manifest] });
        let mut files = vec![
            ("oci-layout".to_owned(), bytes(&json!({ "imageLayoutVersion": "1.0.0" }))),
            ("index.json".to_owned(), bytes(&index)),
        ];
        for blob in self.blobs.iter().chain([&self.manifest]) {
            files.push((format!("blobs/{}", blob.digest.replace(':', "/")), blob.bytes.clone()));
        }
        files
    }

    /// Bytes that a registry keeps of it.
    #[must_use]
    pub fn packed(&self) -> u64 {
        self.blobs.iter().chain([&self.manifest]).map(|blob| blob.bytes.len() as u64).sum()
    }
}

fn bytes(value: &Value) -> Vec<u8> {
    value.to_string().into_bytes()
}

fn descriptor(kind: &str, blob: &Blob) -> Value {
    json!({ "mediaType": kind, "digest": blob.digest, "size": blob.bytes.len() })
}

/// What does not change with the spec: a layer of its own, which registries and machines keep once.
fn base(binary: Vec<u8>) -> Vec<Entry> {
    let passwd = format!(
        "root:x:0:0:root:/root:/sbin/nologin\nmainstay:x:{USER}:{USER}:mainstay:{FOLDER}:/sbin/nologin\n"
    );
    let group = format!("root:x:0:\nmainstay:x:{USER}:\n");
    vec![
        Entry::folder("etc", 0o755, 0),
        Entry::file("etc/passwd", 0o644, passwd.into_bytes()),
        Entry::file("etc/group", 0o644, group.into_bytes()),
        Entry::folder("tmp", 0o1777, 0),
        Entry::folder(DATA.trim_start_matches('/'), 0o700, USER),
        Entry::folder("usr", 0o755, 0),
        Entry::folder("usr/local", 0o755, 0),
        Entry::folder("usr/local/bin", 0o755, 0),
        Entry::file("usr/local/bin/mainstay", 0o755, binary),
    ]
}

fn spec(files: Vec<(String, Vec<u8>)>) -> Vec<Entry> {
    let root = FOLDER.trim_start_matches('/');
    let mut entries = vec![Entry::folder(root, 0o755, 0)];
    let mut folders = std::collections::BTreeSet::new();
    for (path, _) in &files {
        let above = path.match_indices('/').map(|(at, _)| path[..at].to_owned());
        folders.extend(above);
    }
    entries.extend(folders.into_iter().map(|folder| Entry::folder(format!("{root}/{folder}"), 0o755, 0)));
    entries
        .extend(files.into_iter().map(|(path, bytes)| Entry::file(format!("{root}/{path}"), 0o644, bytes)));
    entries
}

fn config(workload: &Workload, architecture: &str, diffs: &[&String]) -> Value {
    let environment = [
        "PATH=/usr/local/bin".to_owned(),
        format!("MAINSTAY_LISTEN=0.0.0.0:{PORT}"),
        format!("MAINSTAY_DATA_FOLDER={DATA}"),
    ];
    json!({
        "architecture": architecture,
        "os": "linux",
        "config": {
            "User": format!("{USER}:{USER}"),
            "ExposedPorts": { format!("{PORT}/tcp"): {} },
            "Env": environment,
            "Entrypoint": ["/usr/local/bin/mainstay"],
            "Cmd": ["serve", FOLDER],
            "WorkingDir": FOLDER,
            "StopSignal": "SIGTERM",
            "Labels": annotations(workload),
            "Healthcheck": {
                "Test": ["CMD", "/usr/local/bin/mainstay", "healthcheck"],
                "Interval": 30_000_000_000_u64, "Timeout": 5_000_000_000_u64,
                "StartPeriod": 20_000_000_000_u64, "Retries": 3,
            },
        },
        "rootfs": { "type": "layers", "diff_ids": diffs },
    })
}

fn annotations(workload: &Workload) -> Value {
    json!({
        "org.opencontainers.image.title": workload.name,
        "org.opencontainers.image.version": workload.tag,
    })
}
