//! placeholder
use std::process::ExitCode;
use tower_claude::BoxError;
pub(crate) fn check() -> Result<ExitCode, BoxError> {
    Ok(ExitCode::SUCCESS)
}
