//! The table of judgement, row by row, end to end: what each failure does to attempts, circuit, next model and answer.

mod common;

use common::{Act, BodyEnd, DELTA, HAIKU, SONNET, START, Upstream, read, request};
use std::{sync::Arc, time::Duration};
use tower::Layer;
use tower_claude::{Deadline, Outcome, Resilience, Served};

fn error(status: u16, error_type: &str, message: &str, details: &str) -> Act {
    let body = format!(
        r#"{{"type":"error","error":{{"type":"{error_type}","message":"{message}","details":{details}}}}}"#
    );
    Act::json(status, Box::leak(body.into_boxed_str()))
}

/// What a row of the table says of a model whose every answer is this one.
struct Row {
    name: &'static str,
    act: Act,
    /// Attempts at the only model, within a minute.
    alone: usize,
    /// Attempts at the first model of a chain, and whether the next one is asked.
    chained: (usize, bool),
    /// Failures in the circuit after the lone call.
    failures: u32,
    /// What the lone call gets.
    outcome: Outcome,
    status: u16,
}

/// One line a row, as in the table.
#[rustfmt::skip]
fn rows() -> Vec<Row> {
    use Outcome::{Canned, Direct, Error};
    let spend = r#"{"error_code":"enforced_spend_limit_reached"}"#;
    let no_credit = "Your credit balance is too low to access the Anthropic API.";
    let api = |status, error_type| error(status, error_type, "x", "null");
    let refused = |message| error(400, "invalid_request_error", message, "null");
    let not_found = |message| error(404, "not_found_error", message, "null");
    [
        ("200", Act::ok(), 1, (1, false), 0, Direct, 200),
        ("529", Act::overloaded(), 5, (2, true), 5, Canned, 200),
        ("503 html", Act::json(503, "<html>"), 5, (2, true), 5, Canned, 200),
        ("500", api(500, "api_error"), 5, (2, true), 5, Canned, 200),
        ("502", Act::json(502, ""), 5, (2, true), 5, Canned, 200),
        ("522", Act::json(522, ""), 5, (2, true), 5, Canned, 200),
        ("424", Act::json(424, "{}"), 5, (2, true), 5, Canned, 200),
        ("501", Act::json(501, "{}"), 1, (1, true), 1, Canned, 200),
        ("408", Act::json(408, "{}"), 2, (2, true), 2, Canned, 200),
        ("504", api(504, "timeout_error"), 2, (2, true), 2, Canned, 200),
        ("reset", Act::Break(Duration::ZERO), 5, (2, true), 5, Canned, 200),
        ("error object in a 200", api(200, "overloaded_error"), 5, (2, true), 5, Canned, 200),
        ("json cut short", Act::json(200, "{\"type\":\"mess"), 5, (2, true), 5, Canned, 200),
        ("html in a 200", Act::json(200, "<html>"), 5, (2, true), 5, Canned, 200),
        ("429 without a wait", api(429, "rate_limit_error"), 5, (2, true), 0, Canned, 200),
        ("429 with a wait of a minute", Act::rate_limited("60"), 1, (1, true), 0, Canned, 200),
        ("429 spend limit", error(429, "rate_limit_error", "x", spend), 1, (1, false), 0, Canned, 200),
        ("402", api(402, "billing_error"), 1, (1, false), 0, Canned, 200),
        ("400 no credit", refused(no_credit), 1, (1, false), 0, Canned, 200),
        ("404 model", not_found("model: m"), 1, (1, true), 0, Error, 404),
        ("404 path", not_found("Not found"), 1, (1, false), 0, Error, 404),
        ("400", Act::refused(), 1, (1, false), 0, Error, 400),
        ("401", api(401, "authentication_error"), 1, (1, false), 0, Error, 401),
        ("403", api(403, "permission_error"), 1, (1, false), 0, Error, 403),
        ("409", api(409, "conflict_error"), 2, (2, false), 0, Error, 409),
        ("413", Act::json(413, "<html>"), 1, (1, false), 0, Error, 413),
        ("422", Act::json(422, "{}"), 1, (1, false), 0, Error, 422),
        ("301", Act::json(301, ""), 1, (1, false), 0, Error, 301),
        ("529, no retry", Act::overloaded().header("x-should-retry", "false"), 1, (1, true), 1, Canned, 200),
        ("400, retry", Act::refused().header("x-should-retry", "true"), 5, (2, false), 0, Error, 400),
    ]
    .map(|(name, act, alone, chained, failures, outcome, status)| Row {
        name, act, alone, chained, failures, outcome, status,
    })
    .into()
}

#[tokio::test(start_paused = true)]
async fn each_row_of_the_table_holds_for_a_model_alone() {
    for row in rows() {
        let upstream = Upstream::always(row.act.clone());
        let stack = Resilience::builder().seed(1).build().unwrap();
        let claude = stack.layer(upstream.clone());
        let mut call = request(SONNET, false);
        call.extensions_mut()
            .insert(Deadline::after(Duration::from_secs(60)));
        let answer = claude.send(call).await.unwrap();
        let served = answer.extensions().get::<Served>().unwrap();
        assert_eq!(served.outcome, row.outcome, "{}", row.name);
        assert_eq!(answer.status(), row.status, "{}", row.name);
        assert_eq!(upstream.calls(), row.alone, "attempts: {}", row.name);
        let circuits = stack.circuits().snapshot();
        let failures = circuits.iter().map(|circuit| circuit.failures).sum::<u32>();
        assert_eq!(failures, row.failures, "circuit: {}", row.name);
        assert_eq!(upstream.open(), 0, "{}", row.name);
    }
}

