# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian kernels: image, the modules that the bed uses, headers.

kernel-V holds
    release   the kernel release (uname -r)
    vmlinuz   Debian's image
    modules/  lib/modules/RELEASE with the listed modules and their
              dependencies, decompressed (decompression is slow under emulation)
headers-V holds usr/src of the matching headers, to be bound at /usr/src.

The two are separate so that a machine which only boots a kernel need not
unpack 20,000 headers. They belong together by the exact package version, which
kernel-V records in VERSION; when the archive has moved on in between, the
version is no longer there, and kernel-V is built anew.
"""

import lzma
import re
import shutil
import subprocess
from pathlib import Path

from bedlib import apt, cache, roots
from bedlib.config import BED, KERNELS, BedError, progress, read_modules

XZ_MAGIC = b"\xfd7zXZ\0"
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


def _release(source: apt.Apt, version: str) -> str:
    """The release of the suite's kernel: the one its metapackage names."""
    suite = KERNELS[version]
    for name in source.depends(f"linux-image-amd64/{suite}"):
        match = re.fullmatch(r"linux-image-(.*-amd64)", name)
        if match and re.match(re.escape(version) + r"[.+-]", match[1]):
            return match[1]
    raise BedError(f"{suite} has no linux-image-amd64 of version {version} any more")


def kernel(version: str) -> Path:
    """The artifact kernel-VERSION."""
    def build(into: Path) -> None:
        source = apt.Apt(apt.group_of(KERNELS[version]))
        source.update()
        release = _release(source, version)
        # From 7.x on the image package is a shell around these.
        parts = [f"linux-image-{release}"]
        parts += [name for name in source.depends(parts[0])
                  if re.match(r"linux-(binary|modules|base)-[0-9]", name)]
        progress(f"kernel-{version}: downloading {release}")
        debs = source.download(parts, into / "debs")
        tree = into / "tree"
        tree.mkdir()
        progress(f"kernel-{version}: unpacking")
        for deb in debs:
            # bookworm's lie under /lib, the others under /usr/lib
            apt.unpack(deb, tree, ("./boot/vmlinuz-*", "./lib/modules/*", "./usr/lib/modules/*"))
        found = [tree / "lib/modules" / release, tree / "usr/lib/modules" / release]
        modules = next(path for path in found if path.exists())
        image = tree / "boot" / f"vmlinuz-{release}"
        shutil.copyfile(image if image.exists() else modules / "vmlinuz", into / "vmlinuz")
        (into / "release").write_text(release)
        version_of = subprocess.run(["dpkg-deb", "-f", str(debs[0]), "Version"], check=True,
                                    capture_output=True, text=True).stdout.strip()
        (into / "VERSION").write_text(version_of)
        _select(modules, into / "modules")
        shutil.rmtree(into / "debs")
        shutil.rmtree(tree)

    return cache.artifact(f"kernel-{version}", _key(version), build)


def _key(version: str) -> str:
    return cache.key_of(version, KERNELS[version], BED / "modules.l1", BED / "modules.guest",
                        Path(apt.__file__), Path(__file__))


def download_like(version: str, source: apt.Apt, packages: list[str], into: Path) -> list[Path]:
    """Fetch packages in exactly the version of a kernel: their .deb files."""
    image = kernel(version)
    package_version = (image / "VERSION").read_text()
    try:
        return source.download([f"{name}={package_version}" for name in packages], into)
    except BedError as error:
        raise BedError(f"the archive has no {' '.join(packages)} of {package_version} any more; remove "
                       f"{image} and build again\n{error}") from None


def headers(version: str) -> Path:
    """The directory to bind at /usr/src for building modules for a kernel."""
    image = kernel(version)
    release = (image / "release").read_text()
    package_version = (image / "VERSION").read_text()

    def build(into: Path) -> None:
        source = apt.Apt(apt.group_of(KERNELS[version]))
        source.update()
        parts = [f"linux-headers-{release}"]
        parts += [name for name in source.depends(parts[0])
                  if re.match(r"linux-(headers|kbuild)-[0-9]", name)]
        progress(f"headers-{version}: downloading and unpacking")
        for deb in download_like(version, source, parts, into / "debs"):
            apt.unpack(deb, into, ("./usr/src/*", "./usr/lib/linux-kbuild-*", "./usr/lib/modules/*"))
        shutil.rmtree(into / "debs")
        src = into / "usr/src"
        for kbuild in (into / "usr/lib").glob("linux-kbuild-*"):
            place = src / kbuild.name
            if place.is_symlink():
                place.unlink()
            kbuild.rename(place)
        for tree in src.glob("linux-headers-*"):
            for link in (path for path in tree.iterdir() if path.is_symlink()):
                target = str(link.readlink())
                if "linux-kbuild-" in target:
                    link.unlink()
                    link.symlink_to("../" + target[target.index("linux-kbuild-"):])

    key = cache.key_of(release, package_version, Path(apt.__file__), Path(__file__))
    return cache.artifact(f"headers-{version}", key, build) / "usr/src"


