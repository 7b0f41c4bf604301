"""`classpulse topics plan|apply|check`: how a broker's topics differ from topics.yaml, and mending it."""

import asyncio
import logging
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.text import Text

from cli.broker import Broker, BrokerError, connected
from wire import topics
from wire.topics import AddPartitions, Create, Plan, Record, SetConfig, Step, Topic, TopicsError

EXIT_DIFFERS = 1
EXIT_REFUSED = 2
EXIT_FAILED = 3  # topics.yaml cannot be used, or the broker is away or did not do as asked

app = typer.Typer(
    help="The topics of topics.yaml, and how a broker differs from them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)


def _addresses(value: str) -> str:
    for address in value.split(","):
        host, _, port = address.strip().rpartition(":")
        if not host or not port.isdigit() or not 0 < int(port) < 65_536:
            raise typer.BadParameter(f"expected host:port[,host:port…], got {address.strip()!r}")
    return value


Kafka = Annotated[
    str, typer.Option("--kafka", envvar="CLASSPULSE_KAFKA", callback=_addresses, help="Brokers, host:port[,…].")
]
File = Annotated[Path, typer.Option("--file", help="The wanted topics.", dir_okay=False)]
Wait = Annotated[float, typer.Option("--wait", min=0, help="Seconds to wait for a broker that is not there yet.")]

KAFKA = "127.0.0.1:9092"


@app.command()
def plan(kafka: Kafka = KAFKA, file: File = topics.PATH, wait: Wait = 30.0) -> None:
    """Show what `apply` would do, and do nothing."""

    async def show(broker: Broker, wanted: dict[str, Topic]) -> int:
        _show(await broker.plan(wanted))
        return 0

    _run(show, kafka, file, wait)


@app.command()
def check(kafka: Kafka = KAFKA, file: File = topics.PATH, wait: Wait = 30.0) -> None:
    """Exit with 1 where the broker differs from topics.yaml."""

    async def compare(broker: Broker, wanted: dict[str, Topic]) -> int:
        found = await broker.plan(wanted)
        _show(found)
        return EXIT_DIFFERS if found.differs else 0

    _run(compare, kafka, file, wait)


@app.command()
def apply(kafka: Kafka = KAFKA, file: File = topics.PATH, wait: Wait = 30.0) -> None:
    """Make the broker's topics as topics.yaml says. With anything refused, nothing is done and the exit code is 2."""

    async def mend(broker: Broker, wanted: dict[str, Topic]) -> int:
        found = await broker.plan(wanted)
        _show(found)
        if found.refused:
            _complain(f"Nothing was applied: {found.refused[0].topic.name}: {found.refused[0].reason}")
            return EXIT_REFUSED
        if not found.differs:
            return 0
        await broker.mend(found)
        left = await broker.settle(wanted)
        if left.differs:
            _show(left)
            raise BrokerError(f"{kafka} acknowledged the changes, but still shows the differences above")
        _out(Text(f"Applied. Read again: all {len(wanted)} topics are as {file.name} says.", style="green"))
        return 0

    _run(mend, kafka, file, wait)


def _run(work: Callable[[Broker, dict[str, Topic]], Awaitable[int]], kafka: str, file: Path, wait_s: float) -> None:
    # aiokafka logs every refused connection as an error; here that is the wait, and the verdict tells the reason.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    async def connected_work() -> int:
        async with connected(kafka, wait_s) as broker:
            return await work(broker, wanted)

    try:
        wanted = topics.load(file)
        if topics.APPLIED not in wanted:
            raise TopicsError(
                f"{file.name}: topic {topics.APPLIED!r} is missing: `apply` writes down there what it made"
            )
    except OSError as error:
        _complain(f"{file} cannot be read: {error.strerror or error}")
        raise typer.Exit(EXIT_FAILED) from None
    except TopicsError as error:
        _complain(str(error))
        raise typer.Exit(EXIT_FAILED) from None
    try:
        code = asyncio.run(connected_work())
    except BrokerError as error:
        _complain(str(error))
        code = EXIT_FAILED
    raise typer.Exit(code)


_SIGN = {Create: ("+", "green"), AddPartitions: ("~", "yellow"), SetConfig: ("~", "yellow"), Record: ("=", "cyan")}


def _told(step: Step) -> str:
    topic = step.topic
    partitions = f"{topic.partitions} partition{'s' if topic.partitions > 1 else ''} by {topic.key}"
    match step:
        case Create():
            kept = "compacted" if topic.retention_ms is None else f"kept {topic.retention_ms / 86_400_000:g} d"
            return f"create: {partitions}, {kept}"
        case AddPartitions(actual=actual):
            return f"partitions: {actual} → {topic.partitions} (keys move: new records may lie elsewhere than old)"
        case SetConfig(changes=changes):
            return "set: " + ", ".join(f"{name} {was or '-'} → {value}" for name, (was, value) in changes.items())
        case Record():
            return f"record in {topics.APPLIED}: {partitions}"


def _show(found: Plan) -> None:
    lines = [(*_SIGN[type(step)], step.topic.name, _told(step)) for step in found.steps]
    lines += [("!", "bold red", refused.topic.name, f"refused: {refused.reason}") for refused in found.refused]
    lines += [("?", "dim", name, "not in topics.yaml; left alone") for name in found.unknown]
    width = max((len(name) for _, _, name, _ in lines), default=0)
    for sign, style, name, told in lines:
        _out(Text(f"  {sign} {name:<{width}}  {told}", style=style))
    if not found.differs:
        _out(Text("No differences: the broker's topics are as wanted.", style="green"))
        return
    count = Counter(sign for sign, *_ in lines)
    _out(
        Text(
            f"Plan: {count['+']} to create, {count['~']} to change, {count['=']} to record, {count['!']} refused.",
            style="bold",
        )
    )


def _out(text: Text) -> None:
    Console().print(text, soft_wrap=True)


def _complain(message: str) -> None:
    Console(stderr=True).print(Text(message, style="red"), soft_wrap=True)
