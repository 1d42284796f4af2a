//! The service: what happens to one attempt.

use super::{
    super::{
        chance::Chance,
        engine::CALL,
        scenario::{Fault, Model, Scenario, Which},
        trace::{AttemptEnd, Trace},
    },
    body::{AnswerBody, BodyEnd, Piece, Seat},
    line::Line,
};
use bytes::Bytes;
use http::{Request, Response};
use std::{
    collections::VecDeque,
    future::{Future, pending},
    pin::Pin,
    sync::{Arc, Mutex, PoisonError},
    task::{Context, Poll},
    time::Duration,
};
use tokio::time::sleep;
use tower_claude::{BoxError, ReplayBody};
use tower_service::Service;

const START: &str = "event: message_start\ndata: {\"type\":\"message_start\",\"message\":{\"id\":\"msg_1\",\"type\":\"message\",\"role\":\"assistant\",\"content\":[],\"model\":\"m\",\"stop_reason\":null,\"stop_sequence\":null,\"usage\":{\"input_tokens\":1,\"output_tokens\":1}}}\n\nevent: content_block_start\ndata: {\"type\":\"content_block_start\",\"index\":0,\"content_block\":{\"type\":\"text\",\"text\":\"\"}}\n\n";
const DELTA: &str = "event: content_block_delta\ndata: {\"type\":\"content_block_delta\",\"index\":0,\"delta\":{\"type\":\"text_delta\",\"text\":\"Hello\"}}\n\n";
const END: &str = "event: content_block_stop\ndata: {\"type\":\"content_block_stop\",\"index\":0}\n\nevent: message_delta\ndata: {\"type\":\"message_delta\",\"delta\":{\"stop_reason\":\"end_turn\",\"stop_sequence\":null},\"usage\":{\"output_tokens\":3}}\n\nevent: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
const ERROR: &str = "event: error\ndata: {\"type\":\"error\",\"error\":{\"type\":\"overloaded_error\",\"message\":\"Overloaded\"}}\n\n";
const MESSAGE: &str = r#"{"id":"msg_1","type":"message","role":"assistant","model":"m","content":[{"type":"text","text":"Hello"}],"stop_reason":"end_turn","stop_sequence":null,"usage":{"input_tokens":1,"output_tokens":1}}"#;
const OVERLOADED: &str =
    r#"{"type":"error","error":{"type":"overloaded_error","message":"Overloaded"}}"#;
const LIMITED: &str =
    r#"{"type":"error","error":{"type":"rate_limit_error","message":"slow down"}}"#;

/// The pieces a stream's text comes in.
const DELTAS: u32 = 4;
/// What a refusal takes where the scenario does not say.
const REFUSAL: Duration = Duration::from_millis(30);

/// See the [module docs](super).
#[derive(Debug, Clone)]
pub(crate) struct Claude(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    scenario: Arc<Scenario>,
    seed: u64,
    trace: Trace,
    lines: [Arc<Line>; 2],
    /// Per model the window of the rate limit and the calls in it.
    windows: Mutex<[(u64, u32); 2]>,
}

/// What an attempt draws: always as much, whatever becomes of it.
struct Luck {
    fault: f64,
    first: f64,
    dies: f64,
    how: f64,
    whereabouts: f64,
}

impl Claude {
    /// Starts it, on the runtime of the caller.
    pub(crate) fn new(scenario: Arc<Scenario>, seed: u64, trace: Trace) -> Self {
        let lines: [Arc<Line>; 2] = Default::default();
        for (which, line) in Which::BOTH.into_iter().zip(&lines) {
            if scenario.model(which).serves.is_some() {
                tokio::spawn(line.clone().serve(scenario.clone(), which, trace.clone()));
            }
        }
        Self(Arc::new(Shared {
            scenario,
            seed,
            trace,
            lines,
            windows: Mutex::default(),
        }))
    }

    async fn attempt(
        self,
        call: u32,
        which: Which,
        stream: bool,
    ) -> Result<Response<AnswerBody>, BoxError> {
        let this = &*self.0;
        let scenario = &*this.scenario;
        let model = scenario.model(which);
        let (number, before) = this.trace.attempt(call, which);
        let mut seat = Seat {
            trace: this.trace.clone(),
            number,
            end: AttemptEnd::Abandoned,
            cost: 0.0,
            cost_if_abandoned: None,
        };
        let luck = Luck::draw(this.seed, call, which, before, model);
        let (mut factor, mut dies) = (1.0, false);
        let now = this.trace.now();
        for outage in scenario.faults(which, now) {
            match outage.fault {
                Fault::Overloaded { after, share } if luck.fault < share => {
                    sleep(after.0).await;
                    return refuse(seat, 529, OVERLOADED, None);
                }
                Fault::Hang { share } if luck.fault < share => pending().await,
                Fault::Limited => {
                    let until = outage.to.ms();
                    return self.limited(seat, call, which, until).await;
                }
                Fault::Slow { factor: by } => factor = by,
                Fault::Die { share } => dies = stream && luck.dies < share,
                Fault::Overloaded { .. } | Fault::Hang { .. } | Fault::Serves { .. } => {}
            }
        }
        if let Some(until) = self.over_limit(which, now) {
            return self.limited(seat, call, which, until).await;
        }
        if model.serves.is_some() {
            let line = &this.lines[which as usize];
            if model.line.is_some_and(|longest| line.len() >= longest) {
                sleep(REFUSAL).await;
                return refuse(seat, 529, OVERLOADED, None);
            }
            let turn = line.join();
            let [input, output] = cost(model);
            seat.cost_if_abandoned = model.executes_abandoned.then_some(input + output);
            turn.await?;
        }
        Ok(answer(seat, model, stream, factor, dies, &luck).await)
    }

