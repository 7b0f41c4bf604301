"""What `system-status` said in a time in which it should have said nothing."""

from typing import Any

from bench.house import House

MS = 23  # of an ISO time, up to its milliseconds


class Alarms:
    """From now on."""

    def __init__(self, stack: House) -> None:
        self._stack = stack
        status = stack.status()
        self._seen = str(status["seen"])  # what has changed before is no business of ours
        self.looks = 0
        self.unanswered = 0
        self._found: dict[str, None] = {}  # each once, in order

    @property
    def found(self) -> list[str]:
        return list(self._found)

    def look(self) -> Any:
        """The status; None where there is no answer. Also those that came and went since the last look."""
        self.looks += 1
        status = self._stack.status()
        if status is None:
            self.unanswered += 1
            return None
        for change in reversed(status["changes"]):
            if change["at"] > self._seen and change["verdict"] != "ok":
                self._found[f"{change['at'][:MS]} {change['about']} is {change['verdict']}: {change['says']}"] = None
        return status

    def listed(self) -> str:
        """As markdown; "" where there are none."""
        return "".join(f"\n- {line}" for line in self.found) + "\n" if self._found else ""
