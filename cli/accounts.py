"""`classpulse accounts create|list|grant|revoke|password|link|unlink|rotate-keys`: people who log in."""

import sys
from collections.abc import Awaitable, Callable
from typing import Annotated, cast

import typer
from msgspec import ValidationError, convert
from rich.console import Console
from rich.table import Table

from cli.db import EXIT_FAILED, POSTGRES, Postgres, RefusedError, Wait, complain, run, tell
from cli.letters import stamp
from cli.questions import author
from gateway.accounts import identities, people
from gateway.accounts.identities import CLAIMS, Claim
from gateway.accounts.passwords import LENGTH_MAX, PasswordError
from gateway.accounts.people import AccountError, Grant
from gateway.database import Database
from gateway.security.principal import Role
from gateway.security.signing import OVERLAP_S, SigningKeys
from gateway.settings import SECRET_MIN
from wire.events import Id, TeamId

app = typer.Typer(help="People who log in.", no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False)

ROLES = tuple(role.value for role in Role if role is not Role.PRODUCER)

Username = Annotated[str, typer.Argument(help="As it is typed at the log-in.")]


def _ids(given: list[str] | None) -> list[str]:
    for text in given or []:
        course, slash, team = text.rpartition("/")
        try:
            convert(course if slash else team, Id)
            if team:
                convert(team, TeamId)
        except ValidationError:
            raise typer.BadParameter(f"{text!r} cannot be COURSE or COURSE/TEAM") from None
    return given or []


Courses = Annotated[
    list[str] | None,
    typer.Option("--course", callback=_ids, help="A course, or COURSE/TEAM for one team of it; may be given often."),
]
FromStdin = Annotated[bool, typer.Option("--stdin", help="Read the password from standard input, one line.")]


def _grants(courses: list[str] | None) -> list[Grant]:
    """With a slash it is a team: a whole course whose id has one is written with a slash at its end."""
    split = [text.rpartition("/") for text in courses or []]
    return [(course, team) if slash else (team, "") for course, slash, team in split]


def _role(text: str) -> str:
    if text not in ROLES:
        raise typer.BadParameter(f"{text!r} is no role: expected {', '.join(ROLES)}")
    return text


def _claim(text: str) -> str:
    if text not in CLAIMS:
        raise typer.BadParameter(f"{text!r} is no such claim: expected {', '.join(CLAIMS)}")
    return text


def _password(stdin: bool) -> str:
    """Never an argument: those can be read by everybody on the machine."""
    if stdin:
        return sys.stdin.readline(LENGTH_MAX + 2).rstrip("\r\n")
    return str(typer.prompt("Password", hide_input=True, confirmation_prompt=True, err=True))


@app.command()
def create(
    username: Username,
    role: Annotated[str, typer.Option(callback=_role, help=f"One of {', '.join(ROLES)}.")],
    name: Annotated[str | None, typer.Option(help="Shown to himself. Default: the user name.")] = None,
    course: Courses = None,
    student: Annotated[str | None, typer.Option(help="Of the role student: the id of his events.")] = None,
    stdin: FromStdin = False,
    postgres: Postgres = POSTGRES,
    wait: Wait = 30.0,
) -> None:
    """Make an account. The password is asked for, or read from standard input."""
    password = _password(stdin)

    async def make(database: Database) -> None:
        grants = _grants(course)
        await people.create(
            database, username, name or username, Role(role), password, grants, student_id=student, by=author()
        )
        tell(f"account {username} made: {role}")

    _run(make, postgres, wait)


