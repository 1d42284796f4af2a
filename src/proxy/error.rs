//! Why a proxy does not start, or does not take other settings.

use crate::{config::ConfigError, error::BuildError};
use std::{error::Error, fmt, io, net::SocketAddr};

/// A proxy that cannot be started, or settings that it cannot go on with.
///
/// Its message names variables and addresses, and shows no secret.
#[derive(Debug)]
#[non_exhaustive]
pub enum StartError {
    /// The settings are out of bounds.
    Config(ConfigError),
    /// The stack cannot be built from them.
    Build(BuildError),
    /// The proxy is to hold the key, and this variable does not hold one.
    NoKey {
        /// Its name.
        variable: String,
    },
    /// The proxy holds the key, and callers would need no token: this variable holds none, or one of fewer than 16
    /// characters.
    NoTokens {
        /// Its name.
        variable: String,
    },
    /// Operators are served at an address that others can reach, and this variable does not hold the token they would
    /// need, of at least 16 characters.
    NoAdminToken {
        /// Its name.
        variable: &'static str,
        /// The address.
        address: SocketAddr,
    },
    /// An address cannot be listened at.
    Bind {
        /// The address.
        address: SocketAddr,
        /// Why.
        error: io::Error,
    },
    /// The fake Claude of the demo did not start.
    Demo(Box<dyn Error + Send + Sync>),
}

impl StartError {
    /// Whether the settings are well and only a secret is missing here.
    pub(super) fn is_of_environment(&self) -> bool {
        matches!(
            self,
            Self::NoKey { .. } | Self::NoTokens { .. } | Self::NoAdminToken { .. }
        )
    }
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => error.fmt(f),
            Self::Build(error) => error.fmt(f),
            Self::NoKey { variable } => write!(
                f,
                "[auth] is set, but the environment variable {variable} does not hold a key"
            ),
            Self::NoTokens { variable } => write!(
                f,
                "with [auth] callers need tokens, on loopback too, which any web page can reach: set the environment \
                 variable {variable} to a list with commas, each of at least 16 characters"
            ),
            Self::NoAdminToken { variable, address } if address.ip().is_loopback() => write!(
                f,
                "operators need the token that the environment variable {variable} holds, and that is none of at least \
                 16 characters"
            ),
            Self::NoAdminToken { variable, address } => write!(
                f,
                "admin = {address} can be reached from elsewhere, so operators need a token: set the environment \
                 variable {variable} to one of at least 16 characters"
            ),
            Self::Bind { address, error } => write!(f, "cannot listen at {address}: {error}"),
            Self::Demo(error) => write!(f, "the fake Claude of the demo did not start: {error}"),
        }
    }
}

impl Error for StartError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Config(error) => Some(error),
            Self::Build(error) => Some(error),
            Self::Bind { error, .. } => Some(error),
            Self::Demo(error) => Some(&**error),
            Self::NoKey { .. } | Self::NoTokens { .. } | Self::NoAdminToken { .. } => None,
        }
    }
}

impl From<ConfigError> for StartError {
    fn from(error: ConfigError) -> Self {
        Self::Config(error)
    }
}

impl From<BuildError> for StartError {
    fn from(error: BuildError) -> Self {
        Self::Build(error)
    }
}
