/* Where memory and threads are: the kernel's own calls, without libnuma.
 *
 * Nothing here is fatal: a machine of one node, a container that forbids the calls, a kernel
 * without them answer with -errno, and the caller shows what it got instead of what it asked. */
#ifndef OVERROUND_PLACE_H
#define OVERROUND_PLACE_H

#include <stdint.h>

#define OVR_NODES_MAX 64

/* Wants a mapping's pages on `node`, now and for whoever touches them later; pages that are
 * elsewhere move unless another process maps them. When the node is full, others serve.
 * Returns 0 or -errno (-EINVAL: no such node). */
int ovr_place_bind(void *base, uint64_t size, uint32_t node);

/* Wants what this thread allocates from here on from `node`; a negative one means wherever the
 * thread runs, which is the kernel's default. Returns 0 or -errno. */
int ovr_place_prefer(int32_t node);

/* Counts a mapping's pages by node into counts[OVR_NODES_MAX]. Pages that are not there count
 * nowhere. Returns how many pages are there, or -errno. */
int64_t ovr_place_count(void *base, uint64_t size, uint64_t *counts);

/* Returns the node of the CPU that this thread runs on, or -errno. */
int ovr_place_here(void);

#endif
