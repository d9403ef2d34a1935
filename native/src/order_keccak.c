#include "overround/order_keccak.h"

#include <string.h>

#define LANES 25
#define ROUNDS 24
#define RATE 136 /* bytes absorbed at a time: 200 - 2 * 32 */

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "lanes are absorbed as they lie in memory: little-endian only"
#endif

static const uint64_t round_constants[ROUNDS] = {
    UINT64_C(0x0000000000000001), UINT64_C(0x0000000000008082), UINT64_C(0x800000000000808a),
    UINT64_C(0x8000000080008000), UINT64_C(0x000000000000808b), UINT64_C(0x0000000080000001),
    UINT64_C(0x8000000080008081), UINT64_C(0x8000000000008009), UINT64_C(0x000000000000008a),
    UINT64_C(0x0000000000000088), UINT64_C(0x0000000080008009), UINT64_C(0x000000008000000a),
    UINT64_C(0x000000008000808b), UINT64_C(0x800000000000008b), UINT64_C(0x8000000000008089),
    UINT64_C(0x8000000000008003), UINT64_C(0x8000000000008002), UINT64_C(0x8000000000000080),
    UINT64_C(0x000000000000800a), UINT64_C(0x800000008000000a), UINT64_C(0x8000000080008081),
    UINT64_C(0x8000000000008080), UINT64_C(0x0000000080000001), UINT64_C(0x8000000080008008),
};

static inline uint64_t rotate(uint64_t lane, unsigned by)
{
    return by == 0 ? lane : lane << by | lane >> (64 - by);
}

/* FIPS 202, 3.2: theta, rho and pi, chi, iota. The loops have constant bounds and unroll. */
static void permute(uint64_t a[LANES])
{
    static const unsigned offsets[LANES] = {0,  1,  62, 28, 27, 36, 44, 6,  55, 20, 3,  10, 43,
                                            25, 39, 41, 45, 15, 21, 8,  18, 2,  61, 56, 14};
    for (int round = 0; round < ROUNDS; round++) {
        uint64_t column[5], b[LANES];
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++) {
            column[x] = a[x] ^ a[x + 5] ^ a[x + 10] ^ a[x + 15] ^ a[x + 20];
        }
#pragma GCC unroll 5
        for (int x = 0; x < 5; x++) {
            uint64_t mix = column[(x + 4) % 5] ^ rotate(column[(x + 1) % 5], 1);
#pragma GCC unroll 5
            for (int y = 0; y < 5; y++) {
                int at = x + 5 * y;
                b[y + 5 * ((2 * x + 3 * y) % 5)] = rotate(a[at] ^ mix, offsets[at]);
            }
        }
#pragma GCC unroll 5
        for (int y = 0; y < LANES; y += 5) {
#pragma GCC unroll 5
            for (int x = 0; x < 5; x++) {
                a[y + x] = b[y + x] ^ (~b[y + (x + 1) % 5] & b[y + (x + 2) % 5]);
            }
        }
        a[0] ^= round_constants[round];
    }
}

static void absorb(uint64_t state[LANES], const uint8_t block[RATE])
{
    for (int i = 0; i < RATE / 8; i++) {
        uint64_t lane;
        memcpy(&lane, block + 8 * i, sizeof lane);
        state[i] ^= lane;
    }
    permute(state);
}

void ovr_keccak256(const void *bytes, size_t size, uint8_t ret[OVR_KECCAK_BYTES])
{
    uint64_t state[LANES] = {0};
    uint8_t last[RATE] = {0};
    const uint8_t *cursor = bytes;
    for (; size >= RATE; size -= RATE, cursor += RATE) {
        absorb(state, cursor);
    }
    if (size > 0) {
        memcpy(last, cursor, size);
    }
    last[size] ^= 0x01;
    last[RATE - 1] ^= 0x80;
    absorb(state, last);
    memcpy(ret, state, OVR_KECCAK_BYTES);
}
