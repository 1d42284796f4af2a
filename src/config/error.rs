//! What is wrong with a configuration, and where.

use crate::error::BuildError;
use std::{
    error::Error,
    fmt,
    path::{Path, PathBuf},
};

/// Everything that is wrong with a configuration, in the order of its lines.
///
/// ```text
/// proxy.toml:7: unknown key circuit.cooldwon; did you mean "cooldown"?
/// proxy.toml:12: backoff.jitter is 1.5, but must be a number from 0 to 1
/// ```
///
/// Shows no value that may be a secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: Option<PathBuf>,
    problems: Vec<Problem>,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    line: Option<usize>,
    fault: Fault,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    /// The file cannot be read, or is not TOML.
    Text(String),
    UnknownKey {
        key: String,
        hint: String,
    },
    Value {
        key: String,
        /// `None`: not to be shown.
        value: Option<String>,
        bound: String,
    },
}

impl ConfigError {
    /// `problems` is not empty.
    pub(super) fn new(file: Option<&Path>, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(Problem::line);
        Self {
            file: file.map(Path::to_path_buf),
            problems,
        }
    }

    /// The file, as it was named; `None` where the configuration was made in the program.
    pub fn file(&self) -> Option<&Path> {
        self.file.as_deref()
    }

    /// At least one.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    pub(super) fn text(line: Option<usize>, text: impl fmt::Display) -> Self {
        let fault = Fault::Text(text.to_string());
        Self { line, fault }
    }

    pub(super) fn unknown_key(line: usize, key: String, hint: String) -> Self {
        let (line, fault) = (Some(line), Fault::UnknownKey { key, hint });
        Self { line, fault }
    }

    pub(super) fn value(
        line: Option<usize>,
        key: impl Into<String>,
        value: Option<String>,
        bound: impl Into<String>,
    ) -> Self {
        let (key, bound) = (key.into(), bound.into());
        let fault = Fault::Value { key, value, bound };
        Self { line, fault }
    }

    /// The line of the file, from 1; `None` where it comes from no line.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// The key, with its tables: `features.chat.wait`. `None` where the file as a whole is at fault.
    pub fn key(&self) -> Option<&str> {
        match &self.fault {
            Fault::Text(_) => None,
            Fault::UnknownKey { key, .. } | Fault::Value { key, .. } => Some(key),
        }
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.fault {
            Fault::Text(text) => f.write_str(text),
            Fault::UnknownKey { key, hint } => write!(f, "unknown key {key}; {hint}"),
            Fault::Value {
                key,
                value: Some(value),
                bound,
            } => write!(f, "{key} is {value}, but must be {bound}"),
            Fault::Value {
                key,
                value: None,
                bound,
            } => write!(f, "{key} must be {bound}"),
        }
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (nth, problem) in self.problems.iter().enumerate() {
            if nth > 0 {
                writeln!(f)?;
            }
            match (&self.file, problem.line) {
                (Some(file), Some(line)) => write!(f, "{}:{line}: ", file.display())?,
                (Some(file), None) => write!(f, "{}: ", file.display())?,
                (None, Some(line)) => write!(f, "line {line}: ")?,
                (None, None) => {}
            }
            problem.fmt(f)?;
        }
        Ok(())
    }
}

impl Error for ConfigError {}

/// What only the stack finds wrong.
impl From<BuildError> for ConfigError {
    fn from(error: BuildError) -> Self {
        let value = Some(error.value().to_owned());
        let problem = Problem::value(None, error.field(), value, error.bound());
        Self::new(None, vec![problem])
    }
}
