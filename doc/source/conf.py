"""How Sphinx makes the pages: ``tox -e docs``. Nothing is downloaded, and a warning is an error."""

import importlib.metadata

project = "lmflow"
version = release = importlib.metadata.version("lmflow")
extensions = ["myst_parser", "sphinx.ext.autodoc"]
html_theme = "alabaster"
html_theme_options = {"description": "Live migration that survives the death of whatever runs it", "page_width": "60em"}
html_show_sourcelink = False
highlight_language = "text"
myst_heading_anchors = 3
autodoc_member_order = "bysource"
autodoc_typehints = "description"
# Types in signatures have no page of their own here, and those of Python would have to be looked up elsewhere.
nitpick_ignore_regex = [("py:class", ".*")]
