import pytest

from vlm_aes.measure import measure, measure_for_prompt


@pytest.fixture(params=[measure, measure_for_prompt])
def measured(request):
    """Either way to measure: all facts, or those of a prompt."""
    return request.param
