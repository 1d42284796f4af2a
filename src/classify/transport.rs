//! How a connection failed, told from the types of the client's errors and never from their texts.
//!
//! Errors come wrapped: by the client, by connectors, by other people's layers. What counts is found by walking their
//! sources, and what stands inside an [`io::Error`], which hides it from [`Error::source`].

use std::{error::Error, fmt, io};

/// No connection came to be.
const UNCONNECTED: [io::ErrorKind; 5] = [
    io::ErrorKind::ConnectionRefused,
    io::ErrorKind::HostUnreachable,
    io::ErrorKind::NetworkUnreachable,
    io::ErrorKind::NetworkDown,
    io::ErrorKind::AddrNotAvailable,
];

/// One that stood does so no longer.
const BROKEN: [io::ErrorKind; 5] = [
    io::ErrorKind::ConnectionReset,
    io::ErrorKind::ConnectionAborted,
    io::ErrorKind::BrokenPipe,
    io::ErrorKind::NotConnected,
    io::ErrorKind::UnexpectedEof,
];

/// What a connection broke of.
///
/// From [`Failure::transport`](super::Failure::transport). Known of every client whose errors hold an [`io::Error`]; with the
/// features `hyper` and `reqwest` also by what hyper, hyper-util, rustls and reqwest say themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TransportKind {
    /// No connection: refused, unreachable, no such name, or not in time. Nothing was sent.
    Connect,
    /// A connection, but no agreement on TLS: a certificate that does not fit, or a server that speaks something else.
    /// Nothing was sent.
    Tls,
    /// A connection that had been kept alive was found closed before the request was written. Nothing was sent. Clients try
    /// another connection by themselves; this is what is left when they do not.
    Stale,
    /// Reset or closed before the answer was whole; on a reused connection mostly because the server closed it at that
    /// moment. The request may have been worked on.
    Reset,
    /// Silent for too long, by the measure of TCP, of HTTP/2 pings, or of a time limit of the client.
    Timeout,
}

/// That no connection came to be, said by a client of ours.
#[cfg(feature = "proxy")]
#[derive(Debug)]
pub(crate) struct Unconnected(crate::BoxError);

#[cfg(feature = "proxy")]
impl Unconnected {
    pub(crate) fn new(error: crate::BoxError) -> Self {
        Self(error)
    }
}

#[cfg(feature = "proxy")]
impl fmt::Display for Unconnected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("no connection")
    }
}

#[cfg(feature = "proxy")]
impl Error for Unconnected {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&*self.0)
    }
}

impl TransportKind {
    /// The name in logs: `connect`, `tls`, `stale`, `reset`, `timeout`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Stale => "stale",
            Self::Reset => "reset",
            Self::Timeout => "timeout",
        }
    }

    /// What an error of a client says of its connection. `None`: nothing, as far as this crate knows it.
    pub fn of(error: &(dyn Error + 'static)) -> Option<Self> {
        if sources(error).any(is_tls) {
            return Some(Self::Tls);
        }
        if sources(error).any(is_connect) {
            // Within a connect only a handshake finds data that it cannot read, or an end where there should be more.
            let shook_hands = sources(error).any(|error| {
                is_io(
                    error,
                    &[io::ErrorKind::InvalidData, io::ErrorKind::UnexpectedEof],
                )
            });
            return Some(if shook_hands {
                Self::Tls
            } else {
                Self::Connect
            });
        }
        sources(error).find_map(kind_of)
    }
}

