#define _GNU_SOURCE
#include "overround/place.h"

#include <errno.h>
#include <linux/mempolicy.h>
#include <stddef.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Pages asked about in one call: the kernel takes two arrays of this length. */
#define PAGES_A_CALL 512

/* The kernel reads one bit less than it is told of (get_nodes in mm/mempolicy.c). */
#define MASK_BITS (OVR_NODES_MAX + 1)

static long answer(long status)
{
    return status == -1 ? -errno : status;
}

int ovr_place_bind(void *base, uint64_t size, uint32_t node)
{
    if (node >= OVR_NODES_MAX) {
        return -EINVAL;
    }
    unsigned long mask = 1UL << node;
    return (int)answer(
        syscall(SYS_mbind, base, size, MPOL_PREFERRED, &mask, MASK_BITS, MPOL_MF_MOVE));
}

int ovr_place_prefer(int32_t node)
{
    if (node >= OVR_NODES_MAX) {
        return -EINVAL;
    }
    if (node < 0) {
        return (int)answer(syscall(SYS_set_mempolicy, MPOL_DEFAULT, NULL, 0));
    }
    unsigned long mask = 1UL << node;
    return (int)answer(syscall(SYS_set_mempolicy, MPOL_PREFERRED, &mask, MASK_BITS));
}

int64_t ovr_place_count(void *base, uint64_t size, uint64_t *counts)
{
    long page_bytes = sysconf(_SC_PAGESIZE);
    uint64_t pages = (size + (uint64_t)page_bytes - 1) / (uint64_t)page_bytes;
    int64_t there = 0;
    memset(counts, 0, OVR_NODES_MAX * sizeof *counts);
    for (uint64_t first = 0; first < pages; first += PAGES_A_CALL) {
        void *where[PAGES_A_CALL];
        int status[PAGES_A_CALL];
        uint64_t count = pages - first < PAGES_A_CALL ? pages - first : PAGES_A_CALL;
        for (uint64_t i = 0; i < count; i++) {
            where[i] = (unsigned char *)base + (first + i) * (uint64_t)page_bytes;
        }
        /* Without a list of targets nothing moves: each page's node is told, or an error. */
        if (syscall(SYS_move_pages, 0, count, where, NULL, status, 0) != 0) {
            return -errno;
        }
        for (uint64_t i = 0; i < count; i++) {
            if (status[i] >= 0 && status[i] < OVR_NODES_MAX) {
                counts[status[i]]++;
                there++;
            }
        }
    }
    return there;
}

int ovr_place_here(void)
{
    unsigned int node = 0;
    return syscall(SYS_getcpu, NULL, &node, NULL) == 0 ? (int)node : -errno;
}
