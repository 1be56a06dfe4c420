# SPDX-License-Identifier: GPL-2.0-or-later
#
# Which tests there are and how they are run.
#
# Tests are found by folder, like sources. All of them are run by
# tests/harness/run, which reads their verdicts, keeps their output under
# $(LOGS), and ends with the line "N passed, N failed, N skipped". Groups named
# after one --stage run side by side.

LOGS := $(BUILD)/test-logs
HARNESS = tests/harness/run --log-dir $(LOGS) $(if $(JOBS),--jobs $(JOBS))

FUZZ_TIME ?= 60
# Seconds that each fuzz target gets in `make check`, past its corpus.
FUZZ_CHECK_TIME ?= 5
# A check finds the same tomorrow; "make fuzz" is who looks for what is new.
FUZZ_CHECK_SEED ?= 1

# A leak or a sanitizer's finding ends the test with a status of its own.
export ASAN_OPTIONS ?= detect_leaks=1:strict_string_checks=1:detect_stack_use_after_return=1
export UBSAN_OPTIONS ?= print_stacktrace=1:halt_on_error=1
export TSAN_OPTIONS ?= halt_on_error=1
# What the wire tests start, and where tests may write.
export PVDMA_AGENT ?= $(abspath $(BUILD)/asan/bin/pvdma-agent)
# The same that kills itself where a test wants that.
export PVDMA_CRASH_AGENT ?= $(abspath $(BUILD)/crash/bin/pvdma-agent)
export PVDMA_BUILD := $(abspath $(BUILD))

# --- unit tests: one program a file, linked with the libraries ---------------

