#include "overround/order_path.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "overround/crc32c.h"
#include "overround/segment.h"
#include "overround/slots.h"
#include "overround/spsc.h"

/* A sleeping bell looks at its stop word this often, in case nobody woke it. */
#define BELL_LOOK_NS UINT64_C(50000000)

uint64_t ovr_journal_put(uint8_t *segment, uint64_t capacity, uint64_t offset, uint64_t sequence,
                         uint64_t epoch_ns, uint32_t kind, const void *payload, uint32_t size)
{
    uint64_t length = (OVR_JOURNAL_HEAD_BYTES + (uint64_t)size + 7) & ~UINT64_C(7);
    if (offset > capacity || capacity - offset < length) {
        return 0;
    }
    uint8_t *record = segment + offset;
    uint32_t kind_and_flags = kind & 0xffff;
    memcpy(record + 8, &sequence, 8);
    memcpy(record + 16, &epoch_ns, 8);
    memcpy(record + 24, &kind_and_flags, 4);
    memcpy(record + 28, &size, 4);
    memcpy(record + OVR_JOURNAL_HEAD_BYTES, payload, size);
    memset(record + OVR_JOURNAL_HEAD_BYTES + size, 0, length - OVR_JOURNAL_HEAD_BYTES - size);
    uint32_t crc = ovr_crc32c(0, record + 8, length - 8);
    memcpy(record + 4, &crc, 4);
    /* The record before the length that shows it; readers check its CRC as well. */
    __atomic_store_n((uint32_t *)(void *)record, (uint32_t)length, __ATOMIC_RELEASE);
    return offset + length;
}

int ovr_slot_load_live(void *base, uint64_t index, uint64_t now_ns, uint64_t lease_ns, void *ret,
                       uint64_t *ret_epoch)
{
    *ret_epoch = ovr_segment_epoch(base);
    if (!ovr_segment_usable(base, now_ns, lease_ns)) {
        return -EPROTO;
    }
    int status = ovr_slot_load(base, index, ret);
    /* SYNC(epoch): the look before and this one bracket the copy. */
    return status == 0 && ovr_segment_epoch(base) != *ret_epoch ? -EPROTO : status;
}

int ovr_spsc_ring_bell(void *base, uint64_t from, int bell, uint64_t spin_ns, const uint32_t *stop)
{
    static const uint64_t one = 1;
    while (__atomic_load_n(stop, __ATOMIC_ACQUIRE) == 0) {
        if (!ovr_spsc_wait(base, from, spin_ns, BELL_LOOK_NS)) {
            continue;
        }
        from = ovr_segment_cursor(base);
        /* EAGAIN: the count is at its end, so the loop was told more than once already. */
        if (write(bell, &one, sizeof one) != sizeof one && errno != EAGAIN && errno != EINTR) {
            return errno;
        }
    }
    return 0;
}
