//! Signals to a server: one asks it to stop, a second ends it at once, a hangup reads the certificate again.
//!
//! A hangup never ends it: by sending one, restic asks whether the process that holds a lock is alive.

use std::sync::Arc;

use anyhow::Context;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tracing::{info, warn};

use super::tls::Tls;
use crate::exit::Status;

/// Tells that the server is to stop.
#[derive(Clone)]
pub(super) struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Waits until the server is to stop.
    pub(super) async fn wait(mut self) {
        // The sender goes only when the whole process does.
        drop(self.0.wait_for(|stops| *stops).await);
    }
}

/// From now on signals are heard.
pub(super) fn watch(tls: Option<Arc<Tls>>) -> anyhow::Result<Stop> {
    let on = |kind| signal(kind).context("cannot wait for signals");
    let (mut terminate, mut interrupt, mut hangup) =
        (on(SignalKind::terminate())?, on(SignalKind::interrupt())?, on(SignalKind::hangup())?);
    let (tell, told) = watch::channel(false);
    tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = terminate.recv() => {}
                _ = interrupt.recv() => {}
                _ = hangup.recv() => {
                    if let Some(tls) = &tls {
                        tls.reload();
                    }
                    continue;
                }
            }
            if *tell.borrow() {
                warn!("told to stop again: ending at once");
                std::process::exit(i32::from(Status::Interrupted.code()));
            }
            info!("stopping; once more ends at once");
            tell.send_replace(true);
        }
    });
    Ok(Stop(told))
}
