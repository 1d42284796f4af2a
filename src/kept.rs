//! A request kept for another attempt, cheaply: on the success path it is only ever dropped.
//!
//! Several layers keep the request that passes them, and mostly it is the same one. The first to keep it notes on its
//! [`Call`] where the copy is, and the next one takes that instead of a copy of its own, if the request is still the same:
//! between the two there may be a layer of the application that has changed it.

use crate::{body::ReplayBody, call::Call};
use http::{HeaderMap, Request};
use std::{
    any::Any,
    fmt, mem,
    sync::{Arc, Weak},
};

/// What is needed to send a request again. The body is cloned, so it should be one whose clone is a few refcounts.
#[derive(Debug, Clone)]
pub(crate) struct KeptRequest<B> {
    original: Arc<Original<B>>,
    /// Its [`Call`], where that was its only extension.
    call: Option<Call>,
}

/// A request as it was when it was kept, without its [`Call`] where that was its only extension.
pub(crate) struct Original<B>(Request<B>);

/// Without the head: alone, nobody has marked its credentials as secrets.
impl<B> fmt::Debug for Original<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Original").finish_non_exhaustive()
    }
}

/// Where the copy of a request is that somebody keeps.
///
/// Weak: calls outlive their requests, whose bodies may be large.
pub(crate) type KeptBy = Weak<Original<ReplayBody>>;

impl<B> KeptRequest<B> {
    /// Its call, if it has one.
    pub(crate) fn call(&self) -> Option<&Call> {
        let within = || self.original.0.extensions().get();
        self.call.as_ref().or_else(within)
    }

    /// Its body, of which nothing was read.
    pub(crate) fn body(&self) -> &B {
        self.original.0.body()
    }
}

impl<B: Clone + 'static> KeptRequest<B> {
    /// Keeps the request as it is now.
    ///
    /// A clone of the extensions allocates a map and a box for each. [`Replay`](crate::replay) leaves one, the call,
    /// which is kept by value instead.
    pub(crate) fn of(request: &mut Request<B>) -> Self {
        if request.extensions().len() != 1 || request.extensions().get::<Call>().is_none() {
            let original = Arc::new(Original(request.clone()));
            return Self {
                original,
                call: None,
            };
        }
        let original = Original::shared(request).unwrap_or_else(|| Original::new(request));
        let call = request.extensions().get().cloned();
        Self { original, call }
    }

    /// The request as it was, with its call changed, if it has one.
    pub(crate) fn again(&self, change: impl FnOnce(&mut Call)) -> Request<B> {
        let mut request = self.original.0.clone();
        if let Some(call) = &self.call {
            request.extensions_mut().insert(call.clone());
        }
        if let Some(call) = request.extensions_mut().get_mut::<Call>() {
            change(call);
        }
        request
    }
}

impl<B: Clone + 'static> Original<B> {
    /// Copies a request, and notes it on its call.
    fn new(request: &mut Request<B>) -> Arc<Self> {
        let extensions = mem::take(request.extensions_mut());
        let original = Arc::new(Self(request.clone()));
        *request.extensions_mut() = extensions;
        let known = (&original as &dyn Any).downcast_ref::<Arc<Original<ReplayBody>>>();
        let call = request.extensions_mut().get_mut::<Call>();
        if let (Some(call), Some(known)) = (call, known) {
            call.set_kept_by(Arc::downgrade(known));
        }
        original
    }

    /// The copy that somebody further out keeps, if the request has not changed since.
    fn shared(request: &Request<B>) -> Option<Arc<Self>> {
        let kept: Arc<Original<ReplayBody>> = request.extensions().get::<Call>()?.kept_by()?;
        let same = (request as &dyn Any).downcast_ref::<Request<ReplayBody>>()?;
        let is_same = kept.is(same);
        let kept = (&kept as &dyn Any).downcast_ref::<Arc<Self>>()?;
        is_same.then(|| Arc::clone(kept))
    }
}

impl Original<ReplayBody> {
    fn is(&self, request: &Request<ReplayBody>) -> bool {
        let Self(kept) = self;
        kept.body().is(request.body())
            && kept.method() == request.method()
            && kept.uri() == request.uri()
            && kept.version() == request.version()
            && are_same(kept.headers(), request.headers())
    }
}

