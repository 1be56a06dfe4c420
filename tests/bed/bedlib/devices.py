# SPDX-License-Identifier: GPL-2.0-or-later
"""The devices that L1 may hand to guests: from a QEMU device string to QEMU
arguments, back-ends included, and to the table that L1's library reads.

Device number i sits in slot 0x10+i of pcie.0: a PCI Express device behind a
root port there (an IOMMU group and a bus of its own), a conventional one
directly (behind a bridge it would share the bridge's requester id).
"""

import json
from dataclasses import dataclass
from pathlib import Path

from bedlib.config import BedError

# Option ROMs are left out: iPXE costs seconds of every boot under emulation.
DEFAULT = ("nvme,serial=BED0001", "e1000e,romfile=", "igb,romfile=",
           "edu,dma_mask=0xffffffffffffffff")
FIRST_SLOT = 0x10
MAX_DEVICES = 13

EXPRESS = ("nvme", "e1000e", "igb", "nec-usb-xhci", "qemu-xhci", "megasas-gen2", "cxl-type3",
           "virtio-net-pci", "virtio-blk-pci", "virtio-scsi-pci", "virtio-rng-pci", "vmxnet3",
           "pvscsi", "ufs", "virtio-balloon-pci")
NICS = ("e1000e", "igb", "rtl8139", "vmxnet3", "ne2k_pci", "pcnet", "tulip", "virtio-net-pci")
NIC_PREFIXES = ("e1000", "i825")
# controller -> (device on its bus, the bus's name)
DISK_ON_BUS = {
    "ahci": ("ide-hd", "{id}.0"), "ich9-ahci": ("ide-hd", "{id}.0"),
    "piix3-ide": ("ide-hd", "{id}.0"), "piix4-ide": ("ide-hd", "{id}.0"),
    "lsi53c895a": ("scsi-hd", "{id}.0"), "lsi53c810": ("scsi-hd", "{id}.0"),
    "mptsas1068": ("scsi-hd", "{id}.0"), "megasas": ("scsi-hd", "{id}.0"),
    "megasas-gen2": ("scsi-hd", "{id}.0"), "pvscsi": ("scsi-hd", "{id}.0"),
    "am53c974": ("scsi-hd", "{id}.0"), "dc390": ("scsi-hd", "{id}.0"),
    "virtio-scsi-pci": ("scsi-hd", "{id}.0"), "ufs": ("ufs-lu", "{id}"),
    "qemu-xhci": ("usb-storage", "{id}.0"), "nec-usb-xhci": ("usb-storage", "{id}.0"),
    "sdhci-pci": ("sd-card", "sd-bus"),
}
DISK_ITSELF = ("nvme", "virtio-blk-pci")


@dataclass
class Device:
    """One device: its QEMU arguments and its row of the table."""
    index: int
    role: str
    driver: str
    slot: int
    express: bool
    net: str
    args: list[str]

    def row(self) -> str:
        """index role driver slot(hex) port|direct|unknown net"""
        place = "unknown" if self.slot < 0 else "port" if self.express else "direct"
        return f"{self.index} {self.role} {self.driver} {self.slot & 0xff:02x} {place} {self.net or '-'}"


def _is_nic(driver: str) -> bool:
    return driver in NICS or driver.startswith(NIC_PREFIXES)


def _parse(text: str) -> dict[str, object]:
    """A device string, in either of QEMU's notations, as properties."""
    if text.lstrip().startswith("{"):
        try:
            properties = json.loads(text)
        except ValueError as error:
            raise BedError(f"--device is no JSON: {error}") from None
    else:
        parts = text.split(",")
        properties = {"driver": parts[0]}
        for part in parts[1:]:
            name, equals, value = part.partition("=")
            properties[name] = value if equals else "on"
    if not isinstance(properties.get("driver"), str) or not properties["driver"]:
        raise BedError(f"--device without a driver: {text}")
    return properties


def _join(properties: dict[str, object], notation: str) -> str:
    if notation.lstrip().startswith("{"):
        return json.dumps(properties)
    rest = "".join(f",{name}={value}" for name, value in properties.items() if name != "driver")
    return f"{properties['driver']}{rest}"


def build(strings: list[str], disk: Path) -> list[Device]:
    """The devices for the strings (the default set when there are none)."""
    strings = strings or list(DEFAULT)
    if len(strings) > MAX_DEVICES:
        raise BedError(f"more than {MAX_DEVICES} devices")
    devices: list[Device] = []
    for index, text in enumerate(strings):
        devices.append(_device(index, text, disk, [device.driver for device in devices]))
    return devices


def _device(index: int, text: str, disk: Path, before: list[str]) -> Device:
    properties = _parse(text)
    driver = str(properties["driver"])
    name = str(properties.setdefault("id", f"dev{index}"))
    role = f"{driver}.{before.count(driver)}" if driver in before else driver
    args: list[str] = []
    after: list[str] = []
    express = driver in EXPRESS
    slot = FIRST_SLOT + index
    if "bus" in properties or "addr" in properties:
        slot = -1  # placed by the caller, found by the caller
    elif express:
        args += ["-device", f"pcie-root-port,id=port{index},bus=pcie.0,addr=0x{slot:x},chassis={index + 1}"]
        properties["bus"] = f"port{index}"
    else:
        properties |= {"bus": "pcie.0", "addr": f"0x{slot:x}"}

    net = ""
    if _is_nic(driver) and "netdev" not in properties:
        net = f"10.0.{10 + index}.2"
        args += ["-netdev", f"user,id=net{index},ipv6=off,net=10.0.{10 + index}.0/24,host={net}"]
        properties["netdev"] = f"net{index}"
        properties.setdefault("mac", f"52:54:00:00:00:{index + 1:02x}")
    wants_disk = driver in DISK_ITSELF and "drive" not in properties
    if wants_disk or driver in DISK_ON_BUS:
        args += ["-drive", f"if=none,id=disk{index},file={disk},format=raw,snapshot=on"]
    if driver == "nvme":
        properties.setdefault("serial", f"BED{index:04d}")
    if wants_disk:
        properties["drive"] = f"disk{index}"
    elif driver in DISK_ON_BUS:
        child, bus = DISK_ON_BUS[driver]
        after = ["-device", f"{child},drive=disk{index},bus={bus.format(id=name)}"]
    args += ["-device", _join(properties, text), *after]
    return Device(index, role, driver, slot, express, net, args)
