"""Lists the places that have grown past the sizes of the style guide; it shows, and never fails."""

from __future__ import annotations

import ast
from pathlib import Path

MAX_FILE = 400
MAX_FUNCTION = 60
MAX_PARAMETERS = 6


def places(path: Path) -> list[str]:
    """What is large in one file, a line each."""
    text = path.read_text("utf-8")
    lines = text.count("\n")
    found = [f"{path}: {lines} lines"] if lines > MAX_FILE else []
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            arguments = len(node.args.posonlyargs) + len(node.args.args) + len(node.args.kwonlyargs)
            if size > MAX_FUNCTION:
                found.append(f"{path}:{node.lineno} {node.name}: {size} lines")
            if arguments > MAX_PARAMETERS:
                found.append(f"{path}:{node.lineno} {node.name}: {arguments} parameters")
    return found


def main() -> None:
    """Print the list for the package."""
    found = [place for path in sorted(Path("src").rglob("*.py")) for place in places(path)]
    print(f"sizes: {len(found)} places to look at", *found, sep="\n  ")  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
