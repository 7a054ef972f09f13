"""``farm completion``: what a shell needs to complete the words of ``farm``."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class


@click.command()
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion of SHELL: eval "$(farm completion bash)"."""
    kind = get_completion_class(shell)
    assert kind is not None
    script = kind(ctx.find_root().command, {}, "farm", "_FARM_COMPLETE")
    click.echo(script.source_template % script.source_vars())
