//! However a call ends, its permit is back, once, and not before its body has ended.

use super::house::{Body, House, Reply, answer, call, one, settle};
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt;
use rand::{RngExt, SeedableRng, rngs::SmallRng};
use std::{
    convert::Infallible,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
    time::Duration,
};
use tokio::{task::yield_now, time::sleep};
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_claude::{
    BoxError,
    bulkhead::{BulkheadLayer, Compartment},
};

// Case 59.
#[tokio::test(start_paused = true)]
async fn the_permit_of_a_stream_is_back_when_its_body_ends_and_not_before() {
    let mut house = House::new(one());
    let running = house.chat().await;
    house
        .upstream
        .reply(Reply::Stream(&["message_start", "message_stop"]));
    let mut body = running.await.unwrap().unwrap().into_body();
    assert_eq!(house.counts(), (1, 0), "the head is not the end");
    for _ in 0..2 {
        body.frame().await.unwrap().unwrap();
        assert_eq!(house.counts(), (1, 0));
    }
    assert!(body.frame().await.is_none());
    assert_eq!(house.counts(), (0, 0));
    drop(body);
    assert_eq!(house.counts(), (0, 0), "given back once");
}

// Case 59.
#[tokio::test(start_paused = true)]
async fn the_permit_is_back_after_a_body_dropped_half_way() {
    let mut house = House::new(one());
    let running = house.chat().await;
    house
        .upstream
        .reply(Reply::Stream(&["message_start", "ping", "message_stop"]));
    let mut body = running.await.unwrap().unwrap().into_body();
    body.frame().await.unwrap().unwrap();
    assert_eq!(house.counts(), (1, 0));
    drop(body);
    assert_eq!(house.counts(), (0, 0));
}

// Case 59.
#[tokio::test(start_paused = true)]
async fn the_permit_is_back_at_once_after_an_error_and_after_a_failed_answer_that_is_kept() {
    let mut house = House::new(one());
    for reply in [Reply::Error, Reply::Status(529), Reply::Status(400)] {
        let running = house.chat().await;
        house.upstream.reply(reply);
        let kept = running.await.unwrap();
        assert_eq!(house.counts(), (0, 0));
        drop(kept);
        assert_eq!(house.counts(), (0, 0));
    }
}

// Case 59.
#[tokio::test(start_paused = true)]
async fn the_permit_is_back_after_a_panic_of_the_future_and_of_the_call_itself() {
    let mut house = House::new(one());
    let running = house.chat().await;
    house.upstream.reply(Reply::Panic);
    assert!(running.await.unwrap_err().is_panic());
    assert_eq!(house.counts(), (0, 0));

    let layer = BulkheadLayer::new().with_default(one());
    let mut service = layer.layer(service_fn(
        |_| -> std::future::Ready<Result<Response<Body>, BoxError>> {
            resume_unwind(Box::new("boom"))
        },
    ));
    for _ in 0..3 {
        let call = AssertUnwindSafe(|| service.call(Request::new(0)));
        assert!(catch_unwind(call).is_err());
    }
    assert_eq!(layer.handle().snapshot()[0].in_flight, 0);
}

