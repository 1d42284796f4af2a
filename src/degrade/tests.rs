//! What only the crate itself can bring about.

use super::{body::DegradeBody, policy::DegradePolicy, tee::*, *};
use crate::{
    BodyTooLarge, BoxError, Call, Failure, FailureKind, ReplayBody, Tenant,
    body::TakeWhole,
    cache::{CacheKey, CacheQuery, CachedAnswer, Lookup, ResponseCache},
    classify::{End, Ended},
};
use bytes::Bytes;
use http::{Request, Response};
use http_body::Frame;
use http_body_util::{BodyExt, Full, StreamBody};
use std::sync::{Arc, Mutex};
use tower::{Layer, ServiceExt, service_fn};

#[derive(Debug, Default)]
struct Puts(Mutex<Vec<CachedAnswer>>);

impl ResponseCache for Puts {
    fn get(&self, _: &CacheQuery) -> Lookup {
        Lookup::Ready(None)
    }

    fn put(&self, _: &CacheQuery, answer: CachedAnswer) {
        self.0.lock().unwrap().push(answer);
    }
}

impl Puts {
    fn len(&self) -> usize {
        self.0.lock().unwrap().len()
    }
}

fn tee(form: Form, end: &End, puts: &Arc<Puts>) -> Tee {
    let query = CacheQuery::new(
        CacheKey::from_bytes([1; 32]),
        Tenant::new("t"),
        "chat".into(),
    );
    Tee::new(puts.clone(), query, form, Some(end.clone()), 0)
}

const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#;

fn stream() -> Bytes {
    crate::claude::reply::sse_from_message(MESSAGE.as_bytes()).unwrap()
}

/// A body of this whole text and then a cut.
fn cut(
    text: Bytes,
    tee: Tee,
) -> DegradeBody<impl http_body::Body<Data = Bytes, Error = BoxError> + Unpin> {
    let frames = [Ok(Frame::data(text)), Err("connection reset".into())];
    DegradeBody::inner(
        StreamBody::new(futures_util::stream::iter(frames)),
        Some(Box::new(tee)),
    )
}

#[tokio::test]
async fn a_stream_dropped_after_message_stop_is_kept_and_before_it_is_not() {
    let puts = Arc::new(Puts::default());
    for (ended, kept) in [
        (None, 0),
        (Some(Ended::Failed(FailureKind::Truncated)), 0),
        (Some(Ended::Complete), 1),
    ] {
        let end = End::new();
        let mut body = cut(stream(), tee(Form::Events, &end, &puts));
        body.frame().await.unwrap().unwrap();
        if let Some(ended) = ended {
            end.set(ended);
        }
        drop(body);
        assert_eq!(puts.len(), kept, "{ended:?}");
    }
}

#[tokio::test]
async fn an_answer_that_breaks_off_is_not_kept_though_every_byte_is_there() {
    let puts = Arc::new(Puts::default());
    let mut body = cut(Bytes::from(MESSAGE), tee(Form::Json, &End::new(), &puts));
    body.frame().await.unwrap().unwrap();
    body.frame().await.unwrap().unwrap_err();
    drop(body);
    assert_eq!(puts.len(), 0);
}

#[tokio::test]
async fn a_body_that_says_its_end_with_its_last_frame_is_kept_at_once() {
    let puts = Arc::new(Puts::default());
    let tee = tee(Form::Json, &End::new(), &puts);
    let mut body = DegradeBody::inner(Full::new(Bytes::from(MESSAGE)), Some(Box::new(tee)));
    body.frame().await.unwrap().unwrap();
    assert_eq!(puts.len(), 1);
    assert_eq!(puts.0.lock().unwrap()[0], CachedAnswer::new(MESSAGE));
}

/// A body of this, which may be taken.
struct Here(Option<Bytes>);

impl TakeWhole for Here {
    fn take_whole(&mut self) -> Option<Bytes> {
        self.0.take()
    }
}

#[test]
fn what_is_taken_whole_is_kept_and_what_cannot_be_taken_goes_on_with_its_copy() {
    for here in [Some(Bytes::from(MESSAGE)), None] {
        let puts = Arc::new(Puts::default());
        let tee = tee(Form::Json, &End::new(), &puts);
        let mut body = DegradeBody::inner(Here(here.clone()), Some(Box::new(tee)));
        assert_eq!(body.take_whole(), here);
        assert_eq!(puts.len(), here.iter().count());
        assert_eq!(body.tee.is_some(), here.is_none());
    }
}

#[test]
fn an_answer_that_nobody_has_read_further_in_is_kept_only_if_it_parses() {
    let puts = Arc::new(Puts::default());
    let cut = MESSAGE.len() - 3;
    for (sent, kept) in [(&MESSAGE[..cut], 0), (MESSAGE, 1)] {
        let mut tee = tee(Form::Json, &End::new(), &puts);
        assert!(tee.push(sent.as_bytes()));
        tee.finish();
        assert_eq!(puts.len(), kept);
    }
}

#[test]
fn no_more_is_held_than_may_be_kept() {
    let puts = Arc::new(Puts::default());
    let end = End::new();
    end.set(Ended::Complete);
    let mut tee = tee(Form::Json, &end, &puts);
    let mut held = 0;
    while tee.push(MESSAGE.as_bytes()) {
        held += 1;
    }
    assert_eq!(held, MAX_BYTES / MESSAGE.len());
    drop(tee);
    assert_eq!(puts.len(), 0, "nothing of what was given up");
}

#[test]
fn what_is_kept_is_a_copy_of_its_own_and_no_longer_than_the_answer() {
    let puts = Arc::new(Puts::default());
    let sent = Bytes::from(format!("{MESSAGE}{}", " ".repeat(9000))).slice(..MESSAGE.len());
    let mut tee = tee(Form::Json, &End::new(), &puts);
    // Room for what comes is made in leaps.
    assert!(tee.push(&sent[..100]) && tee.push(&sent[100..110]) && tee.push(&sent[110..]));
    tee.finish();
    let kept = puts.0.lock().unwrap().pop().unwrap().body;
    assert_eq!(kept, sent);
    assert_ne!(kept.as_ptr(), sent.as_ptr());
    let owned = kept.try_into_mut().expect("nobody else holds it");
    assert_eq!(owned.capacity(), MESSAGE.len());
}

#[tokio::test]
async fn a_body_over_the_bound_is_the_callers_mistake_and_not_an_outage() {
    let inner = service_fn(|_: Request<ReplayBody>| async {
        Err::<Response<Full<Bytes>>, BoxError>(BodyTooLarge::new(10).into())
    });
    let request = Request::new(ReplayBody::default());
    let error = DegradeLayer::new()
        .layer(inner)
        .oneshot(request)
        .await
        .unwrap_err();
    assert!(error.is::<BodyTooLarge>());
}

#[tokio::test]
async fn a_layer_that_is_off_changes_nothing() {
    let inner = service_fn(|request: Request<ReplayBody>| async move {
        assert!(!request.extensions().get::<Call>().unwrap().degrade());
        Err::<Response<Full<Bytes>>, BoxError>(Failure::new(FailureKind::Overloaded).into())
    });
    let off = DegradeLayer::off()
        .with_default(DegradePolicy::answer(""))
        .with_cache(Arc::new(Puts::default()));
    assert_eq!(off.check(), Ok(()));
    let mut request = Request::new(ReplayBody::default());
    request.extensions_mut().insert(Call::new(Some("m".into())));
    let error = off.layer(inner).oneshot(request).await.unwrap_err();
    assert_eq!(
        Failure::find(&*error).unwrap().kind,
        FailureKind::Overloaded
    );
}
