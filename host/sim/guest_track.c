// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_track.c - the guest module's own code for userland: the tracking table
 *
 * That code is GPL-2.0-only, and so is a program that contains it.
 */
#include "host/sim/guest_env.h"

#include "guest/pvdma/track.c"
