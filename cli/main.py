"""`classpulse`: every command of the house. A command's module is imported when it is called, so --help stays quick."""

import os
import sys
from importlib import import_module

import typer

from stack import state
from stack.home import Home

# command → where it is, and what --help says of it
COMMANDS = {
    "up": ("cli.up:up", "Start everything, with the demo classroom, and print the dashboard's address."),
    "down": ("cli.up:down", "Stop what `up` started."),
    "status": ("cli.status:status", "What runs, where, and how it is."),
    "lag": ("cli.lag:lag", "How the consumer groups do, with a verdict and its reason."),
    "consumers": ("cli.orders:consumers", "Pause a consumer group, resume it."),
    "workers": ("cli.orders:drained", "Drain a worker."),
    "logs": ("cli.status:logs", "The last lines of a process's log, or of all."),
    "doctor": ("cli.doctor:doctor", "Look at this machine and say what to mend."),
    "topics": ("cli.topics:app", "How the broker's topics differ from topics.yaml, and mend it."),
    "db": ("cli.db:app", "The PostgreSQL schema."),
    "keys": ("cli.keys:app", "API keys of event producers and of admins."),
    "accounts": ("cli.accounts:app", "People who log in."),
    "roster": ("cli.roster:app", "Students, courses and teams."),
    "demo": ("cli.demo:app", "The simulated classroom: an ordinary producer of events."),
    "replay": ("cli.replay:replay", "Send a real export of xAPI statements through the door."),
    "dead-letters": ("cli.dead_letters:app", "What could not be used: look at it, replay it, drop it."),
    "audit": ("cli.audit:app", "Whether everything accepted is accounted for, and the audit log is whole."),
    "privacy": ("cli.privacy:app", "What is held of one student: export it, erase it."),
    "trace": ("cli.trace:trace", "What became of one event."),
    "rebuild": ("cli.rebuild:rebuild", "Windows computed anew from the topic, held against what is served."),
}
# What these are to work on is, where nobody says, the local stack that runs here.
ON_THE_STACK = {
    "lag",
    "consumers",
    "workers",
    "topics",
    "db",
    "keys",
    "accounts",
    "roster",
    "demo",
    "replay",
    "dead-letters",
    "audit",
    "privacy",
    "trace",
    "rebuild",
}


def app() -> None:
    """The console script: `classpulse COMMAND ...`, else the list of commands."""
    name, *arguments = sys.argv[1:] or ["--help"]
    if name not in COMMANDS:
        print(_help(), file=sys.stdout if name in ("-h", "--help") else sys.stderr)
        raise SystemExit(0 if name in ("-h", "--help") else f"\nclasspulse: there is no command {name!r}")
    if name in ON_THE_STACK:
        for variable, value in _running_stack().items():
            os.environ.setdefault(variable, value)
    module, attribute = COMMANDS[name][0].split(":")
    command = getattr(import_module(module), attribute)
    if not isinstance(command, typer.Typer):
        only = typer.Typer(add_completion=False, pretty_exceptions_enable=False)
        only.command()(command)
        command = only
    command(args=arguments, prog_name=f"classpulse {name}")


def _running_stack() -> dict[str, str]:
    """Its settings, where its door is, and a key for it; nothing where none runs in this home."""
    run = state.read(Home.of(os.environ))
    if run.state == "stopped":
        return {}
    return {**run.environment, "CLASSPULSE_URL": run.dashboard, "CLASSPULSE_KEY_FILE": run.demo_key_file}


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [f"  {name:<{width}}  {about}" for name, (_, about) in COMMANDS.items()]
    return "\n".join(["Usage: classpulse COMMAND [OPTIONS]      (classpulse COMMAND --help says more)", "", *lines])


if __name__ == "__main__":
    app()
