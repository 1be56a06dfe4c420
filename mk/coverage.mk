# SPDX-License-Identifier: GPL-2.0-or-later
#
# How much of the code the tests run: clang's source-based coverage.
#
# The tests are built once more, below $(BUILD)/coverage, with other flags in
# place of the sanitizers'; so what is measured is what `make check` runs.

COVERAGE := $(BUILD)/coverage
COVERAGE_FLAGS := -O1 -g -fprofile-instr-generate -fcoverage-mapping
LLVM_PROFDATA ?= llvm-profdata
LLVM_COV ?= llvm-cov

# The files that read what others wrote, and what share of each must be run.
COVERAGE_PARSERS := tests/harness/parsers.txt
COVERAGE_LEAST := 90

.PHONY: coverage
coverage: ## line coverage of unit and wire tests and fuzz corpora, judged
	$(Q)scripts/setup check coverage
	$(Q)rm -rf -- '$(COVERAGE)/profiles'
	$(Q)$(MAKE) $(if $(filter -j%,$(MAKEFLAGS)),,-j$(or $(JOBS),2)) \
		coverage-tests BUILD='$(COVERAGE)' CC='$(CLANG)' \
		ASAN_FLAGS='$(COVERAGE_FLAGS)' \
		FUZZ_FLAGS='$(COVERAGE_FLAGS) -DPVDMA_FUZZ -fsanitize=fuzzer-no-link' \
		PVDMA_AGENT='$(abspath $(COVERAGE))/asan/bin/pvdma-agent' \
		PVDMA_CRASH_AGENT='$(abspath $(COVERAGE))/crash/bin/pvdma-agent'
	$(Q)PROFDATA='$(LLVM_PROFDATA)' COV='$(LLVM_COV)' tests/harness/coverage \
		--least $(COVERAGE_LEAST) --parsers $(COVERAGE_PARSERS) '$(COVERAGE)'

# In the make that builds below $(COVERAGE). Stress tests look for races, and
# cover nothing else. Some tests run programs as another user, who must be able to
# add to a profile that is there already; and what an agent counted cannot be
# written from within its sandbox.
.PHONY: coverage-tests
coverage-tests: $(UNIT_TESTS) fuzz-build wire-build
	$(Q)umask 0; mkdir -p '$(BUILD)/profiles'; \
		PVDMA_AGENT_ARGS=--sandbox=off \
		LLVM_PROFILE_FILE='$(abspath $(BUILD))/profiles/%8m.profraw' $(HARNESS) \
		$(UNIT_GROUP) $(WIRE_GROUP) $(call fuzz_group,0,$(FUZZ_NAMES))
