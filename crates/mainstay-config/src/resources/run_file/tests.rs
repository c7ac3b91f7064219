//! What a run file says, and what is wrong with one.

use super::*;

const APPS: &str = "
version: 1
common:
  resourcesPath: ./components
  env: { LEVEL: info, SHARED: 1 }
  logLevel: debug
  appLogDestination: console
apps:
  - appID: tasks
    appDirPath: ./task_service
    appPort: 8000
    daprHTTPPort: 3501
    command: [python3, app.py]
    env: { LEVEL: warn }
    enableApiLogging: true
  - appDirPath: audit_service/
    resourcesPaths: [./other]
    logLevel: error
    daprdLogDestination: fileAndConsole
";

fn read(text: &str) -> Result<RunFile, Diagnostics> {
    let missing = |path: &Path| path.ends_with("nowhere") || path.starts_with("/p/task_service/.dapr");
    let exists = |path: &Path| !missing(path) && !path.ends_with(".dapr/config.yaml");
    run_file(&RunSource { name: "dapr.yaml", text, folder: Path::new("/p"), exists: &exists })
}

fn flag<'a>(app: &'a RunApp, name: &str) -> Vec<&'a str> {
    app.flags.iter().filter(|(flag, _)| *flag == name).map(|(_, value)| value.as_str()).collect()
}

fn faults(text: &str) -> String {
    read(text).unwrap_err().to_string()
}

#[test]
fn what_an_app_says_comes_before_what_is_common() {
    let apps = read(APPS).unwrap().apps;
    let (tasks, audit) = (&apps[0], &apps[1]);
    assert_eq!((tasks.id.as_str(), tasks.folder.as_path()), ("tasks", Path::new("/p/task_service")));
    assert_eq!(tasks.command, ["python3", "app.py"]);
    assert_eq!(flag(tasks, "app-port"), ["8000"]);
    assert_eq!(flag(tasks, "dapr-http-port"), ["3501"]);
    assert_eq!(flag(tasks, "log-level"), ["debug"]);
    assert_eq!(flag(tasks, "enable-api-logging"), ["true"]);
    assert_eq!(flag(tasks, "resources-path"), ["/p/components"]);
    assert_eq!(tasks.env["LEVEL"], "warn");
    assert_eq!(tasks.env["SHARED"], "1");
    assert_eq!((tasks.app_log, tasks.sidecar_log), (Destination::Console, Destination::File));
    assert_eq!(audit.id, "audit_service");
    assert_eq!(flag(audit, "log-level"), ["error"]);
    assert_eq!(flag(audit, "resources-path"), ["/p/other"]);
    assert_eq!((audit.command.len(), audit.sidecar_log), (0, Destination::Both));
}

#[test]
fn an_apps_own_folder_of_resources_comes_before_the_common_one() {
    let apps = read("version: 1\ncommon: { resourcesPath: c }\napps: [{ appDirPath: a }]").unwrap().apps;
    assert_eq!(flag(&apps[0], "resources-path"), ["/p/a/.dapr/resources"]);
}

#[test]
fn a_port_that_is_none_is_not_given() {
    let apps = read("version: 1\napps: [{ appDirPath: a, appPort: -1, daprGRPCPort: 0 }]").unwrap().apps;
    assert_eq!(flag(&apps[0], "app-port"), [""; 0]);
    assert_eq!(flag(&apps[0], "dapr-grpc-port"), [""; 0]);
}

#[test]
fn every_fault_is_told_with_its_place() {
    let text = "version: 2\ncommon:\n  configFilePath: nowhere\napps:\n  - appID: a\n  - appDirPath: b\n    \
                appPort: 70000\n    appLogDestination: printer\n    command: start\n";
    let told = faults(text);
    for (place, part) in [
        ("1:10", "version 2"),
        ("3:19", "no `nowhere`"),
        ("5:5", "`appDirPath`"),
        ("7:14", "70000"),
        ("8:24", "printer"),
        ("9:14", "a list"),
    ] {
        assert!(
            told.contains(&format!("dapr.yaml:{place}")) && told.contains(part),
            "{place} {part}:\n{told}"
        );
    }
}

#[test]
fn a_file_without_apps_or_with_one_twice_is_refused() {
    assert!(faults("version: 1\n").contains("no apps"));
    assert!(faults("apps: [{ appDirPath: a }]").contains("`version` is missing"));
    assert!(faults("version: 1\napps: [{ appDirPath: a }, { appDirPath: a }]").contains("two apps `a`"));
}

#[test]
fn an_unknown_key_is_a_warning_with_the_nearest_one() {
    let read = read("version: 1\napps: [{ appDirPath: a, appPrt: 1 }]").unwrap();
    let told = read.warnings.render(false);
    assert!(told.contains("did you mean `appPort`?"), "{told}");
}
