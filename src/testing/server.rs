//! Connections and requests: what the fake Claude does on the network.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api::{self, Keys, Upload};
use super::body::ScriptedBody;
use super::gauge::Gauge;
use super::schedule::Schedule;
use super::seen::{Log, Seen};
use super::wire::{self, Answer};

/// A pause after a failed accept, which mostly means that the process is out of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(10);

/// Numbers of requests and messages are never used twice in a process, so that ids are unique
/// across servers.
static NUMBER: AtomicU64 = AtomicU64::new(1);

/// What all connections of a server share.
#[derive(Debug)]
pub(super) struct State {
    pub(super) schedule: Mutex<Schedule>,
    pub(super) log: Log,
    pub(super) models: Option<Vec<String>>,
    pub(super) keys: Keys,
    pub(super) max_body: usize,
    pub(super) connections: Gauge,
    pub(super) in_flight: Gauge,
}

impl State {
    pub(super) fn schedule(&self) -> MutexGuard<'_, Schedule> {
        self.schedule.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Accepts connections until it is dropped, which also ends every connection.
pub(super) async fn serve(listener: TcpListener, state: Arc<State>) {
    let mut connections = JoinSet::new();
    let mut number = 0;
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(connection(stream, Arc::clone(&state), number));
                    number += 1;
                }
                Err(_) => tokio::time::sleep(ACCEPT_AGAIN).await,
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn connection(stream: TcpStream, state: Arc<State>, number: u64) {
    let _open = state.connections.hold();
    // Without it a stream of small frames takes 40 ms for each; without success the bytes are still
    // right.
    let _ = stream.set_nodelay(true);
    let hang_up = Arc::new(Notify::new());
    let service =
        service_fn(|request| respond(request, Arc::clone(&state), Arc::clone(&hang_up), number));
    let mut connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    tokio::select! {
        // Whether it ended well is the client's business.
        _ = &mut connection => {}
        () = hang_up.notified() => reset(&connection.into_parts().io.into_inner()),
    }
}

/// Makes the drop of the socket a reset instead of an orderly end.
fn reset(stream: &TcpStream) {
    // tokio's `set_zero_linger` is newer than the oldest tokio this crate builds with. A linger of
    // zero never blocks.
    #[allow(deprecated, reason = "deprecated in new versions only")]
    let _: io::Result<()> = stream.set_linger(Some(Duration::ZERO));
}

async fn respond(
    request: Request<Incoming>,
    state: Arc<State>,
    hang_up: Arc<Notify>,
    connection: u64,
) -> Result<Response<ScriptedBody>, Infallible> {
    let running = state.in_flight.hold();
    let (head, body) = request.into_parts();
    let upload = match Limited::new(body, state.max_body).collect().await {
        Ok(body) => Upload::Whole(body.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => Upload::TooLarge,
        Err(_) => Upload::Broken,
    };
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let now = Instant::now();
    let (endpoint, reply) = api::decide(&state, &head, &upload, now);
    let body = match upload {
        Upload::Whole(body) => body,
        Upload::TooLarge | Upload::Broken => Bytes::new(),
    };
    let mut seen = Seen::new(now, connection, &head, body);
    seen.model = endpoint.model().map(ToOwned::to_owned);
    let ask = endpoint.ask(number, seen.body.len());
    let natural = endpoint.natural(&ask, &state);
    state.log.record(seen, endpoint.is_call());
    match wire::answer(&reply, &ask, natural) {
        Answer::Hang => std::future::pending().await,
        Answer::Reset { after } => {
            tokio::time::sleep(after).await;
            hang_up.notify_one();
            std::future::pending().await
        }
        Answer::Respond {
            after,
            status,
            headers,
            body,
        } => {
            if !after.is_zero() {
                tokio::time::sleep(after).await;
            }
            let mut response = Response::new(ScriptedBody::new(body, hang_up, running));
            *response.status_mut() = status;
            *response.headers_mut() = headers;
            Ok(response)
        }
    }
}
