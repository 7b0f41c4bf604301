"""Files that only their owner may read: tokens, passwords, keys."""

import os
import secrets
from pathlib import Path


def write_secret(file: Path, text: str) -> None:
    """Never readable by others, and whole or not there at all. Raises OSError."""
    fresh = file.with_name(f".{file.name}.{secrets.token_hex(4)}")
    try:
        with os.fdopen(os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
            out.write(f"{text}\n")
        fresh.replace(file)
    except OSError:
        fresh.unlink(missing_ok=True)
        raise
