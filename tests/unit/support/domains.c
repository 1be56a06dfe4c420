// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * domains.c - domains as libvirt and people write them
 *
 * Owns: texts alone. What matters of each is said in domains_good.
 */
#include "domains.h"

#define OS_Q35                                                       \
	"  <os>\n"                                                   \
	"    <type arch='x86_64' machine='pc-q35-10.0'>hvm</type>\n" \
	"    <boot dev='hd'/>\n"                                     \
	"  </os>\n"                                                  \
	"  <features>\n"                                             \
	"    <acpi/>\n"                                              \
	"  </features>\n"
#define DEVICES                                                             \
	"  <devices>\n"                                                     \
	"    <emulator>/usr/bin/qemu-system-x86_64</emulator>\n"            \
	"    <disk type='file' device='disk'>\n"                            \
	"      <source file='/var/lib/libvirt/images/vm1.qcow2'/>\n"        \
	"      <target dev='vda' bus='virtio'/>\n"                          \
	"      <address type='pci' domain='0x0000' bus='0x04' slot='0x00' " \
	"function='0x0'/>\n"                                                \
	"    </disk>\n"                                                     \
	"    <controller type='pci' index='0' model='pcie-root'/>\n"        \
	"    <controller type='pci' index='1' model='pcie-root-port'>\n"    \
	"      <target chassis='1' port='0x10'/>\n"                         \
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x02' " \
	"function='0x0' multifunction='on'/>\n"                             \
	"    </controller>\n"                                               \
	"    <watchdog model='itco' action='reset'/>\n"                     \
	"    <video>\n"                                                     \
	"      <address type='pci' domain='0x0000' bus='0x00' slot='0x10' " \
	"function='0x0'/>\n"                                                \
	"    </video>\n"                                                    \
	"  </devices>\n"

const char domains_q35[] =
	"<domain type='kvm'>\n"
	"  <name>vm1</name>\n"
	"  <uuid>7e7f1a0e-3ad9-4b6e-9d0f-5f1b6f2f6a01</uuid>\n"
	"  <metadata>\n"
	"    <libosinfo:libosinfo xmlns:libosinfo=\"http://libosinfo.org/"
	"xmlns/libvirt/domain/1.0\">\n"
	"      <libosinfo:os id=\"http://debian.org/debian/13\"/>\n"
	"    </libosinfo:libosinfo>\n"
	"  </metadata>\n"
	"  <memory unit='KiB'>2097152</memory>\n"
	"  <currentMemory unit='KiB'>2097152</currentMemory>\n"
	"  <vcpu placement='static'>2</vcpu>\n" OS_Q35 DEVICES "</domain>\n";

static const char numa[] =
	"<domain type=\"kvm\" id=\"3\">\n"
	"\t<name>numa_2.x-y</name>\n"
	"\t<!-- a comment with a > and an <element/> in it -->\n"
	"\t<memory unit='GiB'>4</memory>\n"
	"\t<memoryBacking>\n"
	"\t\t<hugepages>\n"
	"\t\t\t<page size='2' unit='M'/>\n"
	"\t\t</hugepages>\n"
	"\t\t<source type=\"file\" />\n"
	"\t\t<access mode='private'/>\n"
	"\t\t<nosharepages/>\n"
	"\t</memoryBacking>\n" OS_Q35 "\t<cpu mode='host-passthrough'>\n"
	"\t\t<numa>\n"
	"\t\t\t<cell id='0' cpus='0' memory='2' unit='GiB' "
	"memAccess='shared'/>\n"
	"\t\t\t<cell id='1' cpus='1' memory='2' unit='GiB'/>\n"
	"\t\t</numa>\n"
	"\t</cpu>\n" DEVICES "\t<seclabel type='static' model='dac' "
	"relabel='yes'>\n"
	"\t\t<label>+107:+64055</label>\n"
	"\t</seclabel>\n"
	"</domain>\n";

static const char commandline[] =
	"<?xml version='1.0' encoding='UTF-8'?>\n"
	"<!-- kept in git -->\n"
	"<domain type='kvm' "
	"xmlns:qemu='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
	"  <name>vm1</name>\n"
	"  <description><![CDATA[<not> an & element]]></description>\n"
	"  <metadata/>\n"
	"  <memory unit='KiB'>2097152</memory>\n"
	"  <memoryBacking/>\n" OS_Q35 DEVICES "  <qemu:commandline>\n"
	"    <qemu:arg value='-device'/>\n"
	"    <qemu:arg value='ivshmem-plain,id=x-pvdma-y,addr=0x11'/>\n"
	"    <qemu:arg value='-global'/>\n"
	"    <qemu:arg value='ICH9-LPC.noreboot=off'/>\n"
	"    <qemu:env name='A' value='1'/>\n"
	"  </qemu:commandline>\n"
	"</domain>\n";

static const char shared[] =
	"<domain type='kvm'>\n"
	"  <name>shared</name>\n"
	"  <memory unit='KiB'>2097152</memory>\n"
	"  <memoryBacking>\n"
	"    <source type='memfd'/>\n"
	"    <access mode='shared'/>\n"
	"  </memoryBacking>\n" OS_Q35 DEVICES
	"  <commandline xmlns='http://libvirt.org/schemas/domain/qemu/1.0'/>\n"
	"</domain>";

static const char one_line[] =
	"<domain type='kvm'><name>one</name><memory>2097152</memory>"
	"<memoryBacking ><source type='anonymous'/></memoryBacking>"
	"<os><type arch='x86_64' machine='pc-i440fx-9.2'>hvm</type></os>"
	"<devices><emulator>/usr/bin/qemu-system-x86_64</emulator></devices>"
	"</domain>";

static const char own_element[] =
	"<domain type='kvm' "
	"xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'>\n"
	"  <name>a name with blanks</name>\n"
	"  <metadata>\n"
	"    <vm xmlns='https://pvdma.org/xmlns/libvirt/domain/1.0'\n"
	"        name=\"mine\" quota='64M' />\n"
	"  </metadata>\n" OS_Q35 DEVICES "</domain>\n";

const char domains_hostdev[] =
	"<domain type='kvm'>\n"
	"  <name>hostdev</name>\n" OS_Q35 "  <devices>\n"
	"    <hostdev mode='subsystem' type='pci' managed='yes'>\n"
	"      <source>\n"
	"        <address domain='0x0000' bus='0x01' slot='0x00' "
	"function='0x0'/>\n"
	"      </source>\n"
	"    </hostdev>\n"
	"    <interface type='hostdev'>\n"
	"      <source>\n"
	"        <address type='pci' domain='0x0000' bus='0x81' slot='0x10' "
	"function='0x5'/>\n"
	"      </source>\n"
	"    </interface>\n"
	"  </devices>\n"
	"</domain>\n";

const struct test_domain domains_good[] = {
	{ "virt-install on q35", domains_q35 },
	{ "NUMA cells, huge pages, private access, tabs", numa },
	{ "arguments of the user's, a declaration, empty elements",
	  commandline },
	{ "memory that is shared already, an empty commandline", shared },
	{ "one line, i440fx", one_line },
	{ "an element pvdma:vm of the user's, other prefixes", own_element },
	{ 0 },
};
