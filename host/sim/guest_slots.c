// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * guest_slots.c - the guest module's own code for userland: the slots of copies
 *
 * That code is GPL-2.0-only, and so is a program that contains it.
 */
#include "host/sim/guest_env.h"

#include "guest/pvdma/slots.c"
