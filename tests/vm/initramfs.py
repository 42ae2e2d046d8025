# SPDX-License-Identifier: MIT
"""What is in the room: busybox, the suites with the libraries that they need, and programs of this machine.

Nothing of it touches a disk: the archive is an unnamed file. It is not compressed, as an emulated processor would take
longer to unpack it than the emulator takes to load it.
"""
import os
import re
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

from suites import BuildFailure

# The programs of this machine that a suite starts, by the suite's name. The shell is always there; a program that this
# machine does not have is missing in the room too, and then the suite skips what needs it. What else a Linux has is
# busybox's.
PROGRAMS = {
    "command_test": ["python3"],
    "program_test": ["cat"],
    "real_limits_test": ["python3", "sleep"],
    "real_programs_test": ["python3", "cat", "sort", "sleep", "head", "yes"],
}

# Of Python's own library. All but what is there for its developers, for windows and for installing packages.
PYTHON_LEFT_OUT = {"dist-packages", "ensurepip", "idlelib", "lib2to3", "pydoc_data", "test", "tkinter", "turtledemo"}

MERGED = ("bin", "sbin", "lib", "lib64")

# Where the room mounts something over what the archive has.
HIDDEN = ("/dev/", "/proc/", "/run/", "/sys/", "/tmp/")


class Archive:
    """A cpio archive in the "newc" form, written as it grows."""

    def __init__(self, file):
        self.file = file
        self.names = {""}
        self.inode = 0

    def add_entry(self, name, mode, data=b"", mtime=0, device=(0, 0)):
        self.inode += 1
        encoded = os.fsencode(name) + b"\0"
        fields = (self.inode, mode, 0, 0, 1, int(mtime), len(data), 0, 0, *device, len(encoded), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields)
        for part in (header + encoded, data):
            self.file.write(part + b"\0" * (-len(part) % 4))

    def add(self, path, mode, data=b"", **more):
        """Adds what will be at this absolute path, unless something is there already, and the folders above it."""
        parts = os.path.normpath(path).strip("/").split("/")
        if parts[0] in MERGED:
            parts.insert(0, "usr")
        name = "/".join(parts)
        if name in self.names:
            return
        if len(parts) > 1:
            self.add("/" + "/".join(parts[:-1]), stat.S_IFDIR | 0o755)
        self.names.add(name)
        self.add_entry(name, mode, data, **more)

    def add_text(self, path, text, executable=False):
        self.add(path, stat.S_IFREG | (0o755 if executable else 0o644), text.encode())

    def add_file(self, source, path):
        # With its time: Python compares it with the one in the compiled module.
        status = os.stat(source)
        self.add(path, stat.S_IFREG | stat.S_IMODE(status.st_mode) | 0o444, Path(source).read_bytes(),
                 mtime=status.st_mtime)

    def close(self):
        self.add_entry("TRAILER!!!", 0)
        self.file.flush()


