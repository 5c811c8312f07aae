//! `kubectl-parking`, which kubectl runs as `kubectl parking`.

use std::{
    io::{ErrorKind, IsTerminal, Write, stdout},
    process::ExitCode,
};

use clap::Parser;
use parking_crds::pipeline::Phase;
use parking_operator::{
    offline,
    plugin::{
        Answer, Failure, Session, acknowledge, backfill,
        cli::{Cli, Command},
        diff, phase, release, rotate, status,
    },
    wall_clock,
};

fn main() -> ExitCode {
    let cli = Cli::parse();
    // As with `kubectl diff`, 1 says that something differs.
    let failed = if matches!(cli.command, Command::Diff(_)) { 2 } else { 1 };
    let answered = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Refused(format!("no runtime can be started: {error}")))
        .and_then(|runtime| runtime.block_on(run(cli)));
    match answered {
        Ok(answer) => tell(&answer),
        Err(failure) => {
            eprintln!("kubectl parking: {failure}");
            ExitCode::from(failed)
        }
    }
}

async fn run(cli: Cli) -> Result<Answer, Failure> {
    let now = wall_clock::now();
    let open = || Session::open(&cli.place);
    match cli.command {
        Command::Plan(arguments) => {
            let shown = offline::plan(arguments)?;
            Ok(Answer { text: shown.text, notes: shown.findings, code: u8::from(shown.broken) })
        }
        Command::Diff(arguments) => Box::pin(diff::run(&open().await?, &arguments, now)).await,
        Command::Status(arguments) => {
            status::run(&open().await?, &arguments, now, stdout().is_terminal()).await
        }
        Command::Pause(arguments) => phase::run(&open().await?, &arguments, Some(Phase::Paused)).await,
        Command::Resume(arguments) => phase::run(&open().await?, &arguments, None).await,
        Command::Stop(arguments) => phase::run(&open().await?, &arguments, Some(Phase::Stopped)).await,
        Command::Backfill(arguments) => backfill::run(&open().await?, &arguments, now).await,
        Command::RotatePassword(arguments) => rotate::run(&open().await?, &arguments, now).await,
        Command::Acknowledge(arguments) => acknowledge::run(&open().await?, &arguments).await,
        Command::Release(arguments) => release::run(&open().await?, &arguments).await,
    }
}

/// Prints an answer; a reader that has seen enough is no failure.
fn tell(answer: &Answer) -> ExitCode {
    eprint!("{}", answer.notes);
    let mut out = stdout().lock();
    match out.write_all(answer.text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            eprintln!("kubectl parking: the answer cannot be written: {error}");
            ExitCode::FAILURE
        }
        _ => ExitCode::from(answer.code),
    }
}
