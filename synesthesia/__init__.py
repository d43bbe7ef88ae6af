"""Synesthesia: image and sound as representations of each other.

    import synesthesia as syn
    hit = syn.knock("table.jpg", at=(0.52, 0.61), force=5.0)
    hit.sound.save("hit.wav")

Importing this package is quick: torch and everything else heavy loads at a verb's first use. Start reading in `verbs`.
"""

from .senses import Example as Example
from .senses import Image as Image
from .senses import InputError as InputError
from .senses import Listener as Listener
from .senses import Point as Point
from .senses import Region as Region
from .senses import Scene as Scene
from .senses import Sound as Sound
from .senses import Stem as Stem
from .senses import Strike as Strike
from .senses import Text as Text
from .verbs import Glimpse as Glimpse
from .verbs import Hit as Hit
from .verbs import Nearest as Nearest
from .verbs import System as System
from .verbs import default as default
from .verbs import load as load

__version__ = "0.1.0"

# The verbs of the default preset: `syn.knock(photo, ...)` is `syn.default().knock(photo, ...)`.
from .verbs import default_describe as describe
from .verbs import default_hear as hear
from .verbs import default_hear_blocks as hear_blocks
from .verbs import default_knock as knock
from .verbs import default_locate as locate
from .verbs import default_see as see
from .verbs import default_walk as walk
from .verbs import default_walk_blocks as walk_blocks

__all__ = [
    "Example", "Glimpse", "Hit", "Image", "InputError", "Listener", "Nearest", "Point", "Region", "Scene", "Sound",
    "Stem", "Strike", "System", "Text", "default", "describe", "hear", "hear_blocks", "knock", "load", "locate", "see",
    "walk", "walk_blocks",
]  # fmt: skip
