"""`hubspot-calls completion`: the few lines by which a shell completes commands and options.

Knows click's own completion and where shells keep theirs; reads no settings.
"""

from __future__ import annotations

import os
from pathlib import PurePath

import click
from click.shell_completion import get_completion_class

from hubspot_calls.commands.options import OneOf

_SHELLS = ("bash", "zsh", "fish")
_PROGRAM = "hubspot-calls"
_VARIABLE = "_HUBSPOT_CALLS_COMPLETE"


@click.command(short_help="What your shell needs to complete commands and options.")
@click.argument("shell", type=OneOf(_SHELLS), required=False, metavar="[SHELL]")
def completion(shell: str | None) -> None:
    """Print what makes the tab key complete commands, options, statuses and reasons.

    Without SHELL it is made for the one in $SHELL. Put this where your shell looks, once, and open
    a new terminal:

    \b
      bash  echo 'eval "$(hubspot-calls completion bash)"' >> ~/.bashrc
      zsh   echo 'eval "$(hubspot-calls completion zsh)"' >> ~/.zshrc
            (below the line with compinit)
      fish  hubspot-calls completion fish \\
              > ~/.config/fish/completions/hubspot-calls.fish

    \b
    Examples:
      eval "$(hubspot-calls completion bash)"      try it in this terminal
      hubspot-calls completion zsh > ~/.hubspot-calls.zsh
      hubspot-calls history --reason <TAB><TAB>

    See also: every command's --help.
    """
    chosen = shell or PurePath(os.environ.get("SHELL", "")).name
    found = get_completion_class(chosen) if chosen in _SHELLS else None
    if found is None:
        raise click.UsageError(f"name your shell: {', '.join(_SHELLS)}")
    # Click's own `source` first asks bash for its version, which need not be on this machine.
    made = found(click.Command(_PROGRAM), {}, _PROGRAM, _VARIABLE)
    click.echo(made.source_template % made.source_vars())
