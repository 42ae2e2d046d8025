# SPDX-License-Identifier: MIT
"""One boot of the room: starts the emulator, passes on what the suites print and tells what became of each.

Nothing of it can stay behind: its files have no names, and it gets SIGKILL when this process ends in any way.
"""
import ctypes
import os
import secrets
import select
import signal
import subprocess
import sys
import tempfile
import time

EMULATOR = "qemu-system-x86_64"
# An emulated processor on a busy machine. A kernel that takes longer hangs.
BOOT_SECONDS = 180
# QEMU 7.2 now and then spoils the flags in cmpxchg16b, which kernels since 6.8 allocate memory with: of those boots one
# in ten ended in a double fault. A kernel does without where the processor has none. The other mitigations would only
# guard an emulated processor.
PROCESSOR = "qemu64,-cx16"
KERNEL_OPTIONS = "console=ttyS0 quiet panic=-1 mitigations=off no_timer_check"
PR_SET_PDEATHSIG = 1


class BootFailure(Exception):
    """The kernel did not come as far as the first suite."""


class Run:
    """One run of a suite. Without a status, it did not end."""

    def __init__(self, suite):
        self.suite = suite
        self.output = ""
        self.status = None
        self.started = time.time()
        self.seconds = 0.0

    def print(self, line):
        self.output += line + "\n"
        print(line, flush=True)

    def ended(self, status):
        """Takes the status as a shell says it: 128 and the signal for one that a signal ended."""
        self.status = status
        self.seconds = time.time() - self.started
        return self


class Machine:
    """An emulator that is running. Use it in a `with`."""

    def __init__(self, kernel, initramfs, memory_mib, limit):
        self.token = f"@{secrets.token_hex(8)}"
        self.deadline = time.monotonic() + limit
        self.boot_deadline = min(self.deadline, time.monotonic() + BOOT_SECONDS)
        # The emulator opens both anew, so their positions here stay at the start.
        self.console = tempfile.TemporaryFile()
        files = {name: f"/proc/self/fd/{file.fileno()}"
                 for name, file in (("initramfs", initramfs), ("console", self.console))}
        library = ctypes.CDLL(None)
        command = [
            EMULATOR, "-accel", "tcg", "-cpu", PROCESSOR, "-smp", "2", "-m", f"{memory_mib}M",
            "-no-user-config", "-nodefaults", "-display", "none", "-no-reboot",
            "-kernel", str(kernel.image), "-initrd", files["initramfs"],
            "-append", f"{KERNEL_OPTIONS} room_token={self.token}",
            "-serial", f"file:{files['console']}", "-serial", "stdio",
        ]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            pass_fds=(initramfs.fileno(), self.console.fileno()),
            preexec_fn=lambda: library.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()
        self.console.close()

    def lines(self):
        """What the suites' port says, line by line, without the newlines; ends with the emulator or with the time."""
        pipe = self.process.stdout.fileno()
        rest = b""
        while True:
            seconds = (self.boot_deadline or self.deadline) - time.monotonic()
            if seconds <= 0 or not select.select([pipe], [], [], seconds)[0]:
                return
            data = os.read(pipe, 65536)
            if not data:
                return
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                yield line.decode(errors="replace")

    def runs(self):
        """The runs of suites as they end; one that did not end comes last, without a status. Prints their output."""
        run = None
        ready = False
        blank = False
        for line in self.lines():
            if not line.startswith(self.token):
                # The room begins each line of its own with a newline, in case that the suite's last one is unfinished.
                if blank and run:
                    run.print("")
                blank = not line
                if line and run:
                    run.print(line)
                continue
            blank = False
            word, *arguments = line.split()[1:]
            if word == "ready":
                ready = True
                self.boot_deadline = None
            elif word == "start":
                run = Run(arguments[0])
            elif word == "end":
                yield run.ended(int(arguments[1]))
                run = None
            elif word == "done":
                return
        if not ready:
            raise BootFailure(self.last_words())
        if run:
            yield run.ended(None)

    def last_words(self):
        """The end of the kernel's messages, or the emulator's complaint."""
        sys.stdout.flush()
        if self.process.poll() not in (None, 0):
            complaint = self.process.stderr.read().decode(errors="replace").strip()
            if complaint:
                return complaint
        self.console.seek(0)
        return self.console.read().decode(errors="replace")[-6000:]
