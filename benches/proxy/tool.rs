//! The throughput once more, by a load generator that others have made.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use crate::{
    load::{self, Ask},
    process::Process,
    round::{MANY, Targets, percentile},
};
use std::{env, fmt::Write, fs, path::PathBuf, process::Command};

/// Rounds at most: a round is a second for each.
const ROUNDS: usize = 10;

/// Load generators that are known.
#[derive(Debug, Clone, Copy)]
enum Tool {
    Oha,
    Wrk,
}

impl Tool {
    fn command(self) -> &'static str {
        match self {
            Self::Oha => "oha",
            Self::Wrk => "wrk",
        }
    }

    /// The first that there is.
    fn find() -> Option<Self> {
        let path = env::var_os("PATH")?;
        let folders: Vec<_> = env::split_paths(&path).collect();
        let exists = |tool: &Self| {
            folders
                .iter()
                .any(|folder| folder.join(tool.command()).is_file())
        };
        [Self::Oha, Self::Wrk].into_iter().find(exists)
    }

    /// Its arguments for a second of load, and a file that it needs.
    fn arguments(self, url: String, file: &str) -> (Vec<String>, String) {
        let body = load::body(Ask::Json, 0);
        let connections = MANY.to_string();
        match self {
            Self::Oha => {
                let mut args = vec![
                    "--no-tui",
                    "-z",
                    "1s",
                    "-c",
                    &connections,
                    "-m",
                    "POST",
                    "-D",
                    file,
                ];
                let headers: Vec<_> = load::HEADERS
                    .iter()
                    .map(|(name, value)| format!("{name}: {value}"))
                    .collect();
                args.extend(headers.iter().flat_map(|header| ["-H", header]));
                let args = args.into_iter().map(ToOwned::to_owned).chain([url]);
                (args.collect(), body)
            }
            Self::Wrk => {
                let mut script = format!("wrk.method = \"POST\"\nwrk.body = [==[{body}]==]\n");
                for (name, value) in load::HEADERS {
                    let _ = writeln!(script, "wrk.headers[\"{name}\"] = \"{value}\"");
                }
                let args =
                    ["-t", "1", "-c", &connections, "-d", "1s", "-s", file].map(ToOwned::to_owned);
                (args.into_iter().chain([url]).collect(), script)
            }
        }
    }

    /// Calls per second; `None` if it failed, or its output cannot be read.
    fn measure(self, process: &Process, file: &PathBuf) -> Option<f64> {
        let url = format!("http://{}/v1/messages", process.address);
        let (args, text) = self.arguments(url, file.to_str()?);
        fs::write(file, text).ok()?;
        let output = Command::new(self.command()).args(args).output().ok()?;
        let text = String::from_utf8(output.stdout).ok()?;
        let (_, rate) = text.split_once("Requests/sec:")?;
        rate.split_whitespace().next()?.parse().ok()
    }
}

/// Measures the throughput of JSON with `oha` or `wrk`, if there is one.
pub(crate) fn cross_check(targets: &Targets<'_>, rounds: usize) {
    let Some(tool) = Tool::find() else {
        println!("\n(neither oha nor wrk on the PATH: no cross-check of the throughput)");
        return;
    };
    let name = tool.command();
    let file = env::temp_dir().join(format!("claude-proxy-bench-{}", std::process::id()));
    let round = |_| {
        let [direct, bare, claude] = targets.all().map(|process| tool.measure(process, &file));
        Some([direct?, bare?, claude?])
    };
    let measured: Option<Vec<_>> = (0..rounds.min(ROUNDS)).map(round).collect();
    let _ = fs::remove_file(&file);
    let Some(measured) = measured else {
        println!("\n({name} did not measure anything)");
        return;
    };
    let median = |figure: fn(&[f64; 3]) -> f64| percentile(measured.iter().map(figure), 50);
    println!(
        "\n16 connections, JSON, by {name}: direct {:.0}, bare {:.0}, claude-proxy {:.0} calls/s, {:.2}x of bare",
        median(|ways| ways[0]),
        median(|ways| ways[1]),
        median(|ways| ways[2]),
        median(|ways| ways[2] / ways[1]),
    );
}
