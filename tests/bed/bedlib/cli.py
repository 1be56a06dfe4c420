# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line: one verb, one function."""

import argparse
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from bedlib import cache, database, debian, host, images, kernels, l0, module, roots, run, slots
from bedlib.config import (CACHE, DEFAULT_KERNEL, KERNELS, L1_KERNELS, TOP, BedError,
                           require_packages)

INTERNAL_STATUS = 2


def _together(*jobs: "object") -> None:
    """Run builds side by side; the first failure is raised."""
    with ThreadPoolExecutor(max(len(jobs), 1)) as pool:
        for future in [pool.submit(job) for job in jobs]:  # type: ignore[arg-type]
            future.result()


def _prepare(l1_kernels: list[str], guest_kernels: list[str], l1_roots: list[str],
             compilers: bool = False) -> None:
    """Build what a run needs, the slow downloads side by side."""
    CACHE.mkdir(parents=True, exist_ok=True)
    versions = sorted(set(l1_kernels + guest_kernels))
    jobs = [roots.root, images.disk, *[images.L1_ROOTS[name] for name in l1_roots],
            *[lambda v=v: kernels.kernel(v) for v in versions]]
    if compilers:
        jobs += [roots.dev, *[lambda v=v: kernels.headers(v) for v in guest_kernels]]
    _together(*jobs)
    _together(*[lambda n=n: images.l1_image(n) for n in l1_roots],
              *[lambda v=v: images.l1_boot(v) for v in l1_kernels],
              *[lambda v=v: images.guest(v) for v in guest_kernels])


def cmd_build(options: argparse.Namespace) -> int:
    """Build everything that is missing."""
    require_packages()
    if options.refresh:
        cache.clean()
    every = options.all
    _prepare(list(L1_KERNELS) if every else [options.l1_kernel],
             list(KERNELS) if every else options.guest_kernel,
             list(images.L1_ROOTS) if every else [options.l1_root], not options.no_compilers)
    cache.prune()
    return 0


def _common_options(options: argparse.Namespace) -> dict[str, object]:
    """Of any run, by their names in run.Options."""
    pairs: dict[str, dict[str, str]] = {}
    for kind in ("env", "service"):
        pairs[kind] = {}
        for text in getattr(options, kind):
            name, equals, value = text.partition("=")
            if not equals or not name.isidentifier():
                raise BedError(f"--{kind} wants NAME=VALUE, not {text}")
            pairs[kind][name] = value
    name = time.strftime("%Y%m%d-%H%M%S") + f"-{os.getpid()}"
    artifacts = Path(options.artifacts or TOP / "build/bed" / name).absolute()
    if "," in str(artifacts) or "," in str(TOP):
        raise BedError("QEMU takes no path with a comma: " + str(artifacts))
    return {"guest_kernels": options.guest_kernel, "device": options.device, "guest_mem": options.guest_mem,
            "timeout": options.timeout, "artifacts": artifacts, "env": pairs["env"], "service": pairs["service"]}


def _run_options(options: argparse.Namespace) -> l0.Options:
    return l0.Options(
        l1_kernel=options.l1_kernel, l1_init="systemd" if options.l1_root == "operator" else options.l1_init,
        l1_root=options.l1_root, cpus=options.cpus, l1_mem=options.l1_mem,
        qemu_arg=[word for text in options.qemu_arg for word in text.split()],
        **_common_options(options))  # type: ignore[arg-type]


def _prepare_run(options: argparse.Namespace, chosen: l0.Options) -> None:
    _prepare([options.l1_kernel], options.guest_kernel, [options.l1_root])
    if options.guest_deb:
        chosen.system = debian.system(options.guest_kernel[0], options.guest_deb, options.guest_file)


def cmd_run(options: argparse.Namespace) -> int:
    """Boot L1 and run a script in it."""
    require_packages()
    _require_script(options)
    chosen = _run_options(options)
    chosen.script, chosen.args = options.script, options.args
    _prepare_run(options, chosen)
    cache.prune()
    with slots.slot():
        return l0.Run(chosen).run()


def _require_script(options: argparse.Namespace) -> None:
    if not options.script.is_file():
        raise BedError(f"no such script: {options.script}")


