//! A request kept for another attempt, cheaply: on the success path it is only ever dropped.
//!
//! Several layers keep the request that passes them, and mostly it is the same one. The first to keep it notes on its
//! [`Call`] where the copy is, and the next one takes that instead of a copy of its own, if the request is still the same:
//! between the two there may be a layer of the application that has changed it, unless both belong to one [`Resilience`].
//!
//! [`Resilience`]: crate::Resilience

mod headers;

use self::headers::KeptHeaders;
use crate::{body::ReplayBody, call::Call};
use http::{Extensions, Method, Request, Uri, Version};
use std::{
    any::Any,
    fmt,
    ops::Range,
    sync::{Arc, Weak},
};

/// What is needed to send a request again. The body is cloned, so it should be one whose clone is a few refcounts.
#[derive(Debug, Clone)]
pub(crate) struct KeptRequest<B> {
    original: Arc<Original<B>>,
    attached: Attached,
}

/// What a request passes between two who keep it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Between {
    /// Anything, which may change it.
    #[default]
    Unknown,
    /// Layers of one stack, which change nothing of it but its call.
    Stack,
}

/// The extensions of a request.
#[derive(Debug, Clone)]
enum Attached {
    /// All that [`Replay`](crate::replay) leaves: by value, since a clone of extensions allocates a map and a box for each.
    Call(Call),
    Any(Extensions),
}

/// A request as it was when it was kept, without its extensions.
pub(crate) struct Original<B> {
    method: Method,
    uri: Uri,
    version: Version,
    headers: KeptHeaders,
    body: B,
}

/// Without the head: alone, nobody has marked its credentials as secrets.
impl<B> fmt::Debug for Original<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Original").finish_non_exhaustive()
    }
}

/// Where the copy of a request is that somebody keeps, noted on the call that travels with the request itself.
///
/// Weak, since calls outlive their requests, whose bodies may be large. And a clone knows nothing of it: most are made by
/// those who only want to know of the call.
#[derive(Debug, Default)]
pub(crate) struct KeptBy(Weak<Original<ReplayBody>>);

impl KeptBy {
    /// The copy, while somebody keeps it.
    pub(crate) fn get(&self) -> Option<Arc<Original<ReplayBody>>> {
        self.0.upgrade()
    }
}

impl Clone for KeptBy {
    fn clone(&self) -> Self {
        Self::default()
    }
}

impl<B> KeptRequest<B> {
    /// Its call, if it has one.
    pub(crate) fn call(&self) -> Option<&Call> {
        match &self.attached {
            Attached::Call(call) => Some(call),
            Attached::Any(extensions) => extensions.get(),
        }
    }

    /// Its body, of which nothing was read.
    pub(crate) fn body(&self) -> &B {
        self.original.body()
    }
}

impl<B: Clone + 'static> KeptRequest<B> {
    /// Keeps the request as it is now.
    pub(crate) fn of(request: &mut Request<B>, between: Between) -> Self {
        let original = Original::of(request, between);
        let extensions = request.extensions();
        let attached = match extensions.get::<Call>() {
            Some(call) if extensions.len() == 1 => Attached::Call(call.clone()),
            _ => Attached::Any(extensions.clone()),
        };
        Self { original, attached }
    }

    /// The request as it was, with its call changed, if it has one.
    pub(crate) fn again(&self, change: impl FnOnce(&mut Call)) -> Request<B> {
        let mut request = self.original.request();
        let extensions = request.extensions_mut();
        match &self.attached {
            Attached::Call(call) => {
                extensions.insert(call.clone());
            }
            Attached::Any(attached) => *extensions = attached.clone(),
        }
        if let Some(call) = extensions.get_mut::<Call>() {
            change(call);
        }
        request
    }
}

impl<B> Original<B> {
    #[cfg(feature = "cache")]
    pub(crate) fn uri(&self) -> &Uri {
        &self.uri
    }

    /// The names and values of its headers.
    #[cfg(feature = "cache")]
    pub(crate) fn headers(&self) -> impl Iterator<Item = (&[u8], &[u8])> + Clone {
        self.headers.iter()
    }

    pub(crate) fn body(&self) -> &B {
        &self.body
    }
}

impl<B: Clone> Original<B> {
    /// The request, to be sent again.
    pub(crate) fn request(&self) -> Request<B> {
        let mut request = Request::new(self.body.clone());
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = self.uri.clone();
        *request.version_mut() = self.version;
        *request.headers_mut() = self.headers.to_map();
        request
    }

    fn copy(request: &Request<B>) -> Self {
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers: KeptHeaders::of(request.headers()),
            body: request.body().clone(),
        }
    }
}

