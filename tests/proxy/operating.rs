//! What befalls a process that runs for weeks: its settings were a pipe, half a request lingers, upstream contradicts itself.

use crate::{
    house::*,
    process::{File, Process, command, run},
};
use http::StatusCode;
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    time::timeout,
};
use tower_claude::testing::FakeClaude;

/// `claude-proxy --config <(…)`: a pipe that has ended reads as an empty file, and SIGHUP would go on with the defaults,
/// without `[auth]`. A named pipe would wait for its writer, and with it whoever hears the signals.
#[tokio::test]
async fn a_pipe_is_read_once_and_never_again() {
    let pipe = std::env::temp_dir().join(format!("claude-proxy-pipe-{}", std::process::id()));
    let script = format!(
        "mkfifo {} && printf 'max_in_flight = 5' > {0} &",
        pipe.display()
    );
    let made = std::process::Command::new("sh")
        .args(["-c", &script])
        .status();
    assert!(made.unwrap().success());
    until(|| async { pipe.exists() }).await;
    let running = Process::start(command(&["--config", pipe.to_str().unwrap()]));
    running.signal("HUP");
    let status = || async {
        let request = http::Request::get(format!("http://{}/status.json", running.operators));
        let body = http_body_util::Empty::<bytes::Bytes>::new();
        json_of(client().request(request.body(body).unwrap()).await.unwrap()).await
    };
    until(|| async { status().await["reloads"]["refused"] == 1 }).await;
    assert_eq!(
        status().await["in_flight"]["max"],
        5,
        "the old settings stay"
    );
    running.signal("TERM");
    let (end, _, log) = running.end().await;
    std::fs::remove_file(pipe).unwrap();
    assert!(end.success() && log.contains("no file"), "{log}");
}

#[tokio::test]
async fn half_a_first_request_does_not_hold_up_the_end() {
    let mut house = House::well("drain = '1h'").await;
    let mut half = TcpStream::connect(house.address).await.unwrap();
    half.write_all(b"GET /v1/models HT").await.unwrap();
    // Accepted behind the first, and answered: so that was read too.
    assert_eq!(house.get("/v1/models").await.status(), StatusCode::OK);
    house.proxy.shutdown();
    let end = timeout(Duration::from_secs(20), &mut house.running).await;
    end.unwrap().unwrap();
    assert_eq!(half.read(&mut [0]).await.unwrap_or(0), 0);
}

/// A length beside chunks once cut the body, or broke the connection to the caller.
#[tokio::test]
async fn an_answer_in_chunks_is_as_long_as_they_are() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            // All of the request is in its first packet.
            let _head = stream.read(&mut [0; 4096]).await.unwrap();
            let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\
                 transfer-encoding: chunked\r\n\r\n";
            let answer = format!("{head}13\r\n{{\"input_tokens\": 3}}\r\n0\r\n\r\n");
            stream.write_all(answer.as_bytes()).await.unwrap();
        }
    });
    let claude = FakeClaude::start().await.unwrap();
    let house = House::before(claude, config("", &url)).await;
    for path in ["/v1/files", "/v1/messages/count_tokens"] {
        let answer = house.post(path, &call(SONNET), &[]).await;
        assert_eq!(text_of(answer).await, "{\"input_tokens\": 3}", "{path}");
    }
    upstream.abort();
}

#[test]
fn a_check_says_which_secrets_are_missing_here_and_is_well() {
    let open = ["--check", "--admin", "0.0.0.0:8788"];
    let file = File::new("[auth]\n");
    let own = ["--check", "--config", file.path()];
    for (args, variable) in [
        (open, "CLAUDE_PROXY_ADMIN_TOKEN"),
        (own, "ANTHROPIC_API_KEY"),
    ] {
        let (done, out, said) = run(command(&args));
        assert!(done && out.contains("fallback"), "{said}");
        assert!(said.contains("would not start here"), "{said}");
        assert!(said.contains(variable), "{said}");
    }
    let mut with_all = command(&own);
    with_all.env("ANTHROPIC_API_KEY", "sk-ant-own-key");
    with_all.env("CLAUDE_PROXY_TOKENS", TOKEN);
    let (done, _, said) = run(with_all);
    assert!(done && said.is_empty(), "{said}");
}

/// SDKs send all of a file before they read: an answer that came first was lost with the connection, and tried again.
#[tokio::test]
async fn an_early_answer_to_an_upload_is_read_by_its_sender() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let upstream = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _head = stream.read(&mut [0; 4096]).await.unwrap();
        let answer =
            "HTTP/1.1 413 Payload Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";
        stream.write_all(answer.as_bytes()).await.unwrap();
        stream.shutdown().await.unwrap();
        // Longer than the proxy needs to see the end.
        while stream.read(&mut [0; 4096]).await.is_ok_and(|n| n > 0) {}
        drop(listener);
    });
    let claude = FakeClaude::start().await.unwrap();
    let house = House::before(claude, config("", &url)).await;
    for status in ["413", "502"] {
        let mut sender = TcpStream::connect(house.address).await.unwrap();
        let length = 16 << 20;
        let head = format!(
            "POST /v1/files HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        sender.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..16 {
            sender.write_all(&vec![b'x'; 1 << 20]).await.unwrap();
        }
        let mut answer = String::new();
        sender.read_to_string(&mut answer).await.unwrap();
        let expected = format!("HTTP/1.1 {status}");
        assert!(answer.starts_with(&expected), "{answer}");
    }
    house.idle().await;
    upstream.await.unwrap();
}

/// What passes through was a 502 then, as if upstream could not be reached.
#[tokio::test]
async fn chunks_that_are_none_are_the_callers_fault() {
    let house = House::well("").await;
    for path in ["/v1/files", "/v1/messages"] {
        let head = format!("POST {path} HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n");
        let answer = raw(house.address, (head + "2\r\n{}\r\nzz\r\n").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400"), "{path}: {answer}");
        assert!(answer.contains("invalid_request_error"), "{answer}");
    }
}

#[tokio::test]
async fn a_circuit_is_that_of_a_model_with_a_name() {
    let house = House::well("").await;
    let set = async |model: &str| {
        let request = format!(
            "POST /circuits/{model}/open HTTP/1.1\r\nhost: localhost\r\ntower-claude-admin: 1\r\nconnection: close\r\n\r\n"
        );
        raw(house.admin, request.as_bytes()).await
    };
    assert!(set("").await.starts_with("HTTP/1.1 404"));
    assert!(set("eu%2Fclaude-x").await.starts_with("HTTP/1.1 200"));
    let status = house.status().await;
    let circuits = status["circuits"].as_array().unwrap().iter();
    let open = circuits.filter(|circuit| circuit["state"] == "forced_open");
    let open: Vec<_> = open.map(|circuit| &circuit["model"]).collect();
    assert_eq!(open, ["eu/claude-x"]);
}

#[tokio::test]
async fn who_waits_to_be_asked_for_an_upload_is_not_asked_for_what_nobody_wants() {
    let claude = FakeClaude::start().await.unwrap();
    // Nobody listens there.
    let house = House::before(claude, config("", "http://127.0.0.1:1")).await;
    let head =
        "POST /v1/files HTTP/1.1\r\nhost: x\r\nexpect: 100-continue\r\ncontent-length: 9\r\n\r\n";
    // Asked for it, it would not send it, and be waited for for 5 s.
    let answer = timeout(Duration::from_secs(4), raw(house.address, head.as_bytes())).await;
    let answer = answer.unwrap();
    assert!(answer.starts_with("HTTP/1.1 502"), "{answer}");
}
