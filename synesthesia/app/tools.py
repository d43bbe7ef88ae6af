"""The verbs as tools: what a request may say to them and what it is told back, from their signatures and docstrings.

A verb that joins `verbs` becomes a tool on the page and an HTTP endpoint by itself. Values come as JSON: places as
[x, y], sounds and masks as files in base64, photos by the ticket that opening them gave. Nothing in a request names a
file of this machine.
"""

from __future__ import annotations

import base64
import binascii
import dataclasses
import inspect
import re
import typing
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from .. import media, verbs
from ..senses import MALLETS, Image, InputError, Point, Region, Sound
from .export import told as told_physics

Kind = Literal[
    "photo", "scene", "sound", "photo or sound", "mask", "place", "places", "box", "force", "hardness", "factor",
    "path", "texts", "choice", "yes", "whole", "number", "text",
]  # fmt: skip

MAX_SOUND_BYTES = 24 * 2**20
MAX_SOUND_SAMPLES = 48_000 * 60 * 2  # a minute of two channels
MAX_MASK_SIDE = 4096
MAX_SECONDS = 60.0  # of sound that a request may ask for
MAX_PLACES = 64  # that share a forward pass
MAX_VARIATIONS = 16
MAX_POSES = 4096
MAX_TEXTS, MAX_TEXT = 1000, 400
RATE = 48_000  # of what is downloaded

# What stands in a verb's signature → what a request gives. A parameter of another kind is not offered: `Ears`, say, is
# a file of this machine.
_KINDS: dict[str, Kind] = {
    "Photo": "photo", "Setting": "scene", "Audio": "sound", "Mask": "mask", "Place": "place", "Box": "box",
    "Force": "force", "Hardness": "hardness", "Factor": "factor", "Route": "path", "Phrases": "texts",
}  # fmt: skip
_PLAIN: dict[type, Kind] = {bool: "yes", int: "whole", float: "number", str: "text"}
# What no request may ask for more of, whatever the verb allows a person at the command line.
_MOST: dict[str, float] = {"seconds": MAX_SECONDS, "variations": MAX_VARIATIONS, "most": 100}


@dataclass(frozen=True)
class Parameter:
    """One setting of a tool; `required` where the verb has no default for it."""

    name: str
    kind: Kind
    help: str
    default: Any = None
    required: bool = False
    optional: bool = False
    choices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Tool:
    """A verb as a request sees it. `about` is the first line of its docstring, `help` all before its arguments."""

    name: str
    about: str
    help: str
    parameters: tuple[Parameter, ...]
    verb: Callable[..., Any]

    def described(self) -> dict[str, Any]:
        """For the page, as JSON."""
        rows = [dataclasses.asdict(parameter) for parameter in self.parameters]
        return {"name": self.name, "about": self.about, "help": self.help, "parameters": rows}

    def read(self, request: Any, photo: Callable[[str], Image]) -> dict[str, Any]:
        """The verb's arguments from a request; `photo` finds the one of a ticket. Raises InputError for bad input."""
        if not isinstance(request, Mapping):
            raise InputError(f"{self.name} wants an object of settings, such as {{}}; this is {_shown(request)}.")
        known = {parameter.name: parameter for parameter in self.parameters}
        if unknown := [str(name) for name in request if name not in known]:
            raise InputError(f"{self.name} has no setting {_shown(unknown[0])}; there are: {', '.join(known)}.")
        arguments = {}
        for parameter in self.parameters:
            value = request.get(parameter.name)
            if value is not None:
                arguments[parameter.name] = _read(parameter, value, photo)
            elif parameter.required:
                raise InputError(f"{self.name} needs {parameter.name}: {parameter.help}")
            elif parameter.name in request and not parameter.optional:
                raise InputError(f"{parameter.name} of {self.name} cannot be null.")
        return arguments


def tools() -> dict[str, Tool]:
    """All verbs that describe their arguments, by name."""
    found = {}
    for name, verb in vars(verbs).items():
        # Others with a system are parts of a verb, a verb block by block, or a verb on the default system.
        if inspect.isfunction(verb) and verb.__name__ == name and "Args:" in (inspect.getdoc(verb) or ""):
            parameters = list(inspect.signature(verb).parameters)
            if parameters[:1] == ["system"]:
                found[name] = _tool(name, verb)
    return found


