//! What is wrong with a configuration, and where.

use std::{error::Error, fmt};

/// A configuration that cannot be used: names the file, the line, the field, its value and what it must be.
///
/// `Display` is one line: `proxy.toml:12: circuit.rate is 1.5, but must be a share above 0 and at most 1`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError {
    file: String,
    line: Option<usize>,
    field: String,
    problem: String,
}

impl ConfigError {
    pub(super) fn new(
        file: &str,
        line: Option<usize>,
        field: impl Into<String>,
        problem: impl Into<String>,
    ) -> Self {
        Self {
            file: file.to_owned(),
            line,
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// The file, as it was named.
    pub fn file(&self) -> &str {
        &self.file
    }

    /// The line, from 1. `None` where no line is at fault: a file that cannot be read, a setting that another one rules
    /// out.
    pub fn line(&self) -> Option<usize> {
        self.line
    }

    /// The field, with the tables it stands in: `circuit.rate`. Empty where the file as a whole is at fault.
    pub fn field(&self) -> &str {
        &self.field
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.file)?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        f.write_str(": ")?;
        if !self.field.is_empty() {
            write!(f, "{} ", self.field)?;
        }
        f.write_str(&self.problem)
    }
}

impl Error for ConfigError {}
