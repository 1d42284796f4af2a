//! The least that a reverse proxy of hyper does: a pool of connections, and bodies passed on as they come.

use crate::process::announce;
use http::{Request, Response, Uri, header::HOST};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::{
    client::legacy::{Client, Error, connect::HttpConnector},
    rt::{TokioExecutor, TokioIo},
};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const ROLE: &str = "bare";

type Pool = Client<HttpConnector, Incoming>;

#[tokio::main]
pub(crate) async fn run(upstream: &str) {
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    announce(&listener);
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    let pool: Pool = Client::builder(TokioExecutor::new()).build(connector);
    loop {
        let (stream, _) = listener.accept().await.expect("a connection");
        tokio::spawn(serve(stream, pool.clone(), upstream.to_owned()));
    }
}

async fn serve(stream: TcpStream, pool: Pool, upstream: String) {
    stream.set_nodelay(true).expect("a socket");
    let service = service_fn(|request| forward(request, &pool, &upstream));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // Callers hang up when they are done.
    let _ = connection.await;
}

async fn forward(
    mut request: Request<Incoming>,
    pool: &Pool,
    upstream: &str,
) -> Result<Response<Incoming>, Error> {
    let path = request.uri().path_and_query().cloned();
    let uri = Uri::builder().scheme("http").authority(upstream);
    let uri = uri.path_and_query(path.expect("a path"));
    *request.uri_mut() = uri.build().expect("an address");
    request.headers_mut().remove(HOST);
    pool.request(request).await
}
