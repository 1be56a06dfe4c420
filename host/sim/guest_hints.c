// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_hints.c - the guest module's own code for userland: what to tell the host of
 *
 * That code is GPL-2.0-only, and so is a program that contains it.
 */
#include "host/sim/guest_env.h"

#include "guest/pvdma/hints.c"
