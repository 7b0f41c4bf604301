"""Becomes a command that the kernel kills when its launcher dies; run as a script, by path, before everything else.

    python -I -S leash.py LAUNCHER_PID UID GID COMMAND [ARGUMENT ...]

UID and GID of -1 leave them alone. The pid stays the same, because the command replaces this process. Where there is
no prctl (macOS), the command runs without a leash, and the pid file lets the next launcher end it.

It is a process of its own rather than a preexec_fn, which may deadlock in a launcher that has threads.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


UMASK = 0o077  # what students do, and their names, is in what children write: nobody else's to read


def main(launcher: int, uid: int, gid: int, command: list[str]) -> None:
    os.umask(UMASK)
    if gid >= 0:
        os.setgroups([])
        os.setgid(gid)
    if uid >= 0:
        os.setuid(uid)
    if sys.platform == "linux":  # after setuid, which clears it
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG)")
        if os.getppid() != launcher:  # died before the leash was on
            return
    os.execv(command[0], command)  # noqa: S606 - no shell is what we want


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4:])