def _tool(name: str, verb: Callable[..., Any]) -> Tool:
    text = inspect.getdoc(verb) or ""
    help, _, arguments = text.partition("\nArgs:\n")
    helps = {
        found[1]: " ".join(found[2].split())
        for found in re.finditer(r"^    (\w+): (.*?)(?=^    \w+: |\Z)", arguments, re.MULTILINE | re.DOTALL)
    }
    hints = typing.get_type_hints(verb)
    parameters = []
    for p in list(inspect.signature(verb).parameters.values())[1:]:
        kind, choices = _kind(str(p.annotation), hints[p.name])
        required = p.default is p.empty
        if kind is None and required:
            raise TypeError(f"A request cannot give {p.name} of {name}: {p.annotation} has no notation in JSON.")
        if kind is not None:
            optional = required is False and (p.default is None)
            default = None if required else p.default
            parameters.append(Parameter(p.name, kind, helps.get(p.name, ""), default, required, optional, choices))
    return Tool(name, text.splitlines()[0], help.strip(), tuple(parameters), verb)


def _kind(annotation: str, hint: Any) -> tuple[Kind | None, tuple[str, ...]]:
    words = re.findall(r"\w+", annotation)
    named = {_KINDS[word] for word in words if word in _KINDS}
    if {"photo", "sound"} <= named:
        return "photo or sound", ()
    if named == {"place"}:
        return ("places" if "Sequence" in words else "place"), ()
    if len(named) == 1:
        return named.pop(), ()
    options = [option for option in (typing.get_args(hint) or (hint,)) if option is not type(None)]
    for option in (hint, *options):
        if typing.get_origin(option) is Literal:
            return "choice", typing.get_args(option)
    if len(options) == 1 and options[0] in _PLAIN:
        return _PLAIN[options[0]], ()
    if options and all(isinstance(option, str) for option in options):
        return "choice", tuple(options)
    return None, ()


# --- what a request says ---------------------------------------------------------------------------------------------


def _read(parameter: Parameter, value: Any, photo: Callable[[str], Image]) -> Any:
    name, kind = parameter.name, parameter.kind
    if kind in ("photo", "scene"):
        return photo(_text(name, value))
    if kind == "sound":
        return read_sound(value)
    if kind == "photo or sound":
        return read_sound(value) if isinstance(value, str) and len(value) > 100 else photo(_text(name, value))
    if kind == "mask":
        return _mask(value)
    if kind in ("place", "places"):
        several = kind == "places" and isinstance(value, list) and value and isinstance(value[0], list)
        points = value if several else [value]
        if len(points) > MAX_PLACES:
            raise InputError(f"{name} holds up to {MAX_PLACES} places at a time, not {len(points)}.")
        read = [Point(*_numbers(name, point, 2)) for point in points]
        return read if several else read[0]
    if kind == "box":
        return _numbers(name, value, 4)
    if kind == "force":
        return _numbers(name, value, 3) if isinstance(value, list) else _number(name, value)
    if kind == "hardness":
        if isinstance(value, str) and value not in MALLETS:
            raise InputError(f"{name} is {', '.join(MALLETS)} or a Young's modulus in Pa, not {_shown(value)}.")
        return value if isinstance(value, str) else _number(name, value)
    if kind == "path":
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_POSES:
            raise InputError(f"{name} is a list of 1 to {MAX_POSES} poses [x, y, z, yaw].")
        return [_numbers(name, pose, 4) for pose in value]
    if kind == "texts":
        if not isinstance(value, list) or not 1 <= len(value) <= MAX_TEXTS:
            raise InputError(f"{name} is a list of 1 to {MAX_TEXTS} texts.")
        return [_text(name, text) for text in value]
    if kind == "choice":
        if value not in parameter.choices:
            raise InputError(f"{name} is one of {', '.join(map(str, parameter.choices))}, not {_shown(value)}.")
        return value
    if kind == "yes":
        if not isinstance(value, bool):
            raise InputError(f"{name} is true or false, not {_shown(value)}.")
        return value
    if kind == "text":
        return _text(name, value)
    number = _number(name, value)
    if (most := _MOST.get(name)) is not None and number > most:
        raise InputError(f"{name} goes up to {most:g} here, not {number:g}.")
    if kind == "whole":
        if number != int(number) or abs(number) > 2**53:
            raise InputError(f"{name} is a whole number, not {_shown(value)}.")
        return int(number)
    return number


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, (int, float)) or abs(value) > 1e300 or value != value:
        raise InputError(f"{name} is a number, not {_shown(value)}.")
    return float(value)


def _numbers(name: str, value: Any, count: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        raise InputError(f"{name} is a list of {count} numbers, not {_shown(value)}.")
    return tuple(_number(name, one) for one in value)


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str) or not 1 <= len(value) <= MAX_TEXT:
        raise InputError(f"{name} is a text of 1 to {MAX_TEXT} characters, not {_shown(value)}.")
    return value


def _shown(value: Any) -> str:
    """Something from outside, short enough for a sentence."""
    text = repr(value) if isinstance(value, (str, int, float, bool, type(None))) else f"a {type(value).__name__}"
    return text if len(text) <= 60 else f"{text[:60]}…"


