//! App agents of a real server: what they print, how they are replaced and stopped, and what they leave behind.

use std::path::Path;

use mainstay_e2e::Place;
use mainstay_testkit::process::{Server, until};

/// A folder whose agents, `a`, `b` …, are started by these commands.
fn place(commands: &[&str]) -> Place {
    let agents = commands.iter().zip('a'..).map(|(command, name)| {
        let port = free_port();
        format!(
            "  {name}:\n    app:\n      url: http://127.0.0.1:{port}\n      command: |\n        {command}\n"
        )
    });
    Place::new(&format!("name: e2e\nserver: {{ drain: 10s }}\nagents:\n{}", agents.collect::<String>()))
}

fn free_port() -> u16 {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.local_addr().expect("a listener has an address").port()
}

/// Two apps that print more than any buffer between them and us holds, one on each stream, to a server whose output
/// nobody reads from now on. Returns once both have printed everything.
async fn unheard() -> (Place, Server) {
    let flood = "head -c 20000000 /dev/zero | tr '\\0' x | fold -w 200";
    let command = |redirection: &str, done: &str| {
        format!(
            "while [ ! -e go ]; do sleep 0.05; done; {flood} {redirection}; touch {done}; exec sleep 1000"
        )
    };
    let place = place(&[&command("", "done.a"), &command(">&2", "done.b")]);
    let server = place.serve().await;
    server.listen(false);
    touch(&place.path().join("go"));
    for done in ["done.a", "done.b"] {
        let done = place.path().join(done);
        until("an app printed everything", async || done.exists()).await;
    }
    (place, server)
}

fn touch(path: &Path) {
    std::fs::write(path, "").expect("the folder can be written");
}

#[tokio::test]
async fn a_server_whose_output_nobody_reads_answers_and_stops() {
    let (_place, mut server) = unheard().await;
    assert_eq!(server.client().get("/health").await.status, 200);
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
}

