#!/usr/bin/python3
# SPDX-License-Identifier: BSD-2-Clause
"""Self-tests of real programs come out traced as untraced: those that take seconds (some fifteen in all); whole suites
are run by `make check-programs` (tests/programs/run)."""
import suites
from harness import main, test

QUICK = {
    "subprocess": ["RunFuncTestCase", "ContextManagerTests",
                   *("POSIXProcessTestCase.test_" + name for name in (
                       "close_fds", "close_fds_after_preexec", "pass_fds", "pass_fds_inheritable", "pass_fds_redirected",
                       "preexec", "preexec_errpipe_does_not_double_close_pipes", "exception_bad_executable",
                       "restore_signals", "start_new_session", "remapping_std_fds", "swap_std_fds_with_one_closed",
                       "stdout_stderr_file", "zombie_fast_process_del"))],
    "multiprocessing_fork": ["WithProcessesTestConnection", "WithProcessesTestSharedMemory", "WithProcessesTestLock",
                             "WithProcessesTestSemaphore", "TestCloseFds", "TestStdinBadfiledescriptor"],
    "socket": ["BasicTCPTest", "BasicUDPTest", "SendmsgTCPTest", "RecvmsgIntoSCMRightsStreamTest",
               "InterruptedRecvTimeoutTest", "FileObjectClassTestCase", "SendRecvFdsTests", "TestUnixDomain"],
    "signal": ["PosixTests", "WakeupSignalTests", "WakeupSocketSignalTests"],
    "threading": ["ThreadJoinOnShutdown", "SubinterpThreadingTests", "ThreadingExceptionTests"],
}


@test(users=("nobody",))
def python_tests_that_are_quick(s):
    suites.python(s, [f"test.test_{module}.{name}" for module, names in QUICK.items() for name in names])


main()
