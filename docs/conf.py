"""How the site is built: `make site`. Sphinx reads the same Markdown as the repository shows."""  # noqa: INP001 - read by path

import tomllib
from pathlib import Path

ROOT = Path(__file__).parents[1]

project = "UORO"
author = "the UORO authors"
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
extensions = ["myst_parser"]
exclude_patterns = ["results"]
myst_heading_anchors = 3
html_theme = "furo"
html_title = f"UORO {release}"
html_copy_source = False
html_show_sphinx = False
