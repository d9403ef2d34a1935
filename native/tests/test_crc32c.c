#include "check.h"

#include "overround/crc32c.h"

static void known_answers(void)
{
    unsigned char zeros[32] = {0};
    unsigned char ones[32];
    memset(ones, 0xff, sizeof ones);
    /* RFC 3720, appendix B.4. */
    CHECK(ovr_crc32c(0, zeros, 32) == 0x8a9136aa);
    CHECK(ovr_crc32c(0, ones, 32) == 0x62a8ab43);
    CHECK(ovr_crc32c(0, "123456789", 9) == 0xe3069283);
    CHECK(ovr_crc32c(0, "", 0) == 0);
}

static void instruction_equals_table_at_every_length_and_offset(void)
{
    unsigned char bytes[300];
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = (unsigned char)(i * 131 + (i >> 3));
    }
    for (size_t offset = 0; offset < 9; offset++) {
        for (size_t size = 0; size + offset <= sizeof bytes; size++) {
            uint32_t seed = (uint32_t)(size * 2654435761u);
            CHECK(ovr_crc32c(seed, bytes + offset, size) ==
                  ovr_crc32c_table(seed, bytes + offset, size));
        }
    }
}

static void parts_chain_to_the_whole(void)
{
    const char *text = "the quick brown fox jumps over the lazy dog";
    size_t size = strlen(text);
    uint32_t whole = ovr_crc32c(0, text, size);
    for (size_t cut = 0; cut <= size; cut++) {
        CHECK(ovr_crc32c(ovr_crc32c(0, text, cut), text + cut, size - cut) == whole);
    }
}

int main(void)
{
    RUN(known_answers);
    RUN(instruction_equals_table_at_every_length_and_offset);
    RUN(parts_chain_to_the_whole);
    return 0;
}
