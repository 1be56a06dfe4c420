// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_unmap.c - the guest module's own code for userland: the way back of a strict mapping
 *
 * That code is GPL-2.0-only, and so is a program that contains it.
 */
#include "host/sim/guest_env.h"

#include "guest/pvdma/unmap.c"
