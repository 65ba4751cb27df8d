"Fixtures that the generated tests ask for with `#| each`, and the marker of slow ones."
import os

import matplotlib
import pytest
import torch

matplotlib.use('agg')
if not torch.cuda.is_available():  # before anything imports triton
    os.environ.setdefault('TRITON_INTERPRET', '1')
cuda = pytest.param('cuda', marks=pytest.mark.skipif(
    not torch.cuda.is_available(), reason='no GPU'))


@pytest.fixture(params=['cpu', cuda])
def device(request): return request.param


def pytest_configure(config):
    config.addinivalue_line('markers', 'slow: takes more than a few seconds')
