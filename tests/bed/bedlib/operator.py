# SPDX-License-Identifier: GPL-2.0-or-later
"""The tree of an operator's host: L1 with dpkg, apt, polkit, AppArmor and libvirt.

It is root's tree and packages.operator, with the dpkg database that makes apt
and dpkg work there (dpkgdb.py), and what the maintainer scripts of these
packages do, by hand: users and groups, the units that are enabled, PAM's common
files. What belongs to somebody else than root is given to them by
systemd-tmpfiles at boot, since whoever unpacks has only one user.

Profiles of AppArmor that confine none of our programs are disabled: the parser
would take a minute for them under emulation.
"""

from pathlib import Path

from bedlib import apt, cache, dpkgdb, roots
from bedlib.config import BED, read_list

# libvirt-daemon-driver-qemu's postinst makes its users with these numbers.
SYSUSERS = """\
u _apt 42:65534 "apt" /nonexistent
g kvm -
g libvirt -
g libvirt-qemu 64055
u libvirt-qemu 64055:kvm "Libvirt Qemu" /var/lib/libvirt
m libvirt-qemu libvirt-qemu
g people 1000
u operator 1000:people "An operator" /home/operator /bin/bash
m operator libvirt
m operator kvm
u stranger 1001:people "A user without rights" /home/stranger /bin/bash
"""
TMPFILES = """\
d /home/operator 0750 operator people -
d /home/stranger 0750 stranger people -
z /etc/polkit-1/rules.d 0750 root polkitd -
z /var/lib/libvirt/images 0711 root root -
z /var/lib/libvirt/boot 0711 root root -
z /var/cache/libvirt 0711 root root -
z /var/cache/libvirt/qemu 0711 root root -
z /var/lib/libvirt/qemu 0750 libvirt-qemu libvirt-qemu -
z /etc/libvirt/qemu.conf 0600 root root -
z /var/cache/apt/archives/partial 0700 _apt root -
z /var/lib/apt/lists/partial 0700 _apt root -
"""
# target -> what systemctl enable would have linked into its .wants
ENABLED = {
    "sysinit.target": ("apparmor.service",),
    "sockets.target": ("libvirtd.socket", "libvirtd-ro.socket", "virtlogd.socket"),
}
# What else the packages would bring up, at a cost and for no use here.
MASKED = ("libvirt-guests.service", "logrotate.timer", "dpkg-db-backup.timer", "apt-daily.timer",
          "apt-daily-upgrade.timer", "e2scrub_reap.service", "systemd-networkd.service",
          "systemd-machined.socket")
PROFILES = ("usr.sbin.libvirtd", "usr.lib.libvirt.virt-aa-helper")
PAM = {
    "auth": "auth [success=1 default=ignore] pam_unix.so nullok\nauth requisite pam_deny.so\n"
            "auth required pam_permit.so\n",
    "account": "account [success=1 new_authtok_reqd=done default=ignore] pam_unix.so\n"
               "account requisite pam_deny.so\naccount required pam_permit.so\n",
    "password": "password requisite pam_deny.so\n",
    "session": "session required pam_permit.so\nsession required pam_unix.so\n"
               "session optional pam_systemd.so\n",
    "session-noninteractive": "session required pam_permit.so\nsession required pam_unix.so\n",
}


def _users(tree: Path) -> None:
    sysusers = tree / "etc/sysusers.d"
    sysusers.mkdir(exist_ok=True)
    (sysusers / "bed.conf").write_text(SYSUSERS)
    roots.system_users(tree)
    for name, text in PAM.items():
        (tree / "etc/pam.d" / f"common-{name}").write_text(text)
    (tree / "etc/tmpfiles.d/operator.conf").write_text(TMPFILES)


def _links(tree: Path) -> None:
    """The links that update-alternatives makes."""
    for name in ("iptables", "ip6tables", "ebtables"):
        (tree / "usr/sbin" / name).symlink_to(f"{name}-nft")


def _units(tree: Path) -> None:
    units = tree / "etc/systemd/system"
    for target, names in ENABLED.items():
        wants = units / f"{target}.wants"
        wants.mkdir(exist_ok=True)
        for name in names:
            (wants / name).symlink_to(f"/usr/lib/systemd/system/{name}")
    for name in MASKED:
        link = units / name
        if not link.is_symlink():
            link.symlink_to("/dev/null")


def _profiles(tree: Path) -> None:
    profiles = tree / "etc/apparmor.d"
    for path in profiles.iterdir():
        if path.is_file() and path.name not in PROFILES:
            (profiles / "disable" / path.name).symlink_to(f"../{path.name}")


def root() -> Path:
    """The tree of an operator's host (the directory that is its /)."""
    packages = [BED / "packages.root", BED / "packages.operator"]

    def build(into: Path) -> None:
        tree = into / "root"
        roots.unpack_closure("root-operator", [name for path in packages for name in read_list(path)],
                             into, lambda debs: dpkgdb.write(debs, tree))
        roots.finish(tree)
        roots.finish_systemd(tree)
        _links(tree)
        _users(tree)
        _units(tree)
        _profiles(tree)

    key = cache.key_of(*packages, BED / "preferences", Path(apt.__file__), Path(dpkgdb.__file__),
                       Path(roots.__file__), Path(__file__))
    return cache.artifact("root-operator", key, build) / "root"
