// SPDX-License-Identifier: GPL-2.0-or-later
/* model.c - see model.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/support/model.h"

#define MAPPED VIRTIO_PVDMA_W_MAPPED
#define COUNT  VIRTIO_PVDMA_W_COUNT

void model_init(struct model *m)
{
	m->granules = guest_granules(&m->g);
	m->shown = calloc(m->granules, sizeof(*m->shown));
	m->hinted = calloc(m->granules, sizeof(*m->hinted));
	m->before = calloc(m->granules, sizeof(*m->before));
	assert_true(m->shown && m->hinted && m->before);
}

void model_done(struct model *m)
{
	free(m->shown);
	free(m->hinted);
	free(m->before);
}

/* --- what is so --- */

static bool is_memory(const struct model *m, uint64_t gpa)
{
	return gpa < m->g.size &&
	       (gpa >= m->fixed || m->slot[gpa / m->slot_bytes]);
}

static uint64_t granule_size(const struct model *m)
{
	return (uint64_t)1 << m->g.shift;
}

/* Bytes of memory in a granule. */
static uint64_t bytes_of(const struct model *m, uint64_t granule)
{
	uint64_t at = granule << m->g.shift, bytes = 0;

	for (uint64_t i = 0; i < granule_size(m); i += MODEL_PAGE)
		bytes += is_memory(m, at + i) ? MODEL_PAGE : 0;
	return bytes;
}

/* Is all of the granule's memory mapped? */
static bool is_mapped(const struct model *m, uint64_t granule)
{
	uint64_t at = granule << m->g.shift;
	bool all = true;

	for (uint64_t i = 0; i < granule_size(m); i += MODEL_PAGE) {
		bool mapped = null_iommu_mapped(m->g.iommu, at + i);

		assert_true(!mapped || is_memory(m, at + i));
		all &= mapped || !is_memory(m, at + i);
	}
	return all && bytes_of(m, granule) > 0;
}

const struct ledger_extent *model_extent(const struct model *m,
					 uint64_t granule)
{
	uint32_t extent = ledger_find(m->g.vm->ledger, granule);

	return extent == LEDGER_NONE ? NULL :
				       ledger_get(m->g.vm->ledger, extent);
}

bool model_held(const struct model *m, uint64_t granule)
{
	return guest_look(&m->g, granule) & COUNT;
}

bool model_shows(const struct model *m, uint64_t granule)
{
	return guest_look(&m->g, granule) & MAPPED;
}

/* Bytes of extents of which a granule is held. */
static uint64_t busy_bytes(const struct model *m)
{
	uint64_t bytes = 0, at = 0;
	uint32_t extent;

	while ((extent = ledger_seek(m->g.vm->ledger, at)) != LEDGER_NONE) {
		const struct ledger_extent *e =
			ledger_get(m->g.vm->ledger, extent);

		for (at = ledger_first(e); at < ledger_end(e); at++) {
			if (model_held(m, at)) {
				bytes += e->charge.bytes;
				break;
			}
		}
		at = ledger_end(e);
	}
	return bytes;
}

/* --- what must be so --- */

void model_check_words(const struct model *m)
{
	for (uint64_t i = 0; i < m->granules; i++) {
		bool shown = model_shows(m, i);

		if (!m->alive)
			assert_int_equal(shown, m->shown[i]);
		else if (shown)
			assert_true(is_mapped(m, i));
	}
}

void model_check_transfers(const struct model *m)
{
	for (int t = 0; t < MODEL_TRANSFERS; t++) {
		const struct transfer *x = &m->transfers[t];

		for (unsigned int i = 0; x->safe && i < x->n; i++) {
			for (uint32_t k = 0; k < x->count[i]; k++)
				assert_true(is_mapped(m, x->first[i] + k));
		}
	}
}

void model_forbid(struct model *m)
{
	m->alive = false;
	for (uint64_t i = 0; i < m->granules; i++)
		m->shown[i] = model_shows(m, i);
}

void model_before_work(struct model *m)
{
	for (uint64_t i = 0; i < m->granules; i++)
		m->before[i] = is_mapped(m, i);
	m->charged_before = guest_stats(&m->g).mapped_bytes;
}

void model_check_work(const struct model *m)
{
	struct vm_stats stats = guest_stats(&m->g);

	assert_true(stats.mapped_bytes <= max(stats.quota, m->charged_before));
	for (uint64_t i = 0; i < m->granules; i++) {
		bool mapped = is_mapped(m, i);

		if (m->before[i] && model_held(m, i))
			assert_true(mapped);
		if (m->hints_only && mapped && !m->before[i])
			assert_true(m->hinted[i]);
	}
}

/* --- what is to be expected --- */

/* Is each granule of piece @i memory, and not more than could be mapped? */
static uint8_t expect_piece(const struct model *m, const struct transfer *t,
			    unsigned int i)
{
	struct vm_stats stats = guest_stats(&m->g);
	uint64_t bytes = 0;

	for (uint32_t k = 0; k < t->count[i]; k++) {
		if (bytes_of(m, t->first[i] + k) == 0)
			return VIRTIO_PVDMA_R_RANGE;
		bytes += bytes_of(m, t->first[i] + k);
	}
	return bytes > stats.quota && bytes > stats.mapped_bytes ?
		       VIRTIO_PVDMA_R_QUOTA :
		       VIRTIO_PVDMA_R_OK;
}

/* Does what is missing fit beside all that must stay? */
static uint8_t expect_room(const struct model *m, const struct transfer *t)
{
	bool *seen = calloc(m->granules, sizeof(*seen));
	uint64_t missing = 0, quota = guest_stats(&m->g).quota;
	bool partial = false;

	assert_non_null(seen);
	for (unsigned int i = 0; i < t->n; i++) {
		for (uint32_t k = 0; k < t->count[i]; k++) {
			uint64_t granule = t->first[i] + k;
			const struct ledger_extent *e =
				model_extent(m, granule);

			if (!seen[granule] && !e)
				missing += bytes_of(m, granule);
			partial |= e && (e->flags & LEDGER_PARTIAL);
			seen[granule] = true;
		}
	}
	free(seen);
	if (partial || (missing > 0 && missing + busy_bytes(m) > quota))
		return VIRTIO_PVDMA_R_QUOTA;
	return VIRTIO_PVDMA_R_OK;
}

uint8_t model_expect_attached(const struct model *m, uint32_t endpoint)
{
	if (!m->running || !m->inited)
		return VIRTIO_PVDMA_R_STATE;
	if (endpoint > 1 || m->absent[endpoint])
		return VIRTIO_PVDMA_R_NOENT;
	return m->attached[endpoint] ? VIRTIO_PVDMA_R_OK : VIRTIO_PVDMA_R_STATE;
}

uint8_t model_expect_map(const struct model *m, const struct transfer *t,
			 uint32_t endpoint)
{
	uint8_t status = model_expect_attached(m, endpoint);

	for (unsigned int i = 0; status == VIRTIO_PVDMA_R_OK && i < t->n; i++)
		status = expect_piece(m, t, i);
	return status == VIRTIO_PVDMA_R_OK ? expect_room(m, t) : status;
}
