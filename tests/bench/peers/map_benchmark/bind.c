// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bind.c - what map_benchmark lacks as a module
 *
 * The kernel does not export the function that ties threads to a node. Kbuild
 * renames it, here and where it is declared and called.
 */
#include <linux/kthread.h>
#include <linux/module.h>
#include <linux/sched.h>

void kthread_bind_mask(struct task_struct *k, const struct cpumask *mask)
{
	set_cpus_allowed_ptr(k, mask);
}

MODULE_DESCRIPTION("The kernel's map_benchmark");
MODULE_LICENSE("GPL");
