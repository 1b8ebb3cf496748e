import threading

import pytest
from threadpoolctl import threadpool_info, threadpool_limits

from lrdiag.threads import beside


def test_both_are_computed_at_the_same_time_with_one_thread_of_linear_algebra_each() -> None:
    both_run = threading.Barrier(2, timeout=10)

    def threads_of_linear_algebra() -> set[int]:
        both_run.wait()
        return {each["num_threads"] for each in threadpool_info() if each["user_api"] == "blas"}

    with threadpool_limits(2, "blas"):
        before = threadpool_info()
        with beside(threads_of_linear_algebra) as other:
            assert threads_of_linear_algebra() == other() == {1}
        assert threadpool_info() == before


def test_an_error_comes_out_where_the_result_is_asked_for() -> None:
    with beside(lambda: 1 / 0) as result:
        pass
    with pytest.raises(ZeroDivisionError):
        result()


def test_an_error_of_the_block_does_not_wait_for_the_other_computation() -> None:
    ended = threading.Event()
    with pytest.raises(KeyboardInterrupt), beside(ended.wait):
        raise KeyboardInterrupt
    assert not ended.is_set()
    ended.set()
