# SPDX-License-Identifier: GPL-2.0-or-later
#
# What goes where on a system. `make install` copies; it starts nothing, and
# leaves the guest's module as sources, which are built against the kernel of
# each guest (see README.md). Debian packages of it: mk/deb.mk.

prefix ?= /usr/local
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
sbindir ?= $(exec_prefix)/sbin
includedir ?= $(prefix)/include
datarootdir ?= $(prefix)/share
mandir ?= $(datarootdir)/man
docdir ?= $(datarootdir)/doc/pvdma
unitdir ?= $(prefix)/lib/systemd/system
# These are looked for in one place, whatever the prefix: the sources of modules
# (Debian and others), the bus's policies and activation, polkit's actions, the
# journal's catalog, modprobe's and initramfs-tools' files, what libvirt includes.
srcdir ?= /usr/src
datadir_fixed := /usr/share
libdir_fixed := /usr/lib
etcdir_fixed := /etc

INSTALL ?= install

MAN_PAGES := $(sort $(wildcard man/*.[1-9]))
DOCS := README.md SECURITY.md protocol/SPEC.md $(sort $(wildcard docs/*.md)) \
	packaging/grafana/pvdma.json packaging/prometheus/pvdma.rules.yml
# The module's sources keep their place relative to the protocol's header.
MODULE_FILES := protocol/virtio_pvdma.h LICENSES/GPL-2.0-only.txt \
	$(sort $(shell find guest/pvdma -type f \( -name '*.[ch]' -o -name Kbuild \
		-o -name Makefile \) ! -name '*.mod.c' 2>/dev/null))
MODULE_DEST := $(DESTDIR)$(srcdir)/pvdma-$(VERSION)

# The module: as sources, and what builds and loads it in time.
GUEST_FILES := packaging/modprobe.d/pvdma-guest.conf:$(libdir_fixed)/modprobe.d/pvdma-guest.conf

# The service, once there is one: file:destination
ifneq ($(PVDMAD_MAIN),)
SERVICE_FILES := \
	packaging/dbus/org.pvdma1.conf:$(datadir_fixed)/dbus-1/system.d/org.pvdma1.conf \
	packaging/dbus/org.pvdma1.service:$(datadir_fixed)/dbus-1/system-services/org.pvdma1.service \
	packaging/dbus/org.pvdma1.xml:$(datadir_fixed)/dbus-1/interfaces/org.pvdma1.xml \
	packaging/polkit/org.pvdma1.policy:$(datadir_fixed)/polkit-1/actions/org.pvdma1.policy \
	packaging/sysusers.d/pvdma.conf:$(libdir_fixed)/sysusers.d/pvdma.conf \
	packaging/systemd/pvdma.catalog:$(libdir_fixed)/systemd/catalog/pvdma.catalog \
	packaging/apparmor/libvirt-qemu:$(etcdir_fixed)/apparmor.d/abstractions/libvirt-qemu.d/pvdma \
	packaging/pvdmad.conf:$(etcdir_fixed)/pvdma/pvdmad.conf \
	host/libvirt/pvdma-domain.rng:$(datadir_fixed)/pvdma/pvdma-domain.rng \
	host/libvirt/example.xml:$(docdir)/examples/domain.xml
SERVICE_UNITS := $(sort $(wildcard packaging/systemd/*.service packaging/systemd/*.slice \
	packaging/systemd/*.socket packaging/systemd/*.timer))
endif
# What libvirt runs when a domain starts and ends; the shell's completion.
SERVICE_HOOK := $(wildcard host/libvirt/qemu-hook)
COMPLETION := $(wildcard packaging/bash-completion/pvdmactl)

# $(call install_file,mode,file,destination)
define install_file
$(Q)$(INSTALL) -D -m $(1) $(2) '$(3)'

endef

# $(call install_pairs,file:destination ...), below DESTDIR
install_pairs = $(foreach p,$(1),$(call install_file,644,$(firstword $(subst :, ,$(p))),$(DESTDIR)$(lastword $(subst :, ,$(p)))))

# $(call install_edited,sed's script,file,destination): what names a program's
# place, or the version, says the right one
define install_edited
$(Q)$(INSTALL) -D -m 644 /dev/null '$(3)'
$(Q)sed -e '$(1)' $(2) > '$(3)'

endef

.PHONY: install
install: all ## install below DESTDIR, prefix=/usr/local
	$(if $(AGENT_MAIN),$(call install_file,755,$(BUILD)/bin/pvdma-agent,$(DESTDIR)$(sbindir)/pvdma-agent))
	$(if $(SIM_MAIN),$(call install_file,755,$(BUILD)/bin/pvdma-sim,$(DESTDIR)$(bindir)/pvdma-sim))
	$(if $(PVDMAD_MAIN),$(call install_file,755,$(BUILD)/bin/pvdmad,$(DESTDIR)$(sbindir)/pvdmad))
	$(if $(CTL_MAIN),$(call install_file,755,$(BUILD)/bin/pvdmactl,$(DESTDIR)$(bindir)/pvdmactl))
	$(foreach u,$(SERVICE_UNITS),$(call install_edited,s|=/usr/sbin/|=$(sbindir)/|;s|=/usr/bin/|=$(bindir)/|,$(u),$(DESTDIR)$(unitdir)/$(notdir $(u))))
	$(call install_pairs,$(SERVICE_FILES))
	$(if $(SERVICE_HOOK),$(call install_file,755,$(SERVICE_HOOK),$(DESTDIR)$(etcdir_fixed)/libvirt/hooks/qemu.d/pvdma))
	$(if $(COMPLETION),$(call install_file,644,$(COMPLETION),$(DESTDIR)$(datadir_fixed)/bash-completion/completions/pvdmactl))
	$(call install_file,644,packaging/modprobe.d/pvdma.conf,$(DESTDIR)$(etcdir_fixed)/modprobe.d/pvdma.conf)
	$(foreach m,$(MAN_PAGES),$(call install_file,644,$(m),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))))
	$(foreach d,$(DOCS),$(call install_file,644,$(d),$(DESTDIR)$(docdir)/$(notdir $(d))))
	$(call install_file,644,protocol/virtio_pvdma.h,$(DESTDIR)$(includedir)/pvdma/virtio_pvdma.h)
	$(foreach f,$(MODULE_FILES),$(call install_file,644,$(f),$(MODULE_DEST)/$(f)))
	$(call install_edited,s/#MODULE_VERSION#/$(VERSION)/,packaging/dkms/dkms.conf,$(MODULE_DEST)/dkms.conf)
	$(call install_pairs,$(GUEST_FILES))
	$(call install_file,755,packaging/initramfs-tools/pvdma,$(DESTDIR)$(datadir_fixed)/initramfs-tools/hooks/pvdma)
