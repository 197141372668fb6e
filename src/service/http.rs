//! Metrics and health over HTTP. Answers three questions and nothing else: no configuration, no state, no names.
//!
//! | path | is 200 while |
//! |---|---|
//! | `/livez` | every worker goes round; a broker's outage does not fail it |
//! | `/readyz` | every assigned partition is restored and working; otherwise it says what is missing |
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
/// Time from then until an answer under way is cut off: clients that ask and never read must not use all up either.
const ANSWER_LIFE: Duration = Duration::from_secs(10);

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
    let bounded = Bounded::new(listener, CONNECTIONS_MAX, CONNECTION_LIFE, ANSWER_LIFE);
    axum::serve(bounded, router(metrics)).await
}

/// A listener with a limit to the number and the life of its connections.
struct Bounded {
    listener: TcpListener,
    permits: Arc<Semaphore>,
    life: Duration,
    answer_life: Duration,
}

impl Bounded {
    fn new(listener: TcpListener, connections: usize, life: Duration, answer_life: Duration) -> Self {
        Self {
            listener,
            permits: Arc::new(Semaphore::new(connections)),
            life,
            answer_life,
        }
    }
}

impl Listener for Bounded {
    type Io = Connection;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Connection, SocketAddr) {
        let permit = self.permits.clone().acquire_owned().await.ok();
        let (stream, address) = Listener::accept(&mut self.listener).await;
        let connection = Connection {
            stream,
            end: Box::pin(tokio::time::sleep(self.life)),
            cut: Box::pin(tokio::time::sleep(self.life + self.answer_life)),
            _permit: permit,
        };
        (connection, address)
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }
}

/// A connection that fails to read once its time is over. An answer under way is still written for a while.
struct Connection {
    stream: TcpStream,
    end: Pin<Box<Sleep>>,
    cut: Pin<Box<Sleep>>,
    _permit: Option<OwnedSemaphorePermit>,
}

/// An error once `end` has come.
fn over(end: &mut Pin<Box<Sleep>>, context: &mut Context<'_>) -> std::io::Result<()> {
    match end.as_mut().poll(context) {
        Poll::Ready(()) => Err(std::io::ErrorKind::TimedOut.into()),
        Poll::Pending => Ok(()),
    }
}

impl AsyncRead for Connection {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<std::io::Result<()>> {
        over(&mut self.end, context)?;
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl AsyncWrite for Connection {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<std::io::Result<usize>> {
        over(&mut self.cut, context)?;
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        over(&mut self.cut, context)?;
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<std::io::Result<()>> {
        over(&mut self.cut, context)?;
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
    let lacks = metrics.lacks();
    if lacks.is_empty() {
        let live = metrics.live_partitions();
        return (StatusCode::OK, format!("ok: {live} partitions\n")).into_response();
    }
    let why = format!("not ready:\n{}\n", lacks.join("\n"));
    (StatusCode::SERVICE_UNAVAILABLE, why).into_response()
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};

    use super::*;

    /// Answers with so many places, each for as long as the durations say. It serves while the runtime lives.
    fn serving(places: usize, life: Duration, answer_life: Duration) -> (tokio::runtime::Runtime, SocketAddr) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).unwrap();
        let address = listener.local_addr().unwrap();
        let bounded = Bounded::new(listener, places, life, answer_life);
        let metrics = Metrics::new().unwrap();
        for partition in 0..2_000 {
            metrics.set_lag("auth", partition, 1);
        }
        let app = router(metrics);
        runtime.spawn(async move { axum::serve(bounded, app).await });
        (runtime, address)
    }

    /// Asks once all places are taken: the answer comes when one of those who have them is gone.
    fn is_answered(address: SocketAddr) {
        let mut honest = std::net::TcpStream::connect(address).unwrap();
        honest.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        honest.write_all(b"GET /metrics HTTP/1.0\r\n\r\n").unwrap();
        let mut answer = String::new();
        honest.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.0 200"), "{answer}");
    }

    #[test]
    fn a_client_that_never_asks_is_shown_out() {
        let (_runtime, address) = serving(CONNECTIONS_MAX, Duration::from_millis(300), ANSWER_LIFE);
        let mut slow: Vec<std::net::TcpStream> = (0..CONNECTIONS_MAX)
            .map(|_| {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream.write_all(b"GET /met").unwrap();
                stream
            })
            .collect();
        is_answered(address);
        let mut rest = Vec::new();
        let _ = slow[0].read_to_end(&mut rest);
        assert!(!String::from_utf8_lossy(&rest).contains("200 OK"));
    }

    #[test]
    fn a_client_that_asks_and_never_reads_is_shown_out() {
        let (_runtime, address) = serving(1, Duration::from_secs(2), Duration::from_millis(300));
        let mut deaf = std::net::TcpStream::connect(address).unwrap();
        // Long answers soon fill what lies between the two, so that the rest of them waits to be written.
        deaf.write_all(&b"GET /metrics HTTP/1.1\r\nHost: a\r\n\r\n".repeat(300))
            .unwrap();
        is_answered(address);
    }
}
