/* What the order path costs at least on this machine: the same steps in plain C.
 *
 * One round, timed from "the record is in the ring" to "the last byte is handed to the socket":
 * poll the intent, load the market's book and compare it with the order, HMAC-SHA256 over the
 * request, append three CRC'd records to a mapped journal, one send on a blocking socket.
 * It decides nothing, formats nothing and keeps no account: a floor, not a competitor.
 *
 * The ring, the book and the CRC are the runtime's own sources, so both sides read the same
 * memory; bench/path/bench_order.py compiles and calls this. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include <openssl/evp.h>
#include <openssl/sha.h>
#include <stdint.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/types.h>

#include "overround/clock.h"
#include "overround/crc32c.h"
#include "overround/layout.h"
#include "overround/segment.h"
#include "overround/slots.h"
#include "overround/spsc.h"

/* HMAC's inner and outer state with the key's block absorbed. */
struct floor_mac {
    SHA256_CTX inner, outer;
};

struct floor_job {
    void *ring;
    void *board;
    uint64_t market;
    uint8_t *journal;
    uint64_t journal_bytes;
    const void *intent; /* pushed before every round */
    const uint8_t *records; /* three journal payloads, one behind the other */
    uint32_t record_bytes[3];
    uint8_t *request; /* head with room for the signature, then the body */
    uint32_t request_bytes, signature_at, signed_from;
    int socket;
};

void floor_mac_init(struct floor_mac *mac, const uint8_t *key, size_t size)
{
    uint8_t pad[SHA256_CBLOCK];
    for (int side = 0; side < 2; side++) {
        memset(pad, side == 0 ? 0x36 : 0x5c, sizeof pad);
        for (size_t i = 0; i < size; i++) {
            pad[i] ^= key[i];
        }
        SHA256_CTX *state = side == 0 ? &mac->inner : &mac->outer;
        SHA256_Init(state);
        SHA256_Update(state, pad, sizeof pad);
    }
}

static void sign_request(const struct floor_mac *mac, const struct floor_job *job)
{
    uint8_t digest[SHA256_DIGEST_LENGTH], text[48];
    SHA256_CTX state = mac->inner;
    SHA256_Update(&state, job->request + job->signed_from, job->request_bytes - job->signed_from);
    SHA256_Final(digest, &state);
    state = mac->outer;
    SHA256_Update(&state, digest, sizeof digest);
    SHA256_Final(digest, &state);
    EVP_EncodeBlock(text, digest, sizeof digest);
    memcpy(job->request + job->signature_at, text, 44);
}

static uint64_t append(const struct floor_job *job, uint64_t at, uint64_t number)
{
    const uint8_t *payload = job->records;
    for (int i = 0; i < 3; i++) {
        uint32_t length = (32 + job->record_bytes[i] + 7) & ~7u;
        if (at + length > job->journal_bytes) {
            at = 0;
        }
        uint8_t *out = job->journal + at;
        uint64_t head[3] = {number + (uint64_t)i, ovr_clock_ns(), job->record_bytes[i]};
        memcpy(out + 8, head, sizeof head);
        memcpy(out + 32, payload, job->record_bytes[i]);
        uint32_t crc = ovr_crc32c(0, out + 8, length - 8);
        memcpy(out, &length, 4);
        memcpy(out + 4, &crc, 4);
        payload += job->record_bytes[i];
        at += length;
    }
    return at;
}

/* Runs `rounds` and stores each one's nanoseconds. Returns 0, or the step that failed. */
int floor_run(const struct floor_mac *mac, struct floor_job *job, uint32_t rounds, int64_t *ret_ns)
{
    struct ovr_intent intent;
    struct ovr_board book;
    uint64_t at = 0, next = ovr_segment_cursor(job->ring);
    for (uint32_t round = 0; round < rounds; round++, next++) {
        if (!ovr_spsc_try_push(job->ring, job->intent)) {
            return 1;
        }
        uint64_t begun_ns = ovr_clock_ns();
        if (ovr_spsc_poll(job->ring, next, &intent, 1) != 1) {
            return 2;
        }
        if (ovr_slot_load(job->board, job->market, &book) != 0 || book.ask_levels == 0 ||
            intent.price_ticks < book.ask_ticks[0] || intent.size_lots > book.ask_lots[0] ||
            begun_ns >= intent.expires_ns) {
            return 3;
        }
        sign_request(mac, job);
        at = append(job, at, 3 * next);
        if (send(job->socket, job->request, job->request_bytes, 0) != (ssize_t)job->request_bytes) {
            return 4;
        }
        ret_ns[round] = (int64_t)(ovr_clock_ns() - begun_ns);
        if (ovr_spsc_advance(job->ring, next + 1) != 0) {
            return 5;
        }
    }
    return 0;
}
