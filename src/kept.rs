//! A request kept for another attempt, cheaply: on the success path it is only ever dropped.

use crate::call::Call;
use http::Request;
use std::mem;

/// What is needed to send a request again. The body is cloned, so it should be one whose clone is a few refcounts.
#[derive(Debug, Clone)]
pub(crate) struct KeptRequest<B> {
    /// Without its extensions, where a [`Call`] was the only one.
    request: Request<B>,
    call: Option<Call>,
}

impl<B> KeptRequest<B> {
    /// Its call, if it has one.
    pub(crate) fn call(&self) -> Option<&Call> {
        let within = || self.request.extensions().get();
        self.call.as_ref().or_else(within)
    }

    /// Its body, of which nothing was read.
    pub(crate) fn body(&self) -> &B {
        self.request.body()
    }
}

impl<B: Clone> KeptRequest<B> {
    /// Keeps a copy of the request as it is now.
    ///
    /// A clone of the extensions allocates a map and a box for each. [`Replay`](crate::replay) leaves one, the call,
    /// which is kept by value instead.
    pub(crate) fn of(request: &mut Request<B>) -> Self {
        let only_a_call = request.extensions().len() == 1;
        let call = request
            .extensions()
            .get::<Call>()
            .filter(|_| only_a_call)
            .cloned();
        if call.is_none() {
            return Self {
                request: request.clone(),
                call,
            };
        }
        let extensions = mem::take(request.extensions_mut());
        let copy = request.clone();
        *request.extensions_mut() = extensions;
        Self {
            request: copy,
            call,
        }
    }

    /// The request as it was, with its call changed, if it has one.
    pub(crate) fn again(&self, change: impl FnOnce(&mut Call)) -> Request<B> {
        let mut request = self.request.clone();
        if let Some(call) = &self.call {
            request.extensions_mut().insert(call.clone());
        }
        if let Some(call) = request.extensions_mut().get_mut::<Call>() {
            change(call);
        }
        request
    }
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
}
