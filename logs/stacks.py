"""Where each thread of a process is, into its log, when somebody asks by `kill -QUIT`: even where the loop is blocked,
or one thread holds the interpreter."""

import faulthandler
import signal


def on_quit() -> None:
    """From then on. The process goes on."""
    faulthandler.register(signal.SIGQUIT, all_threads=True, chain=False)
