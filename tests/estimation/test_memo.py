"""Results that several threads ask for."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from vfi_pipeline.estimation.memo import Memo


def test_a_result_is_computed_once_however_many_threads_ask():
    memo, calls, all_here = Memo(), [], threading.Barrier(4)

    def ask(_):
        all_here.wait(10)
        return memo.recall("key", lambda: calls.append(1) or len(calls))

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(ask, range(4))) == [1] * 4
    assert memo.knows("key") and not memo.knows("other")


def test_results_of_several_keys_are_computed_at_the_same_time():
    memo, both = Memo(), threading.Barrier(2)
    with ThreadPoolExecutor(2) as pool:
        list(pool.map(lambda key: memo.recall(key, lambda: both.wait(10)), "ab"))


def test_what_is_over_is_computed_anew_and_an_error_is_forgotten():
    memo = Memo()
    assert [memo.recall(("x", k), lambda k=k: k) for k in range(4)] == [0, 1, 2, 3]
    memo.forget(lambda key: key[1] < 2)
    assert [memo.knows(("x", k)) for k in range(4)] == [False, False, True, True]

    with pytest.raises(ZeroDivisionError):
        memo.recall("bad", lambda: 1 // 0)
    assert memo.recall("bad", lambda: 7) == 7
