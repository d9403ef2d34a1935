#define OPENSSL_SUPPRESS_DEPRECATED
#include "overround/permit.h"

#include <errno.h>
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

#include "overround/clock.h"
#include "overround/order_path.h"

#define PRICE_TICKS_MAX 10000
#define LEVELS 16
#define KIND_INTENT 1
#define KIND_SIGNED 2
#define KIND_SENT 3
#define NUMBER_BYTES_MAX 9
#define NS_PER_MS UINT64_C(1000000)
#define NS_PER_S UINT64_C(1000000000)
#define SIGNATURE_BYTES 44
/* Digits of the time and of the length, the names of two headers, their line ends. */
#define HEAD_REST_BYTES 128

struct mac_state {
    SHA256_CTX inner, outer;
};
_Static_assert(sizeof(struct mac_state) <= sizeof(struct ovr_mac), "the states fit");

void ovr_mac_init(struct ovr_mac *ret, const uint8_t *key, size_t size)
{
    uint8_t block[SHA256_CBLOCK] = {0}, pad[SHA256_CBLOCK];
    struct mac_state state;
    if (size > sizeof block) {
        SHA256(key, size, block);
    } else {
        memcpy(block, key, size);
    }
    for (int side = 0; side < 2; side++) {
        for (size_t i = 0; i < sizeof pad; i++) {
            pad[i] = block[i] ^ (side == 0 ? 0x36 : 0x5c);
        }
        SHA256_CTX *context = side == 0 ? &state.inner : &state.outer;
        SHA256_Init(context);
        SHA256_Update(context, pad, sizeof pad);
    }
    memcpy(ret, &state, sizeof state);
}

struct side {
    const uint16_t *ticks;
    const int64_t *lots;
    uint16_t levels;
};

/* The two rules of the gate that the book alone decides; decide/risk.py is their text, and a test
 * compares both over random books. Everything in prices of YES. */
static int book_admits(const struct ovr_permit *permit, const struct ovr_board *book)
{
    struct side bids = {book->bid_ticks, book->bid_lots, book->bid_levels};
    struct side asks = {book->ask_ticks, book->ask_lots, book->ask_levels};
    int buys_yes = permit->outcome == permit->side;
    struct side there = buys_yes ? asks : bids, own = buys_yes ? bids : asks;
    int limit = permit->outcome ? PRICE_TICKS_MAX - permit->price_ticks : permit->price_ticks;
    struct side best = there.levels > 0 && there.lots[0] > 0 ? there : own;
    if (best.levels == 0 || best.lots[0] <= 0 || there.levels > LEVELS || own.levels > LEVELS) {
        return 0;
    }
    int through = buys_yes ? limit - best.ticks[0] : best.ticks[0] - limit;
    if (through > permit->collar_ticks) {
        return 0;
    }
    if (!permit->takes) {
        return 1;
    }
    int64_t lots = 0;
    for (int i = 0; i < there.levels; i++) {
        if (buys_yes ? there.ticks[i] <= limit : there.ticks[i] >= limit) {
            lots += there.lots[i];
        }
    }
    return lots > 0 && (!permit->whole || lots >= permit->size_lots);
}

int ovr_permit_allows(const struct ovr_permit *permit, const struct ovr_intent *intent,
                      struct ovr_permit_use *use)
{
    const uint32_t judged = OVR_BOOK_TRUSTED | OVR_BOOK_CROSSED | OVR_BOOK_RESOLVED;
    struct ovr_board *book = &use->book;
    if (use->now_ns >= intent->expires_ns || use->now_ns > permit->until_ns ||
        intent->expiration_s != 0) {
        return -ETIME;
    }
    int status = ovr_slot_load_live(permit->board, permit->market, use->now_ns, permit->lease_ns,
                                    book, &use->book_epoch);
    if (status != 0) {
        return status;
    }
    if (use->book_epoch != intent->ingress_epoch || (book->flags & judged) != OVR_BOOK_TRUSTED ||
        book->tick_ticks != permit->tick_ticks || !book_admits(permit, book)) {
        return -EPERM;
    }
    return 0;
}

