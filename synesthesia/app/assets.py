"""What runs in the browser, as text: scripts and styles from `static/`, joined without a build step."""

from __future__ import annotations

import re
from importlib import resources

_IMPORT = re.compile(r'^import\s[^;]*?from "\./(\w+)\.js";\n', re.MULTILINE)
_EXPORTED = re.compile(r"^export (?=async |class |const |function )", re.MULTILINE)
_REEXPORT = re.compile(r'^export \{[^}]*\} from "\./(\w+)\.js";\n', re.MULTILINE)


def read(name: str) -> str:
    """A file of `static/`."""
    return (resources.files("synesthesia.app") / "static" / name).read_text(encoding="utf-8")


def style(*names: str) -> str:
    """Style sheets, one after the other."""
    return "\n".join(read(f"{name}.css") for name in names)


def script(*names: str) -> str:
    """Modules and all that they import as the text of one module that imports nothing, each once and in order.

    A page opened from a disk may not import files, so its modules stand in the page itself. What modules declare must
    have different names.
    """
    done: list[str] = []

    def visit(name: str) -> list[str]:
        if name in done:
            return []
        done.append(name)
        text = read(f"{name}.js")
        before = [part for found in (*_IMPORT.findall(text), *_REEXPORT.findall(text)) for part in visit(found)]
        own = _EXPORTED.sub("", _REEXPORT.sub("", _IMPORT.sub("", text)))
        return [*before, own]

    return "\n".join(part for name in names for part in visit(name))
