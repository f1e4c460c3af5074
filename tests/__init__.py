"""The tests; where helpers assert, pytest shows what it compared."""

import pytest

pytest.register_assert_rewrite("tests.experiment_checks")
