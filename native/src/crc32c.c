#include "overround/crc32c.h"

#include <string.h>

#if defined(__aarch64__)
#include <arm_acle.h>
#include <sys/auxv.h>
#ifndef HWCAP_CRC32
#define HWCAP_CRC32 (1 << 7)
#endif
#endif

/* Reflected Castagnoli polynomial, four bits at a time: sixteen entries need no start-up code
 * and no cache to speak of, and only CPUs older than 2008 ever come here. */
static const uint32_t nibble_table[16] = {
    0x00000000, 0x105ec76f, 0x20bd8ede, 0x30e349b1, 0x417b1dbc, 0x5125dad3, 0x61c69362, 0x7198540d,
    0x82f63b78, 0x92a8fc17, 0xa24bb5a6, 0xb21572c9, 0xc38d26c4, 0xd3d3e1ab, 0xe330a81a, 0xf36e6f75,
};

uint32_t ovr_crc32c_table(uint32_t seed, const void *bytes, size_t size)
{
    const uint8_t *cursor = bytes;
    uint32_t crc = ~seed;
    for (size_t i = 0; i < size; i++) {
        crc ^= cursor[i];
        crc = (crc >> 4) ^ nibble_table[crc & 15];
        crc = (crc >> 4) ^ nibble_table[crc & 15];
    }
    return ~crc;
}

#if defined(__x86_64__)

__attribute__((target("sse4.2"))) static uint32_t crc_hardware(uint32_t seed, const uint8_t *cursor,
                                                               size_t size)
{
    uint64_t crc = (uint32_t)~seed;
    for (; size >= 8; size -= 8, cursor += 8) {
        uint64_t word;
        memcpy(&word, cursor, 8);
        crc = __builtin_ia32_crc32di(crc, word);
    }
    uint32_t tail = (uint32_t)crc;
    for (; size > 0; size--, cursor++) {
        tail = __builtin_ia32_crc32qi(tail, *cursor);
    }
    return ~tail;
}

static int have_hardware(void)
{
    return __builtin_cpu_supports("sse4.2");
}

#elif defined(__aarch64__)

__attribute__((target("+crc"))) static uint32_t crc_hardware(uint32_t seed, const uint8_t *cursor,
                                                             size_t size)
{
    uint32_t crc = ~seed;
    for (; size >= 8; size -= 8, cursor += 8) {
        uint64_t word;
        memcpy(&word, cursor, 8);
        crc = __crc32cd(crc, word);
    }
    for (; size > 0; size--, cursor++) {
        crc = __crc32cb(crc, *cursor);
    }
    return ~crc;
}

static int have_hardware(void)
{
    return (getauxval(AT_HWCAP) & HWCAP_CRC32) != 0;
}

#else

static uint32_t crc_hardware(uint32_t seed, const uint8_t *cursor, size_t size)
{
    return ovr_crc32c_table(seed, cursor, size);
}

static int have_hardware(void)
{
    return 0;
}

#endif

uint32_t ovr_crc32c(uint32_t seed, const void *bytes, size_t size)
{
    return have_hardware() ? crc_hardware(seed, bytes, size) : ovr_crc32c_table(seed, bytes, size);
}
