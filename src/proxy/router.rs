//! The proxy inside an axum app.

use super::service::Proxy;
use axum::{Router, body::Body, extract::Request};

impl Proxy {
    /// The routes of the proxy, to be served or nested as any of axum's. Where they are nested, the path below is what
    /// upstream is asked for.
    ///
    /// ```
    /// use axum::Router;
    /// use tower_claude::{config::Config, proxy::Proxy};
    ///
    /// let proxy = Proxy::new(Config::default())?;
    /// // The base URL of an SDK is then http://…/claude
    /// let app: Router = Router::new().nest("/claude", proxy.router());
    /// # let _ = app;
    /// # Ok::<_, tower_claude::proxy::StartError>(())
    /// ```
    ///
    /// Your own layers may set a [`Feature`](crate::Feature) for calls without the header of that name, a
    /// [`Deadline`](crate::Deadline), which the caller's SDK can only shorten, and, where the configuration has no tokens, a
    /// [`Tenant`](crate::Tenant). Time limits and graceful shutdown of connections are up to the server that serves it.
    pub fn router<S>(&self) -> Router<S>
    where
        S: Clone + Send + Sync + 'static,
    {
        let proxy = self.clone();
        Router::new().fallback(move |request: Request| {
            let proxy = proxy.clone();
            async move { proxy.call(request).await.map(Body::new) }
        })
    }
}
