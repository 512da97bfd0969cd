"""How Sphinx makes the site: ``sphinx-build -W --keep-going -n docs build/site``. Nothing is downloaded."""

import sys
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_ext"))

project = "etendue"
author = "The etendue developers"
copyright = f"{datetime.now(UTC):%Y}, {author}"
release = version = version_of("etendue")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.viewcode",
    "sphinx_click",
    "sphinx_copybutton",
    "contents",
    "reference",
]
root_doc = "index"
language = "en"  # with en_GB the page of search results fails: its plurals are not translated
exclude_patterns = ["_ext", "_templates"]
templates_path = ["_templates"]
nitpicky = True

myst_heading_anchors = 3

# Types stand in the tables of parameters, in words: annotations would name the rooms where things live.
autodoc_typehints = "none"
autodoc_member_order = "bysource"
autosummary_generate = True
autosummary_ignore_module_all = False
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
default_role = "py:obj"

html_theme = "pydata_sphinx_theme"
html_title = f"etendue {release}"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_favicon = "_static/logo.svg"
html_sidebars = {"**": ["every-page.html"]}
html_context = {"default_mode": "auto"}
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "logo": {"text": "etendue", "image_light": "_static/logo.svg", "image_dark": "_static/logo-dark.svg"},
    "navbar_center": ["doors.html"],
    "navbar_persistent": ["search-button-field"],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "pygments_light_style": "tango",
    "pygments_dark_style": "github-dark",
    "footer_start": ["copyright"],
    "footer_end": [],
}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
