/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * probe.h - places where bpftrace, perf and SystemTap can look on
 *
 * They are a nop each, and none at all where sys/sdt.h was not there when this
 * was built. docs/operations.md lists them with their arguments; the
 * provider is pvdma. Arguments are integers; they must cost nothing to have.
 */
#ifndef PVDMA_AGENT_PROBE_H
#define PVDMA_AGENT_PROBE_H

#if __has_include(<sys/sdt.h>)
#include <sys/sdt.h>

#define PROBE2(name, a, b)	 DTRACE_PROBE2(pvdma, name, a, b)
#define PROBE3(name, a, b, c)	 DTRACE_PROBE3(pvdma, name, a, b, c)
#define PROBE4(name, a, b, c, d) DTRACE_PROBE4(pvdma, name, a, b, c, d)
#else
#define PROBE2(name, a, b)	 ((void)(a), (void)(b))
#define PROBE3(name, a, b, c)	 ((void)(a), (void)(b), (void)(c))
#define PROBE4(name, a, b, c, d) ((void)(a), (void)(b), (void)(c), (void)(d))
#endif

#endif
