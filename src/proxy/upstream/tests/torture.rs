//! Hundreds of calls at once to an upstream that does everything it may, and some of what it may not.
//!
//! Whatever happens, a call that ends well has its own answer, one that upstream has answered whole does not fail, and none
//! waits for ever.

use super::stand::*;
use crate::{error::BoxError, proxy::upstream::Upstream};
use rand::{RngExt, SeedableRng, rngs::Xoshiro256PlusPlus as Rng};
use std::{
    collections::HashSet,
    fmt::Write as _,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{task::yield_now, time::timeout};

const CALLERS: u64 = 120;
const CALLS: u64 = 4;

/// Calls that upstream has answered whole.
type Answered = Arc<Mutex<HashSet<String>>>;

/// What it says to nobody else.
fn answer(path: &str) -> String {
    let n: usize = path.rsplit('/').next().unwrap().parse().unwrap();
    format!("{path},").repeat(1 + n % 500)
}

fn in_chunks(text: &str, rng: &mut Rng) -> String {
    let mut chunks = String::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (chunk, more) = rest.split_at(rng.random_range(1..=rest.len()));
        write!(chunks, "{:x}\r\n{chunk}\r\n", chunk.len()).unwrap();
        rest = more;
    }
    chunks
}

async fn write(conn: &mut Conn, text: &str, rng: &mut Rng) {
    let mut rest = text;
    while !rest.is_empty() {
        let (piece, more) = rest.split_at(rng.random_range(1..=rest.len()));
        conn.write(piece).await;
        rest = more;
        for _ in 0..rng.random_range(0..3) {
            yield_now().await;
        }
    }
}

/// Does with each request what comes to its mind.
async fn serve(mut conn: Conn, mut rng: Rng, answered: Answered) {
    loop {
        let whim = rng.random_range(0..40);
        if whim == 0 {
            if rng.random() {
                conn.reset();
            }
            return;
        }
        let comes = if whim == 1 {
            conn.head().await
        } else {
            conn.request().await
        };
        if !comes {
            return;
        }
        let path = conn.path().to_owned();
        let text = answer(&path);
        let length = text.len();
        let known = format!("HTTP/1.1 200 OK\r\ncontent-length: {length}\r\n\r\n");
        let chunked = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n";
        let (head, body) = match whim {
            2 => return conn.reset(),
            3 => return,
            4 => {
                write(&mut conn, &known, &mut rng).await;
                return write(&mut conn, &text[..length / 2], &mut rng).await;
            }
            5 => {
                let chunks = in_chunks(&text, &mut rng);
                write(&mut conn, chunked, &mut rng).await;
                write(&mut conn, &chunks, &mut rng).await;
                return conn.reset();
            }
            6 => ("HTTP/1.1 200 OK\r\n\r\n".to_owned(), text),
            7 => (
                known.replace("\r\n\r\n", "\r\nconnection: close\r\n\r\n"),
                text,
            ),
            8..12 => (chunked.to_owned(), in_chunks(&text, &mut rng) + "0\r\n\r\n"),
            12..14 => {
                let chunks = in_chunks(&text, &mut rng);
                (chunked.to_owned(), chunks + "0\r\nx-end: 1\r\n\r\n")
            }
            _ => (known, text),
        };
        write(&mut conn, &head, &mut rng).await;
        write(&mut conn, &body, &mut rng).await;
        answered.lock().unwrap().insert(path);
        match whim {
            1 if !conn.request().await => return,
            // The last one says nothing of it.
            6 | 7 | 19 => return,
            _ => (),
        }
    }
}

async fn call(upstream: Upstream, path: &str, mut rng: Rng) -> Result<String, BoxError> {
    let bits = rng.random_range(0..200);
    let response = if rng.random_ratio(1, 4) {
        let (feed, sending) = stream_to(&upstream, path);
        tokio::spawn(async move {
            for _ in 0..bits {
                if feed.send("some more of it").await.is_err() {
                    return;
                }
            }
        });
        sending.await?
    } else {
        // Now and then more than a socket takes at once.
        let bit = "x".repeat(if rng.random_ratio(1, 10) { 2_000 } else { 10 });
        post_to(&upstream, path, bit.repeat(bits)).await?
    };
    text(response).await
}

/// Makes some calls, one after the other, and does not wait for all.
async fn caller(upstream: Upstream, n: u64, mut rng: Rng, answered: Answered) {
    for id in n * CALLS..(n + 1) * CALLS {
        let path = format!("/call/{id}");
        let patience = rng.random_ratio(1, 5).then(|| rng.random_range(0..60));
        let calling = call(upstream.clone(), &path, Rng::seed_from_u64(rng.random()));
        let ended = tokio::select! {
            ended = timeout(Duration::from_secs(60), calling) => ended,
            () = lose(patience) => continue,
        };
        match ended.expect("no call waits for ever") {
            Ok(text) => assert!(text == answer(&path), "{path} got {text}"),
            Err(error) => assert!(
                !answered.lock().unwrap().contains(&path),
                "{path} was answered: {error:?}"
            ),
        }
    }
}

/// Waits for so many turns, or for ever.
async fn lose(patience: Option<usize>) {
    let Some(turns) = patience else {
        return std::future::pending().await;
    };
    for _ in 0..turns {
        yield_now().await;
    }
}

async fn torture(seed: u64) {
    let answered = Answered::default();
    let known = Arc::clone(&answered);
    let stand = Stand::new(move |conn, n| {
        let rng = Rng::seed_from_u64(seed ^ (n as u64) << 32);
        serve(conn, rng, Arc::clone(&known))
    })
    .await;
    let upstream = stand.upstream();
    let callers: Vec<_> = (0..CALLERS)
        .map(|n| {
            let rng = Rng::seed_from_u64(seed + n);
            tokio::spawn(caller(upstream.clone(), n, rng, Arc::clone(&answered)))
        })
        .collect();
    for caller in callers {
        caller.await.unwrap();
    }
    // Most of them: the others were dropped, or broken.
    assert!(answered.lock().unwrap().len() > 240);
    let (requests, connections) = (stand.requests(), stand.connections());
    assert!(
        2 * requests > 3 * connections,
        "{requests} over {connections}: many are used again"
    );
    until(|| stand.open() <= 100).await;
}

#[tokio::test]
async fn whatever_upstream_does_each_call_has_its_own_answer_or_none() {
    for seed in [1, 22] {
        torture(seed).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn so_it_is_where_calls_change_threads() {
    torture(333).await;
}
