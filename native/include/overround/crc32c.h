/* CRC-32C (Castagnoli), the checksum of tap and journal records. */
#ifndef OVERROUND_CRC32C_H
#define OVERROUND_CRC32C_H

#include <stddef.h>
#include <stdint.h>

/* Returns the checksum of `size` bytes continuing from `seed`; start with 0. Chains:
 * crc(crc(0, a), b) == crc(0, ab). Uses the CPU's instruction where there is one. */
uint32_t ovr_crc32c(uint32_t seed, const void *bytes, size_t size);

/* The same by table, on any CPU: the slow twin that tests hold the fast one against. */
uint32_t ovr_crc32c_table(uint32_t seed, const void *bytes, size_t size);

#endif
