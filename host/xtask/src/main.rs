//! The repository's own commands. Each does all its own set-up on a fresh machine with rustup, git and a C compiler.

mod bindings;
mod browser;
mod component;
mod demo;
mod guests;
mod kernels;
mod planted;
mod release;
mod shell;
mod simulate;
mod test;

use anyhow::{Result, bail};

const HELP: &str = "cargo xtask COMMAND

  demo             run the churn pipeline for four weeks, from raw events to gated deployments
  test             run every test; with CI=true nothing may be left out
  simulate         play random worlds against the core: --seeds N --first S --threads T --trace;
                   --planted [NAME] shows that it finds bugs that were put in on purpose
  release          build one static program for x86-64 Linux, check it, and lay the container's folder ready
  browser          carry out the flows of the pages in Chromium, those whose name holds FLOW: [FLOW];
                   --speeds measures the pages instead. AIRLOCK_PROGRAM names another program than target/debug/airlock
  guests           build the plugins into target/guests (cached by content)
  bindings         generate the C face of wit/ into sdk-guest/c/generated, to be committed
  kernels          compile the GPU kernels into host/trainer/kernels/bin, to be committed; needs no GPU";

fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    match arguments.next().as_deref() {
        Some("demo") => demo::run(),
        Some("test") => test::run_all(),
        Some("release") => release::run(),
        Some("browser") => browser::run_with(&arguments.collect::<Vec<_>>()),
        Some("guests") => guests::run(),
        Some("bindings") => bindings::run(),
        Some("kernels") => kernels::run_all(),
        Some("simulate") => simulate::run_with(&arguments.collect::<Vec<_>>()),
        Some("help" | "--help" | "-h") | None => {
            println!("{HELP}");
            Ok(())
        }
        Some(other) => bail!("there is no command {other:?}\n\n{HELP}"),
    }
}
