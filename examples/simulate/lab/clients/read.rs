//! How an application reads an answer, and what an attempt of a client without our stack comes to.

use super::{super::claude::Claude, Ask, Which};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use http_body_util::BodyExt;
use std::{future::Future, time::Duration};
use tokio::time::timeout;
use tower_claude::BoxError;
use tower_service::Service;

/// How an answer ended, to the eye of its reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Read {
    Whole,
    /// Half of it, and told so: by an error event, a broken connection, a timeout.
    Half,
    /// Half of it, with a clean end.
    False,
}

/// Reads a body to its end, with so much patience for each piece.
pub(super) async fn read<B>(response: Response<B>, stream: bool, patience: Duration) -> Read
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut body = response.into_body();
    let mut whole = !stream;
    while let Ok(frame) = timeout(patience, body.frame()).await {
        match frame {
            None if whole => return Read::Whole,
            None => return Read::False,
            Some(Err(_)) => return Read::Half,
            Some(Ok(frame)) => {
                let Ok(data) = frame.into_data() else {
                    continue;
                };
                let has = |what: &[u8]| data.windows(what.len()).any(|part| part == what);
                if stream && has(b"event: error") {
                    return Read::Half;
                }
                whole |= has(b"event: message_stop");
            }
        }
    }
    Read::Half
}

/// What an attempt came to.
#[derive(Debug)]
pub(super) enum Attempt<B> {
    /// A 200. Its body is still to be read.
    Answered(Response<B>),
    /// A status that is none, and the wait that came with it.
    Refused {
        status: u16,
        retry_after: Option<Duration>,
    },
    /// No answer in time, or no connection.
    Broken,
}

/// One attempt of an application that has no stack.
pub(super) async fn attempt(
    claude: &Claude,
    ask: &Ask,
    which: Which,
    patience: Duration,
) -> Attempt<impl Body<Data = Bytes, Error = BoxError> + Unpin + use<>> {
    let sent = claude.clone().call(ask.request(which));
    let Ok(Ok(response)) = in_time(patience, sent).await else {
        return Attempt::Broken;
    };
    if response.status().is_success() {
        return Attempt::Answered(response);
    }
    let retry_after = response.headers().get("retry-after");
    let retry_after = retry_after.and_then(|value| value.to_str().ok()?.parse().ok());
    Attempt::Refused {
        status: response.status().as_u16(),
        retry_after: retry_after.map(Duration::from_secs),
    }
}

async fn in_time<F: Future>(patience: Duration, future: F) -> Result<F::Output, ()> {
    timeout(patience, future).await.map_err(drop)
}
