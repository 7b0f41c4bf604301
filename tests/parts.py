"""Fills the cache with what starting the servers takes: their parts, and what Java keeps so that Kafka starts in 1 s.

`make test` runs this file before pytest, whose two processes would each download and unpack them, and whose own broker
stops, which is when Java writes what it keeps, only after the last test. It never fails: what cannot be had, the tests
that want it say.
"""

import os
import sys
import tempfile
from pathlib import Path

from running import CACHE, PROJECT

from stack import influx
from stack.errors import StackError
from stack.kafka import Kafka


def main() -> None:
    influx.find(CACHE, os.environ, PROJECT)
    with tempfile.TemporaryDirectory(prefix="classpulse-parts-") as home:
        kafka = Kafka(Path(home), cache=CACHE, quick=True)
        try:
            kafka.start()
        except StackError as error:
            sys.stdout.write(f"parts: {error}\n")
        kafka.stop()


if __name__ == "__main__":
    main()
