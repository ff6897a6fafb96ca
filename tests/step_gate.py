"""Batches that compute no step before the test lets them: moments that depend on no clock.

`windlass batch --record FILE` writes a line for every step of its engine. Where FILE is a pipe that nobody reads, the
program waits in front of a step as soon as the pipe and its own buffer are full: it is never more than STEPS_AHEAD steps
further than what was read.
"""
import fcntl
import os
import select
import threading
import time

PIPE_BYTES, PROGRAM_BYTES = 4096, 8192  # of the pipe, and of the program's own buffer
LINE_BYTES = 90  # of a step, at least
STEPS_AHEAD = (PIPE_BYTES + PROGRAM_BYTES) // LINE_BYTES
DEADLINE_S = 200


class StepGate:
    def __init__(self, path):
        os.mkfifo(path)
        self.path, self.steps, self.over = path, 0, False
        self.pipe = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        fcntl.fcntl(self.pipe, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
        self.waiting = select.poll()
        self.waiting.register(self.pipe, select.POLLIN)

    def close(self):
        os.close(self.pipe)

    def read(self, most_bytes, patience_ms):
        """Lets the program go on by what fits into so many bytes; over when it has ended."""
        if not self.waiting.poll(patience_ms):
            return
        try:
            content = os.read(self.pipe, most_bytes)
        except BlockingIOError:
            return
        self.steps += content.count(b"\n")
        self.over = not content

    def open(self):
        """From now on nothing holds the program back."""
        threading.Thread(target=self.read_all, daemon=True).start()

    def read_all(self):
        while not self.over:
            self.read(PIPE_BYTES, 100)

    def let_compute(self, steps):
        """So many steps at least, and STEPS_AHEAD more at most."""
        goal, deadline = self.steps + steps, time.monotonic() + DEADLINE_S
        while self.steps < goal and not self.over and time.monotonic() < deadline:
            self.read(4 * LINE_BYTES, 100)


def let_go_on(gates, until, most_steps=None):
    """A few steps at a time until the condition holds: True, or all programs are over: False."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        if until():
            return True
        if all(gate.over for gate in gates):
            return until()
        for gate in gates:
            if not gate.over and (most_steps is None or gate.steps < most_steps):
                gate.read(5 * LINE_BYTES, 0)
        time.sleep(0.003)
    raise AssertionError("nothing came of it within the deadline")


def wait_until_taken(process, signal):
    """Until the program's own thread has received the signal."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        try:
            with open(f"/proc/{process.pid}/status") as status:
                pending = next(line for line in status if line.startswith("ShdPnd:"))
        except (FileNotFoundError, StopIteration):
            return
        if not int(pending.split()[1], 16) >> (signal - 1) & 1:
            return
        time.sleep(0.001)
    raise AssertionError("the signal was not taken within the deadline")
