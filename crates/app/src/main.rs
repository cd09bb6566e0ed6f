//! The one binary of Lifeboat: parses the command line, runs the command, and turns its end into an exit code.

mod app;
mod choose;
mod cli;
mod clock;
mod commands;
mod env;
mod exit;
mod output;
mod password;
mod read;
mod remote;
mod select;
mod server;
mod signals;
mod vault;

use std::io::{self, Write};
use std::process::ExitCode;

use clap::Parser;

use app::App;
use cli::Cli;
use exit::Status;

fn main() -> ExitCode {
    let status = match Cli::try_parse() {
        Ok(cli) => run(cli),
        Err(error) => refuse(&error),
    };
    ExitCode::from(status.code())
}

fn run(cli: Cli) -> Status {
    let app = App::new(cli.global);
    if let cli::Command::Server(args) = &cli.command {
        return server::run(&app, args).unwrap_or_else(|error| {
            app.output.failure(&error, Status::Failure);
            Status::Failure
        });
    }
    let ended = signals::cancel_on_signal(app.ctx.cancel.clone())
        .and_then(|()| commands::run(&app, cli.command))
        .and_then(|status| Ok(app.output.flush().map(|()| status)?));
    ended.unwrap_or_else(|error| {
        let status = Status::of(&error);
        if status != Status::PipeClosed {
            app.output.failure(&error, status);
        }
        status
    })
}

/// Help was asked for, or the command line makes no sense.
fn refuse(error: &clap::Error) -> Status {
    if !error.use_stderr() {
        return if error.print().is_ok() { Status::Success } else { Status::PipeClosed };
    }
    if std::env::args_os().any(|argument| argument == "--json") {
        let text = error.to_string();
        let message = output::message::exit_error(Status::Failure, text.trim_end());
        let json = serde_json::to_string(&message).expect("messages are strings and numbers");
        drop(writeln!(io::stderr(), "{json}"));
    } else {
        drop(error.print());
    }
    Status::Failure
}
