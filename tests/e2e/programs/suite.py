# SPDX-License-Identifier: BSD-2-Clause
"""suite.py RESULTS NAME...: runs the tests of these names (as python3 -m unittest takes them) and writes a line for each:
its id, a tab, what came of it."""
import sys
import unittest


class Results(unittest.TextTestResult):
    out = open(sys.argv[1], "w", encoding="utf-8", buffering=1)

    def tell(self, test, what):
        self.out.write(f"{test.id()}\t{what}\n")

    def addSuccess(self, test):
        super().addSuccess(test)
        self.tell(test, "ok")

    def addError(self, test, err):
        super().addError(test, err)
        self.tell(test, "error")

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.tell(test, "failure")

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            self.tell(subtest, "failure")

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.tell(test, "skipped: " + reason.replace("\n", " "))

    def addExpectedFailure(self, test, err):
        super().addExpectedFailure(test, err)
        self.tell(test, "expected failure")

    def addUnexpectedSuccess(self, test):
        super().addUnexpectedSuccess(test)
        self.tell(test, "unexpected success")


unittest.main(None, argv=["suite.py", *sys.argv[2:]], verbosity=2,
              testRunner=unittest.TextTestRunner(resultclass=Results, verbosity=2))