UNIT_SRC := $(sort $(wildcard tests/unit/test_*.c))
UNIT_SUPPORT_SRC := $(sort $(wildcard tests/unit/support/*.c))
UNIT_TESTS := $(patsubst tests/unit/%.c,$(BUILD)/asan/unit/%,$(UNIT_SRC))
UNIT_LIBS = $(BUILD)/asan/lib/libpvdma-test.a $(BUILD)/asan/lib/libpvdma-ctl.a \
	$(BUILD)/asan/lib/libpvdma-sim.a $(BUILD)/asan/lib/libpvdma-pvdmad.a \
	$(BUILD)/asan/lib/libpvdma-agent.a $(BUILD)/asan/lib/libpvdma-host.a

$(BUILD)/asan/lib/libpvdma-test.list: STAMP = $(call objects,$(BUILD)/asan,$(UNIT_SUPPORT_SRC))
$(BUILD)/asan/lib/libpvdma-test.a: $(call objects,$(BUILD)/asan,$(UNIT_SUPPORT_SRC)) \
		$(BUILD)/asan/lib/libpvdma-test.list

# UNIT_LDFLAGS_test_NAME may add what one test needs, such as -Wl,--wrap=...
$(BUILD)/asan/unit/%: $(BUILD)/asan/obj/tests/unit/%.o $(UNIT_LIBS)
	$(say) LINK '$@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(ASAN_FLAGS) $(UNIT_LDFLAGS_$*) -o $@ $(filter %.o %.a,$^) -lcmocka $(LIBS) $(CTL_LIBS) -lm

# Objects of tests are made by pattern rules alone: keep them.
.SECONDARY:

# Parts of the guest's module that are tested in userland, and whatever other
# tests need rules of their own: these fragments add programs to UNIT_TESTS.
-include tests/unit/Makefile.inc
-include tests/unit/guest/Makefile.inc

# --- wire tests: Python against the running agent -----------------------------

WIRE_TESTS := $(sort $(wildcard tests/wire/test_*.py))
SCRIPT_TESTS := $(sort $(wildcard tests/scripts/test_*.py))

# --- fuzz targets ---------------------------------------------------------------

FUZZ_SRC := $(sort $(wildcard tests/fuzz/fuzz_*.c))
FUZZ_NAMES := $(patsubst tests/fuzz/fuzz_%.c,%,$(FUZZ_SRC))
FUZZ_SUPPORT_SRC := $(sort $(wildcard tests/fuzz/support/*.c))
FUZZ_BINS := $(patsubst %,$(BUILD)/fuzz/bin/fuzz_%,$(FUZZ_NAMES))
FUZZ_LIBS = $(BUILD)/fuzz/lib/libpvdma-test.a $(BUILD)/fuzz/lib/libpvdma-ctl.a \
	$(BUILD)/fuzz/lib/libpvdma-sim.a $(BUILD)/fuzz/lib/libpvdma-pvdmad.a \
	$(BUILD)/fuzz/lib/libpvdma-agent.a $(BUILD)/fuzz/lib/libpvdma-host.a

$(BUILD)/fuzz/lib/libpvdma-test.list: STAMP = $(call objects,$(BUILD)/fuzz,$(FUZZ_SUPPORT_SRC))
$(BUILD)/fuzz/lib/libpvdma-test.a: $(call objects,$(BUILD)/fuzz,$(FUZZ_SUPPORT_SRC)) \
		$(BUILD)/fuzz/lib/libpvdma-test.list

# FUZZ_LDFLAGS_NAME may add what one target needs, such as -Wl,--wrap=...
$(BUILD)/fuzz/bin/fuzz_%: $(BUILD)/fuzz/obj/tests/fuzz/fuzz_%.o $(FUZZ_LIBS)
	$(say) LINK '$@'
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(FUZZ_FLAGS) -fsanitize=fuzzer $(FUZZ_LDFLAGS_$*) -o $@ \
		$(filter %.o,$^) $(filter %.a,$^) $(FUZZ_LIBS_$*) $(LIBS) $(CTL_LIBS) -lm

-include tests/fuzz/Makefile.inc

# --- stress tests: threads against each other under TSan ----------------------

STRESS_SRC := $(sort $(wildcard tests/stress/*.c))
STRESS_TESTS := $(patsubst tests/stress/%.c,$(BUILD)/tsan/stress/%,$(STRESS_SRC))

$(BUILD)/tsan/stress/%: $(BUILD)/tsan/obj/tests/stress/%.o \
		$(BUILD)/tsan/lib/libpvdma-agent.a $(BUILD)/tsan/lib/libpvdma-host.a
	$(say) LINK '$@'
	@mkdir -p $(@D)
	$(Q)$(CLANG) $(TSAN_FLAGS) -o $@ $(filter %.o %.a,$^) -lpthread $(LIBS)

-include tests/stress/Makefile.inc

# --- the protocol, and kills of the agent, under a model checker -------------------

MODEL := $(wildcard tests/model/check)

# --- the bed: modules and end-to-end tests --------------------------------------

MODULE_KERNELS := 6.1 6.12 7.3
BED := $(wildcard tests/bed/bed)
MODULE_SRC := $(wildcard guest/pvdma/Kbuild guest/pvdma/Makefile)
E2E := $(wildcard tests/e2e/run)

# --- groups for the harness ------------------------------------------------------

SPEC_GROUP := --group spec:timeout=60 scripts/spec-check
SCRIPT_GROUP = $(if $(SCRIPT_TESTS),--group scripts:timeout=300 $(SCRIPT_TESTS))
UNIT_GROUP = $(if $(UNIT_TESTS),--group unit:timeout=180 $(UNIT_TESTS))
STRESS_GROUP = $(if $(STRESS_TESTS),--group stress:timeout=300 \
	$(foreach t,$(STRESS_TESTS),'setarch -R $(t)'))
# The hit path may take so many instructions, and no more.
HITPATH_MOST := 45
HITPATH_GROUP = --group hitpath:timeout=300 'tests/bench/hitpath $(HITPATH_MOST)'
# A granule that a MAP misses may take the agent so many, and where the quota is full.
AGENT_MOST := 3800 19500
AGENT_GROUP = --group agent:timeout=300:verdicts 'tests/bench/agent --most $(AGENT_MOST)'
MODEL_GROUP = $(if $(MODEL),--group model:timeout=900 $(MODEL))
WIRE_GROUP = $(if $(WIRE_TESTS),--group wire:timeout=300 $(WIRE_TESTS))
GUARD_GROUP = --group guards:live:verdicts:timeout=7200 'tests/guards/run $(GUARDS)'
# A whole life in the sandbox.
SANDBOX_TESTS := control trace vfio_user vhost_user_life vhost_user_requests
SANDBOX_GROUP = $(if $(WIRE_TESTS),--group sandbox:timeout=300 $(foreach t,$(SANDBOX_TESTS),\
	'tests/harness/sandboxed $(BUILD)/bin/pvdma-agent tests/wire/test_$(t).py'))
# $(call fuzz_group,seconds,names[,seed])
fuzz_group = $(if $(2),--group fuzz:timeout=$(shell echo $$(($(1) + 240))) \
	$(foreach f,$(2),'tests/harness/fuzz $(BUILD)/fuzz/bin/fuzz_$(f) $(f) $(1) $(3)'))
# The bed's artifacts come over the network: that goes well beside other work.
BED_GROUP = $(if $(BED),--group bed:timeout=1200 '$(BED) build')
MODULE_GROUP = $(if $(and $(BED),$(MODULE_SRC)),--group modules:timeout=900 \
	$(foreach k,$(MODULE_KERNELS),'$(BED) module --guest-kernel $(k)'))
E2E_GROUP = $(if $(E2E),--group e2e:live:verdicts:timeout=4500 $(E2E))
# The Debian packages that "make deb" made, or e2e.
DEB_GROUPS = --group packages:timeout=300 tests/packages/lintian \
	$(if $(BED),--group dkms:timeout=900 $(foreach k,$(MODULE_KERNELS),'tests/packages/dkms $(k)') \
		--group guest:timeout=1800:verdicts 'tests/packages/guest 6.12')
LINT_GROUP = --group lint:timeout=900 $(addprefix scripts/lint/,$(LINTS))

# A machine for continuous integration judges the sources, too.
ifeq ($(CI),true)
CHECK_LINT := 1
endif
CHECK_LINT ?=

.PHONY: unit-build fuzz-build wire-build check-build
unit-build: $(UNIT_TESTS) $(STRESS_TESTS) $(BUILD)/bin/pvdma-work $(BUILD)/bench/agent
fuzz-build: $(FUZZ_BINS)
wire-build: $(call agent_of,$(BUILD)/asan) $(call agent_of,$(BUILD)/crash) $(BUILD)/bin/pvdma-agent \
	$(if $(PVDMAD_MAIN),$(BUILD)/asan/bin/pvdmad) \
	$(if $(CTL_MAIN),$(BUILD)/asan/bin/pvdmactl) $(if $(SIM_MAIN),$(BUILD)/bin/pvdma-sim)
check-build: all unit-build fuzz-build wire-build $(BUILD)/bench/hitpath

# The build is a make of its own, because the machine may lack the compiler
# until the set-up has run.
.PHONY: check
check: ## everything: installs what it needs, then all tests (about 40 minutes)
	$(Q)scripts/setup check deb $(if $(CHECK_LINT),lint)
	$(Q)$(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(or $(JOBS),2)) check-build
	$(Q)$(HARNESS) \
		--stage $(SPEC_GROUP) $(SCRIPT_GROUP) $(UNIT_GROUP) \
			$(STRESS_GROUP) $(MODEL_GROUP) $(HITPATH_GROUP) $(AGENT_GROUP) $(WIRE_GROUP) \
			$(SANDBOX_GROUP) \
			$(call fuzz_group,$(FUZZ_CHECK_TIME),$(FUZZ_NAMES),$(FUZZ_CHECK_SEED)) \
			$(BED_GROUP) $(if $(CHECK_LINT),$(LINT_GROUP)) \
		--stage $(MODULE_GROUP) \
		--stage $(E2E_GROUP) \
		--stage $(DEB_GROUPS)

.PHONY: check-unit
check-unit: ## unit tests (ASan, UBSan), stress tests (TSan), scripts' own tests
	$(Q)scripts/setup check
	$(Q)$(MAKE) unit-build
	$(Q)$(HARNESS) $(UNIT_GROUP) $(STRESS_GROUP) $(SCRIPT_GROUP)

.PHONY: check-model
check-model: ## the protocol, and kills of the agent, in all states (spin)
	$(Q)scripts/setup check
	$(Q)mkdir -p $(BUILD)
	$(Q)$(HARNESS) $(MODEL_GROUP)

.PHONY: check-wire
check-wire: ## wire tests against the agent with the null backend
	$(Q)scripts/setup check
	$(Q)$(MAKE) wire-build
	$(Q)$(HARNESS) $(WIRE_GROUP) $(SANDBOX_GROUP)

# What TESTS names and is built, with the environment of a check: for tests/guards/run.
THESE_TIMEOUT ?= 300
.PHONY: check-these
check-these:
	$(Q)$(HARNESS) --group these:live:timeout=$(THESE_TIMEOUT) $(TESTS)

.PHONY: check-guards
check-guards: ## take guards out one by one: do tests notice? or GUARDS=name...
	$(Q)scripts/setup check
	$(Q)$(HARNESS) $(GUARD_GROUP)

.PHONY: check-modules
check-modules: ## build the guest module for each kernel that we support
	$(Q)scripts/setup check
	$(Q)$(HARNESS) $(MODULE_GROUP)

.PHONY: check-e2e
check-e2e: ## end-to-end tests in the nested bed
	$(Q)scripts/setup check deb
	$(Q)$(HARNESS) $(E2E_GROUP)

.PHONY: soak
soak: ## what happens to VMs, at random, for HOURS hours (1); SEED=N repeats a run
	$(Q)scripts/setup check deb
	$(Q)tests/e2e/run --soak $(shell awk 'BEGIN { printf "%d", $(or $(HOURS),1) * 3600 }') soak

.PHONY: check-fuzz
check-fuzz: ## fuzz targets: the corpora, and a few seconds of new input each
	$(Q)scripts/setup check
	$(Q)$(MAKE) fuzz-build
	$(Q)$(HARNESS) $(call fuzz_group,$(FUZZ_CHECK_TIME),$(FUZZ_NAMES),$(FUZZ_CHECK_SEED))

.PHONY: fuzz
fuzz: ## fuzz each target, or FUZZ=name, for FUZZ_TIME seconds (60)
	$(Q)scripts/setup check
	$(Q)$(MAKE) fuzz-build
	$(Q)$(HARNESS) $(call fuzz_group,$(FUZZ_TIME),$(or $(FUZZ),$(FUZZ_NAMES)))

.PHONY: demo
demo: ## a guest on a real disk and NIC with and without pvdma, side by side
	$(Q)scripts/setup demo
	$(Q)demo/run

# What the agent does for requests, by the code that is installed.
BENCH_AGENT_SRC := tests/bench/agent.c tests/bench/agent_guest.c

$(BUILD)/bench/agent: $(call objects,$(BUILD),$(BENCH_AGENT_SRC)) \
		$(BUILD)/lib/libpvdma-agent.a $(BUILD)/lib/libpvdma-host.a
	$(say) LINK '$@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(HARDEN_CFLAGS) $(HARDEN_LDFLAGS) $(LDFLAGS) -o $@ $(filter %.o %.a,$^) $(LIBS)

.PHONY: bench-hitpath
bench-hitpath: $(BUILD)/bench/hitpath ## count the instructions of a mapping that hits
	$(Q)tests/bench/hitpath

.PHONY: bench-agent
bench-agent: $(BUILD)/bench/agent $(BUILD)/bin/pvdma-agent ## the agent alone: rates, instructions, memory (a few minutes)
	$(Q)scripts/setup check
	$(Q)tests/bench/agent

.PHONY: bench-sim
bench-sim: $(BUILD)/bin/pvdma-sim ## replay traces of real drivers under several quotas
	@mkdir -p $(BUILD)/sim
	$(Q)$(BUILD)/bin/pvdma-sim --bench $(wildcard tests/traces/*.pvt) \
		--report $(BUILD)/sim/report.json

.PHONY: bench-quota
bench-quota: ## verified work in the bed under quotas down to a tenth (about 5 minutes)
	$(Q)scripts/setup demo
	$(Q)tests/bench/quota

.PHONY: bench
bench: ## every other way to give a guest a disk and a NIC beside pvdma, in the bed or, with BENCH_HOST=1, here
	$(Q)scripts/setup bench
	$(Q)tests/bench/peers/run
