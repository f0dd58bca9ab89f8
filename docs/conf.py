"""How the manual is built: ``make docs``."""

import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
from known import known  # noqa: E402

from vsbench import __version__  # noqa: E402

subprocess.run([sys.executable, str(HERE / "generate.py"), str(HERE / "reference")], check=True)

project = "vsbench"
author = "the vsbench authors"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
myst_enable_extensions = ["colon_fence", "deflist", "substitution"]
myst_substitutions = known()
myst_heading_anchors = 3
exclude_patterns = ["_build"]
html_theme = "pydata_sphinx_theme"
html_theme_options = {"show_toc_level": 2, "navigation_with_keys": False, "secondary_sidebar_items": ["page-toc"]}
html_title = "vsbench"
html_static_path = ["_static"]
html_css_files = ["manual.css"]
html_show_sourcelink = False
html_copy_source = False
autodoc_member_order = "bysource"
autodoc_typehints = "description"
nitpicky = False


def setup(app: Any) -> None:
    """Sphinx calls it."""
    app.connect("autodoc-process-docstring", lambda *event: _plain_bars(event[-1]))


def _plain_bars(lines: list[str]) -> None:
    """``|x|`` is an absolute value here, and no substitution."""
    lines[:] = [line.replace("|", "\\|") for line in lines]