/// Whether two maps say the same in the same order, and hide the same.
fn are_same(one: &HeaderMap, other: &HeaderMap) -> bool {
    one.len() == other.len()
        && one
            .iter()
            .zip(other)
            .all(|((name, value), (other_name, other_value))| {
                name == other_name
                    && value == other_value
                    && value.is_sensitive() == other_value.is_sensitive()
            })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Clone, Debug, PartialEq)]
    struct Theirs;

    #[test]
    fn a_request_comes_again_as_it_was_with_all_its_extensions() {
        for theirs in [false, true] {
            let mut request = Request::post("/v1/messages")
                .header("x-api-key", "k")
                .body("{}")
                .unwrap();
            request.extensions_mut().insert(Call::new(Some("m".into())));
            if theirs {
                request.extensions_mut().insert(Theirs);
            }
            let kept = KeptRequest::of(&mut request);
            assert_eq!(
                kept.call.is_some(),
                !theirs,
                "kept by value where it is alone"
            );
            let again = kept.again(|call| call.set_attempts_left(3));
            for (request, left) in [(&request, 0), (&again, 3)] {
                let call = request.extensions().get::<Call>().unwrap();
                assert_eq!(call.attempts_left(), left);
                assert_eq!(request.extensions().get::<Theirs>().is_some(), theirs);
                assert_eq!(request.headers()["x-api-key"], "k");
                assert_eq!((request.method().as_str(), *request.body()), ("POST", "{}"));
            }
            assert_eq!(kept.call().unwrap().attempts_left(), 0);
        }
    }

    fn kept() -> (KeptRequest<ReplayBody>, Request<ReplayBody>) {
        let mut request = Request::post("/v1/messages")
            .header("x-api-key", "k")
            .header("x-two", "1")
            .header("x-two", "2")
            .body(ReplayBody::from("{}"))
            .unwrap();
        request.extensions_mut().insert(Call::new(Some("m".into())));
        (KeptRequest::of(&mut request), request)
    }

    fn is_shared(kept: &KeptRequest<ReplayBody>, request: &mut Request<ReplayBody>) -> bool {
        Arc::ptr_eq(&kept.original, &KeptRequest::of(request).original)
    }

    #[test]
    fn who_keeps_the_same_request_further_in_shares_the_copy() {
        let (kept, mut request) = kept();
        assert!(is_shared(&kept, &mut request));
        // A later attempt, which has other things to say of its call.
        assert!(is_shared(
            &kept,
            &mut kept.again(|call| call.set_attempts_left(1))
        ));
    }

    #[test]
    fn a_request_that_was_changed_on_its_way_is_kept_as_it_is() {
        let changes: [fn(&mut Request<ReplayBody>); 9] = [
            |request| *request.body_mut() = "{ }".into(),
            |request| *request.body_mut() = ReplayBody::from(String::from("{}")),
            |request| *request.method_mut() = http::Method::PUT,
            |request| *request.uri_mut() = "/v2/messages".parse().unwrap(),
            |request| *request.version_mut() = http::Version::HTTP_2,
            |request| {
                request
                    .headers_mut()
                    .insert("x-api-key", "l".parse().unwrap());
            },
            |request| {
                request
                    .headers_mut()
                    .append("x-three", "3".parse().unwrap());
            },
            |request| {
                let key = request.headers_mut().get_mut("x-api-key").unwrap();
                key.set_sensitive(true);
            },
            |request| {
                request.extensions_mut().insert(Theirs);
            },
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let (kept, mut request) = kept();
            change(&mut request);
            let own = KeptRequest::of(&mut request);
            assert!(!Arc::ptr_eq(&kept.original, &own.original), "change {n}");
            let again = own.again(|_| {});
            assert_eq!(again.headers(), request.headers());
            assert_eq!(again.body().to_bytes(), request.body().to_bytes());
            assert_eq!(again.extensions().len(), request.extensions().len());
        }
    }

    #[test]
    fn a_call_keeps_no_request_alive() {
        let (kept, request) = kept();
        let call = request.extensions().get::<Call>().unwrap().clone();
        assert!(call.kept_by().is_some());
        drop((kept, request));
        assert!(call.kept_by().is_none());
    }
}