#[tokio::test]
async fn a_reader_that_comes_back_is_told_how_many_lines_it_missed() {
    let (_place, server) = unheard().await;
    server.listen(true);
    server.says(r#"{"level":"WARN","message":"mainstay: … "#).await;
    server.says(" lines dropped: nobody read them in time").await;
}

/// A process of this machine.
struct Process {
    id: String,
    parent: String,
    is_zombie: bool,
}

fn processes() -> Vec<Process> {
    let processes = std::fs::read_dir("/proc").expect("there is a process table").filter_map(Result::ok);
    let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    let process = |stat: String| {
        let (id, rest) = stat.split_once(" (")?;
        let mut fields = rest.rsplit_once(") ")?.1.split(' ');
        let (is_zombie, parent) = (fields.next()? == "Z", fields.next()?.to_owned());
        Some(Process { id: id.to_owned(), parent, is_zombie })
    };
    stats.filter_map(process).collect()
}

#[tokio::test]
async fn as_process_one_it_leaves_no_zombies() {
    let can = std::process::Command::new("unshare").args(["-p", "-f", "--mount-proc", "true"]).output();
    if let Some(why) =
        can.map_or_else(|e| Some(e.to_string()), |out| (!out.status.success()).then(|| format!("{out:?}")))
    {
        println!("not run: there are no process tables of our own to be had here: {why}");
        return;
    }
    // What a run leaves in its group, and what left the group: the run ends only when it has, as it would end with it.
    let orphan = "setsid sh -c 'touch orphan; sleep 0.1' & while [ ! -e orphan ]; do sleep 0.01; done";
    let place = place(&[&format!("sleep 1000 & {orphan}; exit 0")]);
    let server = place.command(&["serve", ".", "--listen", "127.0.0.1:0"]).as_process_one().start().await;
    let starter = server.id().to_string();
    let inside = processes().into_iter().find(|process| process.parent == starter).expect("it is at work").id;
    until("three runs have ended", async || server.said().contains("ends again and again")).await;
    let zombie = |process: &Process| process.is_zombie && process.parent == inside;
    until("no zombie is left", async || !processes().iter().any(zombie)).await;
}

#[tokio::test]
async fn what_an_app_says_is_a_line_of_the_log_and_under_dev_a_line_after_its_name() {
    let place = place(&["echo out; echo err >&2; exec sleep 1000"]);
    let quiet = place.command(&["serve", ".", "--listen", "127.0.0.1:0"]).variable("MAINSTAY_LOG", "error");
    let server = quiet.start().await;
    server.says(r#""app":"a","stream":"stdout","line":"out""#).await;
    server.says(r#""app":"a","stream":"stderr","line":"err""#).await;
    drop(server);
    let server = place.dev().await;
    server.says("\na | out\n").await;
    server.says("a | err\n").await;
}

#[tokio::test]
async fn the_log_says_why_a_run_of_an_app_failed() {
    let place = Place::new("name: e2e\nagents: { a: { app: { url: \"http://127.0.0.1:9\" } } }\n");
    let server = place.serve().await;
    let ask = serde_json::json!({ "query": "hunter2" });
    assert_ne!(server.client().post("/v1/agents/a/invoke", &ask).await.status, 200);
    server.says("a run failed: the app cannot be reached at its `url`").await;
    assert!(!server.said().contains("hunter2"), "{}", server.said());
}

#[tokio::test]
async fn apps_are_stopped_together() {
    // Each ends only when the other was asked to: one after the other, the first would be killed.
    let command = |own: &str, other: &str| {
        let asked = format!("touch {own}; while [ ! -e {other} ]; do sleep 0.05; done; echo met {own}; exit");
        format!("trap '{asked}' TERM; echo up {own}; while :; do sleep 0.05; done")
    };
    let place = place(&[&command("x", "y"), &command("y", "x")]);
    let mut server = place.serve().await;
    server.says("up x").await;
    server.says("up y").await;
    server.terminate();
    assert_eq!(server.ended().await.code(), Some(0));
    server.says("met x").await;
    server.says("met y").await;
}

#[tokio::test]
async fn an_app_that_does_not_stop_ends_with_us_when_we_are_killed_meanwhile() {
    let place = place(&["trap 'echo asked' TERM; echo id $$; while :; do sleep 0.05; done"]);
    let server = place.serve().await;
    server.says("id ").await;
    let said = server.said();
    let id = said.split("\"line\":\"id ").nth(1).and_then(|rest| rest.split('"').next());
    let id = id.expect("the app said its id").to_owned();
    server.terminate();
    server.says("asked").await;
    server.kill().await;
    let lives = |process: &Process| process.id == id && !process.is_zombie;
    until("the app is gone", async || !processes().iter().any(lives)).await;
}

#[tokio::test]
async fn an_app_does_not_inherit_the_secrets_of_others() {
    let place = Place::new(
        "name: e2e
access: { keys: [{ name: web, key: \"env:WEB_KEY\" }] }
providers:
  vendor: { openai: { api_key: \"env:VENDOR_KEY\" } }
models:
  default: { targets: [vendor/any] }
tools:
  tickets:
    http:
      description: Reads a ticket.
      url: https://tickets.example/
      parameters: { type: object }
      headers: { authorization: \"Bearer ${env:TICKETS_TOKEN}\" }
agents:
  a:
    app:
      url: http://127.0.0.1:9
      command: echo [$WEB_KEY$VENDOR_KEY$TICKETS_TOKEN$B_TOKEN] [$PLAIN] [$OWN]; exec sleep 1000
      env: { OWN: \"env:VENDOR_KEY\" }
  b:
    app:
      url: http://127.0.0.1:9
      command: echo [$WEB_KEY$VENDOR_KEY$TICKETS_TOKEN] [$PLAIN] [$B_TOKEN]; exec sleep 1000
      env: { B_TOKEN: \"env:B_TOKEN\" }
",
    );
    let mut launch = place.command(&["serve", ".", "--listen", "127.0.0.1:0"]);
    for (name, value) in [
        ("WEB_KEY", "web"),
        ("VENDOR_KEY", "vendor"),
        ("TICKETS_TOKEN", "tickets"),
        ("B_TOKEN", "b"),
        ("PLAIN", "plain"),
    ] {
        launch = launch.variable(name, value);
    }
    let server = launch.start().await;
    server.says(r#""app":"a","stream":"stdout","line":"[] [plain] [vendor]""#).await;
    server.says(r#""app":"b","stream":"stdout","line":"[] [plain] [b]""#).await;
}
