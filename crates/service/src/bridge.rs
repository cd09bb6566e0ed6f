//! Where the two planes meet: the control plane is asynchronous, the data plane blocks.
//!
//! Nothing else in the service may block or spawn. A blocking call runs on a thread of the runtime's pool for such
//! calls; whoever waits for it may stop waiting, the call itself goes on to its end.

use std::future::Future;

/// Runs a blocking call and waits for it. A panic in it is a panic here.
pub(crate) async fn run<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => std::panic::resume_unwind(error.into_panic()),
    }
}

/// Does several things side by side and waits for all of them; who stops waiting ends them.
pub(crate) async fn side_by_side(works: impl Iterator<Item = impl Future<Output = ()> + Send + 'static>) {
    works.collect::<tokio::task::JoinSet<()>>().join_all().await;
}

/// Starts something that goes on beside the request that asked for it.
pub(crate) fn spawn_task(work: impl Future<Output = ()> + Send + 'static) {
    drop(tokio::spawn(work));
}

/// An error with all its causes in one line, for the log.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(cause) = next {
        text.push_str(": ");
        text.push_str(&cause.to_string());
        next = cause.source();
    }
    text
}
