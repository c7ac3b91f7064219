//! The rig of the files: a folder.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use mainstay_components::bindings::Def;
use mainstay_core::Ctx;
use mainstay_core::binding::{Binding, Operation};
use mainstay_testkit::components;
use mainstay_testkit::conformance::bindings::{Open, Rig};

use crate::{Member, Way, clock, no_server, operation, own};

pub(crate) fn member(def: &'static Def) -> Member {
    let open: Open =
        Arc::new(move |_| Box::pin(async move { Arc::new(Files::open(def).await) as Arc<dyn Rig> }));
    let story = own("localstorage::a_file_is_made_listed_read_and_removed", move || story(def));
    Way::new("localstorage", open).without(no_server()).with(vec![story]).into()
}

struct Files {
    binding: Arc<dyn Binding>,
    folder: tempfile::TempDir,
}

impl Files {
    async fn open(def: &Def) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let settings = [("rootPath", "files")];
        let binding = components::open_with(def, &settings, folder.path(), &components::NoStores, &clock())
            .await
            .unwrap();
        Self { binding, folder }
    }

    async fn text(&self, operation: Operation) -> Option<String> {
        let outcome = self.binding.invoke(&Ctx::system(), operation).await.unwrap()?;
        Some(String::from_utf8(outcome.data.to_vec()).unwrap())
    }
}

async fn story(def: &Def) {
    let files = Files::open(def).await;
    let root = files.folder.path().join("files").canonicalize().unwrap();
    assert_eq!(files.text(operation("list", "", &[])).await.unwrap(), "null");
    let named = files.text(operation("create", "\"hei\"", &[("fileName", "a/b.txt")])).await.unwrap();
    assert_eq!(named, r#"{"fileName":"a/b.txt"}"#);
    assert_eq!(files.text(operation("get", "", &[("fileName", "a/b.txt")])).await.unwrap(), "hei");
    let listed = files.text(operation("list", "", &[("fileName", "a")])).await.unwrap();
    assert_eq!(listed, format!("[\"{}\"]", root.join("a/b.txt").display()));
    // Without a name it gets one.
    assert!(files.text(operation("create", "x", &[])).await.unwrap().len() > 36);
    files.text(operation("create", "x", &[("fileName", "../../out")])).await.unwrap();
    assert!(root.join("out").exists() && !Path::new("/out").exists());
    assert_eq!(files.text(operation("delete", "", &[("fileName", "a/b.txt")])).await, None);
    let gone = files.binding.invoke(&Ctx::system(), operation("get", "", &[("fileName", "a/b.txt")])).await;
    assert_eq!(gone.unwrap_err().code().id, "BINDING_FAILED");
}

#[async_trait]
impl Rig for Files {
    fn binding(&self) -> Arc<dyn Binding> {
        Arc::clone(&self.binding)
    }

    fn samples(&self) -> Vec<Operation> {
        let file = [("fileName", "x")];
        vec![
            operation("create", "data", &file),
            operation("get", "", &file),
            operation("list", "", &[]),
            operation("delete", "", &file),
        ]
    }
}
