# SPDX-License-Identifier: GPL-2.0-or-later
"""Builds kernel modules out of tree, for each guest kernel, in the dev root.

Kbuild writes beside the sources, so they are copied to OUT/obj first, which
keeps their place relative to the checkout's protocol/ headers; the source
directory stays clean and kernels do not disturb each other. The .ko files end
in OUT, programs (Kbuild's userprogs) too. OUT/stamp says what they were made of.

SRC/linux names files of the kernel's own source that are built with the others
(source.py): they are copied beside them.
"""

import os
import shutil
from pathlib import Path

from bedlib import cache, kernels, roots, source
from bedlib.config import TOP, BedError, progress

SKIPPED = ("*.o", "*.ko", "*.mod", "*.mod.c", ".*.cmd", "modules.order", "Module.symvers", ".git")
LINUX = "linux"


def out_dir(out: "Path | None", version: str, versions: list[str]) -> Path:
    """Where the modules for a kernel go."""
    if out is None:
        return TOP / "build/guest" / version
    return (out / version if len(versions) > 1 else out).absolute()


def _inputs(src: Path) -> list[Path]:
    dirs = [src]
    if src.resolve().is_relative_to(TOP):
        dirs.append(TOP / "protocol")
    skip = shutil.ignore_patterns(*SKIPPED)
    files = []
    for base in dirs:
        for path in sorted(base.rglob("*")):
            if path.is_file() and not skip(str(path.parent), [path.name]):
                files.append(path)
    return files


def _stamp(src: Path, version: str) -> str:
    files = _inputs(src)
    return cache.key_of(version, str(kernels.kernel(version)), Path(__file__),
                        *[part for path in files for part in (str(path), path)])


def fresh(src: Path, out: Path, version: str) -> bool:
    """Whether OUT holds what building now would give."""
    if not (src / "Kbuild").exists() and not (src / "Makefile").exists():
        raise BedError(f"{src} has no Kbuild file")
    stamp = out / "stamp"
    return stamp.exists() and bool(list(out.glob("*.ko"))) and stamp.read_text() == _stamp(src, version)


def build(src: Path, out: Path, version: str) -> None:
    """Build SRC for a kernel into OUT, unless OUT is fresh."""
    src = src.absolute()
    out.mkdir(parents=True, exist_ok=True)
    with cache.Mutex("module-" + cache.key_of(str(out))):
        if fresh(src, out, version):
            progress(f"module {src.name} for {version}: unchanged")
            return
        _compile(src, out, version)


def _compile(src: Path, out: Path, version: str) -> None:
    (out / "stamp").unlink(missing_ok=True)
    for stale in out.glob("*.ko"):
        stale.unlink()
    stamp = _stamp(src, version)
    obj = out / "obj"
    inside = src.is_relative_to(TOP)
    work = obj / (src.relative_to(TOP) if inside else src.name)
    if obj.exists():
        shutil.rmtree(obj)
    shutil.copytree(src, work, ignore=shutil.ignore_patterns(*SKIPPED))
    if inside and (TOP / "protocol").is_dir():
        shutil.copytree(TOP / "protocol", obj / "protocol", dirs_exist_ok=True)
    if (src / LINUX).exists():
        for path in source.files(version, src / LINUX):
            shutil.copy(path, work)
    sources = set(work.rglob("*"))
    release = (kernels.kernel(version) / "release").read_text()
    headers = kernels.headers(version)
    progress(f"module {src.name} for {version} ({release}): building")
    status = roots.enter(
        ["make", "-C", f"/usr/src/linux-headers-{release}", f"M={work}", "-j2", "-s",
         "CC=gcc-14", "CONFIG_DEBUG_INFO_BTF_MODULES=", "modules"],
        headers, binds=(out,))
    if status:
        raise BedError(f"the module in {src} does not build for {version} (status {status})")
    made = sorted(set(work.rglob("*")) - sources)
    built = [path for path in made if path.suffix == ".ko"]
    if not built:
        raise BedError(f"building {src} for {version} made no module")
    programs = [path for path in made if path.is_file() and not path.suffix and os.access(path, os.X_OK)]
    for path in built + programs:
        shutil.copy(path, out / path.name)
    (out / "stamp").write_text(stamp)
