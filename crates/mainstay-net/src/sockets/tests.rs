//! Sockets by name, in a folder of the test's.

use std::os::unix::fs::PermissionsExt as _;

use super::*;

fn open() -> (tempfile::TempDir, Sockets) {
    let folder = tempfile::tempdir().unwrap();
    let sockets = Sockets::open(&folder.path().join("run")).unwrap();
    (folder, sockets)
}

#[test]
fn names_are_plain_or_hashes_and_never_the_same() {
    assert_eq!(Sockets::name("default", "shop-2"), "default.shop-2");
    let hashed = Sockets::name("default", "Shop");
    assert_eq!(hashed.len(), 32);
    for (namespace, app) in [("default", "shop"), ("defaults", "hop"), ("../x", "y"), ("a", &"b".repeat(200))]
    {
        let name = Sockets::name(namespace, app);
        assert_ne!(name, hashed);
        assert!(
            name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'.'),
            "{name}"
        );
    }
}

#[test]
fn a_folder_that_others_may_use_is_refused() {
    let (folder, _) = open();
    let path = folder.path().join("run");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    assert_eq!(Sockets::open(&path).unwrap_err().kind(), io::ErrorKind::PermissionDenied);
}

#[tokio::test]
async fn whoever_connects_gets_somebody_who_lives() {
    let (folder, sockets) = open();
    assert_eq!(sockets.connect("default.bank").await.unwrap_err().kind(), io::ErrorKind::NotFound);
    let bank = folder.path().join("run/default.bank");
    std::fs::create_dir(&bank).unwrap();
    let dead = bank.join("1-0.sock");
    drop(UnixListener::bind(&dead).unwrap());
    assert!(sockets.has("default.bank") && sockets.connect("default.bank").await.is_err());
    assert!(!dead.exists(), "the socket of a dead process is removed");
    drop(UnixListener::bind(&dead).unwrap());
    let (first, second) = (sockets.listen("default.bank").unwrap(), sockets.listen("default.bank").unwrap());
    assert!(!dead.exists());
    // Processes of one name take turns.
    let (_one, _other) =
        (sockets.connect("default.bank").await.unwrap(), sockets.connect("default.bank").await.unwrap());
    let both = tokio::join!(first.accept(), second.accept());
    assert!(both.0.is_ok() && both.1.is_ok());
    drop((first, second));
    assert!(!sockets.has("default.bank"));
}
