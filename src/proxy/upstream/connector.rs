//! Connections that know whether they have carried an answer.

use http::{Extensions, Uri};
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use pin_project_lite::pin_project;
use std::{
    future::Future,
    io::{self, IoSlice},
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
};
use tower::util::{Oneshot, ServiceExt};
use tower_service::Service;

/// Whether a connection has carried an answer: one that is reset then may merely have been closed while it was idle.
#[derive(Debug, Clone, Default)]
pub(super) struct Used(Arc<AtomicBool>);

impl Used {
    pub(super) fn mark(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(super) fn of(connected: &Connected) -> bool {
        let mut extras = Extensions::new();
        connected.get_extras(&mut extras);
        let used = extras.get::<Self>();
        used.is_some_and(|used| used.0.load(Ordering::Relaxed))
    }
}

/// Gives each connection of another connector a [`Used`].
///
/// That one is cloned when it connects, and not with the client, which clones its connector for every request.
#[derive(Debug)]
pub(super) struct Marking<C>(Arc<C>);

impl<C> Marking<C> {
    pub(super) fn new(inner: C) -> Self {
        Self(Arc::new(inner))
    }
}

impl<C> Clone for Marking<C> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

impl<C: Service<Uri> + Clone> Service<Uri> for Marking<C> {
    type Response = Marked<C::Response>;
    type Error = C::Error;
    type Future = Connecting<Oneshot<C, Uri>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), C::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, uri: Uri) -> Self::Future {
        let inner = C::clone(&self.0);
        Connecting {
            future: inner.oneshot(uri),
        }
    }
}

pin_project! {
    #[derive(Debug)]
    pub(super) struct Connecting<F> {
        #[pin]
        future: F,
    }
}

impl<F, T, E> Future for Connecting<F>
where
    F: Future<Output = Result<T, E>>,
{
    type Output = Result<Marked<T>, E>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let io = ready!(self.project().future.poll(cx))?;
        let used = Used::default();
        Poll::Ready(Ok(Marked { io, used }))
    }
}

pin_project! {
    /// A connection with its mark.
    #[derive(Debug)]
    pub(super) struct Marked<T> {
        #[pin]
        io: T,
        used: Used,
    }
}

impl<T: Connection> Connection for Marked<T> {
    /// Without what else the other connector has to tell, its addresses: each answer would carry a copy, and nobody asks.
    fn connected(&self) -> Connected {
        let theirs = self.io.connected();
        let ours = Connected::new()
            .proxy(theirs.is_proxied())
            .extra(self.used.clone());
        if theirs.is_negotiated_h2() {
            ours.negotiated_h2()
        } else {
            ours
        }
    }
}

impl<T: Read> Read for Marked<T> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        self.project().io.poll_read(cx, buf)
    }
}

impl<T: Write> Write for Marked<T> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write(cx, buf)
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.project().io.poll_shutdown(cx)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.project().io.poll_write_vectored(cx, bufs)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::claude::headers::mark_secrets;
    use crate::{client, proxy::upstream::Outgoing};
    use bytes::Bytes;
    use http::{HeaderValue, Request, Response, Version, header::HOST};
    use http_body_util::{BodyExt, Full};
    use hyper::{body::Incoming, server::conn::http2, service::service_fn};
    use hyper_util::{
        client::legacy::{Client, connect::HttpConnector},
        rt::{TokioExecutor, TokioIo},
    };
    use std::{convert::Infallible, sync::Mutex};
    use tokio::net::{TcpListener, TcpStream};

    /// A connector whose connections have agreed on HTTP/2, as TLS would.
    #[derive(Clone)]
    struct Http2(HttpConnector);

    impl Service<Uri> for Http2 {
        type Response = Agreed<TokioIo<TcpStream>>;
        type Error = <HttpConnector as Service<Uri>>::Error;
        type Future =
            Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send + 'static>>;

        fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
            self.0.poll_ready(cx)
        }

        fn call(&mut self, uri: Uri) -> Self::Future {
            let connecting = self.0.call(uri);
            Box::pin(async { Ok(Agreed(connecting.await?)) })
        }
    }

    struct Agreed<T>(T);

    impl<T: Connection> Connection for Agreed<T> {
        fn connected(&self) -> Connected {
            self.0.connected().negotiated_h2()
        }
    }

    impl<T: Read + Unpin> Read for Agreed<T> {
        fn poll_read(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: ReadBufCursor<'_>,
        ) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_read(cx, buf)
        }
    }

    impl<T: Write + Unpin> Write for Agreed<T> {
        fn poll_write(
            mut self: Pin<&mut Self>,
            cx: &mut Context<'_>,
            buf: &[u8],
        ) -> Poll<io::Result<usize>> {
            Pin::new(&mut self.0).poll_write(cx, buf)
        }

        fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_flush(cx)
        }

        fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
            Pin::new(&mut self.0).poll_shutdown(cx)
        }
    }

    async fn echo(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
        assert_eq!(request.version(), Version::HTTP_2);
        assert_eq!(request.headers().get(HOST), None);
        let body = request.into_body().collect().await.unwrap().to_bytes();
        Ok(Response::new(Full::new(body)))
    }

    /// A pool, and the address of a server for one connection of it.
    async fn pool() -> (Client<Marking<Http2>, Outgoing>, String) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let uri = format!("http://{}/v1/messages", listener.local_addr().unwrap());
        tokio::spawn(async move {
            let (stream, _) = listener.accept().await.unwrap();
            let server = http2::Builder::new(TokioExecutor::new());
            server
                .serve_connection(TokioIo::new(stream), service_fn(echo))
                .await
        });
        let inner = Http2(HttpConnector::new());
        (client::builder().build(Marking::new(inner)), uri)
    }

    /// As it is once it was readied for upstream.
    fn request(uri: &str, body: &'static str) -> Request<Outgoing> {
        let request = Request::post(uri).version(Version::HTTP_11);
        let body = Outgoing::Held { body: body.into() };
        request.body(body).unwrap()
    }

    #[tokio::test]
    async fn what_was_agreed_on_is_spoken_and_a_connection_knows_that_it_was_used() {
        let (pool, uri) = pool().await;
        for used in [false, true] {
            let response = pool.request(request(&uri, "asked")).await.unwrap();
            let mark = response.extensions().get::<Used>().unwrap();
            assert_eq!(mark.0.load(Ordering::Relaxed), used);
            mark.mark();
            let body = response.into_body().collect().await.unwrap();
            assert_eq!(body.to_bytes(), "asked");
        }
    }

    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<u8>>>);

    impl io::Write for Log {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[tokio::test]
    async fn over_http_2_too_no_secret_is_logged() {
        let log = Log::default();
        let writer = log.clone();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(move || writer.clone())
            .finish();
        let _guard = tracing::subscriber::set_default(subscriber);
        let (pool, uri) = pool().await;
        let mut request = request(&uri, "a mArKeD body");
        let headers = request.headers_mut();
        for name in ["x-api-key", "cookie", "x-unknown"] {
            headers.insert(name, HeaderValue::from_static("a mArKeD secret"));
        }
        mark_secrets(headers);
        let response = pool.request(request).await.unwrap();
        response.into_body().collect().await.unwrap();
        let log = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
        assert!(log.contains("h2::"), "the log was on");
        assert!(!log.contains("mArKeD"), "{log}");
    }
}