impl<B: Clone + 'static> Original<B> {
    /// The copy that somebody keeps, or a new one.
    pub(crate) fn of(request: &mut Request<B>, between: Between) -> Arc<Self> {
        Self::shared(request, between).unwrap_or_else(|| Self::new(request))
    }

    /// Copies a request, and notes it on its call.
    fn new(request: &mut Request<B>) -> Arc<Self> {
        let original = Arc::new(Self::copy(request));
        let known = (&original as &dyn Any).downcast_ref::<Arc<Original<ReplayBody>>>();
        let call = request.extensions_mut().get_mut::<Call>();
        if let (Some(call), Some(known)) = (call, known) {
            call.set_kept_by(KeptBy(Arc::downgrade(known)));
        }
        original
    }

    /// The copy that somebody further out keeps, if the request has not changed since.
    fn shared(request: &Request<B>, between: Between) -> Option<Arc<Self>> {
        let kept = request.extensions().get::<Call>()?.kept_by()?;
        let same = (request as &dyn Any).downcast_ref::<Request<ReplayBody>>()?;
        let is_same = between == Between::Stack || kept.is(same);
        let mut kept = is_same.then_some(kept);
        // Of the same type: moved, not counted once more.
        let kept: &mut Option<Arc<Self>> = (&mut kept as &mut dyn Any).downcast_mut()?;
        kept.take()
    }
}

impl Original<ReplayBody> {
    /// Whether the request is still what it was. Body and address are, if they lie where they lay: what is equal and lies
    /// elsewhere costs a copy and no more.
    fn is(&self, request: &Request<ReplayBody>) -> bool {
        self.body.is(request.body())
            && self.method == request.method()
            && self.version == request.version()
            && is_same_address(&self.uri, request.uri())
            && self.headers.are(request.headers())
    }
}

fn is_same_address(one: &Uri, other: &Uri) -> bool {
    let parts = |uri: &Uri| {
        let authority = uri.authority().map(|authority| place(authority.as_str()));
        let path = uri.path_and_query().map(|path| place(path.as_str()));
        (uri.scheme_str().map(place), authority, path)
    };
    parts(one) == parts(other)
}

/// Where this text lies.
fn place(text: &str) -> Range<*const u8> {
    text.as_bytes().as_ptr_range()
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
            let kept = KeptRequest::of(&mut request, Between::Unknown);
            assert_eq!(
                matches!(kept.attached, Attached::Call(_)),
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
        (KeptRequest::of(&mut request, Between::Unknown), request)
    }

    fn is_shared(kept: &KeptRequest<ReplayBody>, request: &mut Request<ReplayBody>) -> bool {
        Arc::ptr_eq(
            &kept.original,
            &KeptRequest::of(request, Between::Unknown).original,
        )
    }

    #[test]
    fn who_keeps_the_same_request_further_in_shares_the_copy() {
        let (kept, mut request) = kept();
        assert!(is_shared(&kept, &mut request));
        request.extensions_mut().insert(Theirs);
        assert!(is_shared(&kept, &mut request));
    }

    #[test]
    fn within_one_stack_the_copy_is_taken_without_a_look_and_only_where_there_is_one() {
        let (kept, mut request) = kept();
        // What no layer of a stack does.
        request.headers_mut().clear();
        let in_stack = KeptRequest::of(&mut request, Between::Stack);
        assert!(Arc::ptr_eq(&kept.original, &in_stack.original));
        let original = Arc::downgrade(&kept.original);
        drop((kept, in_stack));
        assert!(original.upgrade().is_none());
        let again = KeptRequest::of(&mut request, Between::Stack).again(|_| {});
        assert!(again.headers().is_empty(), "a copy of its own");
    }

    #[test]
    fn a_request_that_was_changed_on_its_way_is_kept_as_it_is() {
        let changes: [fn(&mut Request<ReplayBody>); 8] = [
            |request| *request.body_mut() = "{ }".into(),
            |request| *request.body_mut() = ReplayBody::from(String::from("{}")),
            |request| *request.method_mut() = Method::PUT,
            |request| *request.uri_mut() = "/v2/messages".parse().unwrap(),
            |request| *request.version_mut() = Version::HTTP_2,
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
        ];
        for (n, change) in changes.into_iter().enumerate() {
            let (kept, mut request) = kept();
            change(&mut request);
            let own = KeptRequest::of(&mut request, Between::Unknown);
            assert!(!Arc::ptr_eq(&kept.original, &own.original), "change {n}");
            let again = own.again(|_| {});
            assert_eq!(again.headers(), request.headers());
            assert_eq!(again.body().to_bytes(), request.body().to_bytes());
            assert_eq!(again.extensions().len(), request.extensions().len());
        }
    }

    #[test]
    fn a_call_keeps_no_request_alive() {
        let (kept, mut request) = kept();
        let call: Call = request.extensions_mut().remove().unwrap();
        assert!(call.kept_by().is_some());
        drop((kept, request));
        assert!(call.kept_by().is_none());
    }
}
