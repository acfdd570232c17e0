//! The page of the chat: files that are part of the program. The script of nosphere is served by the server itself.

use axum::Router;
use axum::http::header::{CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE};
use axum::response::IntoResponse;
use axum::routing::get;

const SCRIPT: &str = "text/javascript;charset=utf-8";

pub(crate) fn routes() -> Router {
    Router::new()
        .route("/", get(|| file("text/html;charset=utf-8", include_str!("index.html"))))
        .route("/chat.css", get(|| file("text/css;charset=utf-8", include_str!("chat.css"))))
        .route("/chat.js", get(|| file(SCRIPT, include_str!("chat.js"))))
}

async fn file(kind: &'static str, content: &'static str) -> impl IntoResponse {
    let policy = "default-src 'self'; img-src 'self' data:; frame-ancestors 'none'";
    ([(CONTENT_TYPE, kind), (CACHE_CONTROL, "no-cache"), (CONTENT_SECURITY_POLICY, policy)], content)
}