// Case 59.
#[tokio::test(start_paused = true)]
async fn the_permit_is_back_after_a_cancel_in_flight_and_a_cancel_in_the_line_leaves_no_trace() {
    let mut house = House::new(one());
    let running = house.chat().await;
    let leaves = house.chat().await;
    let stays = house.chat().await;
    assert_eq!(house.counts(), (1, 2));
    leaves.abort();
    settle().await;
    assert_eq!(house.counts(), (1, 1));
    running.abort();
    settle().await;
    assert_eq!(house.counts(), (1, 0), "the one that stayed is in flight");
    assert_eq!(house.upstream.seen(), 2);
    stays.abort();
    settle().await;
    assert_eq!(house.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_that_leaves_with_a_seat_assigned_hands_it_on() {
    let mut house = House::new(one());
    let running = house.chat().await;
    house.upstream.reply(Reply::Json);
    let answer = running.await.unwrap().unwrap();
    let mut first = house.unpolled();
    assert!(first.poll().is_pending());
    let _second = house.chat().await;
    drop(answer);
    drop(first);
    settle().await;
    assert_eq!(house.counts(), (1, 0));
    assert_eq!(house.upstream.seen(), 2);
}

// Case 66.
#[tokio::test(start_paused = true)]
async fn no_permit_is_held_while_a_retry_outside_sleeps_with_the_failed_answer_in_hand() {
    let mut house = House::new(one());
    let service = house.service.clone();
    let retrying = tokio::spawn(async move {
        let mut request = Request::new(7);
        request.extensions_mut().insert(call("chat", "sonnet"));
        let first = service.clone().oneshot(request.clone()).await?;
        sleep(Duration::from_secs(10)).await;
        drop(first);
        service.oneshot(request).await
    });
    settle().await;
    assert_eq!(house.counts(), (1, 0));
    house.upstream.reply(Reply::Status(529));
    settle().await;
    assert_eq!(house.counts(), (0, 0), "asleep");
    let meanwhile = house.chat().await;
    house.upstream.reply(Reply::Json);
    drop(meanwhile.await.unwrap().unwrap());
    sleep(Duration::from_secs(11)).await;
    assert_eq!(house.counts(), (1, 0));
    house.upstream.reply(Reply::Json);
    let retried = retrying.await.unwrap().unwrap();
    assert_eq!(retried.status(), StatusCode::OK);
}

// Case 67.
#[tokio::test(start_paused = true)]
async fn a_service_that_is_ready_and_never_called_holds_no_permit() {
    let mut house = House::new(one());
    let mut clones: Vec<_> = (0..10).map(|_| house.service.clone()).collect();
    for clone in &mut clones {
        clone.ready().await.unwrap();
    }
    let running = house.chat().await;
    house.upstream.reply(Reply::Json);
    running.await.unwrap().unwrap();
    drop(clones);
    assert_eq!(house.counts(), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn fifty_response_bodies_never_exceed_a_bulkhead_of_two() {
    let two = Compartment::new(2)
        .with_queue(50)
        .with_wait(Duration::from_secs(3600));
    let layer = BulkheadLayer::new().with_default(two);
    let service = layer.layer(service_fn(|_: Request<u32>| async {
        let stream = Reply::Stream(&["message_start", "ping", "message_stop"]);
        Ok::<_, Infallible>(answer(stream).unwrap())
    }));
    let open = Arc::new(AtomicUsize::new(0));
    let most = Arc::new(AtomicUsize::new(0));
    let calls: Vec<_> = (0..50_u32)
        .map(|n| {
            let (service, open, most) = (service.clone(), open.clone(), most.clone());
            tokio::spawn(async move {
                let response = service.oneshot(Request::new(n)).await.unwrap();
                most.fetch_max(open.fetch_add(1, SeqCst) + 1, SeqCst);
                let mut body = response.into_body();
                body.frame().await.unwrap().unwrap();
                sleep(Duration::from_millis(u64::from(n % 7) + 1)).await;
                open.fetch_sub(1, SeqCst);
                // A third leaves half-way.
                if n % 3 > 0 {
                    body.collect().await.unwrap();
                }
            })
        })
        .collect();
    for call in calls {
        call.await.unwrap();
    }
    assert_eq!(most.load(SeqCst), 2);
    assert_eq!(layer.handle().snapshot()[0].in_flight, 0);
}

/// Counts the calls inside, also while they unwind.
struct Inside(Arc<AtomicUsize>);

impl Inside {
    fn enter(count: &Arc<AtomicUsize>, limit: usize) -> Self {
        let before = count.fetch_add(1, SeqCst);
        assert!(before < limit, "{before} calls were inside already");
        Self(count.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn under_real_threads_the_limit_holds_and_every_permit_is_back() {
    const LIMIT: usize = 3;
    // A wait as short as the calls, so that its end races with their ends.
    let three = Compartment::new(LIMIT)
        .with_queue(20)
        .with_wait(Duration::from_millis(1));
    let layer = BulkheadLayer::new().with_default(three);
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let service = layer.layer(service_fn(move |request: Request<u32>| {
        let counted = counted.clone();
        async move {
            let _inside = Inside::enter(&counted, LIMIT);
            for _ in 0..request.body() % 4 {
                yield_now().await;
            }
            answer(match request.body() % 5 {
                0 => Reply::Error,
                1 => Reply::Status(529),
                2 => Reply::Panic,
                _ => Reply::Stream(&["message_start", "message_stop"]),
            })
        }
    }));
    let tasks: Vec<_> = (0..50_u64)
        .map(|seed| {
            let service = service.clone();
            tokio::spawn(async move {
                let mut rng = SmallRng::seed_from_u64(seed);
                let mut served = 0;
                for _ in 0..100 {
                    let call = tokio::spawn(service.clone().oneshot(Request::new(rng.random())));
                    match rng.random_range(0..4) {
                        0 => call.abort(),
                        1 => {
                            yield_now().await;
                            call.abort();
                        }
                        _ => {}
                    }
                    let Ok(Ok(response)) = call.await else {
                        continue;
                    };
                    served += 1;
                    let mut body = response.into_body();
                    let _ = body.frame().await;
                    if rng.random() {
                        let _ = body.collect().await;
                    }
                }
                served
            })
        })
        .collect();
    let mut served = 0;
    for task in tasks {
        served += task.await.unwrap();
    }
    assert!(served > 100, "only {served} were served: that tests little");
    let all = layer.handle().snapshot();
    assert_eq!((all[0].in_flight, all[0].queued), (0, 0));
    assert_eq!(count.load(SeqCst), 0);
}
