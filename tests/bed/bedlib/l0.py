# SPDX-License-Identifier: GPL-2.0-or-later
"""A run in the emulated host: L0's QEMU.

Beside the files of any run (run.py) there are
    l0/              QEMU's command line and messages, the VT-d fault trace
    l1-serial.log    L1's console
The channels are virtio-serial ports that QEMU appends to a file.

Lives: QEMU runs in a session of its own and is told by the kernel to die with
the driver, so that nothing survives it, however it ends.
"""

import os
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path

from bedlib import devices, images, netsvc, roots, run
from bedlib.config import TOP, progress
from bedlib.run import die_with_parent, end_child

# what EPYC-v4 has and emulation lacks (each would be a warning)
CPU = "EPYC-v4," + ",".join(f"{name}=off" for name in (
    "fxsr-opt", "misalignsse", "osvw", "topoext", "perfctr-core", "clzero", "ibpb", "nrip-save",
    "xsavec", "xsaves"))
# L1 has a CPU more than was asked for, its first, on which no guest runs: each FXRSTOR or
# XRSTOR, of any CPU, makes the emulator (cpu_set_fpus(), to 11.1.3) read, change and write
# the first CPU's hflags2, with no lock. A VMRUN or #VMEXIT that it makes there meanwhile may
# be undone by half: a guest then runs without nested paging, in L1's memory. Interrupts of
# devices go to the other CPUs, too: from an idle one, it is a long way to who waits for them.
FIRST_CPU = 0


@dataclass(kw_only=True)
class Options(run.Options):
    """What the command line asks of a run in L1."""
    l1_kernel: str
    l1_init: str
    l1_root: str
    cpus: int
    l1_mem: str
    qemu_arg: list[str]
    shell: str = ""  # "", "l1" or "guest"
    system: "Path | None" = None  # the artifact of a guest's Debian system


class Run(run.Run):
    """Prepares, runs and judges one boot of L1."""

    machine = "L1"
    logs = ("l0/qemu.log", "l1-serial.log", "script.log")
    options: Options

    def environment(self) -> dict[str, str]:
        options = self.options
        return super().environment() | {
            "BED_L1_KERNEL": options.l1_kernel,
            "BED_L1_INIT": options.l1_init,
            "BED_L1_ROOT": options.l1_root,
            "BED_SHELL": options.shell,
        }

    def _prepare(self) -> list[str]:
        """Write what L1 reads, start the services; QEMU's argv."""
        table = devices.build(self.options.device, images.disk() / "disk.raw")
        self.ports["http"] = netsvc.start()
        self.tell([device.row() for device in table])
        (self.out / "l0/vtd_dmar_fault.log").write_text("")
        return self._qemu(table)

    def _qemu(self, table: list[devices.Device]) -> list[str]:
        options = self.options
        root = roots.root()
        boot = images.l1_boot(options.l1_kernel)
        shares = {"bedtop": (TOP, True), "bedout": (self.out, False),
                  "bedcache": (images.disk(), True)}
        for version in options.guest_kernels:
            shares[f"bedg-{version}"] = (images.guest(version), True)
        guests = list(options.guest_kernels)
        if options.system:
            shares["bedg-system"] = (options.system, True)
            guests.append("system")
        init = "/sbin/init" if options.l1_init == "systemd" else "/bed/top/tests/bed/l1/init.sh"
        append = ("console=ttyS0 loglevel=4 panic=-1 intel_iommu=on mitigations=off tsc=reliable "
                  "no_timer_check random.trust_cpu=on systemd.show_status=0 "
                  "systemd.log_target=journal systemd.unified_cgroup_hierarchy=1 "
                  f"isolcpus=domain,managed_irq,{FIRST_CPU} irqaffinity=1-{options.cpus} "
                  f"net.ifnames=0 bed.init={init} bed.guests={','.join(guests)}")
        if options.l1_root == "minimal":
            append += " audit=0"  # nobody there whom AppArmor might deny something
        argv = roots.loader(root, "usr/bin/qemu-system-x86_64")
        for path in ("qemu", "seabios", "../lib/ipxe/qemu"):
            argv += ["-L", str(root / "usr/share" / path)]
        argv += [
            "-name", "bed-l1", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot",
            "-accel", "tcg,thread=multi,tb-size=1024", "-M", "q35", "-cpu", CPU,
            "-smp", str(options.cpus + 1), "-m", options.l1_mem,
            "-kernel", str(boot / "vmlinux"), "-initrd", str(boot / "initrd"), "-append", append,
            "-device", "intel-iommu,intremap=on,aw-bits=48",
            "-trace", "vtd_dmar_fault", "-D", str(self.out / "l0/vtd_dmar_fault.log"),
            "-qmp", f"unix:{self.scratch}/qmp,server=on,wait=off",
        ]
        if options.system:
            argv += ["-drive", f"if=none,id=system,file={options.system}/disk.raw,format=raw,snapshot=on"]
        for device in table:
            argv += device.args
        argv += ["-drive", f"if=none,id=l1,file={images.l1_image(options.l1_root)},format=raw,readonly=on",
                 "-device", "virtio-blk-pci,drive=l1"]
        for tag, (path, readonly) in shares.items():
            argv += ["-fsdev", f"local,id={tag},path={path},security_model=none,multidevs=remap"
                     + (",readonly=on" if readonly else ""),
                     "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        argv += ["-device", "virtio-serial-pci,id=bedserial"]
        for name, path in (("events", "events"), ("output", "script.log")):
            argv += ["-chardev", f"file,id={name},path={self.out / path},append=on",
                     "-device", f"virtserialport,bus=bedserial.0,chardev={name},name=bed.{name}"]
        serial = self.out / "l1-serial.log"
        if options.shell:
            argv += ["-chardev", f"stdio,id=console,mux=on,signal=off,logfile={serial}",
                     "-mon", "chardev=console"]
        else:
            argv += ["-chardev", f"file,id=console,path={serial}"]
        return argv + ["-serial", "chardev:console", *options.qemu_arg]

    def run(self) -> int:
        """Boot, follow, judge: the script's status (see README for ours)."""
        with self.stack:
            argv = self._prepare()
            (self.out / "l0/command").write_text(shlex.join(argv) + "\n")
            log = self.stack.enter_context((self.out / "l0/qemu.log").open("wb"))
            shell = bool(self.options.shell)
            env = os.environ | {"QEMU_MODULE_DIR": str(roots.root() / roots.LIBS / "qemu"),
                                "TMPDIR": str(self.scratch)}
            child = subprocess.Popen(
                argv, env=env, preexec_fn=die_with_parent, start_new_session=not shell,
                stdin=None if shell else subprocess.DEVNULL, stdout=None if shell else log,
                stderr=log)
            self.stack.callback(end_child, child)
            progress(f"L1 {self.options.l1_kernel} boots; logs in {self.out}")
            if shell:
                child.wait()
                return 0
            return self.follow(child)
