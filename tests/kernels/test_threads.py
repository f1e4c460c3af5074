"""Blocks of work and the threads that do them."""

import contextlib
import gc
import subprocess
import sys
import threading
import weakref

import numba
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nnseq_kernels import threads

from tests.child import ENVIRONMENT


@given(size=st.integers(0, 200), most=st.integers(1, 9), unit=st.integers(1, 17))
def test_blocks_cover_everything_once_with_edges_at_multiples_of_the_unit(size, most, unit):
    blocks = threads.split(size, most, unit)
    assert [n for first, last in blocks for n in range(first, last)] == list(range(size))
    assert 1 <= len(blocks) <= most
    assert all(first % unit == 0 for first, _ in blocks)
    lengths = [last - first for first, last in blocks]
    if size:
        assert min(lengths) > 0
        assert max(lengths) - min(lengths) < 2 * unit  # the last may be cut short by a part of one
    assert len(blocks) == max(1, min(most, -(-size // unit)))


def test_every_block_is_worked_on_once_and_the_first_in_the_calling_thread():
    done = {}
    blocks = threads.split(100, 7)
    threads.run(lambda first, last: done.update({(first, last): threading.get_ident()}), blocks)
    assert sorted(done) == blocks
    assert done[blocks[0]] == threading.get_ident()
    assert threading.get_ident() not in [done[block] for block in blocks[1:]]


def test_blocks_are_worked_on_at_the_same_time():
    both = threading.Barrier(2, timeout=10)
    threads.run(lambda first, last: both.wait(), [(0, 1), (1, 2)])  # breaks if one after the other


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_what_a_block_raises_is_raised_and_the_next_call_works(bad):
    def work(first, last):
        if first == bad:
            raise ArithmeticError(f"block {first}")

    blocks = [(0, 1), (1, 2), (2, 3)]
    with pytest.raises(ArithmeticError, match=f"block {bad}"):
        threads.run(work, blocks)
    done = []
    threads.run(lambda first, last: done.append(first), blocks)
    assert sorted(done) == [0, 1, 2]


@pytest.mark.parametrize("fails", [False, True])
def test_nothing_of_a_call_is_kept_without_garbage_collection(fails):
    class Arrays:
        pass

    def call(refs):
        arrays = Arrays()
        refs.append(weakref.ref(arrays))

        def work(first, last):
            assert arrays
            if fails and first == 1:
                raise ArithmeticError

        threads.run(work, [(0, 1), (1, 2)])

    refs = []
    gc.disable()
    try:
        with pytest.raises(ArithmeticError) if fails else contextlib.nullcontext() as caught:
            call(refs)
        del caught
        assert refs[0]() is None
    finally:
        gc.enable()


def test_callers_in_several_threads_do_not_meet():
    sums = [0.0] * 8

    def call(caller):
        parts = {}
        for _ in range(50):
            blocks = threads.split(30, 5)
            threads.run(lambda first, last: parts.update({first: sum(range(first, last))}), blocks)
            sums[caller] += sum(parts.values())

    callers = [threading.Thread(target=call, args=(k,)) for k in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join(20)
    assert sums == [50 * 435] * 8


def test_as_many_are_allowed_as_numba_was_told():
    before = numba.get_num_threads()
    try:
        for number in range(1, before + 1):
            numba.set_num_threads(number)
            assert threads.allowed() == number
    finally:
        numba.set_num_threads(before)


def test_works_in_a_forked_process():
    code = """
import os, signal, sys
from nnseq_kernels import threads
def total():
    parts = {}
    threads.run(lambda first, last: parts.update({first: last - first}), threads.split(100, 4))
    return sum(parts.values())
assert total() == 100  # the pool is there before the fork
pid = os.fork()
if pid == 0:
    signal.alarm(10)  # a child that waits for ever would outlive the test
    os._exit(0 if total() == 100 else 1)
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) or total() - 100)
"""
    command = [sys.executable, "-W", "ignore", "-c", code]
    assert subprocess.run(command, env=ENVIRONMENT, timeout=60, check=False).returncode == 0
