void ovr_segment_wake_all(void *base);
uint64_t ovr_journal_put(uint8_t *segment, uint64_t capacity, uint64_t offset, uint64_t sequence,
                         uint64_t epoch_ns, uint32_t kind, const char *payload, uint32_t size);
int ovr_slot_load_live(void *base, uint64_t index, uint64_t now_ns, uint64_t lease_ns, void *ret,
                       uint64_t *ret_epoch);
int ovr_spsc_ring_bell(void *base, uint64_t from, int bell, uint64_t spin_ns, const uint32_t *stop);
