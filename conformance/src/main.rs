//! Runs live cases of SPEC.md against the echo endpoint of any implementation.
//!
//! It shares no code with the implementation: what it knows of the protocol, it has from SPEC.md.

mod cases;
mod peer;

use std::process::{ExitCode, Stdio};
use std::time::Duration;

use cases::Case;
use peer::{Error, Peer};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

const USAGE: &str = "\
Runs live cases of SPEC.md against an endpoint that sends every message back.

usage: nosphere-conformance --url URL | --command COMMAND  [--path /echo] [FILTER]
       nosphere-conformance --list

  --url URL          a server that runs: http://127.0.0.1:8080
  --command COMMAND  starts a server, which prints {\"url\":\"http://127.0.0.1:PORT\"}; words are split at spaces
  --path PATH        the endpoint (/echo)
  --list             prints the cases
  FILTER             only cases whose identifier or sentence contains it

Prints a line for each case, and the sum: N passed, N failed. Ends with 0 if all passed, 1 if some failed, 2 if it could
not run.";

/// No case may take longer.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Default)]
struct Arguments {
    command: Option<String>,
    filter: String,
    help: bool,
    list: bool,
    path: Option<String>,
    url: Option<String>,
}

impl Arguments {
    fn read() -> Result<Self, lexopt::Error> {
        use lexopt::{Arg, ValueExt as _};
        let mut read = Self::default();
        let mut arguments = lexopt::Parser::from_env();
        while let Some(argument) = arguments.next()? {
            match argument {
                Arg::Short('h') | Arg::Long("help") => read.help = true,
                Arg::Long("list") => read.list = true,
                Arg::Long("url") => read.url = Some(arguments.value()?.string()?),
                Arg::Long("command") => read.command = Some(arguments.value()?.string()?),
                Arg::Long("path") => read.path = Some(arguments.value()?.string()?),
                Arg::Value(filter) if read.filter.is_empty() => read.filter = filter.string()?,
                argument @ (Arg::Short(_) | Arg::Long(_) | Arg::Value(_)) => return Err(argument.unexpected()),
            }
        }
        Ok(read)
    }

    fn cases(&self) -> Vec<&'static Case> {
        let wanted = |case: &&Case| case.id.contains(&self.filter) || case.sentence.contains(&self.filter);
        cases::all().filter(wanted).collect()
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run().await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error}\n\n{USAGE}");
            ExitCode::from(2)
        }
    }
}

/// Whether all cases passed.
#[expect(clippy::print_stdout, reason = "the report is what this program is for")]
async fn run() -> Result<bool, Error> {
    let arguments = Arguments::read()?;
    if arguments.help {
        println!("{USAGE}");
        return Ok(true);
    }
    let cases = arguments.cases();
    if arguments.list {
        for case in cases {
            println!("{:<6} {}", case.id, case.sentence);
        }
        return Ok(true);
    }
    let (url, mut server) = match (&arguments.url, &arguments.command) {
        (Some(url), None) => (url.clone(), None),
        (None, Some(command)) => start(command).await.map(|(url, server)| (url, Some(server)))?,
        _ => return Err("either --url or --command must be given".into()),
    };
    let peer = Peer::new(&url, arguments.path.as_deref().unwrap_or("/echo"))?;
    let mut failed = 0;
    for case in &cases {
        let outcome = tokio::time::timeout(PATIENCE, (case.run)(peer.clone())).await;
        let outcome = outcome.unwrap_or_else(|_| Err(format!("nothing came of it in {PATIENCE:?}").into()));
        let verdict = if outcome.is_ok() { "ok    " } else { "FAILED" };
        println!("{verdict} {:<6} {}", case.id, case.sentence);
        if let Err(error) = outcome {
            failed += 1;
            println!("              {error}");
        }
    }
    if let Some(server) = &mut server {
        server.kill().await?;
    }
    println!("{} passed, {failed} failed", cases.len() - failed);
    Ok(failed == 0 && !cases.is_empty())
}

async fn start(command: &str) -> Result<(String, Child), Error> {
    let mut words = command.split_whitespace();
    let program = words.next().ok_or("the command is empty")?;
    let mut command = Command::new(program);
    command.args(words).stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut server = command.spawn().map_err(|error| format!("{program}: {error}"))?;
    let out = server.stdout.take().ok_or("the command has no output")?;
    let line = tokio::time::timeout(PATIENCE, BufReader::new(out).lines().next_line()).await??;
    let line: serde_json::Value = serde_json::from_str(&line.ok_or("the command ended before it listened")?)?;
    let url = line["url"].as_str().ok_or("the command's first line has no url")?;
    Ok((url.to_owned(), server))
}
