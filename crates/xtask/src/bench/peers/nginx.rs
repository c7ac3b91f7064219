//! nginx as a plain reverse proxy: what forwarding costs when nothing is looked at.

use std::process::Command;

use anyhow::Context as _;

use super::{Peer, Setting};
use crate::bench::service::{Launch, free_address};
use crate::shell;

pub(super) const DEF: Peer = Peer { name: "nginx", slow: false, prepare };

fn prepare(setting: &Setting<'_>) -> anyhow::Result<Launch> {
    let program = install()?;
    let folder = tempfile::tempdir()?;
    let address = free_address()?;
    let path = folder.path().display();
    let config = format!(
        "worker_processes auto; daemon off; pid {path}/nginx.pid; error_log {path}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; client_max_body_size 2m; client_body_buffer_size 256k; keepalive_requests 10000000;
  client_body_temp_path {path}/body; proxy_temp_path {path}/proxy; fastcgi_temp_path {path}/fastcgi;
  uwsgi_temp_path {path}/uwsgi; scgi_temp_path {path}/scgi;
  upstream mock {{ server {upstream}; keepalive 128; keepalive_requests 10000000; }}
  server {{
    listen {address};
    location / {{
      proxy_pass http://mock; proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_buffering off;
    }}
  }}
}}
",
        upstream = setting.upstream,
    );
    let file = folder.path().join("nginx.conf");
    std::fs::write(&file, config)?;
    let mut command = Command::new(program);
    command.arg("-p").arg(folder.path()).arg("-c").arg(&file);
    Ok(Launch { command, address, ready_path: "/v1/models", keys: Vec::new(), folder })
}

/// Where nginx is; installs the distribution's package when this may.
fn install() -> anyhow::Result<&'static str> {
    let found = || ["nginx", "/usr/sbin/nginx"].into_iter().find(|program| is_nginx(program));
    if let Some(program) = found() {
        return Ok(program);
    }
    anyhow::ensure!(
        rustix::process::geteuid().is_root(),
        "nginx is not installed, and only root can install it"
    );
    println!("installing nginx-light …");
    // The lists may be missing on a fresh machine; if they cannot be had, the install says so.
    let _ = shell::output(Command::new("apt-get").args(["update", "-qq"]));
    // The package must not start a service of its own on port 80.
    let mut command = Command::new("apt-get");
    command.args(["install", "-y", "-qq", "--no-install-recommends", "nginx-light"]);
    shell::output(command.env("DEBIAN_FRONTEND", "noninteractive").env("RUNLEVEL", "1"))?;
    found().context("the package nginx-light brought no nginx")
}

fn is_nginx(program: &str) -> bool {
    Command::new(program).arg("-v").output().is_ok_and(|out| out.status.success())
}
