// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bed_inject: keeps L1's KVM clear of a fault of the emulated SVM.
 *
 * When VMRUN injects an external interrupt (EVENTINJ, AMD APM volume 2,
 * 15.20), the emulator (QEMU's helper_vmrun(), 11.1 and before) delivers it
 * at once, but leaves its vector behind as an exception of that CPU's that is
 * pending. The next VM exit forgets it. If the CPU's thread is kicked before
 * (by another CPU's unaligned locked access, by a change of the memory map,
 * by a timer that is late on a busy machine), it is delivered again: whatever
 * RFLAGS.IF says. A guest then handles a timer's interrupt while it holds the
 * run queue's lock, or before it has a stack, and hangs, crashes or resets.
 *
 * So each entry with such an injection is made to exit before the guest's
 * first instruction, by what KVM itself has for that; the next entry injects
 * nothing.
 *
 * Owns: one probe. No locks: the probe is called with interrupts off.
 */
#include <linux/kprobes.h>
#include <linux/kvm_host.h>
#include <linux/module.h>

/* svm_vcpu_run()'s second argument: force_immediate_exit, or run_flags */
#define FORCE_IMMEDIATE_EXIT 1UL

static ulong exits;
module_param(exits, ulong, 0444);
MODULE_PARM_DESC(exits, "entries that were made to exit at once (nearly)");

static int before_run(struct kprobe *probe, struct pt_regs *regs)
{
	const struct kvm_vcpu *vcpu = (const void *)regs->di;

	if (vcpu->arch.interrupt.injected && !vcpu->arch.interrupt.soft) {
		regs->si |= FORCE_IMMEDIATE_EXIT;
		WRITE_ONCE(exits, exits + 1);
	}
	return 0;
}

static struct kprobe run = {
	.symbol_name = "svm_vcpu_run",
	.pre_handler = before_run,
};

static int __init bed_inject_init(void)
{
	return register_kprobe(&run);
}

static void __exit bed_inject_exit(void)
{
	unregister_kprobe(&run);
}

module_init(bed_inject_init);
module_exit(bed_inject_exit);
MODULE_DESCRIPTION("Test bed: interrupts that are injected once");
MODULE_LICENSE("GPL");
