# SPDX-License-Identifier: MIT
"""The suites of a build folder, as Meson would start them, and what Meson's log says about a run of one."""
import fnmatch
import hashlib
import json
import os
import shutil
import subprocess
from pathlib import Path
from shlex import quote

from kernels import Unavailable, cache_directory

PACKAGES = "qemu-system-x86 busybox-static"
PACKAGES_TO_BUILD = '"${packages_to_build[@]}" doctest-dev'


# What asks nothing of a kernel, and what takes minutes in an emulated machine: run there only if it is named.
LEFT_OUT = {
    "block_window_test", "capture_cut_test", "capture_json_test", "capture_limits_test", "capture_round_trip_test",
    "capture_test", "cli_options_test", "cli_values_test", "fault_test", "json_result_test", "pacing_test",
    "pair_faults_test", "stream_schedule_test",
}


class BuildFailure(Exception):
    """The suites cannot be built, or not be brought into the room."""


class Suite:
    def __init__(self, test):
        self.name = test["name"]
        self.command = test["cmd"]
        self.environment = test["env"]
        self.limit = test["timeout"]

    def refuse_io_uring(self, directory):
        """What tests/meson.build's setup `poll` adds; Meson does not write down what setups say."""
        self.command = [str(directory / "tests/without_io_uring"), *self.command]
        self.environment = {**self.environment, "PROCTOR_SUITE_ENGINE": "poll"}

    def needs(self):
        """What it is started with, and the files that its environment names."""
        # This one names folders; the libraries are found by looking at the programs.
        return [*self.command, *(value for name, value in self.environment.items() if name != "LD_LIBRARY_PATH")]


def in_library(source, commands):
    """Runs commands after tools/lib.sh has been read; False if one fails."""
    script = f'source "$0/tools/lib.sh"; {commands}'
    return subprocess.run(["bash", "-c", script, str(source)], stdin=subprocess.DEVNULL, check=False).returncode == 0


def install(source, emulator):
    if not (shutil.which(emulator) and shutil.which("busybox")):
        in_library(source, f"install_packages {PACKAGES}")
    for program in (emulator, "busybox"):
        if not shutil.which(program):
            raise Unavailable(f"there is no {program} (Debian: {PACKAGES})")


def build(source, patterns):
    """A build folder of this source tree, in the cache, in which the suites that match are up to date."""
    name = hashlib.sha256(os.fsencode(source)).hexdigest()[:12]
    directory = cache_directory() / f"build-{name}"
    print(f"== building in {directory}", flush=True)
    options = "-Dtests=enabled -Dcli=enabled -Dexamples=disabled -Dbench=disabled"
    if not in_library(source, f"install_packages {PACKAGES_TO_BUILD}; configure {quote(str(directory))} {options}"):
        raise BuildFailure("the build folder cannot be configured")
    wanted, _ = read_suites(directory, patterns)
    words = {word for suite in wanted for word in suite.needs()}
    targets = [quote(os.path.relpath(word, directory)) for word in sorted(words) if word.startswith(f"{directory}/")]
    if targets and not in_library(source, f"ninja -C {quote(str(directory))} {' '.join(targets)}"):
        raise BuildFailure("the suites cannot be built")
    return directory


def read_suites(directory, patterns):
    """The suites of a build folder whose names match, all of them without a pattern; and the patterns without any."""
    try:
        tests = json.loads((Path(directory) / "meson-info/intro-tests.json").read_bytes())
    except FileNotFoundError:
        tests = []
    # Scripts that look at the sources or at the compiler say nothing about a kernel.
    suites = [Suite(test) for test in tests if os.path.basename(test["cmd"][0]) == test["name"]
              and test["name"].endswith("_test")]
    if not patterns:
        return [suite for suite in suites if suite.name not in LEFT_OUT], []
    matched = {pattern: fnmatch.filter((suite.name for suite in suites), pattern) for pattern in patterns}
    chosen = {name for names in matched.values() for name in names}
    return [suite for suite in suites if suite.name in chosen], [p for p, names in matched.items() if not names]


def log_entry(run, kernel):
    """A run as a line of Meson's testlog.json, with the kernel besides."""
    if run.status is None:
        result = "TIMEOUT"
    else:
        result = {0: "OK", 77: "SKIP"}.get(run.status, "FAIL")
    return {"name": run.suite, "stdout": run.output, "result": result, "starttime": run.started,
            "duration": run.seconds, "returncode": run.status, "kernel": kernel}
