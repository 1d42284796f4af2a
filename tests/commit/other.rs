//! JSON answers, failed answers, answers of the wrong kind, and clients that give none.

use crate::script::{
    Answer, Cut, DELTA, ERROR_JSON, MESSAGE, S, SIZES, START, STOP, Script, Seen, Stall, Step,
    Trailers, Wait, alone, ask, data, end, failure, read,
};
use http::{Request, Response};
use http_body::Body;
use http_body_util::BodyExt;
use std::{
    convert::Infallible,
    task::{Context, Poll},
};
use tokio::time::Instant;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_claude::{
    BoxError, Call, FailureKind, Verdict,
    classify::Ended,
    commit::{Commit, CommitBody, CommitLayer},
};

#[tokio::test(start_paused = true)]
async fn a_fault_of_a_json_answer_is_a_failure_of_the_attempt() {
    use FailureKind::{Overloaded, ServerError, Timeout, Transport};
    let long = format!("{{\"x\":\"{}\"}}", "y".repeat(200_000));
    for (name, answer, kind) in [
        ("error object", Answer::json([data(ERROR_JSON)]), Overloaded),
        ("cut", Answer::json([data(&MESSAGE[..20]), Cut]), Transport),
        (
            "short of its length",
            Answer::json([data(&long[..99_999])]).header("content-length", long.len()),
            Transport,
        ),
        (
            "stall",
            Answer::json([data(&MESSAGE[..20]), Stall]),
            Timeout,
        ),
        ("stall at once", Answer::json([Stall]), Timeout),
        (
            "status",
            Answer::json([data("{}")]).status(501),
            ServerError,
        ),
    ] {
        for size in [7, 300, 1 << 20] {
            for sure in [true, false] {
                let mut answer = answer.clone().chunked(size);
                answer.sure = sure;
                let answered = ask(CommitLayer::new(), answer, None, &Seen::default()).await;
                if name == "status" {
                    let verdict = Verdict::of(&answered);
                    assert_eq!(verdict.failure().unwrap().kind, kind);
                    continue;
                }
                assert_eq!(failure(answered).kind, kind, "{name}, {size}");
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_is_not_what_was_asked_for_is_a_failure() {
    use FailureKind::{Overloaded, ServerError, Transport};
    let html = || Answer::new("text/html", [data("<html>hi</html>")]);
    for (name, stream, answer, kind) in [
        ("html for a stream", true, html(), ServerError),
        (
            "json for a stream",
            true,
            Answer::json([data(MESSAGE)]),
            ServerError,
        ),
        (
            "an error object for a stream",
            true,
            Answer::json([data(ERROR_JSON)]),
            Overloaded,
        ),
        ("nothing for a stream", true, Answer::json([]), ServerError),
        (
            "a stream for json",
            false,
            Answer::sse([data(START), data(DELTA), data(STOP)]),
            ServerError,
        ),
        ("html for json", false, html(), Transport),
        ("nothing for json", false, Answer::json([]), Transport),
        (
            "an error object for json",
            false,
            Answer::json([data(ERROR_JSON)]),
            Overloaded,
        ),
    ] {
        for sure in [true, false] {
            let mut answer = answer.clone();
            answer.sure = sure;
            if !sure && !stream && kind == Transport {
                // Without anything to act, its first chunk commits it, unless that shows an error.
                continue;
            }
            let seen = Seen::default();
            let answered = ask(CommitLayer::new(), answer, Some(alone(stream)), &seen).await;
            assert_eq!(failure(answered).kind, kind, "{name}");
            assert_eq!(seen.open(), 0);
            assert_eq!(seen.events(), [format!("failed {kind} after 0ns")]);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_whole_json_answer_is_complete_and_passes_as_it_came() {
    for size in SIZES {
        let mut answer = Answer::json([data(MESSAGE), Trailers]).chunked(size);
        answer = answer.header("content-length", MESSAGE.len());
        let seen = Seen::default();
        let response = ask(CommitLayer::new(), answer, None, &seen).await.unwrap();
        assert!(matches!(
            response.extensions().get(),
            Some(Verdict::Complete)
        ));
        assert_eq!(seen.open(), 0, "read whole, and let go");
        let mut body = response.into_body();
        assert_eq!(body.size_hint().exact(), Some(MESSAGE.len() as u64));
        let mut read = Vec::new();
        while read.len() < MESSAGE.len() {
            assert!(!body.is_end_stream(), "a server would stop here");
            let frame = body.frame().await.unwrap().unwrap();
            read.extend_from_slice(frame.data_ref().unwrap());
        }
        assert_eq!(read, MESSAGE.as_bytes());
        assert!(!body.is_end_stream(), "there are trailers");
        let trailers = body.frame().await.unwrap().unwrap();
        assert_eq!(trailers.trailers_ref().unwrap()["x-end"], "1");
        assert!(body.frame().await.is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn a_large_json_answer_is_committed_at_the_bound_and_its_cut_is_an_error() {
    use FailureKind::Truncated;
    let chunk = "y".repeat(64 << 10);
    let large: Vec<Step> = [data("{\"x\":\"")]
        .into_iter()
        .chain((0..20).map(|_| data(&chunk)))
        .collect();
    let with = |last: Vec<Step>| Answer::json([large.clone(), last].concat());
    for (name, answer, ended) in [
        ("whole", with(vec![data("\"}")]), Ended::Complete),
        ("cut", with(vec![Cut]), Ended::Failed(Truncated)),
        ("stall", with(vec![Stall]), Ended::Failed(Truncated)),
        (
            "short",
            with(vec![]).header("content-length", 9_999_999),
            Ended::Failed(Truncated),
        ),
    ] {
        let seen = Seen::default();
        let response = ask(CommitLayer::new(), answer, None, &seen).await.unwrap();
        let end = end(&response);
        let (text, failure) = read(response.into_body()).await;
        assert!(text.len() > 20 * (64 << 10), "{name}");
        assert_eq!(end.get(), Some(ended), "{name}");
        assert_eq!(failure.map_or(Ended::Complete, Ended::Failed), ended);
        assert_eq!(seen.open(), 0);
    }
}

/// Under a 200 an SDK takes it for a message without content.
#[tokio::test(start_paused = true)]
async fn an_error_object_in_pieces_is_no_answer_where_nothing_could_act_either() {
    for (name, text, kind) in [
        (
            "usual",
            ERROR_JSON.to_owned(),
            Some(FailureKind::Overloaded),
        ),
        (
            "spaced",
            ERROR_JSON.replace(':', " : "),
            Some(FailureKind::Overloaded),
        ),
        ("a message", MESSAGE.to_owned(), None),
    ] {
        for size in [1, 5, 16, 60] {
            let answer = Answer::json([data(&text)]).chunked(size);
            let seen = Seen::default();
            let answered = ask(CommitLayer::new(), answer, Some(alone(false)), &seen).await;
            let verdict = Verdict::of(&answered);
            let failed = verdict.failure().map(|failure| failure.kind);
            assert_eq!(failed, kind, "{name} in chunks of {size}");
        }
    }
}

/// One just as long as the bound, or short of it in many chunks, used to be committed: its cut could not be retried.
#[tokio::test(start_paused = true)]
async fn a_json_answer_no_longer_than_the_bound_is_held_whole_however_it_is_cut_up() {
    const BOUND: usize = 10_000;
    let of = |length: usize| format!("{{\"x\":\"{}\"}}", "y".repeat(length - 8));
    for (length, whole) in [(BOUND - 1, true), (BOUND, true), (BOUND + 1, false)] {
        for size in [1, 7, 300, BOUND * 2] {
            let answer = Answer::json([data(&of(length))]).chunked(size);
            let layer = CommitLayer::new().with_hold_json(BOUND);
            let answered = ask(layer, answer, None, &Seen::default()).await;
            let verdict = Verdict::of(&answered);
            let complete = matches!(verdict, Verdict::Complete);
            assert_eq!(complete, whole, "{length} in chunks of {size}");
            let (text, failure) = read(answered.unwrap().into_body()).await;
            assert_eq!((text.len(), failure), (length, None));
        }
    }
}

#[tokio::test(start_paused = true)]
async fn of_a_failed_answer_64_kib_are_owned_and_the_rest_is_let_go() {
    let seen = Seen::default();
    let long = "z".repeat(100 << 10);
    for (steps, length) in [
        (vec![data(ERROR_JSON)], ERROR_JSON.len()),
        (vec![data(ERROR_JSON), Cut], ERROR_JSON.len()),
        (vec![data(ERROR_JSON), Stall], ERROR_JSON.len()),
        (vec![data(&long), Stall], 64 << 10),
    ] {
        let answer = Answer::json(steps)
            .status(529)
            .header("content-length", 200_000);
        let start = Instant::now();
        let answered = ask(CommitLayer::new(), answer, Some(alone(false)), &seen).await;
        assert!(Instant::now() - start <= 5 * S);
        assert_eq!(seen.open(), 0);
        let failure = Verdict::of(&answered).failure().unwrap().clone();
        assert_eq!(failure.kind, FailureKind::Overloaded);
        let response = answered.unwrap();
        assert_eq!(response.headers()["content-length"], length.to_string());
        assert_eq!(read(response.into_body()).await.0.len(), length);
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_never_gets_ready_is_a_failed_attempt() {
    #[derive(Clone)]
    struct Never;
    impl Service<Request<()>> for Never {
        type Response = Response<Script>;
        type Error = Infallible;
        type Future = std::future::Ready<Result<Response<Script>, Infallible>>;
        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Pending
        }
        fn call(&mut self, _: Request<()>) -> Self::Future {
            panic!("called without being ready")
        }
    }
    let start = Instant::now();
    let mut service = CommitLayer::new().layer(Never);
    let service: &mut Commit<Never> = service.ready().await.unwrap();
    let failure = failure(service.call(Request::new(())).await);
    assert_eq!(
        (failure.kind, Instant::now() - start),
        (FailureKind::Timeout, 15 * S)
    );
}

#[tokio::test(start_paused = true)]
async fn an_error_of_the_client_is_a_transport_failure_with_its_source() {
    let service =
        service_fn(|_: Request<()>| async { Err::<Response<Script>, BoxError>("refused".into()) });
    let failure = failure(
        CommitLayer::new()
            .layer(service)
            .oneshot(Request::new(()))
            .await,
    );
    assert_eq!(failure.kind, FailureKind::Transport);
    assert_eq!(
        std::error::Error::source(&failure).unwrap().to_string(),
        "refused"
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_no_messages_call_passes_through() {
    let steps = || vec![data("abc"), Wait(9 * S), data("def"), Trailers];
    let call = || Some(Call::new(None));
    let start = Instant::now();
    let seen = Seen::default();
    for answer in [Answer::new("text/plain", steps()), Answer::json(steps())] {
        let response = ask(CommitLayer::new(), answer, call(), &seen)
            .await
            .unwrap();
        let waited = Instant::now() - start;
        assert!(waited.as_secs() % 9 == 0, "passed on by its head");
        assert_eq!(
            read(response.into_body()).await,
            ("abcdef[trailers]".to_owned(), None)
        );
    }
    let cut = Answer::new("text/plain", [data("abc"), Cut]);
    let response = ask(CommitLayer::new(), cut, call(), &seen).await.unwrap();
    let (text, failure) = read(response.into_body()).await;
    assert_eq!(
        (text.as_str(), failure.unwrap()),
        ("abc", FailureKind::Truncated)
    );
    assert!(seen.events().is_empty(), "no model, no events");
}

/// A job that another service starts, an upload, a completion of another form: 15 s are no outage of theirs.
#[tokio::test(start_paused = true)]
async fn a_post_that_is_no_messages_call_may_take_its_time() {
    for (method, status) in [("POST", Some(201)), ("GET", None)] {
        let client = service_fn(|_: Request<()>| async {
            tokio::time::sleep(100 * S).await;
            let body = http_body_util::Full::new(bytes::Bytes::new());
            Ok::<_, BoxError>(Response::builder().status(201).body(body).unwrap())
        });
        let mut request = Request::builder().method(method).body(()).unwrap();
        request.extensions_mut().insert(Call::new(None));
        let answered = CommitLayer::new().layer(client).oneshot(request).await;
        let answered = answered.ok().map(|response| response.status().as_u16());
        assert_eq!(answered, status, "{method}");
    }
}

/// Other services of the API stream events of other names, with long pauses and without a `message_stop`.
#[tokio::test(start_paused = true)]
async fn a_stream_that_is_not_of_a_messages_call_passes_through_too() {
    let event = "event: session.status_idle\ndata: {}\n\n";
    let answer = Answer::sse([data(event), Wait(599 * S), data(event)]);
    let start = Instant::now();
    let seen = Seen::default();
    let response = ask(CommitLayer::new(), answer, Some(Call::new(None)), &seen)
        .await
        .unwrap();
    assert_eq!(Instant::now(), start, "passed on by its head");
    assert_eq!(
        read(response.into_body()).await,
        ([event, event].concat(), None)
    );
    // Not for ever.
    let answer = Answer::sse([data(event), Wait(601 * S), data(event)]);
    let response = ask(CommitLayer::new(), answer, Some(Call::new(None)), &seen)
        .await
        .unwrap();
    let (text, failure) = read(response.into_body()).await;
    assert_eq!(text, event);
    assert_eq!(failure, Some(FailureKind::Truncated));
}

#[tokio::test(start_paused = true)]
async fn a_body_known_to_be_empty_has_ended_with_its_head() {
    for length in [0, 5] {
        let mut answer = Answer::new("text/plain", []).header("content-length", length);
        answer.sure = true;
        let seen = Seen::default();
        let response = ask(CommitLayer::new(), answer, Some(Call::new(None)), &seen)
            .await
            .unwrap();
        assert_eq!(response.body().is_end_stream(), length == 0);
        let ended = end(&response).get().unwrap();
        assert_eq!(ended == Ended::Complete, length == 0);
        assert_eq!(seen.open(), 0);
    }
}

#[tokio::test(start_paused = true)]
async fn an_encoded_answer_is_passed_on_unread() {
    let answer = Answer::sse([data("\u{1f}gzip"), data("more")]).header("content-encoding", "gzip");
    let response = ask(
        CommitLayer::new(),
        answer,
        Some(alone(true)),
        &Seen::default(),
    )
    .await
    .unwrap();
    assert_eq!(
        read(response.into_body()).await,
        ("\u{1f}gzipmore".to_owned(), None)
    );
    let answer = Answer::json([data("\u{1f}gzip")]).header("content-encoding", "gzip");
    let response = ask(CommitLayer::new(), answer, None, &Seen::default())
        .await
        .unwrap();
    assert_eq!(
        read(response.into_body()).await,
        ("\u{1f}gzip".to_owned(), None)
    );
}

#[tokio::test(start_paused = true)]
async fn neither_the_key_of_a_call_nor_what_was_said_is_printed() {
    let client = service_fn(|_: Request<()>| async {
        std::future::pending::<Result<Response<http_body_util::Full<bytes::Bytes>>, BoxError>>()
            .await
    });
    let mut request = Request::new(());
    request
        .headers_mut()
        .insert("x-api-key", "s3cret".parse().unwrap());
    let call = CommitLayer::new().layer(client).call(request);
    let printed = format!("{call:?}");
    assert!(!printed.contains("s3cret"), "{printed}");

    let answer = Answer::sse([data(START), data(DELTA), Stall]);
    let mut body = crate::script::plain(answer).await.unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    let printed = format!("{body:?}");
    assert!(!printed.contains("Hello"), "{printed}");
}

#[test]
fn the_body_is_unpin_when_that_of_the_client_is() {
    fn unpin<T: Unpin + Send>() {}
    unpin::<CommitBody<Script>>();
}
