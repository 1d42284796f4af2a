//! Listeners: who is accepted, and until when.

use super::{
    admin::Admin,
    connection,
    error::StartError,
    service::Proxy,
    shutdown::{LAST_WORDS, Phase},
};
use std::{cell::RefCell, fmt, future::Future, net::SocketAddr, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinSet,
    time::{sleep, timeout},
};

/// Connections per call that may be in flight: callers keep idle ones.
const CONNECTIONS_PER_CALL: usize = 4;

/// And so many in any case.
const FEWEST_CONNECTIONS: usize = 256;

/// Connections of operators.
const ADMIN_CONNECTIONS: usize = 64;

/// A pause after a failed accept, which mostly means that the process is out of file descriptors.
const ACCEPT_AGAIN: Duration = Duration::from_millis(50);

/// How often alerts are looked at that time alone raises or clears.
const WATCH: Duration = Duration::from_secs(15);

/// A proxy that listens. From [`Proxy::bind`].
#[must_use = "a server does nothing until it runs"]
pub struct Server {
    proxy: Proxy,
    callers: (TcpListener, SocketAddr),
    operators: (TcpListener, SocketAddr),
    admin: Admin,
}

impl Proxy {
    /// Listens at the addresses of the settings; port 0 takes a free one.
    ///
    /// # Errors
    ///
    /// An address that cannot be listened at, or one for operators that others can reach while there is no token for them.
    pub async fn bind(self) -> Result<Server, StartError> {
        let running = self.running();
        let operators = listen(running.config.admin).await?;
        let admin = Admin::new(self.clone(), operators.1)?;
        let callers = listen(running.config.listen).await?;
        Ok(Server {
            proxy: self,
            callers,
            operators,
            admin,
        })
    }
}

async fn listen(address: SocketAddr) -> Result<(TcpListener, SocketAddr), StartError> {
    let bound = async {
        let listener = TcpListener::bind(address).await?;
        let bound = listener.local_addr()?;
        Ok((listener, bound))
    };
    bound
        .await
        .map_err(|error| StartError::Bind { address, error })
}

impl Server {
    /// Where callers are served.
    pub fn address(&self) -> SocketAddr {
        self.callers.1
    }

    /// Where operators are served.
    pub fn admin_address(&self) -> SocketAddr {
        self.operators.1
    }

    /// The proxy that it serves: a handle to [shut it down](Proxy::shutdown), and to [reload](Proxy::reload) it.
    pub fn proxy(&self) -> &Proxy {
        &self.proxy
    }

    /// Serves until the proxy is [shut down](Proxy::shutdown) and what was under way has ended, at the latest when `drain` is
    /// over. Dropped, it ends at once.
    pub async fn run(self) {
        let Self {
            proxy,
            callers: (callers, _),
            operators: (operators, _),
            admin,
        } = self;
        // Dropped with it.
        let mut tasks = JoinSet::new();
        tasks.spawn(proxy.monitor().watch(WATCH));
        tasks.spawn(serve_operators(operators, proxy.clone(), admin));
        let mut phase = proxy.shared.course.watch();
        tokio::select! {
            () = serve_callers(callers, &proxy) => {}
            // Nobody sees to what is left.
            () = reached(&mut phase, Phase::Over) => {}
        }
        proxy.shared.course.advance(Phase::Over);
    }
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("address", &self.address())
            .field("admin_address", &self.admin_address())
            .finish_non_exhaustive()
    }
}

/// Accepts until the drain begins, and waits for what is under way.
async fn serve_callers(listener: TcpListener, proxy: &Proxy) {
    let course = &proxy.shared.course;
    let max = proxy.running().config.max_in_flight.get();
    let places = max.saturating_mul(CONNECTIONS_PER_CALL);
    let places = places.clamp(FEWEST_CONNECTIONS, Semaphore::MAX_PERMITS);
    let mut connections = accept(listener, places, course.watch(), |stream| {
        let proxy = proxy.clone();
        async move {
            let proxy = &proxy;
            let mut settings = proxy.settings();
            let slow_reader = settings.now().config.timeouts.slow_reader;
            let settings = RefCell::new(settings);
            let phase = proxy.shared.course.watch();
            let answer = move |request| proxy.call_by(settings.borrow_mut().now(), request);
            connection::serve(stream, slow_reader, phase, answer).await;
        }
    })
    .await;

    let drain = proxy.running().config.drain;
    let (left, _) = proxy.shared.limits.in_flight();
    tracing::info!(left, ?drain, "draining");
    if timeout(drain, all_done(&mut connections)).await.is_ok() {
        return;
    }
    let (left, _) = proxy.shared.limits.in_flight();
    tracing::warn!(left, "the drain is over: answers under way are told to end");
    course.advance(Phase::Ending);
    // Who does not listen by now is dropped.
    let _ = timeout(LAST_WORDS, all_done(&mut connections)).await;
}

/// Accepts until it is dropped: operators look on while the proxy drains.
async fn serve_operators(listener: TcpListener, proxy: Proxy, admin: Admin) {
    let always = watch::Sender::new(Phase::Serving);
    accept(listener, ADMIN_CONNECTIONS, always.subscribe(), |stream| {
        let slow_reader = proxy.running().config.timeouts.slow_reader;
        let admin = admin.clone();
        let phase = always.subscribe();
        async move {
            let answer = |request| admin.call(request);
            connection::serve(stream, slow_reader, phase, answer).await;
        }
    })
    .await;
}

/// Waits until the proxy is so far. Keeps no hold of the phase, which would block whoever changes it.
async fn reached(phase: &mut watch::Receiver<Phase>, to: Phase) {
    // The proxy outlives its server.
    let _ = phase.wait_for(|phase| *phase >= to).await;
}

async fn all_done(connections: &mut JoinSet<()>) {
    while connections.join_next().await.is_some() {}
}

/// Accepts at most so many connections at a time until the drain begins, and returns those that are left.
async fn accept<F>(
    listener: TcpListener,
    places: usize,
    mut phase: watch::Receiver<Phase>,
    serve: impl Fn(TcpStream) -> F,
) -> JoinSet<()>
where
    F: Future<Output = ()> + Send + 'static,
{
    let places = Arc::new(Semaphore::new(places));
    let mut connections = JoinSet::new();
    loop {
        let next = async {
            // Never closed.
            let place = places.clone().acquire_owned().await.ok();
            (place, listener.accept().await)
        };
        tokio::select! {
            biased;
            () = reached(&mut phase, Phase::Draining) => return connections,
            Some(_) = connections.join_next() => {}
            (place, accepted) = next => match accepted {
                Ok((stream, _)) => {
                    // Without it a stream of small events takes 40 ms for each; without success the bytes are still right.
                    let _ = stream.set_nodelay(true);
                    let served = serve(stream);
                    connections.spawn(async move {
                        served.await;
                        drop(place);
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "a connection was not accepted");
                    sleep(ACCEPT_AGAIN).await;
                }
            },
        }
    }
}
