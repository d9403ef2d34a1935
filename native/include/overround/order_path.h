/* Helpers of the order path: each does in one call what would cost Python several. */
#ifndef OVERROUND_ORDER_PATH_H
#define OVERROUND_ORDER_PATH_H

#include <stddef.h>
#include <stdint.h>

#define OVR_JOURNAL_HEAD_BYTES 32

/* Writes one journal record at `offset` of a mapped segment of `capacity` bytes: length u32,
 * crc u32, sequence u64, epoch_ns u64, kind u16, flags u16, size u32, payload, zeros to 8 bytes.
 * Returns the offset behind it, or 0 if it does not fit (nothing was written).
 *
 * Who writes: the journal's one owner. Who reads: anybody. What a reader may see: a length of zero
 * (no record) or a record. Order: the length is stored last, with release. Crash mid-write: bytes
 * behind a length of zero, which the next owner finds and cuts as a torn tail. */
uint64_t ovr_journal_put(uint8_t *segment, uint64_t capacity, uint64_t offset, uint64_t sequence,
                         uint64_t epoch_ns, uint32_t kind, const void *payload, uint32_t size);

/* Loads a slot whose owner must be alive: as ovr_slot_load, and -EPROTO if the segment is not
 * usable or changed its owner meanwhile. Stores the epoch it was read under. */
int ovr_slot_load_live(void *base, uint64_t index, uint64_t now_ns, uint64_t lease_ns, void *ret,
                       uint64_t *ret_epoch);

/* Adds 1 to the eventfd `bell` whenever a bounded ring has got records beyond the ones it rang for,
 * `from` on, until *stop is not zero (then wake the segment, or wait 50 ms). Never consumes.
 * Returns 0, or an errno of the bell. */
int ovr_spsc_ring_bell(void *base, uint64_t from, int bell, uint64_t spin_ns, const uint32_t *stop);

#endif
