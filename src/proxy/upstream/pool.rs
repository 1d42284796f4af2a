//! The connections that are kept between calls.

use super::{body::Outgoing, error::SendError, link::Link, target::Target};
use crate::{
    client,
    sync::{Mutex, lock},
};
use http::{Request, Response};
use hyper::{
    body::Incoming,
    client::conn::{TrySendError, http2},
};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::connect::{Connection, HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::{
    fmt, mem,
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};
use tokio::{runtime::Handle, time::sleep};
use tower::util::ServiceExt;

/// So many are kept at most.
const MAX_IDLE: usize = 100;

/// How often they are looked through.
const ROUND: Duration = Duration::from_secs(30);

/// So many rounds one is kept, and the rest of the one it came in.
const ROUNDS: u32 = 3;

/// Of HTTP/2, while calls are under way: all of a dead connection fail at once.
const PING_EVERY: Duration = Duration::from_secs(20);
const PING_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection for a call.
pub(super) enum Way {
    Own(Box<Link>),
    Shared(Shared),
}

impl Way {
    /// Whether it has carried an answer: one that breaks then may merely have been closed while nobody used it.
    pub(super) fn is_used(&self) -> bool {
        match self {
            Self::Own(link) => link.is_used(),
            Self::Shared(shared) => shared.used.load(Ordering::Relaxed),
        }
    }
}

/// A connection of HTTP/2, for any number of calls.
#[derive(Clone)]
pub(super) struct Shared {
    sender: http2::SendRequest<Outgoing>,
    used: Arc<AtomicBool>,
}

impl Shared {
    pub(super) fn is_closed(&self) -> bool {
        self.sender.is_closed()
    }

    pub(super) async fn send(
        &mut self,
        request: Request<Outgoing>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Outgoing>>> {
        let answer = self.sender.try_send_request(request).await;
        if answer.is_ok() {
            self.used.store(true, Ordering::Relaxed);
        }
        answer
    }
}

/// See the [module docs](self).
pub(super) struct Pool {
    target: Target,
    connector: HttpsConnector<HttpConnector>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    // The last one in is the first one out, so that those that are too many grow old.
    idle: Vec<Idle>,
    shared: Option<Shared>,
    round: u32,
    // Somebody looks through them.
    is_swept: bool,
}

struct Idle {
    link: Box<Link>,
    since: u32,
}

impl Pool {
    pub(super) fn new(target: Target, connect_timeout: Duration) -> Self {
        Self {
            target,
            connector: client::connector(connect_timeout),
            kept: Mutex::default(),
        }
    }

    pub(super) fn target(&self) -> &Target {
        &self.target
    }

    /// A connection that is there. It may turn out closed.
    pub(super) fn take(&self) -> Option<Way> {
        let mut kept = lock(&self.kept);
        if let Some(shared) = &kept.shared {
            return Some(Way::Shared(shared.clone()));
        }
        kept.idle.pop().map(|idle| Way::Own(idle.link))
    }

    /// A new one.
    pub(super) async fn connect(&self) -> Result<Way, SendError> {
        // Only here: it is a large thing to copy.
        let connector = self.connector.clone();
        let connected = connector.oneshot(self.target.address().clone()).await;
        let io = connected.map_err(SendError::connect)?;
        Ok(if io.connected().is_negotiated_h2() {
            Way::Shared(self.share(io).await?)
        } else {
            Way::Own(Link::open(io).await?)
        })
    }

    /// Speaks HTTP/2 over a connection from now on, unless another call was faster.
    pub(super) async fn share<T>(&self, io: T) -> hyper::Result<Shared>
    where
        T: hyper::rt::Read + hyper::rt::Write + Unpin + Send + 'static,
    {
        let (sender, connection) = http2::Builder::new(TokioExecutor::new())
            .timer(TokioTimer::new())
            .keep_alive_interval(PING_EVERY)
            .keep_alive_timeout(PING_TIMEOUT)
            .handshake(io)
            .await?;
        let shared = Shared {
            sender,
            used: Arc::default(),
        };
        let mut kept = lock(&self.kept);
        let first = kept.shared.as_ref();
        if let Some(first) = first.filter(|first| !first.is_closed()) {
            return Ok(first.clone());
        }
        let closed = kept.shared.replace(shared.clone());
        drop(kept);
        drop(closed);
        tokio::spawn(connection);
        Ok(shared)
    }

    /// Gives this connection of HTTP/2 to no other call.
    pub(super) fn forget(&self, broken: &Shared) {
        let mut kept = lock(&self.kept);
        let is_it = |kept: &mut Shared| Arc::ptr_eq(&kept.used, &broken.used);
        let closed = kept.shared.take_if(is_it);
        drop(kept);
        drop(closed);
    }

    /// Keeps a connection whose exchange is over, if it can carry another.
    pub(super) fn keep(self: &Arc<Self>, mut link: Box<Link>) {
        if !link.is_free() {
            return;
        }
        let mut kept = lock(&self.kept);
        if kept.idle.len() >= MAX_IDLE {
            drop(kept);
            return;
        }
        let since = kept.round;
        kept.idle.push(Idle { link, since });
        let is_swept = mem::replace(&mut kept.is_swept, true);
        drop(kept);
        if !is_swept {
            let sweeper = Sweeper(Arc::downgrade(self));
            // Without one they stay until somebody comes who has one.
            if let Ok(runtime) = Handle::try_current() {
                runtime.spawn(sweep(sweeper));
            }
        }
    }

    /// Drops those that are too old, or closed.
    fn sweep(&self) {
        let mut kept = lock(&self.kept);
        kept.round = kept.round.wrapping_add(1);
        let round = kept.round;
        let gone =
            |idle: &mut Idle| round.wrapping_sub(idle.since) > ROUNDS || idle.link.is_closed();
        let (closed, open): (Vec<_>, Vec<_>) = mem::take(&mut kept.idle)
            .into_iter()
            .map(|mut idle| (gone(&mut idle), idle))
            .partition(|(gone, _)| *gone);
        kept.idle = open.into_iter().map(|(_, idle)| idle).collect();
        drop(kept);
        drop(closed);
    }
}

/// Looks through what is kept for as long as there is a pool and a runtime.
struct Sweeper(Weak<Pool>);

async fn sweep(sweeper: Sweeper) {
    loop {
        sleep(ROUND).await;
        let Some(pool) = sweeper.0.upgrade() else {
            return;
        };
        pool.sweep();
    }
}

impl Drop for Sweeper {
    /// Its runtime may end before the pool does, which then needs another one.
    fn drop(&mut self) {
        if let Some(pool) = self.0.upgrade() {
            lock(&pool.kept).is_swept = false;
        }
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool")
            .field("target", &self.target)
            .finish_non_exhaustive()
    }
}