static uint8_t *put_bytes(uint8_t *out, const uint8_t **text, uint32_t size)
{
    memcpy(out, *text, size);
    *text += size;
    return out + size;
}

/* MessagePack, the shortest form: what msgspec writes. */
static uint8_t *put_number(uint8_t *out, uint64_t value)
{
    static const uint8_t marks[] = {0xcc, 0xcd, 0xce, 0xcf};
    if (value < 0x80) {
        *out++ = (uint8_t)value;
        return out;
    }
    int power = value > UINT32_MAX ? 3 : value > UINT16_MAX ? 2 : value > UINT8_MAX ? 1 : 0;
    *out++ = marks[power];
    for (int shift = 8 * (1 << power) - 8; shift >= 0; shift -= 8) {
        *out++ = (uint8_t)(value >> shift);
    }
    return out;
}

static uint8_t *put_signed(uint8_t *out, int64_t value)
{
    if (value >= 0) {
        return put_number(out, (uint64_t)value);
    }
    if (value >= -32) {
        *out++ = (uint8_t)value;
        return out;
    }
    int power = value < INT32_MIN ? 3 : value < INT16_MIN ? 2 : value < INT8_MIN ? 1 : 0;
    *out++ = (uint8_t)(0xd0 + power);
    for (int shift = 8 * (1 << power) - 8; shift >= 0; shift -= 8) {
        *out++ = (uint8_t)((uint64_t)value >> shift);
    }
    return out;
}

/* Appends the three records that lie one behind the other, all or none; returns 0 if they do not
 * fit into the segment. */
static int put_records(const uint8_t *const starts[4], struct ovr_permit_use *use)
{
    static const uint32_t kinds[3] = {KIND_INTENT, KIND_SIGNED, KIND_SENT};
    uint64_t room = (uint64_t)(starts[3] - starts[0]) + 3 * (OVR_JOURNAL_HEAD_BYTES + 7);
    if (use->offset > use->journal_bytes || use->journal_bytes - use->offset < room) {
        return 0;
    }
    uint64_t at = use->offset;
    for (uint32_t i = 0; i < 3; i++) {
        at = use->ends[i] =
            ovr_journal_put(use->journal, use->journal_bytes, at, use->sequence + i, use->epoch_ns,
                            kinds[i], starts[i], (uint32_t)(starts[i + 1] - starts[i]));
    }
    return 1;
}

/* Appends the records, the intent's own numbers put in. */
static int append(const struct ovr_permit *permit, const struct ovr_intent *intent,
                  struct ovr_permit_use *use)
{
    uint8_t payloads[OVR_PERMIT_TEXT_BYTES + 5 * NUMBER_BYTES_MAX];
    uint8_t *out = payloads;
    const uint8_t *text = permit->text;
    out = put_bytes(out, &text, permit->intent_bytes[0]);
    out = put_number(out, intent->producer_sequence);
    out = put_number(out, intent->plan);
    out = put_bytes(out, &text, permit->intent_bytes[1]);
    out = put_signed(out, intent->edge_micro);
    out = put_number(out, use->epoch_ns / NS_PER_MS);
    out = put_bytes(out, &text, permit->intent_bytes[2]);
    const uint8_t *starts[4] = {payloads, out, NULL, NULL};
    out = put_bytes(out, &text, permit->signed_bytes[0]);
    out = put_number(out, intent->producer_sequence);
    starts[2] = out = put_bytes(out, &text, permit->signed_bytes[1]);
    starts[3] = put_bytes(out, &text, permit->sent_bytes);
    return put_records(starts, use);
}

/* As append, where the payloads are whole already. */
static int append_whole(const struct ovr_permit *permit, const struct ovr_intent *intent,
                        struct ovr_permit_use *use)
{
    (void)intent;
    const uint8_t *text = permit->text;
    const uint8_t *starts[4] = {text, text + permit->intent_bytes[0], NULL, NULL};
    starts[2] = starts[1] + permit->signed_bytes[0];
    starts[3] = starts[2] + permit->sent_bytes;
    return put_records(starts, use);
}

