"Fixtures that the generated tests ask for with `#| each`, and the marker of slow ones."
import matplotlib
import pytest
import torch

matplotlib.use('agg')
cuda = pytest.param('cuda', marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no GPU'))


@pytest.fixture(params=['cpu', cuda])
def device(request): return request.param


def pytest_configure(config):
    config.addinivalue_line('markers', 'slow: takes more than a few seconds')
