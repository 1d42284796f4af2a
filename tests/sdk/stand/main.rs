//! The stand of the SDK suites: for each test a fake Claude with its own script, and a `claude-proxy` of its own before it.
//!
//! `sdk_stand PATH_OF_CLAUDE_PROXY` listens on a free port of loopback, prints its URL as one line, and ends with SIGTERM or
//! SIGINT, and all its proxies with it. A test in any language asks it for
//!
//! | request | with | answers |
//! |---|---|---|
//! | `POST /houses` | what [`Order`](house::Order) reads | `{"id": 1, "url": "http://127.0.0.1:…"}` |
//! | `GET /houses/{id}` | | what the fake was asked so far: method, path, model and headers, without secrets |
//! | `DELETE /houses/{id}` | | nothing, once the proxy has ended |
//!
//! Nothing is shared between two houses, neither circuits nor counts, so tests may run in any order and at once.
#![allow(
    unreachable_pub,
    reason = "the files of an example are no public interface"
)]

mod house;
mod replies;

use axum::{
    Json, Router,
    extract::{DefaultBodyLimit, Path, State},
    http::StatusCode,
    routing::{get, post},
};
use house::{House, Order};
use serde_json::{Value, json};
use std::{
    collections::HashMap,
    error::Error,
    ffi::OsString,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};
use tokio::signal::unix::{SignalKind, signal};

struct Stand {
    proxy: OsString,
    houses: Mutex<Houses>,
}

#[derive(Default)]
struct Houses {
    last: u64,
    open: HashMap<u64, House>,
}

impl Stand {
    fn houses(&self) -> MutexGuard<'_, Houses> {
        self.houses.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

type Answer = Result<Json<Value>, (StatusCode, String)>;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let proxy = std::env::args_os().nth(1);
    let stand = Arc::new(Stand {
        proxy: proxy.ok_or("usage: sdk_stand PATH_OF_CLAUDE_PROXY")?,
        houses: Mutex::default(),
    });
    let app = Router::new()
        .route("/houses", post(build))
        .route("/houses/{id}", get(look).delete(tear_down))
        .layer(DefaultBodyLimit::max(64 << 20))
        .with_state(stand);
    let (mut term, mut interrupt) = (
        signal(SignalKind::terminate())?,
        signal(SignalKind::interrupt())?,
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    println!("http://{}", listener.local_addr()?);
    tokio::select! {
        served = async { axum::serve(listener, app).await } => served?,
        _ = term.recv() => {}
        _ = interrupt.recv() => {}
    }
    Ok(())
}

async fn build(State(stand): State<Arc<Stand>>, Json(order): Json<Value>) -> Answer {
    let house = match Order::read(&order) {
        Ok(order) => House::build(&stand.proxy, order).await,
        Err(problem) => Err(problem.into()),
    };
    let house = house.map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let mut houses = stand.houses();
    houses.last += 1;
    let (id, url) = (houses.last, house.url.clone());
    houses.open.insert(id, house);
    Ok(Json(json!({"id": id, "url": url})))
}

async fn look(State(stand): State<Arc<Stand>>, Path(id): Path<u64>) -> Answer {
    let houses = stand.houses();
    let house = houses.open.get(&id).ok_or_else(|| none(id))?;
    Ok(Json(house.seen()))
}

async fn tear_down(State(stand): State<Arc<Stand>>, Path(id): Path<u64>) -> Answer {
    let house = stand.houses().open.remove(&id).ok_or_else(|| none(id))?;
    house.end().await;
    Ok(Json(Value::Null))
}

fn none(id: u64) -> (StatusCode, String) {
    (StatusCode::NOT_FOUND, format!("there is no house {id}"))
}
