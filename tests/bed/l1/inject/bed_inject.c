// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * bed_inject: keeps L1's KVM clear of faults of the emulated SVM, and tells of
 * others.
 *
 * Twice injected. When VMRUN injects an external interrupt (EVENTINJ, AMD APM
 * volume 2, 15.20), the emulator (QEMU's helper_vmrun(), 11.1 and before)
 * delivers it at once, but leaves its vector behind as an exception of that
 * CPU's that is pending. The next VM exit forgets it. If the CPU's thread is
 * kicked before (by another CPU's unaligned locked access, by a change of the
 * memory map, by a timer that is late on a busy machine), it is delivered
 * again: whatever RFLAGS.IF says. A guest then handles a timer's interrupt
 * while it holds the run queue's lock, or before it has a stack, and hangs,
 * crashes or resets.
 *
 * So each entry with such an injection is made to exit before the guest's
 * first instruction, by what KVM itself has for that; the next entry injects
 * nothing.
 *
 * First CPU. On L1's first CPU no guest must run (FIRST_CPU in bedlib/l0.py
 * says why). An entry there is counted, and who started L1 complains.
 *
 * Shutdown. KVM resets a guest whose CPU shuts down (a third fault while two
 * are delivered) and says nothing of it: where it was is said here.
 *
 * Owns: two probes. No locks: the counters may lose a count.
 */
#include <linux/kprobes.h>
#include <linux/kvm_host.h>
#include <linux/module.h>
#include <linux/smp.h>

#include <asm/svm.h>

/* svm_vcpu_run()'s second argument: force_immediate_exit, or run_flags */
#define FORCE_IMMEDIATE_EXIT 1UL

static ulong exits;
module_param(exits, ulong, 0444);
MODULE_PARM_DESC(exits, "entries that were made to exit at once (nearly)");

static ulong strays;
module_param(strays, ulong, 0444);
MODULE_PARM_DESC(strays, "entries on the first CPU");

/* what KVM's struct vcpu_svm begins with */
struct svm_head {
	struct kvm_vcpu vcpu;
	const struct vmcb *vmcb;
};

static int before_run(struct kprobe *probe, struct pt_regs *regs)
{
	const struct kvm_vcpu *vcpu = (const void *)regs->di;

	if (!smp_processor_id())
		WRITE_ONCE(strays, strays + 1);
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

static int before_shutdown(struct kprobe *probe, struct pt_regs *regs)
{
	const struct svm_head *svm = (const void *)regs->di;
	const struct vmcb *v = svm->vmcb;

	pr_info("bed_inject: CPU %d of the guest of %d shut down at %llx: CR2 %llx, CR3 %llx, RSP %llx, event %x/%x\n",
		svm->vcpu.vcpu_id, current->tgid, v->save.rip, v->save.cr2,
		v->save.cr3, v->save.rsp, v->control.exit_int_info,
		v->control.exit_int_info_err);
	return 0;
}

static struct kprobe shutdown = {
	.symbol_name = "shutdown_interception",
	.pre_handler = before_shutdown,
};

static int __init bed_inject_init(void)
{
	int err;

	err = register_kprobe(&run);
	if (err)
		return err;
	err = register_kprobe(&shutdown);
	if (err)
		unregister_kprobe(&run);
	return err;
}

static void __exit bed_inject_exit(void)
{
	unregister_kprobe(&shutdown);
	unregister_kprobe(&run);
}

module_init(bed_inject_init);
module_exit(bed_inject_exit);
MODULE_DESCRIPTION("Test bed: interrupts that are injected once");
MODULE_LICENSE("GPL");
