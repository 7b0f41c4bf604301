"""`classpulse`: every command of the house. A command's module is imported when it is called, so --help stays quick."""

from importlib import import_module

import click
import typer
import typer.main

# command → (module, attribute): a Typer app (a group of commands) or a plain function (one command)
COMMANDS = {
    "up": ("cli.up", "up"),
    "down": ("cli.up", "down"),
    "status": ("cli.up", "status"),
    "logs": ("cli.up", "logs"),
    "doctor": ("cli.doctor", "doctor"),
    "demo": ("cli.demo", "app"),
    "replay": ("cli.replay", "replay"),
    "roster": ("cli.roster", "app"),
    "keys": ("cli.keys", "app"),
    "topics": ("cli.topics", "app"),
    "db": ("cli.db", "app"),
}
