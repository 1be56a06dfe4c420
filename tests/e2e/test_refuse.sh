# SPDX-License-Identifier: GPL-2.0-or-later
# shellcheck shell=bash
#
# refuse: hosts and guests that do not fit together: the module says what is
# wrong, drives nothing, and the guest goes on.
#
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
# shellcheck source=tests/e2e/steps.sh
. "$E2E_DIR/steps.sh"

# What each fake device has that is wrong, and what the module must say of it:
# DRV-ID-1 (magic), DRV-CONF-1 (the fields), DRV-INIT-1 and DRV-REQ-1 (answers
# to INIT that are no OK: UNSUPP for the version, PENDING, an unknown status).
WRONG=(
	'--magic=0x4d445651|not a pvdma device: its magic is 0x4d445651'
	'--version=0|version 0'
	'--granule-shift=11|granule_shift of 11'
	'--granule-shift=22|granule_shift of 22'
	'--queues=0|num_queues of 0'
	'--max-ranges=0|max_ranges of 0'
	'--init-status=2|request 0x1 .*failed: UNSUPP'
	'--init-status=0xff|request 0x1 .*failed: no answer'
	'--init-status=0x77|request 0x1 .*failed: an unknown status'
)

# The memory of a guest that its host must share, but does not: QEMU shows the
# agent none of it (what a VMM would get that does, DEV-INIT-3, is a wire test).
private_memory() {
	agent_start private "$(bed_bdf nvme)" -- --quota 64M
	vm_start private private --mem 512M --mem-backend memfd-private
	! g private pvdma_load || fail "the module drives the device"
	g_says private 'the host does not answer'
	g_says private 'the host refuses to start'
	contains "the agent's log" "$(agent_log private)" 'share=on'
	same "bytes mapped at the peak" "$(stat_of private vm.mapped_peak)" 0
	g private 'rmmod pvdma; echo alive'
	guest_stop private
	agent_stop private
}

# One guest with a device for each thing that can be wrong.
start_wrong() {
	local i=0 entry devices=''

	for entry in "${WRONG[@]}"; do
		rm -f "$E2E_RUN/fake$i"
		python3 "$E2E_DIR/fake_host.py" --socket "$E2E_RUN/fake$i" "${entry%%|*}" \
			> "$BED_OUT/fake$i.log" 2>&1 < /dev/null &
		eventually 30 "fake host $i" test -S "$E2E_RUN/fake$i"
		devices+=" -chardev socket,id=fake$i,path=$E2E_RUN/fake$i"
		devices+=" -device vhost-user-test-device-pci,chardev=fake$i,virtio-id=39"
		devices+=",num_vqs=2,vq_size=256,config_size=64,addr=$(printf %x $((8 + i))).0"
		i=$((i + 1))
	done
	vm_start_with wrong --mem 512M --mem-backend memfd --qemu-arg "$devices"
}

# The answer "no answer" costs nothing: it was answered, and says so.
none_driven() {
	! g wrong pvdma_load || fail "the module drives a device"
	g wrong dmesg > "$E2E_RUN/wrong.dmesg"
	g wrong 'rmmod pvdma; echo alive'
}

wrong_is_named() {
	contains "the guest's kernel log" "$E2E_RUN/wrong.dmesg" "$1"
}

# DRV-CAP-1: an endpoint of another VM's agent is not ours to map for.
foreign() {
	agent_start theirs "$(bed_bdf nvme)" -- --quota 64M
	agent_start ours "$(bed_bdf e1000e)" -- --quota 64M
	vm_start_with foreign --mem 512M --mode vfio-user \
		--sock "$(agent_dir ours)/dev0" "$(agent_dir theirs)/dev0" \
		--vhost-sock "$(agent_dir ours)/vhost"
	load_pvdma foreign 1
	g_says foreign "$(guest_bdf 1): pvdma: capability with tag .* of another VM"
	guest_stop foreign
	agent_stop ours
	agent_stop theirs
}

step share-off private_memory
start_wrong
step wrong-refused none_driven
for entry in "${WRONG[@]}"; do
	name=${entry%%|*} name=${name#--}
	step "wrong-${name/=/-}" wrong_is_named "${entry#*|}"
done
guest_stop wrong
step foreign foreign
