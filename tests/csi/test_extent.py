"""What may be asked of a predictor."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wavefoundry.csi.prediction import require_extent
from wavefoundry.errors import InputError


@given(st.integers(-5, 5), st.integers(-5, 5))
def test_something_must_be_asked_for_and_nothing_negative(slots, subcarriers):
    if min(slots, subcarriers) >= 0 and max(slots, subcarriers) > 0:
        require_extent(slots, subcarriers)
        return
    with pytest.raises(InputError) as error:
        require_extent(slots, subcarriers)
    assert f"slots is {slots} and subcarriers is {subcarriers}; allowed: " in str(error.value)
    assert "\n" not in str(error.value)
