"""Faults at a chosen system call of a running CA: strace attaches and plays them (reliability.md 3).

Rules: only a process that a test started is attached to; nothing happens before every thread of it is traced; what was
traced is kept for counting.
"""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

SYNCS = "fsync,fdatasync"
WRITES = "pwrite64"
_ATTACH_WITHIN = 10.0  # seconds
_STANDS = 0.2  # seconds; an ordinary stop of a traced thread takes microseconds


@dataclass(frozen=True, slots=True)
class Injection:
    """What a call gives instead of its result, in strace's words.

    `calls` is a list, `effect` such as `error=EIO` or `signal=SIGKILL`, `when` such as `3` or `1+`, counted per thread
    from the moment of attaching.
    """

    calls: str
    effect: str
    when: str

    @property
    def argument(self) -> str:
        """As strace writes it."""
        return f"inject={self.calls}:{self.effect}:when={self.when}"


@contextmanager
def traced(strace: str, pid: int, output: Path, injection: Injection | None = None) -> Iterator[None]:
    """The process under strace, from enter to exit; `output` gets one line a call."""
    command = [strace, "-f", "-qq", "-o", str(output), "-e", f"trace={SYNCS},{WRITES}"]
    command += ["-e", injection.argument] if injection else []
    tracer = subprocess.Popen([*command, "-p", str(pid)], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        deadline = time.monotonic() + _ATTACH_WITHIN
        while not _is_traced(pid):
            assert tracer.poll() is None, tracer.stderr.read()
            assert time.monotonic() < deadline, "strace did not attach"
            time.sleep(0.01)
        yield
    finally:
        tracer.terminate()
        tracer.wait(timeout=10)
        tracer.stderr.close()


def _is_traced(pid: int) -> bool:
    """Is every thread of the process traced?"""
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    tracers = [re.search(r"^TracerPid:\t(\d+)$", (one / "status").read_text(), re.MULTILINE) for one in threads]
    return all(found is not None and found[1] != "0" for found in tracers)


def wait_until_held(pid: int, *, within: float) -> None:
    """Wait until a thread stands still in the tracer's hands, as it does while a call's end is delayed."""
    deadline, held_since = time.monotonic() + within, 0.0
    while time.monotonic() < deadline:
        stands = any("State:\tt" in (one / "status").read_text() for one in Path(f"/proc/{pid}/task").iterdir())
        held_since = (held_since or time.monotonic()) if stands else 0.0
        if held_since and time.monotonic() - held_since > _STANDS:
            return
        time.sleep(0.005)
    raise AssertionError("no call was held")


def count_calls(output: Path, calls: str) -> int:
    """How many calls of these names ended in the trace."""
    names = "|".join(calls.split(","))
    return len(
        re.findall(rf"(?:^|\s)(?:{names})\(|<\.\.\. (?:{names}) resumed", output.read_text(), re.MULTILINE)
    ) - len(re.findall(rf"(?:{names})\(.*<unfinished", output.read_text()))
