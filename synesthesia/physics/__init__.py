"""The physics of a knock: materials, shapes, their modes, a strike, and the modal bank that renders it.

Numpy in, numpy out; only `bank` speaks torch. Import the rooms themselves: `from synesthesia.physics import materials`.
"""
