"""One BLAS thread for small factorisations, whichever thread asks first and whichever goes last."""

import threading

import threadpoolctl

from surfacefit._base.threads import single_threaded_blas


def blas_threads():
    return [library["num_threads"] for library in threadpoolctl.threadpool_info() if library["user_api"] == "blas"]


def test_the_last_to_go_restores_in_any_thread():
    before, entered, leave = blas_threads(), threading.Event(), threading.Event()

    def other():
        with single_threaded_blas(1):
            entered.set()
            leave.wait()

    thread = threading.Thread(target=other)
    with single_threaded_blas(1):
        thread.start()
        entered.wait()
        assert set(blas_threads()) == {1}
    assert set(blas_threads()) == {1}
    leave.set()
    thread.join()
    assert blas_threads() == before


def test_users_may_set_limits_afterwards():
    before, found = blas_threads(), []

    def limited():
        with threadpoolctl.threadpool_limits(1, user_api="blas"):
            found.extend(blas_threads())

    with single_threaded_blas(1):
        pass
    thread = threading.Thread(target=limited)
    thread.start()
    thread.join()
    assert set(found) == {1}
    assert blas_threads() == before
