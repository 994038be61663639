"""The demo's screen: a story line by line, and on a terminal the five signals live below it.

Rules: a pipe gets plain lines and no escape codes; colour is never the only sign; a line says what happened and why.
"""

from __future__ import annotations

import shutil
import sys
import time
from typing import TextIO

from dayfly.cli.demo.looks import Signals

WIDTH = 100
BAR = 24
_BOLD, _DIM, _OFF = "\033[1m", "\033[2m", "\033[0m"
_RED, _GREEN, _YELLOW, _CYAN = "\033[31m", "\033[32m", "\033[33m", "\033[36m"


class Screen:
    """Writes the story; the panel below it is drawn anew with every line."""

    def __init__(self, stream: TextIO | None = None) -> None:
        """Write to standard output, with colours and a live panel if that is a terminal."""
        self._stream = stream or sys.stdout
        self._live = self._stream.isatty()
        self._began = time.monotonic()
        self._panel = 0

    @property
    def is_live(self) -> bool:
        """Is there a panel?"""
        return self._live

    @property
    def seconds(self) -> float:
        """Seconds since the demo began."""
        return time.monotonic() - self._began

    def title(self, text: str) -> None:
        """A chapter."""
        self._print("")
        self._print(self._paint(text, _BOLD))

    def why(self, text: str) -> None:
        """The reason for what comes next."""
        self._print("   " + self._paint(text, _DIM))

    def command(self, text: str) -> None:
        """A command that is being run, as a person would type it."""
        self._print("   " + self._paint("$ " + text, _CYAN))

    def step(self, text: str) -> None:
        """Something that happened."""
        self._mark("✔", text, _GREEN)

    def note(self, text: str) -> None:
        """Something on its way."""
        self._mark("·", text, _DIM)

    def warn(self, text: str) -> None:
        """Something wrong, and seen."""
        self._mark("!", text, _YELLOW)

    def fail(self, text: str) -> None:
        """Something that ends the demo."""
        self._mark("✖", text, _RED)

    def lines(self, text: str) -> None:
        """What a command printed, indented."""
        for line in text.rstrip().splitlines():
            self._print("     " + line)

    def signals(self, found: Signals) -> None:
        """The five signals; on a terminal they stay at the bottom, elsewhere they are lines of the story."""
        if self._live:
            self._clear_panel()
            self._draw(found)
        else:
            self._write_lines(found)

    def close(self) -> None:
        """Leave the panel where it is."""
        if self._live and self._panel:
            self._stream.write("\n")
        self._panel = 0
        self._stream.flush()

    # --- drawing ------------------------------------------------------------------------------------------------------

    def _mark(self, sign: str, text: str, colour: str) -> None:
        moment = self._paint(f"{self.seconds:5.1f}s", _DIM)
        self._print(f"{moment} {self._paint(sign, colour)} {text}")

    def _paint(self, text: str, code: str) -> str:
        return f"{code}{text}{_OFF}" if self._live else text

    def _print(self, text: str) -> None:
        self._clear_panel()
        self._stream.write(text + "\n")
        self._stream.flush()

    def _clear_panel(self) -> None:
        if self._panel:
            self._stream.write(f"\033[{self._panel}A\r\033[J")
            self._panel = 0

    def _draw(self, found: Signals) -> None:
        width = min(shutil.get_terminal_size().columns, WIDTH)
        rule = self._paint("─" * (width - 1), _DIM)
        rows = [rule, *(self._paint(f" {name:<24}", _BOLD) + text[: width - 27] for name, text in rows_of(found)), rule]
        self._stream.write("\n".join(rows) + "\n")
        self._stream.flush()
        self._panel = len(rows)

    def _write_lines(self, found: Signals) -> None:
        for name, text in rows_of(found):
            self._print(f"       {name:<24} {text}")


def rows_of(found: Signals) -> tuple[tuple[str, str], ...]:
    """The five signals by name, in the order of the recipe."""
    full = round(found.share * BAR)
    served = "seen served" if found.served else "NOT the one that is served"
    return (
        ("1 remaining life", f"{'█' * full}{'·' * (BAR - full)} {found.remaining:4.0f} s of {found.lifetime:.0f} s"),
        ("2 last renewal", f"{found.last_renewal:.0f} s ago, {served}"),
        ("3 renewal error rate", f"{found.failures} of {found.attempts} failed"),
        ("4 CA availability", "ready" if found.ready else "NOT READY"),
        ("5 volume, failures", f"{found.issued} issued, {found.denied} denied"),
    )
