//! The listener for operators: health, status, and a hand on the circuits.
//!
//! | request | answer |
//! |---|---|
//! | `GET /healthz` | 200 while the process runs |
//! | `GET /readyz` | 200, or 503 while it drains |
//! | `GET /status.json` | circuits, compartments, retry budgets, totals and alerts |
//! | `POST /circuits/{model}/open` | turns away all calls to a model until it is reset |
//! | `POST /circuits/{model}/reset` | closes its circuit and forgets what it counted |
//! | `POST /circuits/{model}/disable` | lets all calls through and counts none until it is reset |

use super::{error::StartError, gate::Gate, service::Proxy, status, waiting::Asked};
use crate::claude::reply;
use axum::{
    Router,
    body::Body,
    extract::{Path, State},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use http::{
    HeaderValue, Request, StatusCode,
    header::{CACHE_CONTROL, CONTENT_TYPE},
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc};
use tower::ServiceExt;

/// The longest name of a model whose circuit may be set: longer than any.
const LONGEST_MODEL: usize = 256;

/// The service behind the listener.
#[derive(Debug, Clone)]
pub(super) struct Admin {
    gate: Arc<Gate>,
    router: Router,
}

impl Admin {
    /// For a listener at this address.
    pub(super) fn new(proxy: Proxy, address: SocketAddr) -> Result<Self, StartError> {
        let gate = Gate::new(address, |name| proxy.variable(name))?;
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .route("/status.json", get(status))
            .route("/circuits/{model}/{action}", post(circuit))
            .fallback(|| async { not_found("Not found") })
            .with_state(proxy);
        Ok(Self {
            gate: Arc::new(gate),
            router,
        })
    }

    pub(super) async fn call(&self, request: Request<Asked>) -> Response {
        let (head, body) = request.into_parts();
        let mut response = match self.gate.admit(&head) {
            Ok(()) => {
                let request = Request::from_parts(head, Body::new(body));
                match self.router.clone().oneshot(request).await {
                    Ok(response) => response,
                    Err(never) => match never {},
                }
            }
            Err((status, error_type, message)) => refuse(status, error_type, message),
        };
        let no_store = HeaderValue::from_static("no-store");
        response.headers_mut().insert(CACHE_CONTROL, no_store);
        response
    }
}

async fn ready(State(proxy): State<Proxy>) -> (StatusCode, &'static str) {
    if proxy.is_draining() {
        (StatusCode::SERVICE_UNAVAILABLE, "draining\n")
    } else {
        (StatusCode::OK, "ready\n")
    }
}

async fn status(State(proxy): State<Proxy>) -> Response {
    as_json(&status::of(&proxy))
}

async fn circuit(
    State(proxy): State<Proxy>,
    Path((model, action)): Path<(String, String)>,
) -> Response {
    if model.is_empty() || model.len() > LONGEST_MODEL {
        return not_found("No model has such a name");
    }
    let circuits = proxy.stack().circuits();
    match action.as_str() {
        "open" => circuits.force_open(&model),
        "reset" => circuits.reset(&model),
        "disable" => circuits.disable(&model),
        _ => return not_found("A circuit can be opened, reset or disabled"),
    }
    let state = circuits.state(&model);
    tracing::warn!(model, action, %state, "an operator set a circuit");
    as_json(&json!({"model": model, "state": state.as_str()}))
}

fn not_found(message: &str) -> Response {
    refuse(StatusCode::NOT_FOUND, "not_found_error", message)
}

fn refuse(status: StatusCode, error_type: &str, message: &str) -> Response {
    let body = reply::error_json(error_type, message, None);
    (status, [(CONTENT_TYPE, "application/json")], body).into_response()
}

fn as_json(value: &Value) -> Response {
    let body = format!("{value:#}\n");
    ([(CONTENT_TYPE, "application/json")], body).into_response()
}
