//! A reqwest client as a service of `http` requests.

use crate::body::replay::ReplayBody;
use http::{Request, Response, Version};
use http_body::Body as _;
use pin_project_lite::pin_project;
use reqwest::{Body, Client, Error};
use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tower_service::Service;

/// Lets the stack call a [`reqwest::Client`].
///
/// Takes the request apart and gives it to the client without a copy of its body. A body of one segment, as most are,
/// becomes one that reqwest can send again by itself (on a redirect, or when a pooled connection turns out dead); one of
/// several is streamed. Both go out with their `content-length`. The HTTP version is the client's choice, whatever the
/// request says: it may have come in from a server that spoke another one. Errors are reqwest's own.
///
/// # The client
///
/// Give it no `timeout` and no `read_timeout`: they cut healthy streams, and [`Commit`](crate::commit) knows better.
/// A `connect_timeout` of 5 s is good. So is `redirect(Policy::none())`: the API does not redirect, and a call that was
/// redirected is the caller's mistake.
///
/// ```no_run
/// use tower::{ServiceBuilder, ServiceExt};
/// use tower_claude::{body::replay::ReplayBody, bulkhead::BulkheadLayer, client::ReqwestService};
///
/// # async fn send() -> Result<(), tower_claude::BoxError> {
/// let client = reqwest::Client::builder()
///     .connect_timeout(std::time::Duration::from_secs(5))
///     .redirect(reqwest::redirect::Policy::none())
///     .build()?;
/// let service = ServiceBuilder::new()
///     .layer(BulkheadLayer::new())
///     .service(ReqwestService::new(client));
/// let request = http::Request::get("https://api.anthropic.com/v1/models")
///     .body(ReplayBody::default())?;
/// let answer = service.oneshot(request).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Readiness
///
/// Always ready, as the client is.
#[derive(Debug, Clone, Default)]
pub struct ReqwestService {
    client: Client,
}

impl ReqwestService {
    /// Calls this client. Clones share its connections.
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl From<Client> for ReqwestService {
    fn from(client: Client) -> Self {
        Self::new(client)
    }
}

impl Service<Request<ReplayBody>> for ReqwestService {
    type Response = Response<Body>;
    type Error = Error;
    type Future = ReqwestFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Error>> {
        self.client.poll_ready(cx)
    }

    fn call(&mut self, mut request: Request<ReplayBody>) -> ReqwestFuture {
        *request.version_mut() = Version::default();
        ReqwestFuture {
            state: match reqwest::Request::try_from(request.map(translate)) {
                Ok(request) => State::Sending {
                    sending: self.client.call(request),
                },
                Err(error) => State::Refused { error: Some(error) },
            },
        }
    }
}

/// What is left of a body.
fn translate(body: ReplayBody) -> Body {
    match body.segments() {
        _ if body.is_end_stream() => Body::default(),
        [segment] => Body::from(segment.clone()),
        _ => Body::wrap(body),
    }
}

/// The client's future; its crate gives it no name.
type Sending = <Client as Service<reqwest::Request>>::Future;

pin_project! {
    /// The future of [`ReqwestService`].
    pub struct ReqwestFuture {
        #[pin]
        state: State,
    }
}

pin_project! {
    #[project = StateProj]
    enum State {
        Sending {
            #[pin]
            sending: Sending,
        },
        // The URI is not one that can be sent to.
        Refused {
            error: Option<Error>,
        },
    }
}

impl Future for ReqwestFuture {
    type Output = Result<Response<Body>, Error>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        match self.project().state.project() {
            StateProj::Sending { sending } => {
                Poll::Ready(ready!(sending.poll(cx)).map(Response::from))
            }
            StateProj::Refused { error } => match error.take() {
                Some(error) => Poll::Ready(Err(error)),
                None => Poll::Pending,
            },
        }
    }
}

impl fmt::Debug for ReqwestFuture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the client's own: it prints the URL, which may hold what is nobody's business.
        f.debug_struct("ReqwestFuture").finish_non_exhaustive()
    }
}
