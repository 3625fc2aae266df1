"""The code blocks of a Markdown page, and what the page says of them in comments that readers do not see.

| comment before a block | means |
|---|---|
| `<!-- not run: reason -->` | the block cannot run in a test |
| `<!-- given: code -->` | lines that a reader has already, run first |
| `<!-- answer of run 41 -->` | the JSON is an answer of the block above, run so many times in all |
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(?P<kind>\S*)[^\n]*\n(?P<code>.*?)^```$", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (not run|given|answer of run):? (.*?) -->\s*$", re.DOTALL)
SHELL, PYTHON, JSON, TEXT = "sh", "python", "json", "text"


@dataclass(frozen=True)
class Block:
    """One block of a page.

    Attributes:
        kind: the language that it says. line: of the page, where it starts.
        not_run: the reason, "" if it runs. given: what is run before it.
        num_runs: of the block above, for an answer.
    """

    kind: str
    code: str
    line: int
    not_run: str = ""
    given: str = ""
    num_runs: int = 1


def blocks_of(page: Path) -> list[Block]:
    """All blocks of a page in order."""
    text = page.read_text()
    found = []
    end = 0
    for match in _BLOCK.finditer(text):
        said: dict[str, str] = {}
        before = text[end : match.start()]
        while comment := _COMMENT.search(before):
            said[comment[1]] = comment[2]
            before = before[: comment.start()]
        found.append(
            Block(
                kind=match["kind"],
                code=match["code"],
                line=text[: match.start()].count("\n") + 1,
                not_run=said.get("not run", ""),
                given=said.get("given", ""),
                num_runs=int(said.get("answer of run", "1")),
            )
        )
        end = match.end()
    return found
