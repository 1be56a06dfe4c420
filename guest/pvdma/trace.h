/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * trace.h - tracepoints, in the order in which a mapping meets them
 *
 * pvdma_miss, pvdma_bounce, pvdma_request, pvdma_answer or pvdma_timeout,
 * pvdma_fail; pvdma_attach and pvdma_detach for endpoints.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM pvdma

#if !defined(PVDMA_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define PVDMA_TRACE_H

#include <linux/tracepoint.h>

#include "compat/trace.h"
#include "pvdma.h"

#define pvdma_trace_type(t) \
	__print_symbolic(t, \
			 { VIRTIO_PVDMA_T_INIT, "INIT" }, \
			 { VIRTIO_PVDMA_T_LEAF, "LEAF" }, \
			 { VIRTIO_PVDMA_T_ATTACH, "ATTACH" }, \
			 { VIRTIO_PVDMA_T_DETACH, "DETACH" }, \
			 { VIRTIO_PVDMA_T_MAP, "MAP" }, \
			 { VIRTIO_PVDMA_T_UNMAP, "UNMAP" }, \
			 { VIRTIO_PVDMA_T_RELEASE, "RELEASE" }, \
			 { VIRTIO_PVDMA_T_PREFETCH, "PREFETCH" })

TRACE_EVENT(pvdma_miss,
	TP_PROTO(struct device *dev, u32 hits, u32 misses),
	TP_ARGS(dev, hits, misses),
	TP_STRUCT__entry(
		__string(name, dev_name(dev))
		__field(u32, hits)
		__field(u32, misses)
	),
	TP_fast_assign(
		PVDMA_ASSIGN_STR(name, dev_name(dev));
		__entry->hits = hits;
		__entry->misses = misses;
	),
	TP_printk("%s hits=%u misses=%u", __get_str(name), __entry->hits,
		  __entry->misses)
);

TRACE_EVENT(pvdma_bounce,
	TP_PROTO(struct device *dev, u64 phys, u64 addr, size_t size),
	TP_ARGS(dev, phys, addr, size),
	TP_STRUCT__entry(
		__string(name, dev_name(dev))
		__field(u64, phys)
		__field(u64, addr)
		__field(size_t, size)
	),
	TP_fast_assign(
		PVDMA_ASSIGN_STR(name, dev_name(dev));
		__entry->phys = phys;
		__entry->addr = addr;
		__entry->size = size;
	),
	TP_printk("%s phys=%#llx addr=%#llx size=%zu", __get_str(name),
		  __entry->phys, __entry->addr, __entry->size)
);

TRACE_EVENT(pvdma_request,
	TP_PROTO(struct pvdma *pv, const struct pvdma_msg *msg),
	TP_ARGS(pv, msg),
	TP_STRUCT__entry(
		__field(int, device)
		__field(u8, type)
		__field(u32, endpoint)
		__field(u16, items)
		__field(u64, granules)
	),
	TP_fast_assign(
		__entry->device = pv->vdev->index;
		__entry->type = msg->head.type;
		__entry->endpoint = le32_to_cpu(msg->head.endpoint);
		__entry->items = pvdma_encode_count(msg);
		__entry->granules = msg->head.type == VIRTIO_PVDMA_T_MAP ||
				    msg->head.type == VIRTIO_PVDMA_T_UNMAP ?
				    pvdma_encode_sum(msg) : 0;
	),
	TP_printk("virtio%d %s endpoint=%u items=%u granules=%llu",
		  __entry->device, pvdma_trace_type(__entry->type),
		  __entry->endpoint, __entry->items, __entry->granules)
);

TRACE_EVENT(pvdma_answer,
	TP_PROTO(struct pvdma *pv, const struct pvdma_msg *msg, int err),
	TP_ARGS(pv, msg, err),
	TP_STRUCT__entry(
		__field(int, device)
		__field(u8, type)
		__field(u32, endpoint)
		__field(u8, status)
		__field(u16, index)
		__field(u32, mapped)
		__field(int, err)
	),
	TP_fast_assign(
		__entry->device = pv->vdev->index;
		__entry->type = msg->head.type;
		__entry->endpoint = le32_to_cpu(msg->head.endpoint);
		__entry->status = msg->tail.status;
		__entry->index = le16_to_cpu(msg->tail.index);
		__entry->mapped = le32_to_cpu(msg->tail.mapped);
		__entry->err = err;
	),
	TP_printk("virtio%d %s endpoint=%u status=%#x index=%u mapped=%u err=%d",
		  __entry->device, pvdma_trace_type(__entry->type),
		  __entry->endpoint, __entry->status, __entry->index,
		  __entry->mapped, __entry->err)
);

TRACE_EVENT(pvdma_timeout,
	TP_PROTO(struct pvdma *pv, unsigned int queue),
	TP_ARGS(pv, queue),
	TP_STRUCT__entry(
		__field(int, device)
		__field(unsigned int, queue)
	),
	TP_fast_assign(
		__entry->device = pv->vdev->index;
		__entry->queue = queue;
	),
	TP_printk("virtio%d queue=%u", __entry->device, __entry->queue)
);

TRACE_EVENT(pvdma_fail,
	TP_PROTO(struct device *dev, u64 phys, size_t size, int err),
	TP_ARGS(dev, phys, size, err),
	TP_STRUCT__entry(
		__string(name, dev_name(dev))
		__field(u64, phys)
		__field(size_t, size)
		__field(int, err)
	),
	TP_fast_assign(
		PVDMA_ASSIGN_STR(name, dev_name(dev));
		__entry->phys = phys;
		__entry->size = size;
		__entry->err = err;
	),
	TP_printk("%s phys=%#llx size=%zu err=%d", __get_str(name),
		  __entry->phys, __entry->size, __entry->err)
);

DECLARE_EVENT_CLASS(pvdma_endpoint,
	TP_PROTO(struct device *dev, u32 number, int err),
	TP_ARGS(dev, number, err),
	TP_STRUCT__entry(
		__string(name, dev_name(dev))
		__field(u32, number)
		__field(int, err)
	),
	TP_fast_assign(
		PVDMA_ASSIGN_STR(name, dev_name(dev));
		__entry->number = number;
		__entry->err = err;
	),
	TP_printk("%s endpoint=%u err=%d", __get_str(name), __entry->number,
		  __entry->err)
);

DEFINE_EVENT(pvdma_endpoint, pvdma_attach,
	TP_PROTO(struct device *dev, u32 number, int err),
	TP_ARGS(dev, number, err));

DEFINE_EVENT(pvdma_endpoint, pvdma_detach,
	TP_PROTO(struct device *dev, u32 number, int err),
	TP_ARGS(dev, number, err));

#endif

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
