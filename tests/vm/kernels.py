# SPDX-License-Identifier: MIT
"""The kernels that the room can boot: Debian's cloud images, fetched as packages and unpacked, never installed.

apt runs with a state and a source list of its own in the cache. What this machine's apt is told about mirrors, keys,
proxies and logins holds there too, because its configuration is read first. A kernel that is in the cache is taken from
there without asking anybody; `--update` asks whether there is a newer one.
"""
import fcntl
import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

# The name that the user types, and the Debian suite whose linux-image-cloud-amd64 it is.
SUITES = {
    "5.10": "bullseye",
    "6.1": "bookworm",
    "6.12": "bookworm-backports",
}

META_PACKAGE = "linux-image-cloud-amd64"
DEFAULT_MIRROR = "http://deb.debian.org/debian/"
DEFAULT_KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"


class Unavailable(Exception):
    """The room cannot be had on this machine, and why: a reason to skip."""


def cache_directory():
    base = os.environ.get("XDG_CACHE_HOME", "")
    # The base directory specification ignores a path that is not absolute.
    root = Path(base) if os.path.isabs(base) else Path.home() / ".cache"
    directory = root / "proctor" / "vm"
    directory.mkdir(parents=True, exist_ok=True)
    return directory


class Kernel:
    """A kernel in the cache."""

    def __init__(self, directory):
        self.version = directory.name
        self.image = directory / "vmlinuz"


def find_kernel(name, update=False):
    """The kernel of this name, from the cache or fetched into it."""
    home = cache_directory() / "kernels" / name
    home.mkdir(parents=True, exist_ok=True)
    with open(home / "lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        current = home / "current"
        if update or not (current / "vmlinuz").exists():
            fetch(name, home, current)
        return Kernel(current.resolve())


def fetch(name, home, current):
    for program in ("apt-get", "apt-cache", "dpkg-deb"):
        if not shutil.which(program):
            raise Unavailable(f"kernel {name}: there is no {program} to fetch Debian's package with")
    apt = Apt(cache_directory() / "apt" / name, SUITES[name])
    print(f"== fetching {META_PACKAGE} of {SUITES[name]} from {apt.mirror}", flush=True)
    apt.run("apt-get", "update", "--error-on=any")
    package, version = apt.image_package()
    if not (home / version / "vmlinuz").exists():
        with tempfile.TemporaryDirectory(dir=home, prefix="unpacked-") as scratch:
            apt.run("apt-get", "download", f"{package}={version}", directory=scratch)
            (archive,) = Path(scratch).glob("*.deb")
            execute(["dpkg-deb", "-x", str(archive), scratch])
            files = Path(scratch) / "boot"
            for kind in ("vmlinuz", "config"):
                (found,) = files.glob(f"{kind}-*")
                found.rename(files / kind)
            files.rename(home / version)
    link = home / "new"
    link.unlink(missing_ok=True)
    link.symlink_to(version)
    link.rename(current)


class Apt:
    """apt with a state of its own."""

    def __init__(self, directory, suite):
        self.mirror, keyring = debian_mirror()
        for part in ("lists/partial", "archives/partial"):
            (directory / part).mkdir(parents=True, exist_ok=True)
        option = f"[arch=amd64 signed-by={keyring}]" if keyring else "[arch=amd64]"
        (directory / "sources.list").write_text(f"deb {option} {self.mirror} {suite} main\n", encoding="ascii")
        (directory / "status").touch()
        self.configuration = directory / "apt.conf"
        # What the machine's apt does after an update, such as cleaning its own caches, is not for us. As root it would
        # become _apt to fetch, who may not enter root's cache.
        self.configuration.write_text(
            f"""
            Dir::Etc::sourcelist "{directory}/sources.list";
            Dir::Etc::sourceparts "/dev/null";
            Dir::Etc::preferences "/dev/null";
            Dir::Etc::preferencesparts "/dev/null";
            Dir::State "{directory}";
            Dir::State::lists "{directory}/lists";
            Dir::State::status "{directory}/status";
            Dir::Cache "{directory}";
            Dir::Cache::archives "{directory}/archives";
            APT::Architecture "amd64";
            APT::Architectures {{ "amd64"; }};
            APT::Sandbox::User "root";
            Acquire::Languages "none";
            Acquire::Retries "2";
            #clear APT::Update::Pre-Invoke;
            #clear APT::Update::Post-Invoke;
            #clear APT::Update::Post-Invoke-Success;
            """,
            encoding="utf-8",
        )

    def run(self, program, *arguments, directory=None):
        return execute([program, "-q", "-c", str(self.configuration), *arguments], directory)

    def image_package(self):
        """The package with the kernel in it that the meta-package depends on, and its version."""
        records = self.run("apt-cache", "show", "--no-all-versions", META_PACKAGE)
        found = re.search(r"^Depends:.*?\b(linux-image-\S+) \(= ([^)]+)\)", records, re.M)
        if not found:
            raise Unavailable(f"{META_PACKAGE} of {self.mirror} does not say which image it depends on")
        return found.groups()


def debian_mirror():
    """The URI that this machine's apt has Debian from, and the file with the key that it trusts there."""
    keyring = DEFAULT_KEYRING if os.path.exists(DEFAULT_KEYRING) else None
    if not shutil.which("apt-get"):
        return DEFAULT_MIRROR, keyring
    fields = "$(REPO_URI)|$(COMPONENT)|$(LABEL)"
    targets = execute(["apt-get", "indextargets", "--format", fields, "Created-By: Packages"])
    for line in targets.splitlines():
        uri, component, label = line.split("|")
        # The label is in what an update has brought, and there may not have been any.
        named_like_it = label in ("", "$(LABEL)") and re.search(r"/debian/?$", uri)
        if component == "main" and (label == "Debian" or named_like_it):
            return uri, keyring_of(uri) or keyring
    return DEFAULT_MIRROR, keyring


def keyring_of(uri):
    """The key file that the machine's sources name for this URI. Without one, apt takes those that it trusts anyway."""
    dump = execute(["apt-config", "shell", "file", "Dir::Etc::sourcelist/f", "parts", "Dir::Etc::sourceparts/d"])
    places = dict(re.findall(r"^(file|parts)='(.*)'$", dump, re.M))
    files = [Path(places["file"])] if "file" in places else []
    files += sorted(Path(places["parts"]).glob("*")) if "parts" in places else []
    for file in files:
        if file.suffix not in (".list", ".sources") or not file.is_file():
            continue
        # A source is a line in the one format and a paragraph in the other.
        separator = r"\n\s*\n" if file.suffix == ".sources" else r"\n"
        for source in re.split(separator, file.read_text(encoding="utf-8", errors="replace")):
            key = re.search(r"signed-by\s*[:=]\s*(/[^\s\]]+)", source, re.I)
            if key and uri.rstrip("/") in source:
                return key.group(1)
    return None


def execute(command, directory=None):
    environment = dict(os.environ, LC_ALL="C.UTF-8")
    done = subprocess.run(command, cwd=directory, env=environment, stdin=subprocess.DEVNULL, capture_output=True,
                          text=True, check=False)
    if done.returncode != 0:
        errors = [line for line in done.stderr.splitlines() if line.startswith(("E:", "dpkg-deb:"))]
        cause = (errors or done.stderr.splitlines() or ["no message"])[0]
        raise Unavailable(f"`{command[0]}` could not bring the kernel's package: {cause}")
    return done.stdout
