/* One order signed ahead, let through, journaled, proved and sent in one call.
 *
 * A permit is the gate's word, given in advance, that an order may leave as long as nothing that
 * the executor knows has changed. What only the moment can tell is looked at here: the book, the
 * intent's own times, the age of the order. */
#ifndef OVERROUND_PERMIT_H
#define OVERROUND_PERMIT_H

#include <stddef.h>
#include <stdint.h>

#include "overround/layout.h"

#define OVR_MAC_WORDS 28
#define OVR_PERMIT_TEXT_BYTES 4096
#define OVR_REQUEST_BYTES 8192

/* HMAC-SHA256 that has taken in its key. Secret. */
struct ovr_mac {
    uint64_t words[OVR_MAC_WORDS];
};

struct ovr_permit {
    void *board;        /* region that shows the market's book */
    uint64_t lease_ns;  /* how old the beat of its owner may be */
    uint64_t until_ns;  /* the order is too old after this */
    int64_t size_lots;
    int64_t collar_ticks;
    uint32_t market;
    uint16_t price_ticks, tick_ticks; /* the tick as the board has it, 0 for unknown */
    uint8_t outcome, side, takes, whole;
    /* INTENT, SIGNED and SENT around the numbers of the intent, then the body: one behind the
     * other. intent[0] sequence plan intent[1] edge epoch_ms intent[2]; signed[0] sequence
     * signed[1]; sent. Borrowed. */
    const uint8_t *text;
    uint32_t intent_bytes[3], signed_bytes[2], sent_bytes, body_bytes;
};

/* What requests have in common: all up to the timestamp, and method and path as they are signed.
 * Borrowed. */
struct ovr_order_head {
    struct ovr_mac mac;
    const uint8_t *head, *proved;
    uint32_t head_bytes, proved_bytes;
};

struct ovr_permit_use {
    uint8_t *journal; /* in: the mapped segment, its size, where and as what the next record goes */
    uint64_t journal_bytes, offset, sequence;
    uint64_t now_ns, epoch_ns;
    uint64_t ended_ns, book_epoch; /* out: when the last byte was handed over; the book's epoch */
    uint64_t ends[3];              /* out: offsets behind the three records */
    uint32_t request_bytes, written_bytes; /* out: of the request; what the socket took of it */
    struct ovr_board book;                 /* out: the book that was judged */
    uint8_t request[OVR_REQUEST_BYTES];    /* out */
};

/* Absorbs a key. */
void ovr_mac_init(struct ovr_mac *ret, const uint8_t *key, size_t size);

/* Returns 0 if the order may leave now by what only the moment tells, else a negative number and
 * nothing has happened. Fills `book` and `book_epoch`. */
int ovr_permit_allows(const struct ovr_permit *permit, const struct ovr_intent *intent,
                      struct ovr_permit_use *use);

/* As ovr_permit_allows, then appends INTENT, SIGNED and SENT and sends the request on `socket`
 * without waiting. Refuses a socket that has something to read: an answer nobody asked for, or the
 * other side's end. -1 sends nothing. What the socket did not take is the caller's to write: from
 * the return on, bytes may be under way.
 *
 * Who writes: the one thread that owns the journal. Order: the three records are whole before the
 * first byte leaves. Crash in between: a prefix of the three, which the next start tells apart. */
int ovr_permit_send(const struct ovr_permit *permit, const struct ovr_order_head *head,
                    const struct ovr_intent *intent, int socket, struct ovr_permit_use *use);

/* As ovr_permit_send for an order that was judged and signed for this intent: `text` holds the
 * payloads as they are to be written, of intent_bytes[0], signed_bytes[0] and sent_bytes, then the
 * body; the other lengths are 0. */
int ovr_order_send(const struct ovr_permit *order, const struct ovr_order_head *head,
                   const struct ovr_intent *intent, int socket, struct ovr_permit_use *use);

#endif
