"""``python -m workers``: run a worker, ask after its health, or watch them all."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

import click

from renderfarm import stages
from renderfarm.settings import Settings, SettingsError
from workers.folder import WorkerFolder, pulses

QUEUES = click.Choice(stages.ALL)
#: What Flower shows of a task: its arguments are what it is about (``renderfarm.messages``).
_COLUMNS = "--tasks-columns=name,args,state,result,exception,worker,received,runtime,uuid"
#: A worker whose last pulse is older does not do its work.
PULSE_SECONDS = 15.0
#: Tasks that Flower remembers, some 4 KB each; of itself it would remember 100,000.
_TASKS = 3_000


@click.group()
def main() -> None:
    """The workers of the farm."""


@main.command()
@click.argument("queue", type=QUEUES)
def run(queue: str) -> None:
    """Work on the units of QUEUE until SIGTERM or Ctrl-C."""
    settings = _settings()
    if not settings.redis_url:
        raise click.ClickException("REDIS_URL is not set; `farm up` sets it, or give your own")
    sys.exit(work(settings, queue))


def work(settings: Settings, queue: str, command: Sequence[str] | None = None) -> int:
    """Be a worker; ``command`` stands in for the process that draws. Returns the exit status."""
    folder = WorkerFolder.open(settings.work_dir, queue)
    # Read by prometheus_client when it is imported, which is why the imports below come late.
    os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(folder.metrics)
    from renderfarm import logs
    from workers.drawing import command_of
    from workers.process import WorkerProcess

    logs.configure(settings, folder.name)
    return WorkerProcess(settings, queue, folder, command or command_of(settings, queue)).run()


@main.command()
@click.argument("queue", type=QUEUES, required=False)
def health(queue: str | None) -> None:
    """Exit with 0 if a worker of QUEUE, or any, on this machine lives and consumes, else with 1."""
    ages, which = pulses(_settings().work_dir, queue), f" of {queue}" if queue else ""
    if not ages:
        raise click.ClickException(f"no worker{which} runs here")
    if ages[0] > PULSE_SECONDS:
        raise click.ClickException(f"the worker{which} has had no pulse for {ages[0]:.0f} s")
    click.echo(f"ok: {len(ages)} running, last pulse {ages[0]:.1f} s ago")


@main.command()
@click.option("--address", default="127.0.0.1", show_default=True)
@click.option("--port", default=5555, show_default=True)
@click.option("--db", type=click.Path(dir_okay=False), help="Keep the tasks seen in this file.")
@click.option("--url-prefix", help="Serve below this path.")
@click.option("--control", is_flag=True, help="Let who looks on also stop workers and revoke tasks.")
def flower(address: str, port: int, db: str | None, url_prefix: str | None, control: bool) -> None:
    """Show the workers and their tasks in a browser, to who knows FLOWER_BASIC_AUTH (user:password)."""
    from flower.views.monitor import Metrics
    from tornado.web import authenticated

    from renderfarm import logs
    from workers.app import create_app

    # By itself Flower shows these to everybody: the workers by name, and how much they do.
    Metrics.get = authenticated(Metrics.get)
    # Flower reads it by itself; on a command line it would be there for all to see.
    if ":" not in os.environ.get("FLOWER_BASIC_AUTH", ""):
        raise click.ClickException("FLOWER_BASIC_AUTH=user:password is not set; Flower is never left open")
    settings = _settings()
    logs.configure(settings, "flower")
    app = create_app(settings)
    options = [f"--address={address}", f"--port={port}", f"--max-tasks={_TASKS}"]
    options += [f"--read-only={not control}", _COLUMNS]
    options += [f"--db={db}", "--persistent=true"] if db else []
    options += [f"--url-prefix={url_prefix}"] if url_prefix else []
    app.start(["flower", *options])


def _settings() -> Settings:
    try:
        return Settings.from_env()
    except SettingsError as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
