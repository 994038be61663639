"""Tables for people: columns as wide as what stands in them, on standard output."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

GAP = "  "


def render_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The head in capitals and the rows, aligned; no line ends with spaces."""
    lines = [tuple(one.upper() for one in head), *map(tuple, rows)]
    widths = [max(len(line[place]) for line in lines) for place in range(len(head))]
    return "\n".join(render_line(line, widths) for line in lines)


def render_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """One line of a table; what is wider than its column moves the rest of its line."""
    return GAP.join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def render_span(span: timedelta) -> str:
    """A time span in its two largest units, as `3h 11m`; seconds below an hour."""
    seconds = max(int(span.total_seconds()), 0)
    days, hours, minutes = seconds // 86400, seconds // 3600 % 24, seconds // 60 % 60
    if days:
        return f"{days}d {hours:02}h"
    if hours:
        return f"{hours}h {minutes:02}m"
    return f"{minutes}m {seconds % 60:02}s" if minutes else f"{seconds}s"


def render_moment(moment: datetime) -> str:
    """A moment for machines, in whole seconds, UTC."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
