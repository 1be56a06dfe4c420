# SPDX-License-Identifier: GPL-2.0-or-later
#
# How C becomes libraries and programs.
#
# The same sources are built in variants, each in a folder of its own with
# flags of its own, so that a run of the tests never disturbs the binaries that
# someone is using:
#
#   $(BUILD)        release: hardened, what is installed
#   $(BUILD)/asan   address and undefined-behaviour sanitizers: unit, wire tests
#   $(BUILD)/crash  the same with crash points (host/lib/crash.h): wire tests
#   $(BUILD)/killed release with crash points: end-to-end tests
#   $(BUILD)/tsan   thread sanitizer: tests/stress
#   $(BUILD)/fuzz   libFuzzer, address and undefined-behaviour sanitizers
#
# Sources are found by folder; a new file needs no line here. A variant's
# objects depend on a stamp that holds compiler and flags, and its archives on
# one that holds the list of their objects, so that `make CC=clang`, a changed
# flag or a deleted file rebuild what they must and no more.

# Origin "default" is make's own built-in value, which a user did not choose.
ifeq ($(origin CC),default)
CC := gcc
endif
CLANG ?= clang
CFLAGS ?= -O2 -g

WARNINGS := -Wall -Wextra -Werror -Wmissing-prototypes -Wstrict-prototypes \
	-Wvla -Wundef -Wformat=2 -Wwrite-strings -Wimplicit-fallthrough
# Structs of the kernel's interfaces end in arrays; we embed them in larger ones.
WARNINGS += -Wno-gnu-variable-sized-type-not-at-end

# The feature macro is empty, so that a file may also define it itself, as
# programs that stand alone do.
BASE_CFLAGS := -std=gnu11 $(WARNINGS) -fno-strict-aliasing -fno-common \
	-D_GNU_SOURCE= -DPVDMA_VERSION='"$(VERSION)"' \
	-iquote . -iquote host -iquote host/agent -iquote host/lib \
	-isystem /usr/include/libxml2

# What follows the user's CFLAGS is not up for debate; _FORTIFY_SOURCE needs
# an optimising build, and distributions set it themselves.
HARDEN_CFLAGS := -fPIE -fstack-protector-strong -fstack-clash-protection \
	-U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2
HARDEN_LDFLAGS := -pie -Wl,-z,relro,-z,now,-z,noexecstack -Wl,--as-needed

ASAN_FLAGS := -O1 -g -fno-omit-frame-pointer \
	-fsanitize=address,undefined -fno-sanitize-recover=all
TSAN_FLAGS := -O1 -g -fno-omit-frame-pointer -fsanitize=thread
FUZZ_FLAGS := -O1 -g -fno-omit-frame-pointer -DPVDMA_FUZZ \
	-fsanitize=fuzzer-no-link,address,undefined -fno-sanitize-recover=all

LIBS := -lsystemd -lseccomp -lm

HOST_SRC := $(sort $(wildcard host/lib/*.c))
AGENT_MAIN := $(wildcard host/agent/main.c)
AGENT_SRC := $(filter-out host/agent/main.c, $(sort \
	$(wildcard host/agent/*.c host/agent/*/*.c)))

