//! Ctrl-C and its kin: the first cancels the running command, which then tidies up and says what was saved.
//!
//! A second one, one while a password is asked for, or a second without an end, exits at once with 130. The vault is
//! safe to leave at any moment; a lock that stays behind is removed by the next command that finds its process dead.
//!
//! A hangup changes nothing: by sending one, restic asks whether the process that holds a lock is alive.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use lifeboat_repository::Cancel;
use rustix::termios::{OptionalActions, Termios, tcsetattr};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

use crate::exit::Status;

const PATIENCE: Duration = Duration::from_secs(1);

/// How the terminal was before a password was asked for; to be put back however we leave.
static TERMINAL: Mutex<Option<Termios>> = Mutex::new(None);

/// From now on, signals cancel.
#[expect(
    clippy::disallowed_methods,
    reason = "these threads wait for signals for as long as the process lives"
)]
pub(crate) fn cancel_on_signal(cancel: Cancel) -> anyhow::Result<()> {
    let mut signals = Signals::new([SIGINT, SIGTERM, SIGHUP]).context("cannot wait for signals")?;
    std::thread::spawn(move || {
        // restic asks a lock's process whether it lives by sending it SIGHUP: the answer is to go on living.
        for (number, _signal) in signals.forever().filter(|signal| *signal != SIGHUP).enumerate() {
            if number > 0 || is_asking() {
                leave();
            }
            cancel.cancel();
            std::thread::spawn(|| {
                std::thread::sleep(PATIENCE);
                leave();
            });
        }
    });
    Ok(())
}

fn leave() -> ! {
    if is_asking() {
        restore_terminal();
        eprintln!(); // the prompt's line ends here
    }
    std::process::exit(i32::from(Status::Interrupted.code()))
}

/// Remembers how the terminal is now, before it is changed.
pub(crate) fn remember_terminal(now: Termios) {
    *TERMINAL.lock().unwrap_or_else(PoisonError::into_inner) = Some(now);
}

/// Whether the terminal is changed, as it is while a password is asked for.
fn is_asking() -> bool {
    TERMINAL.lock().unwrap_or_else(PoisonError::into_inner).is_some()
}

/// Puts the terminal back as it was remembered.
pub(crate) fn restore_terminal() {
    let remembered = TERMINAL.lock().unwrap_or_else(PoisonError::into_inner).take();
    if let Some(before) = remembered {
        // The terminal may be gone; then there is nothing to put back.
        tcsetattr(std::io::stdin(), OptionalActions::Flush, &before).unwrap_or_default();
    }
}
