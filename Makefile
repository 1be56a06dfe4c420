# SPDX-License-Identifier: GPL-2.0-or-later
#
# pvdma: what can be built, tested and installed. `make help` lists it.
#
#   mk/build.mk    how C becomes libraries and programs, per build variant
#   mk/test.mk     which tests there are and how they are run
#   mk/coverage.mk  how much of the code the tests run
#   mk/e2e.mk      programs that run inside of the nested bed
#   mk/lint.mk     how the sources are judged
#   mk/install.mk  what goes where on a system
#   mk/deb.mk      Debian packages of that
#
# Everything is built below $(BUILD); the checkout itself stays clean. `make`
# never installs anything on the machine; what needs more than a compiler does
# (check, demo, deb, lint, bench, ...), by way of scripts/setup, which says so first.

VERSION := 0.1.0

BUILD ?= build
# V=1 shows the commands.
V ?= 0

SHELL := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS += --no-builtin-rules --no-print-directory
.DELETE_ON_ERROR:
.SUFFIXES:

ifeq ($(V),1)
Q :=
say = @:
else
Q := @
say = @printf '  %-7s %s\n'
endif

.PHONY: help
help: ## list the targets
	@echo 'make TARGET...'
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## / { printf "  %-14s %s\n", $$1, $$2 }' \
		$(MAKEFILE_LIST) | sort
	@echo
	@echo 'Variables: V=1 CC=clang CFLAGS=... BUILD=folder JOBS=N'
	@echo '  fuzz:    FUZZ=name FUZZ_TIME=seconds'
	@echo '  install: DESTDIR=folder prefix=/usr/local'

include mk/build.mk
include mk/test.mk
include mk/coverage.mk
include mk/e2e.mk
include mk/lint.mk
include mk/install.mk
include mk/deb.mk

.DEFAULT_GOAL := all

.PHONY: clean
clean: ## remove everything that was built
	$(Q)rm -rf -- '$(BUILD)'
