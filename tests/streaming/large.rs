//! JSON answers that are too large to be held whole.

use crate::common::SONNET;
use crate::rig::{Saw, Trace, patient, read, request, within};
use std::{net::SocketAddr, sync::Arc};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
};
use tower::Layer;
use tower_claude::{FailureKind, Resilience, client::https_client};

/// A server that answers one call with these bytes, and closes the connection.
async fn server(answer: Vec<u8>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        // All of it: a close with something unread would be a reset.
        while !request.ends_with(b"]}") {
            stream.read_buf(&mut request).await.unwrap();
        }
        stream.write_all(&answer).await.unwrap();
        stream.shutdown().await.unwrap();
        // The client closes first, or was done with it.
        let _ = stream.read_buf(&mut request).await;
    });
    address
}

const HEAD: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";

fn with_length(json: &[u8], sent: usize) -> Vec<u8> {
    let head = format!("{HEAD}content-length: {}\r\n\r\n", json.len());
    [head.as_bytes(), &json[..sent]].concat()
}

/// In chunks of 64 KiB; the last one is missing if it is cut.
fn in_chunks(json: &[u8], sent: usize) -> Vec<u8> {
    let mut bytes = format!("{HEAD}transfer-encoding: chunked\r\n\r\n").into_bytes();
    for chunk in json[..sent].chunks(64 << 10) {
        bytes.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
        bytes.extend_from_slice(chunk);
        bytes.extend_from_slice(b"\r\n");
    }
    if sent == json.len() {
        bytes.extend_from_slice(b"0\r\n\r\n");
    }
    bytes
}

/// The same, but ended as if it were whole.
fn in_chunks_and_ended(json: &[u8], sent: usize) -> Vec<u8> {
    let mut bytes = in_chunks(json, sent);
    bytes.extend_from_slice(b"0\r\n\r\n");
    bytes
}

fn json(bytes: usize) -> Vec<u8> {
    let text = "x".repeat(bytes);
    format!(r#"{{"id":"msg_1","type":"message","role":"assistant","content":[{{"type":"text","text":"{text}"}}],"stop_reason":"end_turn"}}"#).into_bytes()
}

async fn ask(answer: Vec<u8>) -> (Saw, Resilience, Arc<Trace>) {
    let address = server(answer).await;
    let trace = Arc::new(Trace::default());
    let stack = patient().observe(trace.clone()).build().unwrap();
    let call = request(&format!("http://{address}/v1/messages"), SONNET, false);
    let answer = within(stack.layer(https_client()).send(call))
        .await
        .unwrap();
    (read(answer).await, stack, trace)
}

/// Successes and failures in the circuit of the model that was asked.
fn counted(stack: &Resilience) -> (u32, u32) {
    let circuits = stack.circuits().snapshot();
    let circuit = circuits.iter().find(|circuit| &*circuit.model == SONNET);
    circuit.map_or((0, 0), |circuit| (circuit.successes, circuit.failures))
}

#[tokio::test]
async fn a_json_answer_past_the_bound_is_committed_and_its_cut_is_an_error_to_the_caller_and_a_failure_of_the_circuit()
 {
    let json = json(3 << 20);
    let sent = json.len() - 1000;
    for (name, answer) in [
        ("content-length", with_length(&json, sent)),
        ("chunked", in_chunks(&json, sent)),
        ("chunked, with an end", in_chunks_and_ended(&json, sent)),
    ] {
        let (saw, stack, trace) = ask(answer).await;
        assert_eq!(
            (saw.status.as_u16(), saw.outcome()),
            (200, "direct"),
            "{name}"
        );
        assert_eq!(saw.error, Some(FailureKind::Truncated), "{name}");
        assert_eq!(saw.bytes.as_bytes(), &json[..sent], "{name}");
        assert_eq!(counted(&stack), (0, 1), "{name}");
        let rooms = stack.bulkheads().snapshot();
        assert!(rooms.iter().all(|room| room.in_flight == 0), "{name}");
        let told = [
            format!("committed {SONNET}"),
            format!("broke {SONNET} truncated"),
            "ended truncated".to_owned(),
        ];
        assert_eq!(trace.all(), told, "{name}");
    }
}

#[tokio::test]
async fn a_whole_one_passes_byte_for_byte() {
    let json = json(3 << 20);
    for answer in [with_length(&json, json.len()), in_chunks(&json, json.len())] {
        let (saw, stack, trace) = ask(answer).await;
        assert_eq!((saw.error, saw.bytes.as_bytes() == json), (None, true));
        assert_eq!(counted(&stack), (1, 0));
        assert_eq!(
            trace.all(),
            [format!("committed {SONNET}"), "ended well".to_owned()]
        );
    }
}
