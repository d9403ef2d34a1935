/* Seqlocked slots: the latest value of each index, always whole.
 *
 * Who writes: the owner of the segment. Who reads: anybody, any index, any time.
 * What a reader may see: one whole version, or -EAGAIN; never a mix. A slot nobody stored yet has
 * sequence 0 and zeros. Order: SYNC(slot) brackets the payload with the slot's sequence, odd while
 * writing; version = sequence / 2. Lap: versions may be skipped, that is the purpose; 64 bits do
 * not wrap. Crash mid-write: an odd sequence for ever. Readers give up after OVR_SLOT_RETRIES
 * looks and report it; the next owner's repair blanks the slot (a blank book is untrusted).
 * Capacity: fixed indices; the cursor is the high-water mark, so an append is a store at the
 * cursor and readers sweep only what was used. Cost: one copy each side; a reader in luck makes
 * two looks at the sequence, and the writer never waits. */
#ifndef OVERROUND_SLOTS_H
#define OVERROUND_SLOTS_H

#include <stdint.h>

/* About 40 us of pauses: much longer than any store, much shorter than a scheduling slice. */
#define OVR_SLOT_RETRIES 1000

/* Stores a copy of `record` (first word ignored) and raises the high-water mark. Returns the new
 * sequence, or 0 if the index is out of range. */
uint64_t ovr_slot_store(void *base, uint64_t index, const void *record);

/* Stores the first `head_words` words of `record`, and of the others those whose bit in `changed`
 * is set (bit n: word n): the slot holds the rest since the store that returned `last`. If it was
 * written since then, or `last` is 0, everything is stored. Returns as ovr_slot_store does. */
uint64_t ovr_slot_update(void *base, uint64_t index, const void *record, uint32_t head_words,
                         uint64_t changed, uint64_t last);

/* Stores at the high-water mark; returns the index, or -ENOSPC. */
int64_t ovr_slot_append(void *base, const void *record);

/* Copies one slot with its sequence. Returns 0, -EAGAIN (writer stuck or dead mid-write; *ret is
 * undefined), -ERANGE. */
int ovr_slot_load(void *base, uint64_t index, void *ret);

/* Copies `count` slots from `first` on; ok[i] says whether slot i is whole, the others are zeroed.
 * Returns how many are whole; 0 also if the range is not inside the region. */
uint64_t ovr_slot_load_many(void *base, uint64_t first, uint64_t count, void *ret, uint8_t *ok);

/* Take-over: blanks every half-written slot and makes its sequence even; returns how many. */
uint64_t ovr_slot_repair(void *base);

#endif
