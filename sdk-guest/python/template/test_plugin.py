"""Runs natively: python3 -m unittest"""

import pathlib
import sys
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).parent / "vendor/airlock/sdk-guest/python"))

from airlock_sdk.testing import FakeHost  # noqa: E402
from plugin import hello  # noqa: E402


class Hello(unittest.TestCase):
    def test_it_greets(self):
        with FakeHost() as host:
            self.assertEqual(host.run(hello, {"name": "Ada"}).value, "Hello, Ada!")

    def test_a_config_without_a_name_is_refused(self):
        with FakeHost() as host:
            for config in ({}, {"name": ""}):
                self.assertEqual(host.run(hello, config).kind, "invalid_input")


if __name__ == "__main__":
    unittest.main()
