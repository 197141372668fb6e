//! Metrics and health over HTTP. Answers three questions and nothing else: no configuration, no state, no names.
//!
//! | path | is 200 while |
//! |---|---|
//! | `/livez` | every worker goes round; a broker's outage does not fail it |
//! | `/readyz` | every assigned partition is restored and working |
//! | `/metrics` | always |

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Sleep;

use super::metrics::Metrics;

/// Connections at one time; further ones wait to be accepted.
const CONNECTIONS_MAX: usize = 64;
/// A connection that still waits for a request this long after it began is closed: slow clients must not use all up.
const CONNECTION_LIFE: Duration = Duration::from_secs(30);

/// Takes the address, so that whoever may not have it is told before anything begins.
///
/// # Errors
/// If another has it, or this user may not.
pub async fn bind(listen: SocketAddr) -> std::io::Result<TcpListener> {
    TcpListener::bind(listen).await
}

/// Serves until the runtime ends.
///
/// # Errors
/// If the address is lost.
pub async fn serve(listener: TcpListener, metrics: Metrics) -> std::io::Result<()> {
    tracing::info!(address = %listener.local_addr()?, "metrics and health on /metrics, /livez, /readyz");
    axum::serve(Bounded::new(listener, CONNECTION_LIFE), router(metrics)).await
}

/// A listener with a limit to the number and the life of its connections.
struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    life: Duration,
}

impl Bounded {
    fn new(listener: TcpListener, life: Duration) -> Self {
        Self {
            listener,
            permits: Arc::new(Semaphore::new(CONNECTIONS_MAX)),
            life,
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = self.permits.clone().acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let end = Box::pin(tokio::time::sleep(self.life));
        let connection = Connection {
            stream,
            end,
            _permit: permit,
        };
        (connection, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails to read once its time is over. An answer under way is still written.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        if self.end.as_mut().poll(context).is_ready() {
            return Poll::Ready(Err(std::io::ErrorKind::TimedOut.into()));
        }
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }
}

fn router(metrics: Metrics) -> Router {
    Router::new()
        .route("/metrics", get(render))
        .route("/livez", get(livez))
        .route("/healthz", get(livez))
        .route("/readyz", get(readyz))
        .with_state(metrics)
}

async fn render(State(metrics): State<Metrics>) -> Response {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4")], metrics.render()).into_response()
}

async fn livez(State(metrics): State<Metrics>) -> Response {
    if metrics.is_alive() {
        return (StatusCode::OK, "ok\n").into_response();
    }
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "a worker has not gone round for a minute\n",
    )
        .into_response()
}

async fn readyz(State(metrics): State<Metrics>) -> Response {
    let (assigned, live) = metrics.partitions();
    if metrics.is_ready() {
        return (StatusCode::OK, format!("ok: {live} partitions\n")).into_response();
    }
    let why = format!("not ready: {live} of {assigned} assigned partitions are live\n");
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    #[test]
    fn a_client_that_never_asks_is_shown_out() {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let bounded = Bounded::new(listener, Duration::from_millis(300));
        let app = router(Metrics::new().unwrap());
        runtime.spawn(async move { axum::serve(bounded, app).await });
        let mut slow: Vec<std::net::TcpStream> = (0..CONNECTIONS_MAX)
            .map(|_| {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(b"GET /met").unwrap();
                stream
            })
            .collect();
        // All places are taken; the next waits until the slow ones are gone, and is served then.
        let mut honest = std::net::TcpStream::connect(address).unwrap();
        honest.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        honest.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        honest.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
        let mut rest = Vec::new();
        let _ = slow[0].read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }
}
