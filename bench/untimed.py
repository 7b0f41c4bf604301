"""The aggregate without event time and duplicates, to be measured beside the real one: `python -m bench.untimed`.

The real application, its loop without the lines below: nothing is late, nothing is a duplicate, and time is the
record's. So no number of it is right; its pace says what being right costs.
"""

import inspect
import textwrap

from pipelines.aggregate import app, fold
from pipelines.settings import AggregateSettings
from pipelines.worker import run

LATE = """
    if at_ms > now_ms:
        # A clock ahead within the skew must not make others late: time moves no further than the record's own.
        now_ms = max(now_ms, min(at_ms, record.timestamp))
    elif at_ms < now_ms - lateness_ms:
        late.append(record)
        continue
"""
SEEN = """
    if now_ms >= ids.ends_ms:
        ids.roll(now_ms)
        known, known_old, fresh = ids.ids, ids.old, ids.fresh
    id_ = hash_of(event.event_id.encode(), learner.seed) & ID_BITS
    if id_ in known or id_ in known_old:
        again.append(offset)
        continue
    if len(known) >= ids_max:
        ids.roll(now_ms)
        known, known_old, fresh = ids.ids, ids.old, ids.fresh
    known[id_] = 1
    fresh.append(id_)
"""


def leave_out(lines: str, instead: str, source: str) -> str:
    """Raises ValueError where the loop is not what it was when this was written."""
    indented = textwrap.indent(textwrap.dedent(lines).strip("\n"), " " * 8)
    if source.count(indented) != 1:
        raise ValueError(f"the fold's loop has changed; mend bench/untimed.py:\n{lines}")
    return source.replace(indented, instead)


def take() -> str:
    """The source of `Fold.take` without them."""
    source = textwrap.dedent(inspect.getsource(fold.Fold.take))
    source = leave_out(LATE, " " * 8 + "now_ms = record.timestamp", source)
    return leave_out(SEEN, "", source)


def main() -> None:
    loop: dict[str, object] = {}
    exec(compile(take(), "bench/untimed.py", "exec"), fold.__dict__, loop)  # noqa: S102 - our own source
    fold.Fold.take = loop["take"]  # type: ignore[method-assign,assignment]
    run(app.create(AggregateSettings()))


if __name__ == "__main__":
    main()
