//! Prints how fast a model file runs on this machine: load, prompt, answer and memory.
//! `cargo run --profile perf -p mainstay-local --example bench -- FILE [THREADS]`. It judges nothing.
#![expect(clippy::print_stdout, reason = "a table on the terminal is what it is for")]

use std::time::Instant;

use futures_util::StreamExt;
use mainstay_core::message::{Message, Role};
use mainstay_core::model::{ModelEvent, ModelRequest, Usage};
use mainstay_local::{Engine, EngineOptions};

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let file = arguments.next().ok_or("usage: bench FILE [THREADS]")?;
    let mut options = EngineOptions::new(file, "bench");
    if let Some(threads) = arguments.next() {
        options.threads = threads.parse()?;
    }
    println!("threads {}, memory before {} MB", options.threads, resident_mb());

    let started = Instant::now();
    let engine = Engine::open(options)?;
    ask(&engine, "Hi", 1).await?;
    println!(
        "{:>5} {:>5} {:>9} {:>8} {:>8} {:>6} {:>8} {:>8}",
        "read", "known", "first ms", "tok/s", "cpu ms/t", "spoken", "tok/s", "cpu ms/t"
    );
    println!("load and first token {:.2} s, memory {} MB", started.elapsed().as_secs_f64(), resident_mb());

    for question in ["What is the capital of France?", "Why is the sky blue? Answer in a few sentences."] {
        ask(&engine, question, 128).await?;
    }
    let words = "The quick brown fox jumps over the lazy dog near the river bank. ";
    for repetitions in [2, 16, 64, 128] {
        let long = format!("Summarise: {}", words.repeat(repetitions));
        ask(&engine, &long, 64).await?;
    }
    println!("memory {} MB, most {} MB", resident_mb(), status_mb("VmHWM"));
    Ok(())
}

/// Asks once and prints tokens per second of prompt and answer.
async fn ask(engine: &Engine, question: &str, max_tokens: u32) -> Result<(), Box<dyn std::error::Error>> {
    let request = ModelRequest {
        messages: vec![Message::text(Role::User, question)],
        temperature: Some(0.0),
        max_tokens: Some(max_tokens),
        ..ModelRequest::default()
    };
    let (started, cpu_before) = (Instant::now(), cpu_ms());
    let mut stream = engine.complete(None, request).await?;
    let (mut first, mut text, mut usage) = (None, String::new(), Usage::default());
    while let Some(event) = stream.next().await {
        match event? {
            ModelEvent::Text(piece) => {
                first.get_or_insert_with(|| (started.elapsed(), cpu_ms()));
                text.push_str(&piece);
            }
            ModelEvent::Usage(spent) => usage = spent,
            _ => {}
        }
    }
    let (first, cpu_first) = first.unwrap_or((started.elapsed(), cpu_before));
    let (first, rest) = (first.as_secs_f64(), (started.elapsed() - first).as_secs_f64());
    let (read, spoken) = (usage.input_uncached as f64, usage.output.saturating_sub(1) as f64);
    println!(
        "{:5} {:5} {:9.1} {:8.0} {:8.2} {:6} {:8.1} {:8.2}  {:?}",
        usage.input_total(),
        usage.cache_read,
        first * 1e3,
        read / first,
        (cpu_first - cpu_before) / read,
        usage.output,
        spoken / rest,
        (cpu_ms() - cpu_first) / spoken,
        text.chars().take(48).collect::<String>(),
    );
    Ok(())
}

/// Processor time of all threads so far: what a busy machine does not distort.
fn cpu_ms() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks = |index: usize| fields.get(index).and_then(|t| t.parse::<f64>().ok()).unwrap_or(0.0);
    // User and system time, in hundredths of a second on every Linux.
    (ticks(11) + ticks(12)) * 10.0
}

fn resident_mb() -> u64 {
    status_mb("VmRSS")
}

fn status_mb(key: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with(key)).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kb| kb.parse::<u64>().ok()).unwrap_or(0) / 1024
}