/* Formats the request; the length has been checked. */
static void prove(const struct ovr_permit *permit, const struct ovr_order_head *head,
                  struct ovr_permit_use *use)
{
    const uint8_t *body = permit->text + permit->intent_bytes[0] + permit->intent_bytes[1] +
                          permit->intent_bytes[2] + permit->signed_bytes[0] +
                          permit->signed_bytes[1] + permit->sent_bytes;
    struct mac_state state;
    uint8_t digest[SHA256_DIGEST_LENGTH], *out = use->request;
    memcpy(&state, &head->mac, sizeof state);
    memcpy(out, head->head, head->head_bytes);
    out += head->head_bytes;
    int digits = snprintf((char *)out, 24, "%llu", (unsigned long long)(use->epoch_ns / NS_PER_S));
    SHA256_Update(&state.inner, out, (size_t)digits);
    SHA256_Update(&state.inner, head->proved, head->proved_bytes);
    SHA256_Update(&state.inner, body, permit->body_bytes);
    SHA256_Final(digest, &state.inner);
    SHA256_Update(&state.outer, digest, sizeof digest);
    SHA256_Final(digest, &state.outer);
    out += digits;
    static const char name[] = "\r\nPOLY_SIGNATURE: ";
    memcpy(out, name, sizeof name - 1);
    out += sizeof name - 1;
    EVP_EncodeBlock(out, digest, sizeof digest);
    for (int i = 0; i < SIGNATURE_BYTES; i++, out++) {
        *out = *out == '+' ? '-' : *out == '/' ? '_' : *out;
    }
    out += snprintf((char *)out, 48, "\r\nContent-Length: %u\r\n\r\n", permit->body_bytes);
    memcpy(out, body, permit->body_bytes);
    use->request_bytes = (uint32_t)(out - use->request) + permit->body_bytes;
}

/* Whether nothing waits to be read, the other side's end included: as Connection.look. */
static int quiet(int socket)
{
    uint8_t byte;
    return recv(socket, &byte, 1, MSG_PEEK | MSG_DONTWAIT) < 0 &&
           (errno == EAGAIN || errno == EWOULDBLOCK);
}

typedef int append_fn(const struct ovr_permit *permit, const struct ovr_intent *intent,
                      struct ovr_permit_use *use);

static int let_out(const struct ovr_permit *permit, const struct ovr_order_head *head,
                   const struct ovr_intent *intent, int socket, struct ovr_permit_use *use,
                   append_fn *journal)
{
    uint64_t text = (uint64_t)permit->intent_bytes[0] + permit->intent_bytes[1] +
                    permit->intent_bytes[2] + permit->signed_bytes[0] + permit->signed_bytes[1] +
                    permit->sent_bytes;
    uint64_t request = (uint64_t)head->head_bytes + HEAD_REST_BYTES + permit->body_bytes;
    if (text > OVR_PERMIT_TEXT_BYTES || request > OVR_REQUEST_BYTES) {
        return -EMSGSIZE;
    }
    int status = ovr_permit_allows(permit, intent, use);
    if (status != 0) {
        return status;
    }
    if (socket >= 0 && !quiet(socket)) {
        return -ENOTCONN;
    }
    if (!journal(permit, intent, use)) {
        return -ENOSPC;
    }
    prove(permit, head, use);
    ssize_t written =
        socket < 0 ? 0
                   : send(socket, use->request, use->request_bytes, MSG_DONTWAIT | MSG_NOSIGNAL);
    /* An error shows again when the caller writes the rest, and he knows what to do about it. */
    use->written_bytes = written > 0 ? (uint32_t)written : 0;
    use->ended_ns = ovr_clock_ns();
    return 0;
}

int ovr_permit_send(const struct ovr_permit *permit, const struct ovr_order_head *head,
                    const struct ovr_intent *intent, int socket, struct ovr_permit_use *use)
{
    return let_out(permit, head, intent, socket, use, append);
}

int ovr_order_send(const struct ovr_permit *order, const struct ovr_order_head *head,
                   const struct ovr_intent *intent, int socket, struct ovr_permit_use *use)
{
    return let_out(order, head, intent, socket, use, append_whole);
}
