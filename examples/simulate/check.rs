//! Checks what must hold, and says why it does.

use crate::lab::must::ALL;
use std::process::ExitCode;
use tower_claude::BoxError;

/// All claims, with so many seeds. Fails if one does not hold.
pub(crate) fn check(seeds: u64) -> Result<ExitCode, BoxError> {
    let mut broken = 0;
    for seed in 1..=seeds.max(1) {
        for (name, check) in ALL {
            let claim = check(seed)?;
            broken += usize::from(!claim.holds);
            let word = if claim.holds { "holds" } else { "BROKEN" };
            println!(
                "{word:6} seed {seed}  {name}: {}\n       {}",
                claim.what, claim.because
            );
        }
    }
    println!("\n{broken} broken");
    Ok(if broken == 0 {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
