"""How the documentation is built: `make docs`."""

import inspect
from importlib import metadata
from typing import Any

from sphinx.util.inspect import signature, stringify_signature

project = "procshare"
project_copyright = "2026, the procshare developers"
author = "the procshare developers"
release = version = metadata.version("procshare")

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "sphinx_copybutton",
]
source_suffix = {".md": "markdown"}
exclude_patterns = ["drawings"]

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
default_role = "code"
add_module_names = False
python_use_unqualified_type_names = True
napoleon_google_docstring = True
napoleon_numpy_docstring = False
napoleon_use_rtype = False
napoleon_custom_sections = [("Memory", "notes_style")]

# The inventories of Python and NumPy are not fetched: the documentation builds without a network.
nitpick_ignore_regex = [
    ("py:.*", r"(?!procshare).*"),
    ("py:.*", r"procshare\._.*"),
    ("py:.*", r"procshare\.testing\._.*"),
    ("py:.*", r"procshare\.backends\..*"),
]

html_theme = "furo"
html_title = "procshare"
html_static_path = ["_static"]
html_css_files = ["procshare.css"]
html_theme_options = {
    "source_repository": "https://github.com/procshare/procshare/",
    "source_branch": "main",
    "source_directory": "docs/",
}
html_show_sphinx = False


def show_public_bases(_app: Any, _name: str, _cls: Any, _options: Any, bases: list[Any]) -> None:
    """In place of a private base stands what users can name: the nearest public class that it comes from."""
    for n, base in enumerate(bases):
        if isinstance(base, type) and base.__name__.startswith("_"):
            bases[n] = next(each for each in base.__mro__ if not each.__name__.startswith("_"))


def show_init(
    _app: Any, what: str, _name: str, obj: Any, _options: Any, args: str | None, returns: str | None
) -> tuple[str | None, str | None]:
    """A class is called as its `__init__` says: `Handle.__new__`, which Sphinx prefers, only chooses the backend."""
    if what != "class":
        return args, returns
    if not inspect.isfunction(init := obj.__init__) or getattr(obj, "_is_protocol", False):
        return "" if "*args" in (args or "") else args, returns  # nobody makes one
    whole = signature(init)
    own = whole.replace(parameters=list(whole.parameters.values())[1:])
    shown = stringify_signature(own, show_return_annotation=False, unqualified_typehints=True)
    return shown.replace("mode: int = 384", "mode: int = 0o600"), returns


def setup(app: Any) -> None:
    """Register what no setting is for."""
    app.connect("autodoc-process-bases", show_public_bases)
    app.connect("autodoc-process-signature", show_init)
