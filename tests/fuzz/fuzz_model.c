// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Fuzzes the agent's data path against a naive model: tests/unit/support/game.h,
 * with the input as the player. The first byte chooses the granule, the fallback,
 * whether the quota is enforced, and whether the agent maps ahead; then each
 * choice takes a byte, or two where there are more than 256 possibilities.
 *
 * fuzz_request.c does the same without a model, and with a guest that keeps no
 * rules at all.
 */
#include "host/lib/log.h"
#include "tests/fuzz/support/input.h"
#include "tests/unit/support/game.h"

static struct fuzz_input in;

static uint32_t pick(uint32_t n)
{
	return (n > 256 ? fuzz_u16(&in) : fuzz_u8(&in)) % n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const uint8_t shifts[] = { 12, 13, 15, 16 };
	uint8_t how;

	log_set_max_level(-1);
	in = (struct fuzz_input){ data, data + size };
	how = fuzz_u8(&in);
	game_start(&(struct game){
		.shift = shifts[how % 4],
		.fallback = how & 4 ? VM_FALLBACK_DIRECT : VM_FALLBACK_DENY,
		.revokes = how & 8,
		.ahead = how & 16,
		.pick = pick,
	});
	while (fuzz_more(&in))
		game_step();
	game_end();
	return 0;
}