def _module_name(path: Path) -> str:
    return path.name.split(".ko", 1)[0].replace("-", "_")


def read_module(path: Path) -> bytes:
    """A module's object file, decompressed."""
    data = path.read_bytes()
    if data.startswith(XZ_MAGIC):
        return lzma.decompress(data)
    if data.startswith(ZSTD_MAGIC):
        return unzstd(data)
    return data


def unzstd(data: bytes) -> bytes:
    """Decompress zstd with the root's own program (Python 3.11 has none)."""
    return subprocess.run(roots.loader(roots.root(), "usr/bin/zstd") + ["-dc"], input=data,
                          check=True, capture_output=True).stdout


def modinfo(data: bytes, field: str) -> list[str]:
    """The values of one .modinfo field of an object file."""
    pattern = rb"(?:^|\0)" + field.encode() + rb"=([^\0]*)\0"
    return [value.decode() for value in re.findall(pattern, data)]


def closure(tree: Path, names: list[str], builtin: "set[str]") -> dict[str, tuple[Path, bytes]]:
    """name -> (path, object file) of modules and all that they depend on.

    Names that the kernel has built in, or does not know, are left out: the
    lists serve kernels that differ.
    """
    index = {_module_name(path): path for path in tree.rglob("*.ko*")}
    found: dict[str, tuple[Path, bytes]] = {}
    queue = [name.replace("-", "_") for name in names]
    while queue:
        name = queue.pop()
        if name in found or name in builtin or name not in index:
            continue
        data = read_module(index[name])
        found[name] = (index[name], data)
        for value in modinfo(data, "depends"):
            queue += [dep.replace("-", "_") for dep in value.split(",") if dep]
        for value in modinfo(data, "softdep"):
            queue += [dep.replace("-", "_") for dep in value.split() if not dep.endswith(":")
                      and dep.replace("-", "_") in index]
    return found


def builtins(tree: Path) -> "set[str]":
    """Names of what the kernel has built in."""
    listed = tree / "modules.builtin"
    return {_module_name(Path(line)) for line in listed.read_text().split()}


def _select(source: Path, into: Path) -> None:
    """Copy the listed modules and their dependencies, decompressed."""
    names = []
    for part in ("modules.l1", "modules.guest"):
        names += read_modules(BED / part)[1]
    target = into / "lib/modules" / source.name
    for path, data in closure(source, names, builtins(source)).values():
        place = target / path.relative_to(source)
        place = place.with_name(place.name.split(".ko", 1)[0] + ".ko")
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
    for name in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
        shutil.copyfile(source / name, target / name)


def vmlinux(image: bytes) -> bytes:
    """The ELF kernel inside a bzImage.

    QEMU boots it by its PVH entry, so that nothing is decompressed under
    emulation. The setup header tells where the payload is (boot protocol
    2.08, fields payload_offset and payload_length).
    """
    if image[0x202:0x206] != b"HdrS":
        raise BedError("the kernel image is no bzImage")
    sectors = image[0x1F1] or 4
    offset = int.from_bytes(image[0x248:0x24C], "little") + (sectors + 1) * 512
    length = int.from_bytes(image[0x24C:0x250], "little")
    payload = image[offset:offset + length]
    if payload.startswith(XZ_MAGIC):
        elf = lzma.LZMADecompressor().decompress(payload)
    elif payload.startswith(ZSTD_MAGIC):
        elf = unzstd(payload[:-4])  # the last word is the size, for the decompressor
    else:
        raise BedError("the kernel image is packed with an unknown compressor")
    if not elf.startswith(b"\x7fELF"):
        raise BedError("the kernel image's payload is no ELF file")
    return elf
