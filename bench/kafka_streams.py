"""The contestant in Java: built by Maven where a JDK is found, run on that JDK."""

import os
import shutil
import subprocess
from pathlib import Path

from bench.harness import PROJECT, BenchError

_SOURCE = Path(__file__).parent / "java"
_BUILD_S_MAX = 300.0  # the first build downloads 90 MB, most of it RocksDB
HEAP_MB = 1024


def missing() -> list[str]:
    """The programs it would need that are not there."""
    return [program for program in ("java", "javac", "mvn") if shutil.which(program) is None]


def command() -> list[str]:
    """Builds it where it has changed. Blocks. Raises BenchError with Maven's last lines."""
    folder = PROJECT / "build" / "bench"
    built = folder / "classes" / "Count.class"
    sources = [_SOURCE / "Count.java", _SOURCE / "pom.xml"]
    if not built.exists() or built.stat().st_mtime < max(source.stat().st_mtime for source in sources):
        done = subprocess.run(
            ["mvn", "-q", "-B", f"-DoutputFolder={folder}", "compile", "dependency:copy-dependencies"],
            cwd=_SOURCE,
            capture_output=True,
            text=True,
            timeout=_BUILD_S_MAX,
            check=False,
        )
        if done.returncode:
            raise BenchError("Kafka Streams cannot be built:\n" + "\n".join(done.stdout.splitlines()[-12:]))
        built.touch()
    classes = os.pathsep.join([str(folder / "classes"), str(folder / "dependency" / "*")])
    return ["java", f"-Xmx{HEAP_MB}m", "-cp", classes, "Count"]
