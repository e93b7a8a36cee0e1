"""`cvq completion SHELL`: the script that completes commands in a shell."""

from __future__ import annotations

import click

from ..output import say

_INSTALL = {
    "bash": '# Install: add this line to ~/.bashrc:\n#   eval "$(cvq completion bash)"',
    "zsh": "# Install: add this line to ~/.zshrc, after compinit:\n"
    '#   eval "$(cvq completion zsh)"',
    "fish": "# Install:\n#   cvq completion fish > ~/.config/fish/completions/cvq.fish",
}


@click.command(epilog='\b\nExample:\n  eval "$(cvq completion bash)"')
@click.argument("shell", type=click.Choice(list(_INSTALL)))
def completion(shell: str) -> None:
    """Print a shell's completion script."""
    from ..completing import SHELLS
    from ..main import COMPLETING, cvq

    say(SHELLS[shell](cvq, {}, "cvq", COMPLETING).source().strip(), wrap=False, lines=True)
    say(f"\n{_INSTALL[shell]}", wrap=False, lines=True)
