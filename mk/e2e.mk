# SPDX-License-Identifier: GPL-2.0-or-later
#
# Programs that run inside of the nested bed, beside the agent and
# pvdma-work (mk/build.mk).
#
# The backends' unit suite runs once more in the bed's emulated host, where there is
# a real container; the host has no cmocka, so its library travels with the suite,
# and no sanitizers' libraries, so it is built without.

E2E_BIN := $(BUILD)/e2e/bin

$(E2E_BIN)/canary: tests/e2e/canary.c $(BUILD)/flags
	$(say) LINK '$@'
	@mkdir -p $(@D)
	$(Q)$(CC) -std=gnu11 $(WARNINGS) $(CFLAGS) -static -o $@ $<

E2E_SUITE := $(if $(wildcard tests/unit/test_iommu.c),$(E2E_BIN)/test_iommu)
E2E_SUITE_OBJ := $(call objects,$(BUILD),tests/unit/test_iommu.c)

# A library, for the suite takes what it needs of it and no more.
$(BUILD)/lib/libpvdma-test.list: STAMP = $(call objects,$(BUILD),$(UNIT_SUPPORT_SRC))
$(BUILD)/lib/libpvdma-test.a: $(call objects,$(BUILD),$(UNIT_SUPPORT_SRC)) \
		$(BUILD)/lib/libpvdma-test.list

$(E2E_BIN)/test_iommu: $(E2E_SUITE_OBJ) $(BUILD)/lib/libpvdma-test.a \
		$(BUILD)/lib/libpvdma-agent.a $(BUILD)/lib/libpvdma-host.a
	$(say) LINK '$@'
	@mkdir -p $(@D)
	$(Q)$(CC) $(CFLAGS) $(HARDEN_CFLAGS) $(HARDEN_LDFLAGS) -Wl,-rpath,'$$ORIGIN' \
		-o $@ $(filter %.o %.a,$^) -lcmocka $(LIBS)
	$(Q)cp -L "$$($(CC) -print-file-name=libcmocka.so.0)" $(@D)

.PHONY: e2e-build
e2e-build: $(call agent_of,$(BUILD)) $(BUILD)/bin/pvdma-work $(E2E_BIN)/canary $(E2E_SUITE)