def read_bytes(name: str, value: Any, most: int) -> bytes:
    """A file in base64, bare or as a data: URL. Raises InputError for anything else and for more than `most` bytes."""
    if not isinstance(value, str):
        raise InputError(f"{name} is a file in base64, not {_shown(value)}.")
    if len(value) > most * 4 / 3 + 200:
        raise InputError(f"{name} has more than {most / 2**20:.0f} MB; that is too much.")
    text = value.partition(",")[2] if value.startswith("data:") else value
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise InputError(f"{name} is not in base64; send the bytes of the file itself, encoded.") from None


def read_sound(value: Any) -> Sound:
    """A sound (WAV, FLAC, OGG, MP3) in base64, up to a minute."""
    sound = media.read_sound(read_bytes("A sound", value, MAX_SOUND_BYTES), longest=MAX_SOUND_SAMPLES)
    if sound.seconds > MAX_SECONDS:
        raise InputError(f"A sound has up to {MAX_SECONDS:g} s here, not {sound.seconds:.0f}.")
    return sound


def _mask(value: Any) -> Region:
    """{"rows", "columns", "values"}: shares from 0 to 255 in base64, row by row."""
    if not isinstance(value, Mapping) or not {"rows", "columns", "values"} <= value.keys():
        raise InputError("A mask is an object of rows, columns and values (bytes from 0 to 255 in base64).")
    rows, columns = (int(_number(name, value[name])) for name in ("rows", "columns"))
    if not (1 <= rows <= MAX_MASK_SIDE and 1 <= columns <= MAX_MASK_SIDE):
        raise InputError(f"A mask has 1 to {MAX_MASK_SIDE} rows and columns, not {rows} × {columns}.")
    data = read_bytes("A mask", value["values"], rows * columns)
    if len(data) != rows * columns:
        raise InputError(f"A mask of {rows} × {columns} has {rows * columns} values, not {len(data)}.")
    return Region(np.frombuffer(data, np.uint8).reshape(rows, columns).astype(np.float32) / 255)


# --- what a request is told ------------------------------------------------------------------------------------------


def told(result: Any) -> Any:
    """A verb's result as JSON: sounds as WAV in base64, pictures as PNG, masks and maps as grids, the rest as it is."""
    if isinstance(result, verbs.Hit):
        return {
            "sounds": [told(sound) for sound in result.sounds],
            "physics": told_physics(result.physics),
            "about": result.describe(),
            "headline": [verbs.headline(one) for one in result.describe()],
        }
    if isinstance(result, Sound):
        return _told_sound(result)
    if isinstance(result, Image):
        return {"picture": f"data:image/png;base64,{base64_of(media.encode_png(result))}"}
    if isinstance(result, Region):
        return grid(result.mask)
    if isinstance(result, np.ndarray):
        # A map of probabilities is told so that its greatest value is one.
        most = float(result.max(initial=0.0))
        return {**grid(result / most if most > 0 else result), "most": most} if result.ndim == 2 else result.tolist()
    if dataclasses.is_dataclass(result) and not isinstance(result, type):
        fields = {f.name: told(getattr(result, f.name)) for f in dataclasses.fields(result)}
        shown = {name: told(getattr(result, name)) for name in ("at", "mix") if hasattr(type(result), name)}
        return {name: value for name, value in (fields | shown).items() if name != "image"}
    if isinstance(result, tuple) and hasattr(type(result), "_fields"):
        return {name: told(value) for name, value in zip(type(result)._fields, result, strict=True)}
    if isinstance(result, (list, tuple)):
        return [told(one) for one in result]
    if isinstance(result, Mapping):
        return {str(name): told(value) for name, value in result.items()}
    if isinstance(result, np.generic):
        return result.item()
    return result


def _told_sound(sound: Sound) -> dict[str, Any]:
    # A file holds nothing beyond full scale; `gain` times its samples is the sound.
    gain = max(1.0, float(np.abs(sound.samples).max(initial=0.0)))
    wav = media.encode_wav(Sound(sound.samples / np.float32(gain), sound.rate))
    return {"audio": base64_of(wav), "gain": gain, "rate": sound.rate, "seconds": sound.seconds}


def grid(shares: np.ndarray) -> dict[str, Any]:
    """Shares in [0, 1] over a picture as bytes in base64."""
    values = np.round(255 * np.clip(shares, 0, 1)).astype(np.uint8)
    return {"rows": values.shape[0], "columns": values.shape[1], "values": base64_of(values.tobytes())}


def base64_of(data: bytes) -> str:
    return base64.b64encode(data).decode()


def one_of_several(tool: Tool, arguments: dict[str, Any]) -> bool:
    """Whether this is one place for a verb that takes several in one forward pass."""
    return any(p.kind == "places" and not isinstance(arguments[p.name], list) for p in tool.parameters)
