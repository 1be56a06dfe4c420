# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian packages without installing any: a private apt per suite group.

The mirror is the one that the machine's own apt uses; its proxies and other
settings (/etc/apt/apt.conf.d) stay in force, and apt verifies signatures and
hashes as always. Only the state (sources, lists, preferences, an empty dpkg
status) is ours, in CACHE/apt-GROUP, so that neither root rights nor the
machine's release matter.

Packages are unpacked, not installed: no maintainer script runs. What we need
of their effects is done where the unpacked tree is finished (roots.py).
"""

import os
import subprocess
import time
from pathlib import Path

from bedlib import cache
from bedlib.config import BED, CACHE, BedError, progress

GROUPS = {
    "trixie": ("trixie", "trixie-backports"),
    "bookworm": ("bookworm",),
}
LISTS_SECONDS = 3600
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
DOWNLOAD_SECONDS = 900

CONFIG = """\
Dir::State "{dir}";
Dir::State::lists "{dir}/lists";
Dir::State::status "{dir}/status";
Dir::State::extended_states "{dir}/extended_states";
Dir::Cache "{dir}/cache";
Dir::Cache::pkgcache "{dir}/pkgcache.bin";
Dir::Etc::sourcelist "{dir}/sources.list";
Dir::Etc::sourceparts "{dir}/empty.d";
Dir::Etc::preferences "{dir}/preferences";
Dir::Etc::preferencesparts "{dir}/empty.d";
APT::Sandbox::User "root";
APT::Install-Recommends "false";
APT::Architecture "amd64";
APT::Architectures {{ "amd64"; }};
Acquire::Languages "none";
Acquire::Retries "3";
#clear APT::Update::Pre-Invoke;
#clear APT::Update::Post-Invoke;
#clear APT::Update::Post-Invoke-Success;
#clear DPkg::Post-Invoke;
"""

DOC_PATHS = ("doc", "man", "locale", "info", "lintian", "bug", "i18n/locales")


def group_of(suite: str) -> str:
    """The group whose private apt knows a suite."""
    return next(group for group, suites in GROUPS.items() if suite in suites)


def mirror() -> str:
    """The base URL of the Debian archive that this machine's apt uses."""
    out = subprocess.run(
        ["apt-get", "indextargets", "--format", "$(LABEL)|$(ORIGIN)|$(RELEASE)|$(REPO_URI)",
         "Created-By: Packages"],
        check=True, capture_output=True, text=True,
    ).stdout
    rows = [line.split("|", 3) for line in out.splitlines() if line.count("|") >= 3]
    # Before the first "apt-get update" the labels are empty.
    known = [row[3] for row in rows if row[0] == "Debian"]
    guess = [row[3] for row in rows
             if not row[0] and row[2] in ("bookworm", "trixie", "oldstable", "stable")]
    for url in known + guess:
        return url.rstrip("/")
    raise BedError("this machine's apt has no source labelled Debian "
                   "(apt-get indextargets lists none)")


class Apt:
    """The private apt of one group of suites."""

    def __init__(self, group: str):
        self.group = group
        self.dir = CACHE / f"apt-{group}"

    def _run(self, argv: list[str], cwd: "Path | None" = None) -> str:
        argv = [argv[0], "-c", str(self.dir / "conf"), *argv[1:]]
        try:
            done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True,
                                  env=os.environ | {"LC_ALL": "C", "DEBIAN_FRONTEND": "noninteractive"},
                                  timeout=DOWNLOAD_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            raise BedError(f"no end after {DOWNLOAD_SECONDS} s: {' '.join(argv)}") from None
        if done.returncode:
            raise BedError(f"failed: {' '.join(argv)}\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
        return done.stdout

    def update(self) -> None:
        """Fetch the package lists, unless they are young; one process at a time."""
        with cache.Mutex(f"apt-{self.group}"):
            stamp = self.dir / "updated"
            sources = self._sources()
            preferences = (BED / "preferences").read_text()
            if (stamp.exists() and time.time() - stamp.stat().st_mtime < LISTS_SECONDS
                    and (self.dir / "sources.list").read_text() == sources
                    and (self.dir / "preferences").read_text() == preferences):
                return
            for sub in ("lists/partial", "cache/archives/partial", "empty.d"):
                (self.dir / sub).mkdir(parents=True, exist_ok=True)
            (self.dir / "status").write_text("")
            (self.dir / "conf").write_text(CONFIG.format(dir=self.dir))
            (self.dir / "sources.list").write_text(sources)
            (self.dir / "preferences").write_text(preferences)
            progress(f"apt: fetching the package lists of {', '.join(GROUPS[self.group])}")
            stamp.unlink(missing_ok=True)
            self._run(["apt-get", "-qq", "-o", "APT::Update::Error-Mode=any", "update"])
            stamp.touch()

    def _sources(self) -> str:
        if not KEYRING.exists():
            raise BedError(f"{KEYRING} is missing: apt-get install debian-archive-keyring")
        url = mirror()
        return "".join(f"deb [target=Packages signed-by={KEYRING}] {url} {suite} main\n"
                       for suite in GROUPS[self.group])

    def closure(self, packages: list[str]) -> list[str]:
        """name=version of the packages and all that they depend on."""
        out = self._run(["apt-get", "install", "--simulate", "-qq", "--no-remove", *packages])
        result = []
        for line in out.splitlines():
            words = line.split()
            if words and words[0] == "Inst":
                result.append(f"{words[1]}={words[2].lstrip('(')}")
        return sorted(result)

    def depends(self, package: str) -> list[str]:
        """The direct dependencies of package[/suite], alternatives left out."""
        out = self._run(["apt-cache", "depends", package])
        return [line.split(None, 1)[1] for line in out.splitlines()
                if line.startswith("  Depends: ")]

    def download(self, packages: list[str], into: Path) -> list[Path]:
        """Fetch the .deb files of exactly these packages (name, name=version)."""
        into.mkdir(parents=True, exist_ok=True)
        self._run(["apt-get", "download", "-qq", *packages], cwd=into)
        return sorted(into.glob("*.deb"))


def unpack(deb: Path, root: Path, only: "tuple[str, ...]" = ()) -> None:
    """Unpack a .deb into a merged-/usr tree, without its documentation.

    All files belong to the caller. With `only`, patterns of paths (./usr/...);
    a pattern that matches nothing is no error.
    """
    tar = ["tar", "-C", str(root), "-x", "-p", "--no-same-owner", "--keep-directory-symlink",
           "--delay-directory-restore"]
    tar += [f"--exclude=./usr/share/{path}" for path in DOC_PATHS]
    if only:
        tar += ["--wildcards", *only]
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", str(deb)],
                          stdout=subprocess.PIPE) as source:
        done = subprocess.run(tar, stdin=source.stdout, capture_output=True, text=True, check=False)
        # Let dpkg-deb finish: tar may stop reading at the end-of-archive mark.
        assert source.stdout is not None
        while source.stdout.read(1 << 16):
            pass
        if source.wait():
            raise BedError(f"dpkg-deb cannot read {deb.name}")
    unmatched = only and "Not found in archive" in done.stderr
    if done.returncode and not unmatched:
        raise BedError(f"tar cannot unpack {deb.name}: {done.stderr[-1000:]}")