class Room:
    """Puts programs of this machine into an archive, at the same paths but for those of the build and the sources."""

    def __init__(self, archive, build, source):
        self.archive = archive
        self.moved = ((str(build), "/room/build"), (str(source), "/room/source"))

    def inside(self, text):
        """The text with the paths that hold in the room."""
        for outside, inside in self.moved:
            text = re.sub(re.escape(outside) + r"(?![^/:\s])", inside, text)
        return text

    def add_program(self, path):
        """Adds a program, or any file, and the libraries that it is linked with."""
        place = self.inside(os.path.abspath(path))
        if place.startswith(HIDDEN):
            raise BuildFailure(f"{path} would be hidden in the room; the build folder is where it can be")
        self.archive.add_file(path, place)
        with open(path, "rb") as file:
            start = file.read(4)
        if start != b"\x7fELF":
            return
        for library in libraries_of(path):
            self.archive.add_file(library, self.inside(os.path.normpath(library)))

    def add_tree(self, directory, left_out=frozenset()):
        for folder, folders, files in os.walk(directory):
            folders[:] = [name for name in folders if name not in left_out]
            for name in files:
                path = os.path.join(folder, name)
                if name.endswith(".so"):
                    self.add_program(path)
                elif os.path.isfile(path):
                    self.archive.add_file(path, self.inside(path))

    def add_named(self, name):
        if name == "python3":
            self.add_python()
        else:
            path = shutil.which(name, path="/usr/local/bin:/usr/bin:/bin")
            if path:
                self.add_program(path)

    def add_python(self):
        # The one in PATH may be a script that chooses among several.
        python = "/usr/bin/python3"
        if not os.access(python, os.X_OK):
            return
        self.add_program(python)
        question = "import sysconfig; print(sysconfig.get_path('stdlib'))"
        library = subprocess.run([python, "-I", "-c", question], capture_output=True, text=True, check=True).stdout
        self.add_tree(library.strip(), PYTHON_LEFT_OUT)

    def add_suite(self, suite):
        """Adds a suite, what it needs and how it is started."""
        for word in suite.needs():
            if not os.path.isabs(word):
                continue
            if os.path.isfile(word):
                self.add_program(word)
            elif word.startswith(self.moved[1][0] + "/") and os.path.isdir(word):
                self.add_tree(word)
        for name in PROGRAMS.get(suite.name, ()):
            self.add_named(name)
        variables = {"HOME": "/root", "LANG": "C.UTF-8", "PATH": "/usr/local/bin:/usr/bin:/bin",
                     **{name: os.environ[name] for name in ("PROCTOR_ROUNDS",) if name in os.environ},
                     "PROCTOR_ROOM_CGROUP": "/sys/fs/cgroup/proctor/tests", "PROCTOR_REPEAT_DIVISOR": "50",
                     **{name: self.inside(value) for name, value in suite.environment.items()}}
        words = ["exec", "env", "-i", *(f"{name}={value}" for name, value in variables.items()),
                 *(self.inside(word) for word in suite.command)]
        script = f"#!/bin/sh\ncd /tmp\n{shlex.join(words)}\n"
        self.archive.add_text(f"/room/suite/{suite.name}", script, executable=True)


def libraries_of(program):
    listing = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
    if "not found" in listing:
        raise BuildFailure(f"{program} needs a library that this machine does not have")
    # "libc.so.6 => /lib/…/libc.so.6 (0x…)", and the loader without an arrow.
    return re.findall(r"^\t(?:.* => )?(/\S+) \(0x", listing, re.M)


def write(file, suites, build, source, repeat):
    """Writes the room's first file system, with a list of what to run, each line a suite and its seconds."""
    archive = Archive(file)
    room = Room(archive, build, source)
    for name in MERGED:
        archive.add(f"/usr/{name}", stat.S_IFDIR | 0o755)
        # Past `add`, which would put it into /usr.
        archive.add_entry(name, stat.S_IFLNK | 0o777, f"usr/{name}".encode())
    for name in ("dev", "proc", "root", "run", "sys", "tmp"):
        archive.add(f"/{name}", stat.S_IFDIR | 0o755)
    # The kernel opens it for the first process before anything is mounted.
    archive.add("/dev/console", stat.S_IFCHR | 0o600, device=(5, 1))
    archive.add_file(Path(source) / "tests/vm/init", "/init")
    archive.add_file(shutil.which("busybox"), "/bin/busybox")
    for library in libraries_of(shutil.which("busybox")):
        archive.add_file(library, library)
    room.add_program("/bin/sh")
    archive.add_text("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/sh\n")
    archive.add_text("/etc/group", "root:x:0:\nnogroup:x:65534:\n")
    for suite in suites:
        room.add_suite(suite)
    lines = "".join(f"{suite.name} {suite.limit}\n" for suite in suites)
    archive.add_text("/room/suites", lines * repeat)
    archive.close()
