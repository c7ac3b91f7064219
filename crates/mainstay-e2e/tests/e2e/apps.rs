//! App agents of a real server: what they print, how they are replaced and stopped, and what they leave behind.

use std::path::Path;

use mainstay_e2e::Place;
use mainstay_testkit::process::{PATIENCE, Server};

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

/// Waits until `condition` holds.
async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    while !condition() {
        assert!(tokio::time::Instant::now() < deadline, "not in time: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
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
        until("an app printed everything", || done.exists()).await;
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
    server.says("\nmainstay: … ").await;
    server.says(r#"{"level":"WARN","message":"mainstay: … "#).await;
    server.says(" lines dropped: nobody read them in time").await;
}

/// The ids of `parent`'s children, those alone that are zombies if so wanted.
fn children(parent: u32, zombies: bool) -> Vec<u32> {
    let processes = std::fs::read_dir("/proc").expect("there is a process table").filter_map(Result::ok);
    let stats = processes.filter_map(|process| std::fs::read_to_string(process.path().join("stat")).ok());
    let child = |stat: String| {
        let (id, rest) = stat.split_once(" (")?;
        let mut fields = rest.rsplit_once(") ")?.1.split(' ');
        let is_wanted = (fields.next()? == "Z" || !zombies) && fields.next()? == parent.to_string();
        is_wanted.then(|| id.parse().ok()).flatten()
    };
    stats.filter_map(child).collect()
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
    // What a run leaves in its group, and what left the group.
    let place = place(&["sleep 1000 & setsid sh -c 'sleep 0.1; touch orphan' & exit 0"]);
    let server = place.command(&["serve", ".", "--listen", "127.0.0.1:0"]).as_process_one().start().await;
    let inside = children(server.id(), false)[0];
    until("three runs have ended", || server.said().contains("ends again and again")).await;
    until("an orphan was at work", || place.path().join("orphan").exists()).await;
    until("no zombie is left", || children(inside, true).is_empty()).await;
}
