//! HTTP clients the stack can stand on, each behind a feature of its name.
//!
//! The stack sits on any `tower::Service<http::Request<ReplayBody>>` that answers `http::Response<impl Body>`. A client
//! of hyper-util is one as it is; with the feature `hyper`, `https_client` makes one with settings that suit streamed
//! answers. A client of reqwest takes requests of its own type; with the feature `reqwest`, `ReqwestService` translates.

#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
mod hyper;
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
mod reqwest;

#[cfg(feature = "proxy")]
pub(crate) use self::hyper::connector;
#[cfg(feature = "hyper")]
#[cfg_attr(docsrs, doc(cfg(feature = "hyper")))]
pub use self::hyper::{HttpsClient, https_client};
#[cfg(feature = "reqwest")]
#[cfg_attr(docsrs, doc(cfg(feature = "reqwest")))]
pub use self::reqwest::{ReqwestFuture, ReqwestService};
