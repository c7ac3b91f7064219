//! `mainstay list`: the apps that `mainstay run` has started on this host, and that run.

use std::process::ExitCode;

use clap::{Arg, ArgMatches, Command};
use mainstay_core::Clock as _;
use mainstay_net::clock::SystemClock;
use serde_json::{Value, json};

use super::Def;
use crate::run::record::{self, Record};
use crate::{exit, terminal};

pub(super) const DEF: Def = Def { name: "list", command, run };

/// Characters of a command that the table shows.
const COMMAND_SHOWN: usize = 20;

fn command() -> Command {
    Command::new("list").about("List the apps that `mainstay run` has started").arg(
        Arg::new("output")
            .long("output")
            .short('o')
            .value_parser(["table", "json"])
            .default_value("table")
            .help("How the list looks"),
    )
}

fn run(matches: &ArgMatches) -> anyhow::Result<ExitCode> {
    let records: Vec<Record> = record::all().into_iter().map(|(_, record)| record).collect();
    let is_json = matches.get_one::<String>("output").is_some_and(|output| output == "json");
    if is_json {
        let list: Vec<Value> = records.iter().map(json_of).collect();
        terminal::answer(&format!("{:#}\n", Value::from(list)))?;
    } else if records.is_empty() {
        terminal::answer("No Dapr instances found.\n")?;
    } else {
        terminal::answer(&table(&records))?;
    }
    Ok(ExitCode::from(exit::OK))
}

fn json_of(record: &Record) -> Value {
    json!({
        "appId": record.app_id,
        "httpPort": record.http_port,
        "grpcPort": record.grpc_port,
        "appPort": record.app_port,
        "command": record.command,
        "age": age(record),
        "created": created(record),
        "daprdPid": record.pid,
        "cliPid": record.pid,
        "appPid": record.app_pid,
        "runTemplatePath": record.run_file,
        "appLogPath": record.app_log,
        "daprdLogPath": record.sidecar_log,
    })
}

fn table(records: &[Record]) -> String {
    let head =
        ["APP ID", "HTTP PORT", "GRPC PORT", "APP PORT", "COMMAND", "AGE", "CREATED", "PID", "RUN FILE"];
    let rows = records.iter().map(|record| {
        let command: String = record.command.chars().take(COMMAND_SHOWN).collect();
        let cut = if record.command.chars().count() > COMMAND_SHOWN { "..." } else { "" };
        [
            record.app_id.clone(),
            record.http_port.to_string(),
            record.grpc_port.to_string(),
            record.app_port.to_string(),
            format!("{command}{cut}"),
            age(record),
            created(record),
            record.pid.to_string(),
            record.run_file.clone(),
        ]
    });
    let rows: Vec<[String; 9]> = std::iter::once(head.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let line = |row: &[String; 9]| {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:<width$}"));
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned() + "\n"
    };
    rows.iter().map(line).collect()
}

/// How long it has been running, in the largest unit that fits.
fn age(record: &Record) -> String {
    let now = SystemClock.now_ms() / 1_000;
    let seconds = now.saturating_sub(record.started);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..86_400 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// When it was started, in UTC.
fn created(record: &Record) -> String {
    mainstay_dapr::time(record.started * 1_000).replace('T', " ").replace('Z', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_has_a_line_for_each_app() {
        let long = "python3 -m uvicorn app:app --port 8000".to_owned();
        let record =
            Record { app_id: "shop".to_owned(), http_port: 3500, command: long, ..Record::default() };
        let table = table(&[record]);
        assert!(table.starts_with("APP ID  HTTP PORT"), "{table}");
        assert!(table.contains("shop    3500") && table.contains("python3 -m uvicorn a..."), "{table}");
    }
}
