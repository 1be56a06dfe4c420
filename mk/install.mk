# SPDX-License-Identifier: GPL-2.0-or-later
#
# What goes where on a system. `make install` copies; it starts nothing, and
# leaves the guest's module as sources, which are built against the kernel of
# each guest (see README.md).

prefix ?= /usr/local
exec_prefix ?= $(prefix)
bindir ?= $(exec_prefix)/bin
sbindir ?= $(exec_prefix)/sbin
includedir ?= $(prefix)/include
datarootdir ?= $(prefix)/share
mandir ?= $(datarootdir)/man
docdir ?= $(datarootdir)/doc/pvdma
# Debian and others look for modules' sources in /usr/src.
srcdir ?= /usr/src

INSTALL ?= install

MAN_PAGES := $(sort $(wildcard man/*.[1-9]))
DOCS := README.md SECURITY.md protocol/SPEC.md $(sort $(wildcard docs/*.md))
# The module's sources keep their place relative to the protocol's header.
MODULE_FILES := protocol/virtio_pvdma.h LICENSES/GPL-2.0-only.txt \
	$(sort $(shell find guest/pvdma -type f \( -name '*.[ch]' -o -name Kbuild \
		-o -name Makefile \) ! -name '*.mod.c' 2>/dev/null))
MODULE_DEST := $(DESTDIR)$(srcdir)/pvdma-$(VERSION)

# $(call install_file,mode,file,destination)
define install_file
$(Q)$(INSTALL) -D -m $(1) $(2) '$(3)'

endef

.PHONY: install
install: all ## install below DESTDIR, prefix=/usr/local
	$(if $(AGENT_MAIN),$(call install_file,755,$(BUILD)/bin/pvdma-agent,$(DESTDIR)$(sbindir)/pvdma-agent))
	$(if $(SIM_MAIN),$(call install_file,755,$(BUILD)/bin/pvdma-sim,$(DESTDIR)$(bindir)/pvdma-sim))
	$(foreach m,$(MAN_PAGES),$(call install_file,644,$(m),$(DESTDIR)$(mandir)/man$(subst .,,$(suffix $(m)))/$(notdir $(m))))
	$(foreach d,$(DOCS),$(call install_file,644,$(d),$(DESTDIR)$(docdir)/$(notdir $(d))))
	$(call install_file,644,protocol/virtio_pvdma.h,$(DESTDIR)$(includedir)/pvdma/virtio_pvdma.h)
	$(foreach f,$(MODULE_FILES),$(call install_file,644,$(f),$(MODULE_DEST)/$(f)))
