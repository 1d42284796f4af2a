//! Which call gets which reply.

use tokio::time::Instant;
use tower_claude::testing::{At, FakeClaude, Fault, Reply, Script, ScriptError, StartError};

use super::client::{HAIKU, SONNET, call, ms, send};

#[tokio::test]
async fn a_script_by_number_changes_the_answer_from_call_to_call() {
    let script = Script::sequence([Reply::overloaded(), Reply::server_error()])
        .calls(2..4, Reply::unavailable())
        .always(Reply::ok());
    let claude = FakeClaude::builder()
        .on(SONNET, script)
        .start()
        .await
        .unwrap();
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(
            send(call(&claude, SONNET, false))
                .await
                .unwrap()
                .status
                .as_u16(),
        );
    }
    assert_eq!(statuses, [529, 500, 503, 503, 200]);
    assert_eq!(send(call(&claude, HAIKU, false)).await.unwrap().status, 200);
    assert_eq!(
        (
            claude.calls(),
            claude.calls_to(SONNET),
            claude.calls_to(HAIKU)
        ),
        (6, 5, 1)
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn calls_at_the_same_time_are_numbered_one_by_one() {
    let script = Script::new().calls(..10, Reply::overloaded());
    let claude = FakeClaude::builder()
        .default_script(script)
        .start()
        .await
        .unwrap();
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        calls.spawn(send(call(&claude, SONNET, true)));
    }
    let answers = calls.join_all().await;
    let failed = answers
        .iter()
        .filter(|answer| answer.as_ref().unwrap().status == 529);
    assert_eq!((failed.count(), claude.calls()), (10, 40));
}

#[tokio::test]
async fn a_script_by_time_changes_the_answer_as_time_goes_by() {
    let script = Script::new().during(..ms(60), Reply::overloaded());
    let claude = FakeClaude::builder()
        .on(SONNET, script)
        .start()
        .await
        .unwrap();
    claude.reset_clock();
    let started = Instant::now();
    let answer = send(call(&claude, SONNET, false)).await.unwrap();
    // On a machine that stood still for 60 ms the first answer says nothing.
    assert!(answer.status == 529 || Instant::now() - started >= ms(60));
    tokio::time::sleep_until(started + ms(61)).await;
    assert_eq!(
        send(call(&claude, SONNET, false)).await.unwrap().status,
        200
    );
}

#[tokio::test]
async fn scripts_change_while_the_server_runs() {
    let claude = FakeClaude::builder()
        .on(SONNET, Reply::overloaded())
        .start()
        .await
        .unwrap();
    let status = async |model| {
        send(call(&claude, model, false))
            .await
            .unwrap()
            .status
            .as_u16()
    };
    assert_eq!((status(SONNET).await, status(HAIKU).await), (529, 200));
    claude.set(SONNET, Reply::ok()).unwrap();
    claude.set_default(Reply::server_error()).unwrap();
    assert_eq!((status(SONNET).await, status(HAIKU).await), (200, 500));
    claude.set_all(Reply::unavailable()).unwrap();
    assert_eq!((status(SONNET).await, status(HAIKU).await), (503, 503));
    let refused: ScriptError = claude.set(HAIKU, Reply::status(1)).unwrap_err();
    assert_eq!((refused.target(), status(HAIKU).await), (Some(HAIKU), 503));
}

#[tokio::test]
async fn a_bad_script_is_refused_at_start() {
    let started = FakeClaude::builder().on("", Reply::ok()).start().await;
    let Err(StartError::Script(error)) = started else {
        panic!("{started:?}")
    };
    assert!(
        error
            .to_string()
            .contains("name of a model or path is empty")
    );
    let script = Reply::ok().deltas(3).fail(At::MidDelta(3), Fault::Cut);
    let started = FakeClaude::builder().default_script(script).start().await;
    let said = started.unwrap_err().to_string();
    assert_eq!(
        said,
        "default script: rule 0: a fault at MidDelta(3) of an answer of 3 deltas"
    );
}
