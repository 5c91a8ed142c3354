"""Tensors in memory as sources, and ranges of arrays of any strides."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ait_cmp.source import from_array, from_memory
from ait_cmp.source.view import flat_range
from ait_cmp.tensors import as_array
from ait_cmp.values.dtypes import DTYPES
from tests.formats import NUMPY_TYPES, SHAPES, random_tensor, views
from tests.test_sources import check_source


@pytest.mark.parametrize("dtype", DTYPES)
def test_memory_keeps_the_contract(dtype: str) -> None:
    tensors = [random_tensor(dtype, shape) for shape in SHAPES]
    for tensor in [*tensors, *views(random_tensor(dtype, (4, 6, 3)))]:
        check_source(from_memory(*as_array(tensor, "golden")), tensor)
        if dtype in NUMPY_TYPES:
            check_source(from_array(tensor.numpy(), "golden"), tensor)


def test_torch_tensor_with_the_negative_bit_is_read_negated() -> None:
    tensor = torch.tensor([1 + 2j, 3 - 4j]).conj().imag  # torch only flips a flag
    check_source(from_memory(*as_array(tensor, "golden")), tensor.resolve_neg())


def test_arrays_with_negative_strides_and_without_alignment() -> None:
    array = np.arange(24.0).reshape(4, 6)
    check_source(from_array(array[::-1, ::-2], "my"), torch.from_numpy(array[::-1, ::-2].copy()))
    raw = np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:].view("<f8")
    check_source(from_array(raw, "my"), torch.from_numpy(array.reshape(-1)))


@given(data=st.data(), shape=st.lists(st.integers(0, 4), max_size=4))
def test_flat_range_of_any_strides(data: st.DataObject, shape: list[int]) -> None:
    array = np.arange(math.prod(shape)).reshape(shape)
    array = array.transpose(data.draw(st.permutations(range(len(shape)))))
    for axis in range(array.ndim):
        step = slice(None, None, data.draw(st.sampled_from([1, 2, -1])))
        array = array[(slice(None),) * axis + (step,)]
    if data.draw(st.booleans()):
        array = np.broadcast_to(array, (2, *array.shape))
    start = data.draw(st.integers(0, array.size))
    stop = data.draw(st.integers(start, array.size))
    assert flat_range(array, start, stop).tolist() == array.flatten()[start:stop].tolist()