    /// The end of the window, if its calls are used up.
    fn over_limit(&self, which: Which, now: u64) -> Option<u64> {
        let limit = self.0.scenario.model(which).limit?;
        let mut windows = self
            .0
            .windows
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        let (window, calls) = &mut windows[which as usize];
        let nth = now / limit.per.ms();
        if *window != nth {
            (*window, *calls) = (nth, 0);
        }
        *calls += 1;
        (*calls > limit.calls).then(|| (nth + 1) * limit.per.ms())
    }

    async fn limited(
        &self,
        seat: Seat,
        call: u32,
        which: Which,
        until: u64,
    ) -> Result<Response<AnswerBody>, BoxError> {
        sleep(REFUSAL).await;
        let now = self.0.trace.now();
        let seconds = until.saturating_sub(now).div_ceil(1000).max(1);
        self.0.trace.told_to_wait(call, which, now + seconds * 1000);
        refuse(seat, 429, LIMITED, Some(seconds))
    }
}

impl Luck {
    fn draw(seed: u64, call: u32, which: Which, before: u32, model: &Model) -> Self {
        let mut chance = Chance::new(seed, &[1, call.into(), which as u64, before.into()]);
        Self {
            fault: chance.unit(),
            dies: chance.unit(),
            how: chance.unit(),
            whereabouts: chance.unit(),
            first: chance.log_normal(model.first.secs(), model.spread),
        }
    }
}

/// US dollars of the input and of the output.
fn cost(model: &Model) -> [f64; 2] {
    let [input, output] = model.price;
    [
        f64::from(model.input_tokens) * input / 1e6,
        f64::from(model.output_tokens) * output / 1e6,
    ]
}

async fn answer(
    mut seat: Seat,
    model: &Model,
    stream: bool,
    factor: f64,
    dies: bool,
    luck: &Luck,
) -> Response<AnswerBody> {
    let first = Duration::from_secs_f64(luck.first * factor);
    let text = f64::from(model.output_tokens) / model.tokens_per_second * factor;
    let text = Duration::from_secs_f64(text);
    let [input, output] = cost(model);
    seat.cost = input;
    let piece = |after, data: &'static str, cost| Piece {
        after,
        data: Bytes::from_static(data.as_bytes()),
        cost,
    };
    if !stream {
        sleep(first + text).await;
        let pieces = VecDeque::from([piece(Duration::ZERO, MESSAGE, output)]);
        return respond("application/json", pieces, BodyEnd::Whole, seat);
    }
    // Claude sends the head and `message_start` well before the first content.
    sleep(first / 2).await;
    let mut pieces = VecDeque::from([piece(Duration::ZERO, START, 0.0)]);
    for nth in 0..DELTAS {
        let after = if nth == 0 { first / 2 } else { text / DELTAS };
        pieces.push_back(piece(after, DELTA, output / f64::from(DELTAS)));
    }
    pieces.push_back(piece(text / DELTAS, END, 0.0));
    let mut end = BodyEnd::Whole;
    if dies {
        // Before the first content, or after any piece of it.
        pieces.truncate(1 + (luck.whereabouts * f64::from(DELTAS + 1)) as usize);
        end = match (luck.how * 3.0) as u8 {
            0 => BodyEnd::Silent,
            1 => BodyEnd::Cut,
            _ => {
                pieces.push_back(piece(Duration::ZERO, ERROR, 0.0));
                BodyEnd::Silent
            }
        };
    }
    respond("text/event-stream", pieces, end, seat)
}

fn refuse(
    mut seat: Seat,
    status: u16,
    body: &'static str,
    retry_after: Option<u64>,
) -> Result<Response<AnswerBody>, BoxError> {
    seat.end = AttemptEnd::Refused(status);
    let pieces = VecDeque::from([Piece {
        after: Duration::ZERO,
        data: Bytes::from_static(body.as_bytes()),
        cost: 0.0,
    }]);
    // Its end is known: the seat ends here, and says what it was.
    drop(seat);
    let mut response = Response::builder()
        .status(status)
        .header("content-type", "application/json");
    if let Some(seconds) = retry_after {
        response = response.header("retry-after", seconds);
    }
    let body = AnswerBody {
        pieces,
        end: BodyEnd::Whole,
        sleep: None,
        seat: None,
    };
    Ok(response.body(body)?)
}

fn respond(
    kind: &'static str,
    pieces: VecDeque<Piece>,
    end: BodyEnd,
    seat: Seat,
) -> Response<AnswerBody> {
    let mut response = Response::new(AnswerBody {
        pieces,
        end,
        sleep: None,
        seat: Some(seat),
    });
    response
        .headers_mut()
        .insert("content-type", http::HeaderValue::from_static(kind));
    response
}

impl Service<Request<ReplayBody>> for Claude {
    type Response = Response<AnswerBody>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, BoxError>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody>) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let call = request.headers().get(CALL);
            let call = call.ok_or("no call number")?.to_str()?.parse()?;
            let body: serde_json::Value = serde_json::from_slice(&request.body().to_bytes())?;
            let model = body["model"].as_str().unwrap_or_default();
            let which = Which::of(model).ok_or("no such model")?;
            let stream = body["stream"].as_bool().unwrap_or_default();
            // The request's own bytes are not needed any more.
            drop(request);
            this.attempt(call, which, stream).await
        })
    }
}