@app.command("list")
def list_(postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Every account."""

    async def show(database: Database) -> None:
        table = Table("account", "name", "role", "sees", "created", "revoked", box=None)
        for each in await people.listed(database):
            told = people.told(sorted(each.grants)) or each.student_id or ""
            sees = "everything" if each.principal.courses is None else told
            when = stamp(each.created_at), stamp(each.revoked_at)
            table.add_row(each.username, each.display_name, each.role, sees, *when)
        Console().print(table, markup=False)

    _run(show, postgres, wait)


@app.command()
def grant(username: Username, course: Courses = None, postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Give a viewer or teacher courses or teams. Whoever is logged in has them within 15 minutes."""
    if not course:
        complain("say which --course")
        raise typer.Exit(EXIT_FAILED)

    async def give(database: Database) -> None:
        await people.grant(database, username, _grants(course), by=author())
        tell(f"account {username} has {' '.join(course)}")

    _run(give, postgres, wait)


@app.command()
def revoke(username: Username, course: Courses = None, postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Take courses or teams away; without --course, end the account and its sessions. What is logged in goes on for up
    to 15 minutes."""

    async def take(database: Database) -> None:
        await people.revoke(database, username, _grants(course), by=author())
        tell(f"account {username} has no longer {' '.join(course)}" if course else f"account {username} revoked")

    _run(take, postgres, wait)


@app.command()
def password(username: Username, stdin: FromStdin = False, postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Set another password, and end the account's sessions."""
    fresh = _password(stdin)

    async def change(database: Database) -> None:
        await people.set_password(database, username, fresh, by=author())
        tell(f"account {username} has another password")

    _run(change, postgres, wait)


@app.command()
def link(
    username: Username,
    known_as: Annotated[str, typer.Option("--as", help="What the provider's claim says of the account's owner.")],
    issuer: Annotated[str, typer.Option(envvar="CLASSPULSE_OIDC_ISSUER", help="As the gateway has it.")] = "",
    claim: Annotated[
        str, typer.Option(envvar="CLASSPULSE_OIDC_CLAIM", callback=_claim, help="As the gateway has it.")
    ] = "sub",
    postgres: Postgres = POSTGRES,
    wait: Wait = 30.0,
) -> None:
    """Let the account's owner log in by the OpenID provider. Whoever first comes as that is its owner from then on."""
    if not issuer:
        complain("say which --issuer, as CLASSPULSE_OIDC_ISSUER has it")
        raise typer.Exit(EXIT_FAILED)

    async def tie(database: Database) -> None:
        await identities.link(database, username, issuer, cast(Claim, claim), known_as, by=author())
        tell(f"account {username} is whoever {issuer} first calls {claim} {known_as}")

    _run(tie, postgres, wait)


@app.command()
def unlink(username: Username, postgres: Postgres = POSTGRES, wait: Wait = 30.0) -> None:
    """Let nobody log in to the account by an OpenID provider any more, and end its sessions."""

    async def untie(database: Database) -> None:
        await identities.unlink(database, username, by=author())
        tell(f"account {username} is linked to nobody")

    _run(untie, postgres, wait)


@app.command("rotate-keys")
def rotate_keys(
    secret: Annotated[str, typer.Option(envvar="CLASSPULSE_SECRET_KEY", help="As the gateway has it.")] = "",
    at_once: Annotated[bool, typer.Option("--at-once", help="What was signed before is good no longer.")] = False,
    postgres: Postgres = POSTGRES,
    wait: Wait = 30.0,
) -> None:
    """Sign access tokens by another key from now on. Gateways do so by themselves every 30 days."""
    if len(secret) < SECRET_MIN:
        complain(f"CLASSPULSE_SECRET_KEY has {SECRET_MIN} characters or more")
        raise typer.Exit(EXIT_FAILED)

    async def rotate(database: Database) -> None:
        kid = await SigningKeys(database, secret).rotate(overlap_s=0.0 if at_once else OVERLAP_S, by=author())
        tell(f"access tokens are signed by {kid}")

    _run(rotate, postgres, wait)


def _run(work: Callable[[Database], Awaitable[None]], postgres: str, wait_s: float) -> None:
    async def refusing(database: Database) -> None:
        try:
            await work(database)
        except (AccountError, PasswordError) as error:
            raise RefusedError(str(error)) from None

    run(refusing, postgres, wait_s)
