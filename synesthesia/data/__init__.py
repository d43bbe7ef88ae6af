"""Real recordings and photos by kind: the table of what there is, its splits and licences, and how to read it.

    from synesthesia import data
    for item, samples in data.sounds("path/to/data", "dog", "train"):  # mono, 32 kHz
        ...
    for item, photo in data.photos("path/to/data", "dog", "test"):
        ...

No recording and no photo ships with the package; `starter.csv` says where the public has them.
"""

from .clusters import SPLITS as SPLITS
from .clusters import Split as Split
from .kinds import FOREIGN as FOREIGN
from .kinds import KINDS as KINDS
from .kinds import SILENT as SILENT
from .kinds import Kind as Kind
from .table import RATE as RATE
from .table import SILENT_KIND as SILENT_KIND
from .table import TIERS as TIERS
from .table import Item as Item
from .table import Tier as Tier
from .table import choose as choose
from .table import numbered_split as numbered_split
from .table import photos as photos
from .table import read as read
from .table import sounds as sounds
from .table import starter as starter
from .table import write as write
