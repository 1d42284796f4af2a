//! What claude-proxy costs over loopback, against no proxy at all and against a bare reverse proxy of hyper.
//!
//! ```console
//! $ cargo bench --bench proxy                    # a minute
//! $ cargo bench --bench proxy -- --rounds 100    # longer, for a machine that others use too
//! ```
//!
//! Upstream, both proxies and the load are processes of their own. Claude-proxy is the command itself with its default
//! settings: cache, monitor, circuits and all. In each round everything is measured in turn, and what is compared is
//! compared within a round, since a machine is not equally fast all the time: read the ratios and the differences, not
//! the times. Calls ask 1000 different things, so that the cache has something to keep: of so many answers a second, the
//! 1000 that it takes by default. Upstream answers at once, which Claude never does: what is timed is work, and nobody
//! waits.
//!
//! The load is made by a small generator of its own ([`load`]); where `oha` or `wrk` is on the `PATH`, it measures the
//! throughput once more.

#![expect(
    clippy::cast_precision_loss,
    reason = "three digits of a figure are read"
)]

mod bare;
mod load;
mod process;
mod round;
mod table;
mod tool;
mod upstream;

use process::Process;
use round::{Measured, Targets};
use std::{env, time::Duration};

/// Of a run.
const ROUNDS: usize = 25;

/// What is thrown away: pools fill, pages are touched, caches warm up.
const WARM_UP: usize = 2;

fn main() {
    let args: Vec<String> = env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match *args {
        // What this binary starts itself as.
        [upstream::ROLE] => upstream::run(),
        [bare::ROLE, upstream] => bare::run(upstream),
        _ => measure(rounds(&args)),
    }
}

/// `cargo test --benches` only wants to know that it runs.
fn rounds(args: &[&str]) -> usize {
    let asked = args.windows(2).find_map(|pair| match *pair {
        ["--rounds", rounds] => rounds.parse().ok(),
        _ => None,
    });
    let is_bench = args.contains(&"--bench");
    asked.unwrap_or(if is_bench { ROUNDS } else { 1 })
}

fn measure(rounds: usize) {
    let upstream = Process::upstream();
    let bare = Process::bare(&upstream);
    let claude = Process::claude_proxy(&upstream);
    // Once everything has started and nobody has called.
    std::thread::sleep(Duration::from_millis(500));
    let idle = [bare.peak_memory(), claude.peak_memory()];

    let targets = Targets {
        direct: &upstream,
        bare: &bare,
        claude: &claude,
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    let measured: Vec<Measured> = (0..rounds + WARM_UP)
        .map(|round| runtime.block_on(round::measure(&targets, round)))
        .skip(WARM_UP)
        .collect();
    runtime.block_on(round::crowd(&targets));
    let loaded = [bare.peak_memory(), claude.peak_memory()];

    table::print(&measured, idle, loaded);
    tool::cross_check(&targets, rounds);
}