#[tokio::test(start_paused = true)]
async fn each_row_of_the_table_holds_for_the_first_model_of_a_chain() {
    for row in rows() {
        let act = row.act.clone();
        let upstream = Upstream::new(move |model, _| {
            if model == SONNET {
                act.clone()
            } else {
                Act::ok()
            }
        });
        let stack = Resilience::builder()
            .chain([SONNET, HAIKU])
            .seed(1)
            .build()
            .unwrap();
        let answer = stack
            .layer(upstream.clone())
            .send(request(SONNET, false))
            .await
            .unwrap();
        let (attempts, next) = row.chained;
        assert_eq!(
            upstream.calls_to(SONNET),
            attempts,
            "attempts: {}",
            row.name
        );
        assert_eq!(
            upstream.calls_to(HAIKU),
            usize::from(next),
            "next model: {}",
            row.name
        );
        let served = answer.extensions().get::<Served>().unwrap();
        if next {
            assert_eq!(served.outcome, Outcome::Fallback, "{}", row.name);
        }
    }
}

/// A timeout of ours is not tried again at the same model, and the deadline is no model's failure by itself.
#[tokio::test(start_paused = true)]
async fn a_hung_model_is_one_timeout_and_the_next_model_answers() {
    let upstream = Upstream::new(|model, _| {
        if model == SONNET {
            Act::Hang
        } else {
            Act::ok()
        }
    });
    let stack = Resilience::builder()
        .chain([SONNET, HAIKU])
        .build()
        .unwrap();
    let answer = stack
        .layer(upstream.clone())
        .send(request(SONNET, false))
        .await
        .unwrap();
    assert_eq!(answer.headers()["tower-claude-outcome"], "fallback");
    assert_eq!(upstream.calls_to(SONNET), 1);
}

/// The first failure is what the caller learns, not the 400 of a model that knows less.
#[tokio::test(start_paused = true)]
async fn a_refusal_of_the_next_model_does_not_hide_the_outage_of_the_first() {
    let upstream = Upstream::new(|model, _| {
        if model == SONNET {
            Act::overloaded()
        } else {
            Act::refused()
        }
    });
    let stack = Resilience::builder()
        .chain([SONNET, HAIKU])
        .without_degrade()
        .build()
        .unwrap();
    let answer = stack
        .layer(upstream)
        .send(request(SONNET, false))
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 529);
    assert_eq!(answer.headers()["x-should-retry"], "false");
}

/// After the commit nothing is retried, and the caller is told.
#[tokio::test(start_paused = true)]
async fn a_committed_stream_that_breaks_off_is_one_attempt_and_ends_with_an_error_event() {
    for end in [BodyEnd::Eof, BodyEnd::Cut, BodyEnd::Stall] {
        let upstream = Upstream::always(Act::sse(&[START, DELTA, "event: content_block_de"], end));
        let stack = Resilience::builder()
            .chain([SONNET, HAIKU])
            .build()
            .unwrap();
        let answer = stack
            .layer(upstream.clone())
            .send(request(SONNET, true))
            .await
            .unwrap();
        let (text, ended) = read(answer.into_body()).await;
        ended.unwrap();
        let rest = text
            .strip_prefix(&format!("{START}{DELTA}"))
            .expect("what came before is passed on");
        assert!(
            rest.starts_with("event: error\ndata: {") && rest.ends_with("}\n\n"),
            "{end:?}: {rest}"
        );
        assert_eq!(upstream.calls(), 1, "{end:?}");
        let snapshot = stack.circuits().snapshot();
        assert_eq!(
            snapshot.iter().map(|circuit| circuit.failures).sum::<u32>(),
            1,
            "{end:?}"
        );
        let rooms = stack.bulkheads().snapshot();
        assert_eq!(
            rooms.iter().map(|room| room.in_flight).sum::<usize>(),
            0,
            "{end:?}"
        );
    }
}

/// Cached answers are a tenant's own: by its credential, or as it is named.
#[tokio::test(start_paused = true)]
async fn a_cached_answer_is_never_another_tenants() {
    let down = Arc::new(std::sync::atomic::AtomicBool::new(false));
    let is_down = down.clone();
    let upstream = Upstream::new(move |_, _| {
        if is_down.load(std::sync::atomic::Ordering::SeqCst) {
            Act::refused().after(Duration::ZERO)
        } else {
            Act::ok()
        }
    });
    let stack = Resilience::builder().build().unwrap();
    let claude = stack.layer(upstream);
    let of = |key: &str| {
        let mut request = request(SONNET, false);
        request
            .headers_mut()
            .insert("x-api-key", key.parse().unwrap());
        request
    };
    let answer = claude.send(of("sk-one")).await.unwrap();
    let _ = read(answer.into_body()).await;
    down.store(true, std::sync::atomic::Ordering::SeqCst);
    stack.circuits().force_open(SONNET);
    for (key, outcome) in [("sk-one", "cached"), ("sk-two", "canned")] {
        let answer = claude.send(of(key)).await.unwrap();
        assert_eq!(answer.headers()["tower-claude-outcome"], outcome, "{key}");
    }
}

/// A number of tokens that nobody counted would be taken for one.
#[tokio::test(start_paused = true)]
async fn a_count_of_tokens_is_never_a_canned_answer() {
    let upstream = Upstream::always(Act::overloaded());
    let mut call = request(SONNET, false);
    *call.uri_mut() = "http://claude.test/v1/messages/count_tokens"
        .parse()
        .unwrap();
    let answer = Resilience::builder()
        .build()
        .unwrap()
        .layer(upstream)
        .send(call)
        .await
        .unwrap();
    assert_eq!(answer.status().as_u16(), 529);
    assert_eq!(answer.headers()["tower-claude-outcome"], "error");
    assert_eq!(answer.headers()["x-should-retry"], "false");
    assert!(answer.headers().contains_key("retry-after"));
}
