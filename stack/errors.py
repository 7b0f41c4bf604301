"""What goes wrong in the local stack, told so that somebody can mend it."""

from collections.abc import Sequence


class StackError(Exception):
    """Something of the stack cannot be had, started or stopped.

    `advice` says what to do, "" where nobody knows; `lines` are the last of the log of the process it is about.
    """

    def __init__(self, message: str, *, advice: str = "", lines: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.advice = advice
        self.lines = tuple(lines)

    def __str__(self) -> str:
        told = [self.message, *(f"    {line}" for line in self.lines)]
        if self.advice:
            told.append(f"What to do: {self.advice}")
        return "\n".join(told)