impl fmt::Display for TransportKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Whether a time limit of the client ran out while it had a connection that worked.
pub(super) fn ran_out_of_time(error: &(dyn Error + 'static)) -> bool {
    if sources(error).any(is_connect) {
        return false;
    }
    sources(error).any(|error| error.is::<tokio::time::error::Elapsed>() || is_limit(error))
}

/// An error and its sources, outermost first.
pub(super) fn sources<'a>(
    error: &'a (dyn Error + 'static),
) -> impl Iterator<Item = &'a (dyn Error + 'static)> {
    std::iter::successors(Some(error), |&error| {
        let within = error
            .downcast_ref::<io::Error>()
            .and_then(io::Error::get_ref);
        match within {
            // Its `source` is the source of this one.
            Some(within) => Some(within as &(dyn Error + 'static)),
            None => error.source(),
        }
    })
}

fn is_io(error: &(dyn Error + 'static), kinds: &[io::ErrorKind]) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| kinds.contains(&error.kind()))
}

fn is_connect(error: &(dyn Error + 'static)) -> bool {
    #[cfg(any(feature = "hyper", feature = "reqwest"))]
    if let Some(error) = error.downcast_ref::<hyper_util::client::legacy::Error>() {
        return error.is_connect();
    }
    #[cfg(feature = "proxy")]
    if error.is::<Unconnected>() {
        return true;
    }
    is_io(error, &UNCONNECTED)
}

fn is_tls(error: &(dyn Error + 'static)) -> bool {
    #[cfg(feature = "hyper")]
    let is_tls = error.is::<rustls::Error>();
    #[cfg(not(feature = "hyper"))]
    let is_tls = {
        let _ = error;
        false
    };
    is_tls
}

/// What one error says of a connection that stood.
fn kind_of(error: &(dyn Error + 'static)) -> Option<TransportKind> {
    #[cfg(any(feature = "hyper", feature = "reqwest"))]
    if let Some(error) = error.downcast_ref::<hyper::Error>() {
        return of_hyper(error);
    }
    if is_io(error, &[io::ErrorKind::TimedOut])
        || error.is::<tokio::time::error::Elapsed>()
        || is_limit(error)
    {
        return Some(TransportKind::Timeout);
    }
    is_io(error, &BROKEN).then_some(TransportKind::Reset)
}

#[cfg(any(feature = "hyper", feature = "reqwest"))]
fn of_hyper(error: &hyper::Error) -> Option<TransportKind> {
    if error.is_timeout() {
        Some(TransportKind::Timeout)
    } else if error.is_canceled() {
        Some(TransportKind::Stale)
    } else if error.is_incomplete_message() || error.is_closed() {
        Some(TransportKind::Reset)
    } else {
        // What it wraps may say more.
        None
    }
}

/// Whether this is a time limit that a client sets for a whole call, and not the silence of a connection.
#[cfg(feature = "reqwest")]
fn is_limit(error: &(dyn Error + 'static)) -> bool {
    let Some(reqwest) = error.downcast_ref::<reqwest::Error>() else {
        return false;
    };
    let is_silence = |error: &(dyn Error + 'static)| {
        let hyper = error.downcast_ref::<hyper::Error>();
        hyper.is_some_and(hyper::Error::is_timeout) || is_io(error, &[io::ErrorKind::TimedOut])
    };
    reqwest.is_timeout() && !sources(error).any(is_silence)
}

#[cfg(not(feature = "reqwest"))]
fn is_limit(_: &(dyn Error + 'static)) -> bool {
    false
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::{Classify, ClaudeClassifier, Failure, FailureKind};

    #[derive(Debug)]
    struct Wrapper(Box<dyn Error + Send + Sync>);

    impl fmt::Display for Wrapper {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("connection refused, reset, timed out")
        }
    }

    impl Error for Wrapper {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            Some(&*self.0)
        }
    }

    #[test]
    fn an_io_error_tells_how_a_connection_failed_however_deep_it_stands() {
        use io::ErrorKind as K;
        for (kind, transport) in [
            (K::ConnectionRefused, Some(TransportKind::Connect)),
            (K::HostUnreachable, Some(TransportKind::Connect)),
            (K::ConnectionReset, Some(TransportKind::Reset)),
            (K::BrokenPipe, Some(TransportKind::Reset)),
            (K::UnexpectedEof, Some(TransportKind::Reset)),
            (K::TimedOut, Some(TransportKind::Timeout)),
            (K::Other, None),
        ] {
            let bare = io::Error::from(kind);
            assert_eq!(TransportKind::of(&bare), transport);
            let wrapped = Wrapper(Box::new(io::Error::other(Wrapper(Box::new(bare)))));
            assert_eq!(TransportKind::of(&wrapped), transport);
            let failure = ClaudeClassifier.error(&wrapped);
            assert_eq!(
                (failure.kind, failure.transport()),
                (FailureKind::Transport, transport)
            );
        }
    }

    #[test]
    fn words_tell_nothing() {
        let wrapped = Wrapper("connection refused (os error 111)".into());
        assert_eq!(TransportKind::of(&wrapped), None);
        assert_eq!(ClaudeClassifier.error(&wrapped).to_string(), "transport");
    }

    #[test]
    fn a_failure_is_found_within_an_io_error_too() {
        let error = io::Error::other(Wrapper(Box::new(Failure::new(FailureKind::CircuitOpen))));
        assert_eq!(
            Failure::find(&error).unwrap().kind,
            FailureKind::CircuitOpen
        );
    }

    #[tokio::test(start_paused = true)]
    async fn a_time_limit_of_the_client_is_a_timeout_as_ours_are() {
        let limit = std::time::Duration::from_secs(1);
        let elapsed = tokio::time::timeout(limit, std::future::pending::<()>())
            .await
            .unwrap_err();
        let failure = ClaudeClassifier.error(&Wrapper(Box::new(elapsed)));
        assert_eq!(failure.kind, FailureKind::Timeout);
        assert_eq!(failure.transport(), Some(TransportKind::Timeout));
        assert!(!failure.is_retryable() && failure.warrants_fallback());
    }
}
