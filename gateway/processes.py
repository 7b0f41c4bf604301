"""Several processes of the gateway on one port: the kernel gives each new connection to one of them (SO_REUSEPORT).

One that is killed is started again; one that cannot go on ends them all. Those whose parent is gone end
as if told to.
"""

import multiprocessing
import os
import signal
import socket
import threading
import time
from collections.abc import Callable
from multiprocessing.connection import wait
from multiprocessing.context import SpawnProcess

import structlog

log = structlog.get_logger(__name__)

PAUSE_S = 0.5  # before one that was killed is started again

Serve = Callable[[socket.socket], None]  # until SIGTERM; importable by its name


def bound(host: str, port: int) -> socket.socket:
    """A socket that shares its port with others like it. Raises OSError where somebody else has the port."""
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    try:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind((host, port))
    except OSError:
        taken.close()
        raise
    taken.set_inheritable(True)
    return taken


class Processes:
    def __init__(self, serve: Serve, host: str, port: int, number: int) -> None:
        """Raises OSError where the port cannot be had."""
        self._serve = serve
        self._host = host
        self._place = bound(host, port)  # nobody listens on it; it keeps the port for ours
        self._port: int = self._place.getsockname()[1]
        self._number = number
        self._running: dict[int, SpawnProcess] = {}  # by sentinel
        self._stopping = False

    def run(self) -> int:
        """Blocks until SIGTERM or SIGINT, and all have ended; the exit code. For the main thread."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)
        code = 0
        for _ in range(self._number):
            self._start()
        while self._running:
            for sentinel in wait(list(self._running)):
                if isinstance(sentinel, int):
                    code = self._ended(sentinel) or code
        self._place.close()
        return code

    def _start(self) -> None:
        if self._stopping:
            return
        process = multiprocessing.get_context("spawn").Process(
            target=_child, args=(self._serve, self._host, self._port), name="gateway"
        )
        process.start()
        self._running[process.sentinel] = process
        if self._stopping:  # told to while it was started
            process.terminate()

    def _ended(self, sentinel: int) -> int:
        """The exit code, where that ends all."""
        process = self._running.pop(sentinel)
        process.join()
        code = process.exitcode or 0
        if self._stopping:
            return 0
        log.error("a process of the gateway has ended", pid=process.pid, exit_code=code)
        if code >= 0:  # not killed: another would end so, too
            self._stop()
            return code or 1
        time.sleep(PAUSE_S)
        self._start()
        return 0

    def _stop(self, *_: object) -> None:
        self._stopping = True
        for process in list(self._running.values()):
            process.terminate()


def _child(serve: Serve, host: str, port: int) -> None:
    os.setpgrp()  # an interrupt from the terminal is the parent's to pass on, as SIGTERM
    threading.Thread(target=_end_with_parent, daemon=True).start()
    serve(bound(host, port))


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os.kill(os.getpid(), signal.SIGTERM)
