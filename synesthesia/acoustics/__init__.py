"""Geometry and rendering: open air and rooms, ears, moving sources and listeners. Nothing here is learned."""

from .air import Air
from .ears import Ears, kemar, load, sphere
from .outdoors import GROUNDS, Outdoors, Screen
from .receivers import FORMATS, Format, Receiver, receiver
from .renderer import BLOCK, RATE, Renderer, poses, walk
from .rooms import Room

__all__ = [
    "BLOCK", "FORMATS", "GROUNDS", "RATE", "Air", "Ears", "Format", "Outdoors", "Receiver", "Renderer", "Room",
    "Screen", "kemar", "load", "poses", "receiver", "sphere", "walk",
]  # fmt: skip
