"""Configuration of the documentation: Sphinx, MyST-NB, furo.

Every code cell is run at build; an error or a Python warning in one ends it, as Sphinx's own warnings do.
Nothing is fetched: no intersphinx, no fonts, no scripts from elsewhere.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from docutils import nodes
from docutils.utils.math.latex2mathml import tex2mathml

import xdownscale

if TYPE_CHECKING:
    from sphinx.application import Sphinx

project = "xdownscale"
author = "The xdownscale developers"
copyright = author  # noqa: A001 - Sphinx knows it by this name
release = xdownscale.__version__
version = release

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
templates_path: list[str] = []
exclude_patterns = ["README.md"]
default_role = "py:obj"
suppress_warnings: list[str] = []

# pages
myst_enable_extensions = ["attrs_inline", "deflist", "dollarmath"]
myst_heading_anchors = 3
myst_links_external_new_tab = False
source_suffix = {".md": "myst-nb"}

# cells
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 900
nb_output_stderr = "remove"  # progress bars
nb_merge_streams = True
nb_render_image_options = {"alt": "Figure drawn by the code above"}
# the last is said in the text instead
WARNINGS = (
    "error::UserWarning",
    "error::RuntimeWarning",
    "error::FutureWarning",
    "ignore:this model was trained on simulated dust",
)
os.environ["PYTHONWARNINGS"] = ",".join(WARNINGS)
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
os.environ["COLUMNS"] = "96"

# reference
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
napoleon_use_param = False  # names that share a description stay together
napoleon_use_ivar = True
add_module_names = False
maximum_signature_line_length = 88
python_display_short_literal_types = True

# HTML
html_theme = "furo"
html_title = f"xdownscale {release}"
html_static_path = ["_static"]
html_css_files = ["cells.css"]
html_show_sphinx = False
html_copy_source = False
html_theme_options = {
    "navigation_with_keys": False,
    "light_css_variables": {
        "color-brand-primary": "#0b5d8c",
        "color-brand-content": "#0b5d8c",
    },
    "dark_css_variables": {
        "color-brand-primary": "#7cc4ee",
        "color-brand-content": "#7cc4ee",
    },
}
pygments_style = "tango"
pygments_dark_style = "monokai"
copybutton_exclude = ".linenos, .gp, .go"
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True


# equations as MathML, which browsers set themselves: no script is fetched when a page is read
html_math_renderer = "mathml"


def _inline(self: Any, node: nodes.math) -> None:
    self.body.append(tex2mathml(node.astext()))
    raise nodes.SkipNode


def _display(self: Any, node: nodes.math_block) -> None:
    self.body.append(f'<div class="math">{tex2mathml(node.astext(), as_block=True)}</div>')
    raise nodes.SkipNode


def setup(app: Sphinx) -> None:
    """Register the renderer of equations."""
    app.add_html_math_renderer("mathml", inline_renderers=(_inline, None), block_renderers=(_display, None))
