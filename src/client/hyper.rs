//! A hyper client with settings that suit streamed answers.

use crate::body::replay::ReplayBody;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::{TokioExecutor, TokioTimer},
};
use std::time::Duration;

/// The client of [`https_client`]. Cheap to clone; clones share their connections.
pub type HttpsClient = Client<HttpsConnector<HttpConnector>, ReplayBody>;

/// A client for `https://` and, for tests and local proxies, `http://`.
///
/// | | |
/// |---|---|
/// | TLS | rustls with ring, TLS 1.2 and 1.3, the root certificates of Mozilla compiled in |
/// | HTTP | HTTP/2 where the server offers it, else HTTP/1.1 |
/// | TCP | `TCP_NODELAY`, for a stream of small events would stall without it; keep-alive probes after 60 s |
/// | connect | at most 5 s per name for the TCP connection, so that a dead address fails while its call still has time |
/// | HTTP/2 pings | every 20 s while calls are in flight, 10 s for the reply: all calls of a dead connection fail at once |
/// | pool | idle connections are kept for 90 s, at most 100 per host |
///
/// It has no timeout of its own for calls: [`Commit`](crate::commit) does that, and knows a healthy stream from a hung one.
/// For other settings build a client of your own, as the stack takes any.
///
/// Its requests have a [`ReplayBody`], which the stack makes of any body. Under layers of your own choice make it yourself
/// (`ReplayBody::from` takes strings and bytes), or put [`Replay`](crate::replay) first.
///
/// ```no_run
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::{body::replay::ReplayBody, bulkhead::BulkheadLayer, client::https_client};
///
/// # async fn send() -> Result<(), tower_claude::BoxError> {
/// let service = ServiceBuilder::new()
///     .layer(BulkheadLayer::new())
///     .service(https_client());
/// let request = http::Request::get("https://api.anthropic.com/v1/models")
///     .body(ReplayBody::default())?;
/// let answer = service.oneshot(request).await?;
/// # Ok(())
/// # }
/// ```
///
/// Making it needs no runtime; sending through it needs one of tokio's.
pub fn https_client() -> HttpsClient {
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(Duration::from_secs(90))
        .pool_max_idle_per_host(100)
        .http2_keep_alive_interval(Duration::from_secs(20))
        .http2_keep_alive_timeout(Duration::from_secs(10))
        .build(connector(Duration::from_secs(5)))
}

/// Connections as the table of [`https_client`] says, but for the time one may take.
pub(crate) fn connector(connect_timeout: Duration) -> HttpsConnector<HttpConnector> {
    let mut tcp = HttpConnector::new();
    tcp.set_nodelay(true);
    tcp.set_connect_timeout(Some(connect_timeout));
    tcp.set_keepalive(Some(Duration::from_secs(60)));
    // The connector above it decides on the scheme.
    tcp.enforce_http(false);

    // Named, not the default of the process: that panics where an application links two providers and chose none.
    let ring = rustls::crypto::ring::default_provider();
    #[expect(
        clippy::expect_used,
        reason = "ring has the cipher suites of both versions"
    )]
    HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(ring)
        .expect("ring speaks TLS 1.2 and 1.3")
        .https_or_http()
        .enable_all_versions()
        .wrap_connector(tcp)
}
