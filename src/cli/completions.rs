//! `ringback completions`.

use std::io::Write;

use clap::{Args, CommandFactory};
use clap_complete::{Shell, generate};

#[derive(Args)]
#[command(after_help = "\
Examples:
  eval \"$(ringback completions bash)\"          # in ~/.bashrc
  ringback completions zsh > ~/.zfunc/_ringback  # with ~/.zfunc in fpath
  ringback completions fish > ~/.config/fish/completions/ringback.fish")]
pub(crate) struct CompletionsArgs {
    /// The shell to print completions for
    shell: Shell,
}

pub(crate) fn run(args: &CompletionsArgs) -> anyhow::Result<()> {
    let mut script = Vec::new();
    generate(args.shell, &mut super::Cli::command(), "ringback", &mut script);
    // a closed pipe is not an error
    let _ = std::io::stdout().lock().write_all(&script);
    Ok(())
}