# The system service, and the command that talks to it.
PVDMAD_MAIN := $(wildcard host/pvdmad/main.c)
PVDMAD_SRC := $(filter-out host/pvdmad/main.c, $(sort $(wildcard host/pvdmad/*.c)))
CTL_MAIN := $(wildcard host/pvdmactl/main.c)
CTL_SRC := $(filter-out host/pvdmactl/main.c, $(sort $(wildcard host/pvdmactl/*.c)))
PVDMAD_LIBS := -ljson-c -lm
CTL_LIBS := -ljson-c -lxml2 -lvirt -lvirt-qemu

SIM_MAIN := $(wildcard host/sim/main.c)
SIM_SRC := $(filter-out host/sim/main.c, $(sort $(wildcard host/sim/*.c)))

# $(call objects,variant folder,sources)
objects = $(patsubst %.c,$(1)/obj/%.o,$(2))

# Writes $(STAMP), a target's own variable, to the target, but only when that
# changes it.
define update_stamp
@mkdir -p $(@D)
@printf '%s\n' '$(subst ','\'',$(strip $(STAMP)))' > $@.$$$$; \
	if cmp -s $@.$$$$ $@; then rm $@.$$$$; else mv $@.$$$$ $@; fi
endef

.PHONY: force
force:

# $(call variant,folder,name of the compiler's variable,compile flags,link flags)
define variant
$(1)/flags: STAMP = $$($(2)) $$(CPPFLAGS) $(3) $(4) $$(BASE_CFLAGS)
$(1)/flags: force
	$$(update_stamp)

$(1)/obj/%.o: %.c $(1)/flags
	$$(say) CC '$$@'
	@mkdir -p $$(@D)
	$$(Q)$$($(2)) $$(CPPFLAGS) $$(BASE_CFLAGS) $(3) -MMD -MP -c -o $$@ $$<

$(1)/lib/%.list: force
	$$(update_stamp)

$(1)/lib/libpvdma-host.list: STAMP = $$(call objects,$(1),$$(HOST_SRC))
$(1)/lib/libpvdma-host.a: $$(call objects,$(1),$$(HOST_SRC)) \
		$(1)/lib/libpvdma-host.list
$(1)/lib/libpvdma-agent.list: STAMP = $$(call objects,$(1),$$(AGENT_SRC))
$(1)/lib/libpvdma-agent.a: $$(call objects,$(1),$$(AGENT_SRC)) \
		$(1)/lib/libpvdma-agent.list
$(1)/lib/libpvdma-sim.list: STAMP = $$(call objects,$(1),$$(SIM_SRC))
$(1)/lib/libpvdma-sim.a: $$(call objects,$(1),$$(SIM_SRC)) \
		$(1)/lib/libpvdma-sim.list

$(1)/lib/libpvdma-pvdmad.list: STAMP = $$(call objects,$(1),$$(PVDMAD_SRC))
$(1)/lib/libpvdma-pvdmad.a: $$(call objects,$(1),$$(PVDMAD_SRC)) \
		$(1)/lib/libpvdma-pvdmad.list
$(1)/lib/libpvdma-ctl.list: STAMP = $$(call objects,$(1),$$(CTL_SRC))
$(1)/lib/libpvdma-ctl.a: $$(call objects,$(1),$$(CTL_SRC)) \
		$(1)/lib/libpvdma-ctl.list

$(1)/lib/%.a:
	$$(say) AR '$$@'
	$$(Q)rm -f $$@
	$$(Q)$$(AR) rcsD $$@ $$(filter %.o,$$^)

$(1)/bin/pvdma-agent: $$(call objects,$(1),$$(AGENT_MAIN)) \
		$(1)/lib/libpvdma-agent.a $(1)/lib/libpvdma-host.a
	$$(say) LINK '$$@'
	@mkdir -p $$(@D)
	$$(Q)$$($(2)) $(3) $(4) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS)

$(1)/bin/pvdma-sim: $$(call objects,$(1),$$(SIM_MAIN)) \
		$(1)/lib/libpvdma-sim.a $(1)/lib/libpvdma-pvdmad.a \
		$(1)/lib/libpvdma-agent.a $(1)/lib/libpvdma-host.a
	$$(say) LINK '$$@'
	@mkdir -p $$(@D)
	$$(Q)$$($(2)) $(3) $(4) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS)

$(1)/bin/pvdmad: $$(call objects,$(1),$$(PVDMAD_MAIN)) \
		$(1)/lib/libpvdma-pvdmad.a $(1)/lib/libpvdma-host.a
	$$(say) LINK '$$@'
	@mkdir -p $$(@D)
	$$(Q)$$($(2)) $(3) $(4) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS) $$(PVDMAD_LIBS)

$(1)/bin/pvdmactl: $$(call objects,$(1),$$(CTL_MAIN)) \
		$(1)/lib/libpvdma-ctl.a $(1)/lib/libpvdma-pvdmad.a \
		$(1)/lib/libpvdma-host.a
	$$(say) LINK '$$@'
	@mkdir -p $$(@D)
	$$(Q)$$($(2)) $(3) $(4) -o $$@ $$(filter %.o %.a,$$^) $$(LIBS) $$(CTL_LIBS)

-include $$(shell find $(1)/obj -name '*.d' 2>/dev/null)
endef

AR ?= ar

$(eval $(call variant,$(BUILD),CC,$(CFLAGS) $(HARDEN_CFLAGS),$(HARDEN_LDFLAGS) $(LDFLAGS)))
$(eval $(call variant,$(BUILD)/asan,CC,$(ASAN_FLAGS),))
$(eval $(call variant,$(BUILD)/crash,CC,$(ASAN_FLAGS) -DPVDMA_CRASH_POINTS,))
$(eval $(call variant,$(BUILD)/killed,CC,$(CFLAGS) $(HARDEN_CFLAGS) -DPVDMA_CRASH_POINTS,$(HARDEN_LDFLAGS)))
$(eval $(call variant,$(BUILD)/tsan,CLANG,$(TSAN_FLAGS),))
$(eval $(call variant,$(BUILD)/fuzz,CLANG,$(FUZZ_FLAGS),))

# $(call agent_of,variant folder): the agent, once it has a main.c
agent_of = $(if $(AGENT_MAIN),$(1)/bin/pvdma-agent)

.PHONY: all
all: $(BUILD)/lib/libpvdma-host.a $(BUILD)/lib/libpvdma-agent.a
all: $(if $(SIM_MAIN),$(BUILD)/bin/pvdma-sim)
all: $(if $(PVDMAD_MAIN),$(BUILD)/bin/pvdmad)
all: $(if $(CTL_MAIN),$(BUILD)/bin/pvdmactl)
all: $(call agent_of,$(BUILD)) ## build the host's programs

# Programs that guests and emulated hosts run, where there is no library: static.
WORK_SRC := $(sort $(wildcard tests/work/*.c))

$(BUILD)/bin/pvdma-work: $(call objects,$(BUILD),$(WORK_SRC))
	$(say) LINK '$@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) -static -o $@ $(filter %.o,$^) -lpthread
