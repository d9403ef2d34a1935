/* Keccak-256 as settlement contracts use it: the padding is the original 0x01, not SHA-3's 0x06,
 * so a library's SHA-3 cannot stand in. pycryptodome is its twin in the tests. */
#ifndef OVERROUND_ORDER_KECCAK_H
#define OVERROUND_ORDER_KECCAK_H

#include <stddef.h>
#include <stdint.h>

#define OVR_KECCAK_BYTES 32

/* Stores the digest of `size` bytes. */
void ovr_keccak256(const void *bytes, size_t size, uint8_t ret[OVR_KECCAK_BYTES]);

#endif
