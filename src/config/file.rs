//! The file itself.

use super::{Config, ConfigError, Problem};
use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

/// The longest file, in bytes: more than a thousand features with a message each.
const LONGEST: u64 = 1 << 20;

impl Config {
    /// Reads a file of at most 1 MiB.
    ///
    /// # Errors
    ///
    /// It cannot be read, or as [`from_toml`](Self::from_toml).
    pub fn load(path: impl AsRef<Path>) -> Result<Self, ConfigError> {
        let path = path.as_ref();
        let text = read(path).map_err(|error| unreadable(path, &error))?;
        Self::from_toml(&text, path)
    }

    /// As [`load`](Self::load), of what was read before. A pipe is refused: a shell's is empty by now, which would stand for
    /// the defaults, and a named one waits for its writer.
    #[cfg(feature = "proxy")]
    pub(crate) fn load_again(path: &Path) -> Result<Self, ConfigError> {
        match path.metadata() {
            Ok(file) if !file.is_file() => {
                let error = io::Error::other("it is no file, which can be read again");
                Err(unreadable(path, &error))
            }
            _ => Self::load(path),
        }
    }
}

fn read(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    File::open(path)?
        .take(LONGEST + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > LONGEST {
        return Err(io::Error::other("it is longer than 1 MiB"));
    }
    Ok(text)
}

fn unreadable(path: &Path, error: &io::Error) -> ConfigError {
    let problem = Problem::text(None, format_args!("cannot be read: {error}"));
    ConfigError::new(Some(path), vec![problem])
}
