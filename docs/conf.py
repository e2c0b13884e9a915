"""Configuration of the documentation: Sphinx, MyST-NB, furo.

Every code cell is run at build; an error in one, or a word on stderr, ends the build, as any warning does.
Nothing is fetched: no intersphinx, no fonts, no scripts from elsewhere.
"""

import os

import xdownscale

project = "xdownscale"
author = "The xdownscale developers"
copyright = author  # noqa: A001 - Sphinx's name
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
nb_execution_timeout = 240
nb_output_stderr = "remove-warn"
nb_merge_streams = True
nb_render_image_options = {"alt": "Figure drawn by the code above"}
# said in the text instead, and shown once in the quickstart; a cell's stderr ends the build
os.environ["PYTHONWARNINGS"] = "ignore:this model was trained on simulated dust"
os.environ.setdefault("PYDEVD_DISABLE_FILE_VALIDATION", "1")
os.environ["COLUMNS"] = "96"

# reference
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autodoc_preserve_defaults = True
napoleon_google_docstring = False
napoleon_use_rtype = False
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