def cmd_host(options: argparse.Namespace) -> int:
    """Run a script on this machine, with devices of its own."""
    require_packages()
    _require_script(options)
    _prepare([], options.guest_kernel, [])
    chosen = run.Options(script=options.script, args=options.args,
                         **_common_options(options))  # type: ignore[arg-type]
    return host.Run(chosen).run()


def cmd_shell(options: argparse.Namespace) -> int:
    """Give a person a prompt in L1 or in a guest."""
    require_packages()
    chosen = _run_options(options)
    chosen.shell = options.place
    _prepare_run(options, chosen)
    print(f"bed: the console is L1's ({options.place}); Ctrl-a x ends it, Ctrl-a h helps",
          file=sys.stderr)
    with slots.slot():
        return l0.Run(chosen).run()


def cmd_module(options: argparse.Namespace) -> int:
    """Build kernel modules for guests' kernels."""
    require_packages()
    CACHE.mkdir(parents=True, exist_ok=True)
    versions = options.guest_kernel or list(KERNELS)
    todo = [version for version in versions
            if not module.fresh(options.src, module.out_dir(options.out, version, versions), version)]
    if todo:
        _together(roots.dev, *[lambda v=v: kernels.headers(v) for v in todo])
    for version in versions:
        module.build(options.src, module.out_dir(options.out, version, versions), version)
    return 0


def cmd_exec(options: argparse.Namespace) -> int:
    """Run a command in the compile root."""
    require_packages()
    CACHE.mkdir(parents=True, exist_ok=True)
    if not options.command:
        raise BedError("exec needs a command")
    headers = kernels.headers(options.guest_kernel) if options.guest_kernel else None
    return roots.enter(options.command, headers)


def cmd_chroot(options: argparse.Namespace) -> int:
    """Run a command in a copy of a guest's Debian system."""
    require_packages()
    CACHE.mkdir(parents=True, exist_ok=True)
    if not options.command:
        raise BedError("chroot needs a command")
    with debian.scratch(options.guest_kernel) as tree:
        debian.put(tree, options.file)
        return debian.run(tree, options.command)


def cmd_database(options: argparse.Namespace) -> int:
    """Put an image with PostgreSQL somewhere."""
    require_packages()
    CACHE.mkdir(parents=True, exist_ok=True)
    database.put(options.file)
    return 0


def cmd_clean(_: argparse.Namespace) -> int:
    """Remove the cache."""
    cache.clean()
    return 0


def _add_script_options(parser: argparse.ArgumentParser) -> None:
    """Of all that runs a script."""
    add = parser.add_argument
    add("--guest-kernel", choices=list(KERNELS), action="append",
        help="kernels that guests may use; the first is the default (repeatable)")
    add("--guest-mem", default="1G", metavar="SIZE", help="default memory of guests")
    add("--timeout", type=int, default=600, metavar="SECONDS")
    add("--artifacts", metavar="DIR", help="default: build/bed/TIME-PID of the checkout")
    add("--env", action="append", default=[], metavar="K=V", help="for the script (repeatable)")
    add("--service", action="append", default=[], metavar="NAME=CMD",
        help="a command to run here beside L1; {port} in it becomes a free port of the "
             "loopback, which scripts find in BED_PORT_NAME (repeatable)")


