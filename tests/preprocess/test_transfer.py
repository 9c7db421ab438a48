"""Linear light and back."""

import numpy as np
import pytest

from preprocess.transfer import to_encoded, to_linear
from tests.fusion.pictures import linear


@pytest.mark.parametrize("highest", [255, 65535])
def test_every_stored_number_survives_linear_light(highest: int) -> None:
    encoded = (np.arange(highest + 1) / highest).astype(np.float32)
    assert to_linear(encoded) == pytest.approx(linear(encoded), abs=1e-6)
    back = to_encoded(to_linear(encoded))
    assert np.array_equal(np.rint(back * highest), np.arange(highest + 1))


def test_linear_light_is_monotone_and_clipped() -> None:
    values = np.linspace(-0.5, 1.5, 5001, dtype=np.float32)
    for transfer in (to_linear, to_encoded):
        out = transfer(values)
        assert (np.diff(out) >= 0).all()
        assert (out[0], out[-1]) == (0.0, pytest.approx(1.0, abs=1e-6))
        assert out.dtype == np.float32
