"""How long health takes to answer while a server hangs: each is stopped by SIGSTOP in turn, from its first moment on.

The whole stack with the demo classroom. `python -m bench.health`
"""

import argparse
import http.client
import sys
import time
from pathlib import Path

from bench import house, report
from bench.fanout import percentile
from bench.harness import BenchError, say
from bench.house import House
from stack import ports

TITLE = "Health while a server hangs"
PATHS = ("/api/v1/health", "/readyz")
SERVERS = {"nobody": "", "Kafka": "kafka", "PostgreSQL": "postgres", "Redis": "valkey", "the history's": "influxd"}
EVERY_S = 0.05  # so that what was found last is asked anew again and again
ANSWER_S_MAX = 30.0
BAR_MS = 300.0


def took_ms(stack: House, requests: int) -> dict[str, list[float]]:
    """Of each path, one after the other, sorted."""
    connection = http.client.HTTPConnection(ports.HOST, stack.port, timeout=ANSWER_S_MAX)
    found: dict[str, list[float]] = {path: [] for path in PATHS}
    for _ in range(requests):
        for path in PATHS:
            began_s = time.perf_counter()
            connection.request("GET", path)
            answer = connection.getresponse()
            answer.read()
            found[path].append((time.perf_counter() - began_s) * 1_000)
            if answer.status not in (200, 503):
                raise BenchError(f"{path} answers {answer.status}")
            time.sleep(EVERY_S)
    connection.close()
    return {path: sorted(each) for path, each in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=int, default=200, help="of each path, for each server")
    parser.add_argument("--out", type=Path, default=report.RESULTS)
    args = parser.parse_args()
    rows, worst = [], {}
    with house.running() as stack:
        for name, server in SERVERS.items():
            stack.until_calm()
            if server:
                with stack.frozen(server):
                    found = took_ms(stack, args.requests)
            else:
                found = took_ms(stack, args.requests)
            for path, each in found.items():
                p50, p99, highest = percentile(each, 0.5), percentile(each, 0.99), each[-1]
                rows.append([name, path, f"{p50:.1f}", f"{p99:.1f}", f"{highest:.1f}", f"p99 ≤ {BAR_MS:.0f}"])
                worst[f"{name}, {path.rpartition('/')[2]}"] = p99
                say(f"  {name} hangs, {path}: p99 {p99:.1f} ms")
    text = f"{args.requests} requests of each path, one after the other.\n\n" + report.table(
        ["who hangs", "asked", "p50 ms", "p99 ms", "max ms", "bar"], rows
    )
    file = report.write(args.out, "health", TITLE, text, report.bars(TITLE, worst, "p99 in ms"))
    sys.stdout.write(file.read_text())
    if max(worst.values()) > BAR_MS:
        sys.exit(f"p99 above {BAR_MS:.0f} ms")


if __name__ == "__main__":
    main()
