"""The optional engines import beside today's NumPy and leave it as it was."""

import subprocess
import sys

import numpy as np
import pytest

from palate.engines import import_mxnet, import_torch
from palate.errors import MissingDependencyError


def run(script):
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)


def test_mxnet_computes_and_leaves_numpy_and_torch_as_they_were():
    try:
        import_mxnet()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    told = run(
        """
import numpy as np
before = set(np.__dict__)
from palate.engines import import_mxnet, import_torch
torch = import_torch()
torch.set_num_threads(2)
mx = import_mxnet()
x = mx.nd.array([1.0, 2.0]); x.attach_grad()
with mx.autograd.record():
    y = (x * x).sum()
y.backward()
assert x.grad.asnumpy().tolist() == [2.0, 4.0]
assert torch.get_num_threads() == 2
lost_or_lent = {"NAN", "Inf", "product", "npv"} & set(np.__dict__)
assert lost_or_lent == {"NAN", "Inf", "product", "npv"} & before, lost_or_lent
assert import_mxnet() is mx
"""
    )
    assert told.returncode == 0, told.stderr


def test_torch_comes_as_it_is():
    try:
        torch = import_torch()
    except MissingDependencyError as error:
        pytest.skip(str(error))
    assert torch.from_numpy(np.ones(2, np.float32)).sum().item() == 2.0


@pytest.mark.parametrize("engine", ["torch", "mxnet"])
def test_an_absent_engine_says_how_to_get_it(engine):
    told = run(
        f"""
import sys

from palate import engines

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == {engine!r}:
            raise ImportError('no such thing here')
sys.meta_path.insert(0, Refuse())
from palate.errors import MissingDependencyError
try:
    engines.import_{engine}()
except MissingDependencyError as error:
    assert "palate[{engine}]" in str(error), error
else:
    raise SystemExit("it was found")
"""
    )
    assert told.returncode == 0, told.stderr
