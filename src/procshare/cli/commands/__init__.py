"""The commands, in modules whose `register(app)` adds them: only that of the command that is called is imported.

`--help` shows them in the order of this table.
"""

MODULES: dict[str, tuple[str, ...]] = {
    "demo": ("demo",),
    "ls": ("ls",),
    "show": ("show",),
    "holders": ("holders",),
    "top": ("top", "watch"),
    "removal": ("rm", "prune"),
    "doctor": ("doctor",),
    "bench": ("bench",),
    "version": ("version",),
}
"""From a module to the commands that it adds."""
