//! Why upstream did not answer.

use crate::{classify::Unconnected, error::BoxError};
use std::{error::Error, fmt};

/// An upstream that did not answer.
#[derive(Debug)]
pub(in crate::proxy) enum SendError {
    /// There was no connection, and nothing was sent.
    Connect(Unconnected),
    /// The connection broke.
    Broken(hyper::Error),
    /// The runtime ended meanwhile.
    Ended,
}

impl SendError {
    pub(super) fn connect(error: impl Into<BoxError>) -> Self {
        Self::Connect(Unconnected::new(error.into()))
    }

    pub(in crate::proxy) fn is_connect(&self) -> bool {
        matches!(self, Self::Connect(_))
    }
}

impl From<hyper::Error> for SendError {
    fn from(error: hyper::Error) -> Self {
        Self::Broken(error)
    }
}

impl fmt::Display for SendError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("upstream did not answer")
    }
}

impl Error for SendError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Connect(error) => Some(error),
            Self::Broken(error) => Some(error),
            Self::Ended => None,
        }
    }
}