def _add_run_options(parser: argparse.ArgumentParser) -> None:
    """Of what runs in L1."""
    _add_script_options(parser)
    add = parser.add_argument
    add("--l1-kernel", choices=L1_KERNELS, default=DEFAULT_KERNEL)
    add("--guest-deb", action="append", default=[], metavar="FILE", type=Path,
        help="a Debian system for a guest, with the first of --guest-kernel, in which apt "
             "installed this package: on the disk of --device nvme,drive=system (repeatable)")
    add("--guest-file", action="append", default=[], metavar="SRC:DST",
        help="put into that system before the packages (repeatable)")
    add("--l1-init", choices=("minimal", "systemd"), default="minimal")
    add("--l1-root", choices=list(images.L1_ROOTS), default="minimal",
        help="operator: with dpkg, apt, polkit, AppArmor and libvirt; implies --l1-init systemd")
    add("--device", action="append", default=[], metavar="STRING",
        help="a QEMU PCI device for guests, instead of the default set (repeatable)")
    add("--cpus", type=int, default=2, metavar="N", help="CPUs of L1 for programs and guests")
    add("--l1-mem", default="6G", metavar="SIZE")
    add("--qemu-arg", action="append", default=[], metavar="'ARGS'",
        help="more arguments for L0's QEMU, split at blanks (repeatable)")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bed", description="The nested test bed; see README.md.")
    verbs = parser.add_subparsers(dest="verb", required=True)

    build = verbs.add_parser("build", help="build what is missing in the cache")
    build.add_argument("--l1-kernel", choices=L1_KERNELS, default=DEFAULT_KERNEL)
    build.add_argument("--guest-kernel", choices=list(KERNELS), action="append")
    build.add_argument("--l1-root", choices=list(images.L1_ROOTS), default="minimal")
    build.add_argument("--all", action="store_true", help="every kernel, every root")
    build.add_argument("--no-compilers", action="store_true", help="only what running needs")
    build.add_argument("--refresh", action="store_true", help="forget what is there, fetch anew")
    build.set_defaults(function=cmd_build)

    run = verbs.add_parser("run", help="boot L1 and run SCRIPT in it")
    _add_run_options(run)
    run.add_argument("script", type=Path)
    run.add_argument("args", nargs=argparse.REMAINDER)
    run.set_defaults(function=cmd_run)

    here = verbs.add_parser("host", help="run SCRIPT on this machine, with devices of its own, as root")
    _add_script_options(here)
    here.add_argument("--device", action="append", required=True, metavar="BDF",
                      help="a PCI device that nobody uses (repeatable)")
    here.add_argument("script", type=Path)
    here.add_argument("args", nargs=argparse.REMAINDER)
    here.set_defaults(function=cmd_host)

    shell = verbs.add_parser("shell", help="a prompt in L1, or in a guest")
    _add_run_options(shell)
    shell.add_argument("--in", dest="place", choices=("l1", "guest"), default="l1")
    shell.set_defaults(function=cmd_shell)

    mod = verbs.add_parser("module", help="build kernel modules in the compile root")
    mod.add_argument("--guest-kernel", choices=list(KERNELS), action="append")
    mod.add_argument("--src", type=Path, default=TOP / "guest/pvdma", help="directory with a Kbuild file")
    mod.add_argument("--out", type=Path, help="default: build/guest/VERSION of the checkout; "
                     "with several kernels, a directory per version is made in it")
    mod.set_defaults(function=cmd_module)

    execute = verbs.add_parser("exec", help="run a command in the compile root")
    execute.add_argument("--guest-kernel", choices=list(KERNELS), help="with its headers at /usr/src")
    execute.add_argument("command", nargs=argparse.REMAINDER)
    execute.set_defaults(function=cmd_exec)

    chroot = verbs.add_parser("chroot", help="run a command in a copy of a guest's Debian system")
    chroot.add_argument("--guest-kernel", choices=list(KERNELS), default=DEFAULT_KERNEL)
    chroot.add_argument("--file", action="append", default=[], metavar="SRC:DST",
                        help="put into the copy before (repeatable)")
    chroot.add_argument("command", nargs=argparse.REMAINDER)
    chroot.set_defaults(function=cmd_chroot)

    base = verbs.add_parser("database", help="put a file system with PostgreSQL, for guests, into FILE")
    base.add_argument("file", type=Path)
    base.set_defaults(function=cmd_database)

    verbs.add_parser("clean", help="remove the cache").set_defaults(function=cmd_clean)
    return parser


def _interrupted(number: int, _: object) -> None:
    # an ordinary exception, so that every cleanup runs
    raise SystemExit(128 + number)


def main(argv: list[str]) -> int:
    """The driver; its exit status."""
    options = _parser().parse_args(argv)
    if options.verb in ("run", "host", "shell", "build"):
        options.guest_kernel = options.guest_kernel or [DEFAULT_KERNEL]
    signal.signal(signal.SIGTERM, _interrupted)
    signal.signal(signal.SIGHUP, _interrupted)
    try:
        return int(options.function(options))
    except BedError as error:
        print(f"bed: error: {error}", file=sys.stderr)
    except subprocess.CalledProcessError as error:
        print(f"bed: error: {error}", file=sys.stderr)
        for text in (error.stdout, error.stderr):
            if text:
                print(text if isinstance(text, str) else text.decode(errors="replace"), file=sys.stderr)
    except KeyboardInterrupt:
        print("bed: interrupted", file=sys.stderr)
        return 130
    return INTERNAL_STATUS
