"""`procshare version`."""

from __future__ import annotations

import platform

import procshare
from procshare.cli.paper import print_json


def installed(package: str) -> str | None:
    """The version of an installed package."""
    from importlib import metadata  # it takes as long as all else here

    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def print_version(as_json: bool) -> None:
    """The version, and with `--json` those of Python and the backend in use."""
    version = installed("procshare") or "unknown"
    if as_json:
        print_json({"procshare": version, "python": platform.python_version(), "backend": procshare.default_backend()})
    else:
        print(f"procshare {version}")
