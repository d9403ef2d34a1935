struct ovr_mac {
    uint64_t words[28];
};
struct ovr_permit {
    void *board;
    uint64_t lease_ns;
    uint64_t until_ns;
    int64_t size_lots;
    int64_t collar_ticks;
    uint32_t market;
    uint16_t price_ticks, tick_ticks;
    uint8_t outcome, side, takes, whole;
    const uint8_t *text;
    uint32_t intent_bytes[3], signed_bytes[2], sent_bytes, body_bytes;
};
struct ovr_order_head {
    struct ovr_mac mac;
    const uint8_t *head, *proved;
    uint32_t head_bytes, proved_bytes;
};
struct ovr_permit_use {
    uint8_t *journal;
    uint64_t journal_bytes, offset, sequence;
    uint64_t now_ns, epoch_ns;
    uint64_t ended_ns, book_epoch;
    uint64_t ends[3];
    uint32_t request_bytes, written_bytes;
    struct ovr_board book;
    uint8_t request[8192];
};
void ovr_mac_init(struct ovr_mac *ret, const uint8_t *key, size_t size);
int ovr_permit_allows(const struct ovr_permit *permit, const struct ovr_intent *intent,
                      struct ovr_permit_use *use);
int ovr_permit_send(const struct ovr_permit *permit, const struct ovr_order_head *head,
                    const struct ovr_intent *intent, int socket, struct ovr_permit_use *use);
int ovr_order_send(const struct ovr_permit *order, const struct ovr_order_head *head,
                   const struct ovr_intent *intent, int socket, struct ovr_permit_use *use);
