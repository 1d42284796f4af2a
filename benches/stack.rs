//! What each layer, and the whole stack, adds to a call of a service that does nothing.
//!
//! ```console
//! $ cargo bench --bench stack
//! ```
//!
//! All rows of a group are measured in one run against the same bare service; compare the rows, not runs.

use bytes::Bytes;
use criterion::{BatchSize, Criterion, criterion_main};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full};
use std::{convert::Infallible, hint::black_box};
use tower::{Layer, Service, ServiceExt};
use tower_claude::{
    ReplayBody, Resilience, bulkhead::BulkheadLayer, circuit_breaker::CircuitBreakerLayer,
    commit::CommitLayer, degrade::DegradeLayer, jitter_backoff::JitterBackoffLayer,
    model_fallback::ModelFallbackLayer, replay::ReplayLayer,
};

fn body() -> Bytes {
    let text = "x".repeat(1900);
    format!(r#"{{"model":"claude-sonnet-5-5","max_tokens":64,"messages":[{{"role":"user","content":"{text}"}}]}}"#).into()
}

fn request<B>(body: B) -> Request<B> {
    let mut request = Request::new(body);
    for name in [
        "x-api-key",
        "anthropic-version",
        "content-type",
        "accept",
        "user-agent",
    ] {
        request
            .headers_mut()
            .insert(name, HeaderValue::from_static("value"));
    }
    request
}

fn answer() -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from_static(br#"{"type":"message"}"#)));
    response
        .headers_mut()
        .insert("content-type", HeaderValue::from_static("application/json"));
    response
}

/// A client that answers at once.
fn client<B: Send + 'static>()
-> impl Service<Request<B>, Response = Response<Full<Bytes>>, Error = Infallible, Future: Send> + Clone
{
    tower::service_fn(|_: Request<B>| std::future::ready(Ok(answer())))
}

async fn whole<S, B, RB>(service: S, request: Request<B>)
where
    S: Service<Request<B>, Response = Response<RB>>,
    S::Error: std::fmt::Debug,
    RB: http_body::Body<Data = Bytes>,
    RB::Error: std::fmt::Debug,
{
    let response = service.oneshot(request).await.unwrap();
    let mut body = std::pin::pin!(response.into_body());
    while let Some(frame) = body.frame().await {
        black_box(frame.unwrap());
    }
}

fn bench<S, B, RB>(c: &mut Criterion, name: &str, service: &S, body: &B)
where
    S: Service<Request<B>, Response = Response<RB>> + Clone,
    S::Error: std::fmt::Debug,
    B: Clone,
    RB: http_body::Body<Data = Bytes>,
    RB::Error: std::fmt::Debug,
{
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_time()
        .build()
        .unwrap();
    c.benchmark_group("call").bench_function(name, |b| {
        b.iter_batched(
            || (service.clone(), request(body.clone())),
            |(service, request)| runtime.block_on(whole(service, request)),
            BatchSize::SmallInput,
        );
    });
}

fn stack(c: &mut Criterion) {
    let full = Full::new(body());
    let replay = ReplayBody::from(body());
    bench(c, "bare service", &client(), &full);
    bench(c, "replay", &ReplayLayer::new().layer(client()), &full);
    bench(c, "commit", &CommitLayer::new().layer(client()), &full);
    bench(
        c,
        "circuit breaker",
        &CircuitBreakerLayer::new().layer(client()),
        &full,
    );
    bench(c, "bulkhead", &BulkheadLayer::new().layer(client()), &full);
    bench(
        c,
        "backoff",
        &JitterBackoffLayer::new().layer(client()),
        &full,
    );
    bench(
        c,
        "fallback",
        &ModelFallbackLayer::new().layer(client()),
        &replay,
    );
    bench(c, "degrade", &DegradeLayer::new().layer(client()), &full);
    let stack = Resilience::builder()
        .chain(["claude-sonnet-5-5", "claude-haiku-5-5"])
        .build()
        .unwrap();
    bench(c, "the whole stack", &stack.layer(client()), &full);
}

mod made {
    #![allow(missing_docs, reason = "made by the macro")]
    criterion::criterion_group!(benches, super::stack);
}

criterion_main!(made::benches);
