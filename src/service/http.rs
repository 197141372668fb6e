//! Metrics and health over HTTP. Answers three questions and nothing else: no configuration, no state, no names.
//!
//! | path | is 200 while |
//! |---|---|
//! | `/livez` | every worker goes round; a broker's outage does not fail it |
//! | `/readyz` | every assigned partition is restored and working |
//! | `/metrics` | always |

use std::net::SocketAddr;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::metrics::Metrics;

/// Serves until the runtime ends.
///
/// # Errors
/// If the address cannot be bound.
pub async fn serve(listen: SocketAddr, metrics: Metrics) -> std::io::Result<()> {
    let listener = tokio::net::TcpListener::bind(listen).await?;
    tracing::info!(address = %listener.local_addr()?, "metrics and health on /metrics, /livez, /readyz");
    axum::serve(listener, router(metrics)).await
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
