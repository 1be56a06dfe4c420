# SPDX-License-Identifier: GPL-2.0-or-later
#
# How the sources are judged: each lint is a program scripts/lint/NAME that says
# what it found. A tool that is missing is an error.

LINTS := text licences sizes links spec headers format shell python cppcheck \
	tidy checkpatch sparse

# For the lints that read C as the compiler does: one word a flag.
export LINT_CFLAGS = $(subst ',,$(BASE_CFLAGS))

.PHONY: lint
lint: ## judge the sources: style, licences, sizes, static analysis, the spec
	$(Q)scripts/setup lint
	$(Q)$(HARNESS) $(LINT_GROUP)

.PHONY: format
format: ## put all C into the project's format, or FILES=... alone
	$(Q)clang-format -i $(or $(FILES),$$(. scripts/lint/lib.sh; sources '*.c' '*.h' | grep -v 'guest/.*/trace\.h$$'))
