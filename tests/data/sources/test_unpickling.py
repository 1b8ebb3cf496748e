import io
import pickle

import numpy as np
import pytest

from lrdiag.data.sources.unpickling import load_arrays


def loads(data: bytes):
    return load_arrays(io.BytesIO(data))


class Calls:
    """Is pickled as a call of `function`, as in a hostile pickle."""

    def __init__(self, function, *arguments):
        self.call = function, arguments

    def __reduce__(self):
        return self.call


@pytest.mark.parametrize("protocol", [3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32", "bool"])
def test_arrays_of_numbers_are_loaded_unchanged(protocol, dtype):
    array = np.arange(12).reshape(3, 4).astype(dtype)
    loaded = loads(pickle.dumps({"a": array}, protocol))["a"]
    np.testing.assert_array_equal(loaded, array)
    assert loaded.dtype == array.dtype


def test_a_pickle_of_python_2_and_numpy_1_loads():
    """Non-regression: the official files name numpy.core and contain Python 2 strings."""
    data = (
        b"\x80\x02}q\x01(U\x04dataq\x02cnumpy.core.multiarray\n_reconstruct\nq\x03cnumpy\nndarray\nq\x04K\x00\x85U\x01b"
        b"\x87Rq\x05(K\x01K\x01K\x02\x86cnumpy\ndtype\nq\x06U\x02u1K\x00K\x01\x87Rq\x07(K\x03U\x01|NNNJ\xff\xff\xff\xff"
        b"J\xff\xff\xff\xffK\x00tb\x89U\x02\x07\x09tbU\x06labels]q\x08(K\x01K\x00eu."
    )
    loaded = loads(data)
    np.testing.assert_array_equal(loaded[b"data"], np.array([[7, 9]], np.uint8))
    assert loaded[b"labels"] == [1, 0]


def test_a_hostile_pickle_is_refused_and_does_not_run(tmp_path):
    trace = tmp_path / "executed"
    hostile = pickle.dumps(Calls(exec, f"open({str(trace)!r}, 'w').close()"))
    pickle.loads(hostile)
    assert trace.exists(), "the pickle of this test would do harm"
    trace.unlink()
    with pytest.raises(pickle.UnpicklingError, match=r"asks for builtins\.exec"):
        loads(hostile)
    assert not trace.exists()


@pytest.mark.parametrize(
    "hostile",
    [
        Calls(np.ndarray, (1,), np.uint8, b"x" * 8),
        Calls(np.dtype, "O"),
        Calls(np.dtype, "V8"),
        np.array([{}], dtype=object),
        np.zeros(1, [("a", "i4")]),
        np.uint8(3),
        io.BytesIO(),
    ],
)
def test_only_arrays_of_numbers_are_allowed(hostile):
    """`ndarray((1,), object, buffer)` would use any bytes as a pointer: arrays are allowed, the class is not."""
    with pytest.raises(pickle.UnpicklingError):
        loads(pickle.dumps(hostile))


@pytest.mark.parametrize("damaged", [b"", b"\x80\x04", b"hello", pickle.dumps(np.arange(9))[:-20]])
def test_a_damaged_pickle_raises_one_kind_of_error(damaged):
    with pytest.raises(pickle.UnpicklingError):
        loads(damaged)
