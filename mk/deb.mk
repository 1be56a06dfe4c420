# SPDX-License-Identifier: GPL-2.0-or-later
#
# Debian packages, built as an ordinary user from a copy of the tree: what git
# knows of, or would add, and nothing that was built.
#
#   $(DEB)/pvdma-VERSION/   the copy, with packaging/debian as its debian/
#   $(DEB)/*.deb            the packages
#
# DEB_SUFFIX makes another version of the same sources (0.1.0-1SUFFIX).

DEB := $(BUILD)/deb
DEB_TREE := $(DEB)/pvdma-$(VERSION)
DEB_SUFFIX ?=
# Our own variables and flags are not those of the packages' build.
DEB_ENV := env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL -u MAKEOVERRIDES -u BUILD -u CC -u V \
	DEB_BUILD_OPTIONS=parallel=$(or $(JOBS),2)

.PHONY: deb
deb: ## Debian packages, in build/deb/
	$(Q)scripts/setup deb
	$(say) COPY '$(DEB_TREE)'
	$(Q)rm -rf -- '$(DEB)'
	$(Q)mkdir -p '$(DEB_TREE)'
	$(Q). scripts/lint/lib.sh; sources '*' | tar -c -T - | tar -x -C '$(DEB_TREE)'
	$(Q)cp -r packaging/debian '$(DEB_TREE)/debian'
	$(Q)sed -i '1s/(\(.*\))/(\1$(DEB_SUFFIX))/' '$(DEB_TREE)/debian/changelog'
	$(Q)cd '$(DEB_TREE)' && test "$$(dpkg-parsechangelog -S Version | sed 's/-[^-]*$$//')" = '$(VERSION)' || \
		{ echo 'packaging/debian/changelog is of another version than the Makefile' >&2; exit 1; }
	$(say) DEB '$(DEB)/'
	$(Q)cd '$(DEB_TREE)' && $(DEB_ENV) dpkg-buildpackage -us -uc -b > ../build.log 2>&1 || \
		{ tail -n 30 ../build.log >&2; echo 'all of it: $(DEB)/build.log' >&2; exit 1; }
	$(Q)ls '$(DEB)'/*.deb

.PHONY: check-packages
check-packages: deb ## judge the Debian packages; build the module as DKMS does
	$(Q)scripts/setup check
	$(Q)$(HARNESS) $(DEB_GROUPS)
