# SPDX-License-Identifier: GPL-2.0-or-later
"""Files of the source that a Debian kernel was built from.

linux-V holds the files that a list names, at their places in the source. They come
out of the package linux-source-V of the kernel's own version, which is not kept: it
is a thousand times as much. A list has a line for each file, with all the places
where it is in one version or another.
"""

import shutil
import tarfile
from pathlib import Path
from typing import IO

from bedlib import apt, cache, kernels
from bedlib.config import KERNELS, BedError, progress, read_list


def take(archive: IO[bytes], wanted: list[str], into: Path) -> None:
    """Put the wanted files of a source archive (.tar.xz) into a directory."""
    missing = {line: line.split() for line in wanted}
    with tarfile.open(fileobj=archive, mode="r|xz") as tar:
        for member in tar:
            # below the directory of the version
            name = member.name.partition("/")[2]
            here = [line for line, places in missing.items() if name in places]
            if not here or not member.isfile():
                continue
            data = tar.extractfile(member)
            assert data is not None
            (into / name).parent.mkdir(parents=True, exist_ok=True)
            (into / name).write_bytes(data.read())
            for line in here:
                del missing[line]
            if not missing:
                break
    if missing:
        raise BedError("the kernel's source has none of these files: " + ", nor of these: ".join(missing))


def files(version: str, listed: Path) -> list[Path]:
    """The files of a kernel's source that the file `listed` names, in its order."""
    package_version = (kernels.kernel(version) / "VERSION").read_text()
    package = f"linux-source-{version}"
    wanted = read_list(listed)

    def build(into: Path) -> None:
        source = apt.Apt(apt.group_of(KERNELS[version]))
        source.update()
        progress(f"linux-{version}: downloading {package} {package_version}, and looking through it")
        debs = kernels.download_like(version, source, [package], into / "debs")
        apt.unpack(debs[0], into / "debs", ("./usr/src/*.tar.xz",))
        with (into / f"debs/usr/src/{package}.tar.xz").open("rb") as archive:
            take(archive, wanted, into)
        shutil.rmtree(into / "debs")

    key = cache.key_of(package_version, *wanted, Path(apt.__file__), Path(__file__))
    artifact = cache.artifact(f"linux-{version}", key, build)
    return [next(artifact / place for place in line.split() if (artifact / place).exists()) for line in wanted]
