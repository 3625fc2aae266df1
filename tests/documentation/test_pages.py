"""Pages that the code writes are as it writes them now, figures are those that were measured, the site builds."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from uoro import limits
from uoro.settings import Settings

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the pages as the code tells them."""
    folder = tmp_path_factory.mktemp("pages")
    subprocess.run([sys.executable, DOCS / "generate.py", folder], check=True)
    return folder


@pytest.mark.parametrize("page", ["settings.md", "api.md"])
def test_a_generated_page_is_the_generated_one(page: str, written: Path) -> None:
    """The committed page is what `python docs/generate.py` writes; run it if this fails."""
    assert (written / page).read_text() == (DOCS / page).read_text()


def test_every_setting_and_every_limit_is_told(written: Path) -> None:
    """By its name, and the settings that move a limit beside it."""
    told = (written / "settings.md").read_text()
    names = [f"UORO_{name.upper()}" for name in Settings.model_fields]
    names += [name for name in vars(limits) if name.startswith(("MAX_", "MIN_"))]
    names += list(limits.Limits.__dataclass_fields__)
    assert [name for name in names if f"| `{name}` |" not in told] == []


def figures(text: str, pattern: str) -> set[str]:
    """What a pattern finds in text, without blanks around it."""
    return {found.strip() for found in re.findall(pattern, text)}


@pytest.mark.parametrize(
    ("page", "source", "pattern", "least"),
    [
        ("operations.md", "benchmarks.md", r"[\d.,]+(?= (?:observations)?/s| ms)", 10),
        ("spec.md", "learning.md", r"(?<!\d)\.\d{3,4}|[\d.]+(?= µs)", 20),
    ],
)
def test_figures_are_those_that_were_measured(page: str, source: str, pattern: str, least: int) -> None:
    """Each rate, time and ratio that a page repeats stands on the page of the measurements."""
    repeated = figures((DOCS / page).read_text(), pattern)
    assert len(repeated) >= least
    measured = (DOCS / source).read_text()
    assert [figure for figure in repeated if not re.search(rf"(?<![\d.]){re.escape(figure)}(?!\d)", measured)] == []


def site_python() -> str | None:
    """A Python that has Sphinx and what the site needs: that of `make site`, or this one."""
    own = ROOT / ".venv-site" / "bin" / "python"
    if own.exists():
        return str(own)
    return sys.executable if find_spec("sphinx") and find_spec("myst_parser") and find_spec("furo") else None


needs_sphinx = pytest.mark.skipif(site_python() is None, reason="Sphinx is not installed; `make site` installs it")


def built(docs: Path, site: Path) -> subprocess.CompletedProcess[str]:
    """Build a site as `make site` does."""
    python = site_python()
    assert python is not None
    options = ["--fail-on-warning", "--keep-going", "--quiet", "--builder", "html"]
    command = [python, "-m", "sphinx", *options, str(docs), str(site)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"})


def test_the_site_is_built_here_as_by_make() -> None:
    """The options are those of the Makefile."""
    told = (ROOT / "Makefile").read_text()
    assert "-m sphinx --fail-on-warning --keep-going --quiet --builder html docs build/site" in told


@needs_sphinx
def test_the_site_builds_without_a_warning(tmp_path: Path) -> None:
    """Every page is in the table of contents, every link inside leads somewhere, every picture is there."""
    made = built(DOCS, tmp_path)
    assert made.returncode == 0, made.stderr
    for page in DOCS.rglob("*.md"):
        assert (tmp_path / page.relative_to(DOCS).with_suffix(".html")).exists(), page


@needs_sphinx
@pytest.mark.parametrize(
    "broken", ["[no page](nowhere.md)", "[no heading](settings.md#nowhere)", "![no picture](pictures/nowhere.svg)"]
)
def test_a_broken_link_fails(broken: str, tmp_path: Path) -> None:
    """A page that is not there, a heading that is not there, a picture that is not there."""
    docs = tmp_path / "checkout" / "docs"
    shutil.copytree(DOCS, docs)
    shutil.copy(ROOT / "pyproject.toml", tmp_path / "checkout")
    with (docs / "how.md").open("a") as page:
        page.write(f"\n{broken}\n")
    made = built(docs, tmp_path / "site")
    assert made.returncode != 0
    assert "nowhere" in made.stderr
