//! The connections that are kept between calls.

use super::{body::Outgoing, error::SendError, link::Link, target::Target};
use crate::{
    client,
    sync::{Mutex, MutexGuard, lock},
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
pub(super) enum Carrier {
    Own(Box<Link>),
    Shared(Shared),
}

impl Carrier {
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
    // And the round in which a call last asked for it.
    shared: Option<(Shared, u32)>,
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
    pub(super) fn take(&self) -> Option<Carrier> {
        let mut kept = lock(&self.kept);
        let round = kept.round;
        if let Some((shared, asked)) = &mut kept.shared {
            *asked = round;
            return Some(Carrier::Shared(shared.clone()));
        }
        kept.idle.pop().map(|idle| Carrier::Own(idle.link))
    }

    /// A new one, or where none can be had, one that has come back meanwhile.
    pub(super) async fn open(self: &Arc<Self>) -> Result<Carrier, SendError> {
        match self.connect().await {
            Err(error) => self.take().ok_or(error),
            connected => connected,
        }
    }

    /// A new one.
    pub(super) async fn connect(self: &Arc<Self>) -> Result<Carrier, SendError> {
        // Only here: it is a large thing to copy.
        let connector = self.connector.clone();
        let connected = connector.oneshot(self.target.address().clone()).await;
        let io = connected.map_err(SendError::connect)?;
        Ok(if io.connected().is_negotiated_h2() {
            Carrier::Shared(self.share(io).await?)
        } else {
            Carrier::Own(Link::open(io).await?)
        })
    }

    /// Speaks HTTP/2 over a connection from now on, unless another call was faster.
    pub(super) async fn share<T>(self: &Arc<Self>, io: T) -> hyper::Result<Shared>
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
        if let Some((first, _)) = first.filter(|(first, _)| !first.is_closed()) {
            return Ok(first.clone());
        }
        let round = kept.round;
        let closed = kept.shared.replace((shared.clone(), round));
        self.let_go(kept);
        drop(closed);
        tokio::spawn(connection);
        Ok(shared)
    }

    /// Gives this connection of HTTP/2 to no other call.
    pub(super) fn forget(&self, broken: &Shared) {
        let mut kept = lock(&self.kept);
        let closed = kept
            .shared
            .take_if(|(kept, _)| Arc::ptr_eq(&kept.used, &broken.used));
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
        self.let_go(kept);
    }

    /// Lets go of the lock, and sees to it that what is kept is looked through.
    fn let_go(self: &Arc<Self>, mut kept: MutexGuard<'_, Kept>) {
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

    /// Drops those that are too old, or closed. Calls do not wait for that: they find fewer connections meanwhile.
    fn sweep(&self) {
        let mut kept = lock(&self.kept);
        kept.round = kept.round.wrapping_add(1);
        let round = kept.round;
        let is_old = |since: u32| round.wrapping_sub(since) > ROUNDS;
        let shared = kept
            .shared
            .take_if(|(shared, asked)| is_old(*asked) || shared.is_closed());
        let mut idle = mem::take(&mut kept.idle);
        drop(kept);
        drop(shared);
        idle.retain_mut(|idle| !is_old(idle.since) && !idle.link.is_closed());
        let mut kept = lock(&self.kept);
        // Those that came meanwhile are the younger ones.
        let mut too_many = mem::replace(&mut kept.idle, idle);
        let room = MAX_IDLE.saturating_sub(kept.idle.len()).min(too_many.len());
        kept.idle.extend(too_many.drain(..room));
        drop(kept);
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
