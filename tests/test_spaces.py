from __future__ import annotations

import numpy as np
import pytest

from synesthesia.senses import InputError
from synesthesia.spaces import Features, Space, SpaceError, Tokens, join

EYE, EAR = Space("eye", 3), Space("ear", 3)


def test_features_of_two_spaces_never_mix() -> None:
    a, b = Features(np.ones((2, 3)), EYE), Features(np.ones((2, 3)), EAR)
    with pytest.raises(SpaceError, match="space ear, not in eye"):
        a.cosine(b)
    with pytest.raises(SpaceError, match="bridge"):
        join([a, b])
    assert join([a, a]).values.shape == (4, 3)


def test_the_width_must_be_the_space_s() -> None:
    with pytest.raises(SpaceError, match="3 dimensions"):
        Features(np.ones((2, 4)), EYE)


def test_cosine_is_the_angle() -> None:
    a = Features(np.array([[1.0, 0, 0], [0, 2.0, 0]]), EYE)
    b = Features(np.array([[5.0, 0, 0], [0, 1.0, 1.0]]), EYE)
    np.testing.assert_allclose(a.cosine(b), [1, np.sqrt(0.5)])


def test_codes_belong_to_a_codec_and_stay_below_its_size() -> None:
    tokens = Tokens(np.array([[3, 5]]), "knock/tiny.material", 16)
    assert tokens.require("knock/tiny.material")[0, 1] == 5
    with pytest.raises(SpaceError, match="not to mimi"):
        tokens.require("mimi")
    with pytest.raises(InputError, match="between 0 and 15"):
        Tokens(np.array([[16]]), "knock/tiny.material", 16)
