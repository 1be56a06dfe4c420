/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - tracepoint macros that changed between kernels
 */
#ifndef PVDMA_COMPAT_TRACE_H
#define PVDMA_COMPAT_TRACE_H

/* The source of a string is named once, in TP_STRUCT__entry, where it can be */
#ifdef PVDMA_HAVE_ASSIGN_STR_ONE
#define PVDMA_ASSIGN_STR(dst, src)	__assign_str(dst)
#else
#define PVDMA_ASSIGN_STR(dst, src)	__assign_str(dst, src)
#endif

#endif
