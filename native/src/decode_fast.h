/* Numbers, hashes and whole records of the usual lengths, without a loop over their bytes. Each
 * function refuses what is longer, rarer or wrong; decode_forms.h then goes byte by byte. Written
 * once for SSE2, which every x86-64 has, and for AVX2 where OVR_AVX2 is defined. */
#ifndef OVERROUND_DECODE_FAST_H
#define OVERROUND_DECODE_FAST_H

#define EVERY_BYTE(byte) (UINT64_C(0x0101010101010101) * (byte))

enum {
    WINDOW = 64,      /* bytes looked at in one go */
    PRICE_CHARS = 6,  /* 0.1234 */
    SIZE_CHARS = 15,  /* 12345678.123456 */
    ENTRY_CHARS = 188 /* the most that an entry reads behind its asset */
};

/* memset of a constant size becomes a loop of eight-byte stores, or a string instruction. */
static inline __attribute__((always_inline)) void fast_clear(void *record, size_t size)
{
    char *bytes = record;
    __m128i zero = _mm_setzero_si128();
    __asm__("" : "+x"(zero)); /* or the loop is recognized as the memset it is */
    for (size_t i = 0; i + 16 <= size; i += 16) {
        _mm_storeu_si128((__m128i *)(void *)(bytes + i), zero);
    }
    _mm_storeu_si128((__m128i *)(void *)(bytes + size - 16), zero);
}

static inline uint32_t load4(const char *at)
{
    uint32_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Bit n: byte n of the next 64 is a quote. */
static inline uint64_t quotes(const char *at)
{
#if defined(OVR_AVX2)
    const __m256i quote = _mm256_set1_epi8('"');
    __m256i low = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i high = _mm256_loadu_si256((const __m256i *)(const void *)(at + 32));
    uint32_t first = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(low, quote));
    uint32_t second = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(high, quote));
    return first | (uint64_t)second << 32;
#else
    const __m128i quote = _mm_set1_epi8('"');
    uint64_t found = 0;
    for (int i = 0; i < 4; i++) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)(at + 16 * i));
        found |= (uint64_t)(unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, quote)) << 16 * i;
    }
    return found;
#endif
}

/* Index of the lowest bit; 63 if there is none. */
static inline unsigned lowest(uint64_t marks)
{
    return (unsigned)__builtin_ctzll(marks | UINT64_C(1) << 63);
}

static inline unsigned in_16(const char *at, char wanted)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(bytes, _mm_set1_epi8(wanted)));
}

/* Not zero if some byte is none of 0 to 9. */
static inline uint64_t no_digits(uint64_t digits)
{
    return (digits | (digits + EVERY_BYTE(6))) & EVERY_BYTE(0xf0);
}

/* Eight digits, the first in the lowest byte. */
static inline uint64_t eight_digits(uint64_t digits)
{
    digits = digits * 10 + (digits >> 8);
    uint64_t outer = (digits & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x000f424000000064);
    uint64_t inner = (digits >> 16 & UINT64_C(0x000000ff000000ff)) * UINT64_C(0x0000271000000001);
    return (outer + inner) >> 32;
}

/* First byte that no identifier holds; or one of the last 15, if all before may stand in one. */
static inline const char *fast_skip_id(const char *at, const char *end)
{
#if defined(OVR_AVX2)
    while (end - at >= 32) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)at);
        __m256i quote = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('"'));
        __m256i slash = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8('\\'));
        __m256i rubout = _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(0x7f));
        /* As signed bytes, controls, the blank and non-ASCII are all below '!'. */
        __m256i odd = _mm256_cmpgt_epi8(_mm256_set1_epi8('!'), bytes);
        __m256i stop =
            _mm256_or_si256(_mm256_or_si256(quote, slash), _mm256_or_si256(rubout, odd));
        unsigned mask = (unsigned)_mm256_movemask_epi8(stop);
        if (mask != 0) {
            return at + __builtin_ctz(mask);
        }
        at += 32;
    }
#endif
    while (end - at >= 16) {
        __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
        __m128i quote = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('"'));
        __m128i slash = _mm_cmpeq_epi8(bytes, _mm_set1_epi8('\\'));
        __m128i rubout = _mm_cmpeq_epi8(bytes, _mm_set1_epi8(0x7f));
        __m128i odd = _mm_cmplt_epi8(bytes, _mm_set1_epi8('!'));
        __m128i stop = _mm_or_si128(_mm_or_si128(quote, slash), _mm_or_si128(rubout, odd));
        unsigned mask = (unsigned)_mm_movemask_epi8(stop);
        if (mask != 0) {
            return at + __builtin_ctz(mask);
        }
        at += 16;
    }
    return at;
}

#if defined(OVR_AVX2)
/* Digits up to a quote, 32 to 95; 0 for anything else. */
static inline __attribute__((always_inline)) unsigned fast_token(const char *at, const char *end)
{
    enum { STEP = 32, STEPS = 3 };
    if (end - at < STEP * STEPS) {
        return 0;
    }
    for (unsigned i = 0; i < STEPS; i++) {
        __m256i bytes = _mm256_loadu_si256((const __m256i *)(const void *)(at + STEP * i));
        /* Digits, and they alone, become the largest signed bytes. */
        __m256i raised = _mm256_add_epi8(bytes, _mm256_set1_epi8(127 - '9'));
        __m256i digit = _mm256_cmpgt_epi8(raised, _mm256_set1_epi8(127 - 10));
        unsigned others = ~(unsigned)_mm256_movemask_epi8(digit);
        if (others != 0) {
            unsigned length = STEP * i + (unsigned)__builtin_ctz(others);
            return at[length] == '"' ? length : 0;
        }
    }
    return 0;
}

/* Hex digits of each lane to the lane's first eight bytes; `good` loses what is none. */
static inline __m256i hex_lanes(__m256i bytes, __m256i *good)
{
    __m256i lower = _mm256_or_si256(bytes, _mm256_set1_epi8(0x20));
    __m256i digit = _mm256_cmpgt_epi8(_mm256_add_epi8(bytes, _mm256_set1_epi8(127 - '9')),
                                      _mm256_set1_epi8(127 - 10));
    __m256i letter = _mm256_cmpgt_epi8(_mm256_add_epi8(lower, _mm256_set1_epi8(127 - 'f')),
                                       _mm256_set1_epi8(127 - 6));
    __m256i value = _mm256_add_epi8(_mm256_and_si256(bytes, _mm256_set1_epi8(0x0f)),
                                    _mm256_and_si256(letter, _mm256_set1_epi8(9)));
    __m256i pairs = _mm256_maddubs_epi16(value, _mm256_set1_epi16(0x0110));
    *good = _mm256_and_si256(*good, _mm256_or_si256(digit, letter));
    return _mm256_packus_epi16(pairs, pairs);
}

static inline __attribute__((always_inline)) bool hash_bytes(const char *at, uint8_t hash[20])
{
    enum { OVERLAP = HASH_DIGITS - 32 };
    __m256i good = _mm256_set1_epi8(-1);
    __m256i head = _mm256_loadu_si256((const __m256i *)(const void *)at);
    __m256i tail = _mm256_loadu_si256((const __m256i *)(const void *)(at + OVERLAP));
    head = _mm256_permute4x64_epi64(hex_lanes(head, &good), 0x08);
    tail = hex_lanes(tail, &good);
    _mm_storeu_si128((__m128i *)(void *)hash, _mm256_castsi256_si128(head));
    _mm_storel_epi64((__m128i *)(void *)(hash + 12), _mm256_extracti128_si256(tail, 1));
    return _mm256_movemask_epi8(good) == -1;
}
#else
/* Sixteen hex digits to eight bytes; `bad` collects what is none. */
static inline uint64_t hex16(const char *at, __m128i *bad)
{
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)at);
    __m128i digit = _mm_sub_epi8(bytes, _mm_set1_epi8('0'));
    __m128i is_digit = _mm_cmpeq_epi8(_mm_min_epu8(digit, _mm_set1_epi8(9)), digit);
    __m128i lower = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    __m128i letter = _mm_sub_epi8(lower, _mm_set1_epi8('a'));
    __m128i is_letter = _mm_cmpeq_epi8(_mm_min_epu8(letter, _mm_set1_epi8(5)), letter);
    *bad = _mm_or_si128(
        *bad, _mm_cmpeq_epi8(_mm_or_si128(is_digit, is_letter), _mm_setzero_si128()));
    __m128i value = _mm_or_si128(
        _mm_and_si128(is_digit, digit),
        _mm_and_si128(is_letter, _mm_add_epi8(letter, _mm_set1_epi8(10))));
    __m128i pairs = _mm_and_si128(
        _mm_or_si128(_mm_slli_epi16(value, 4), _mm_srli_epi16(value, 8)), _mm_set1_epi16(0xff));
    return (uint64_t)_mm_cvtsi128_si64(_mm_packus_epi16(pairs, pairs));
}

static inline bool hash_bytes(const char *at, uint8_t hash[20])
{
    __m128i bad = _mm_setzero_si128();
    uint64_t parts[3] = {hex16(at, &bad), hex16(at + 16, &bad), hex16(at + 24, &bad)};
    memcpy(hash, &parts[0], 8);
    memcpy(hash + 12, &parts[2], 8); /* the last two overlap by four bytes */
    memcpy(hash + 8, &parts[1], 8);
    return _mm_movemask_epi8(bad) == 0;
}
#endif

/* Ticks of "0." and one to four digits, `length` characters; 0 for anything else. */
static inline __attribute__((always_inline)) uint32_t fast_price(const char *at, unsigned length)
{
    uint16_t begin;
    memcpy(&begin, at, sizeof begin);
    if (begin != ('0' | '.' << 8) || length - 3 > PRICE_CHARS - 3) {
        return 0;
    }
    uint32_t digits = (load4(at + 2) ^ (uint32_t)EVERY_BYTE('0')) << (8 * (PRICE_CHARS - length));
    digits >>= 8 * (PRICE_CHARS - length);
    if (no_digits(digits) != 0) {
        return 0;
    }
    digits = digits * 10 + (digits >> 8);
    return (digits & 0xff) * 100 + (digits >> 16 & 0xff);
}

/* Two such prices at once; false if one is anything else. */
static inline __attribute__((always_inline)) bool fast_prices(const char *a, unsigned a_chars,
                                                              const char *b, unsigned b_chars,
                                                              uint16_t *ret_a, uint16_t *ret_b)
{
    if (a_chars - 3 > PRICE_CHARS - 3 || b_chars - 3 > PRICE_CHARS - 3 || !same(a, "0.", 2) ||
        !same(b, "0.", 2)) {
        return false;
    }
    const uint32_t zeros = (uint32_t)EVERY_BYTE('0');
    unsigned a_shift = 8 * (PRICE_CHARS - a_chars), b_shift = 8 * (PRICE_CHARS - b_chars);
    uint32_t a_digits = (load4(a + 2) ^ zeros) << a_shift >> a_shift;
    uint32_t b_digits = (load4(b + 2) ^ zeros) << b_shift >> b_shift;
    uint64_t digits = a_digits | (uint64_t)b_digits << 32;
    uint64_t pairs = (digits * 10 + (digits >> 8)) & UINT64_C(0x00ff00ff00ff00ff);
    uint64_t ticks = pairs * (1 + (100 << 16));
    *ret_a = (uint16_t)(ticks >> 16);
    *ret_b = (uint16_t)(ticks >> 48);
    return no_digits(digits) == 0;
}

/* Lots of one to eight digits and up to six behind a point, `length` characters, at most
 * SIZE_CHARS; -1 for anything else. Reads 24 bytes. */
static inline __attribute__((always_inline)) int64_t fast_size(const char *at, unsigned length)
{
    /* By the characters from the point on; a point alone is no decimal. */
    static const uint64_t kept[8] = {0, 0, 0xff, 0xffff, 0xffffff, 0xffffffff, 0xffffffffff,
                                     0xffffffffffff};
    unsigned whole = (unsigned)__builtin_ctz(in_16(at, '.') | 1u << length);
    unsigned rest = length - whole;
    if (whole - 1 > 7 || rest == 1 || rest > 7) {
        return -1;
    }
    uint64_t high = (load8(at) ^ EVERY_BYTE('0')) << (64 - 8 * whole);
    uint64_t low = (load8(at + whole + 1) ^ EVERY_BYTE('0')) & kept[rest];
    if ((no_digits(high) | no_digits(low)) != 0) {
        return -1;
    }
    return (int64_t)(eight_digits(high) * 1000000 + eight_digits(low << 16));
}

#if defined(OVR_AVX2)
/* A price and a size at once, each of its length. Both are checked as fast_price and fast_size
 * check them, but for the "0." in front of the price; nothing is written if one is unusual. Sixteen
 * digits of a lane are added up in four steps: of the size ten before the point and six behind it,
 * of the price the last four. */
static inline __attribute__((always_inline)) bool
fast_pair(const char *price, unsigned price_chars, const char *size, unsigned size_chars,
          struct ovr_pm_change *ret)
{
    /* kept + 16 - x: the first x bytes. places + x: where the digits come from if the point is
     * behind x of them; from place 10 on, behind the point, one further. */
    static const char kept[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1};
    static const char places[32] = {-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 0,  1,  2,  3,  4,  5,
                                    6,  7,  8,  9,  10, 11, 12, 13, 14, 15, -1, -1, -1, -1, -1, -1};
    const __m128i to_ticks =
        _mm_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, -1, 2, 3, 4, 5);
    const __m256i ones = _mm256_set1_epi16(0x010a);
    const __m256i hundreds = _mm256_set1_epi32(0x00010064);
    const __m256i myriads = _mm256_set1_epi32(0x00012710);
    if (price_chars - 3 > PRICE_CHARS - 3) {
        return false;
    }
#define AT(address) _mm_loadu_si128((const __m128i *)(const void *)(address))
    __m128i size_text = AT(size);
    unsigned points = (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(size_text, _mm_set1_epi8('.')));
    unsigned whole = (unsigned)__builtin_ctz(points | 1u << size_chars);
    unsigned rest = size_chars - whole;
    if (whole - 1 > 9 || rest == 1 || rest > 7) {
        return false;
    }
    const char *map = places + whole;
    __m128i to_size = _mm_blend_epi16(AT(map), AT(map + 1), 0xe0);
    __m256i text = _mm256_inserti128_si256(_mm256_castsi128_si256(size_text), AT(price), 1);
    __m256i mask = _mm256_inserti128_si256(_mm256_castsi128_si256(AT(kept + 16 - size_chars)),
                                           AT(kept + 16 - price_chars), 1);
    __m256i order = _mm256_inserti128_si256(_mm256_castsi128_si256(to_size), to_ticks, 1);
#undef AT
    __m256i digits = _mm256_and_si256(_mm256_xor_si256(text, _mm256_set1_epi8('0')), mask);
    digits = _mm256_shuffle_epi8(digits, order);
    __m256i excess = _mm256_subs_epu8(digits, _mm256_set1_epi8(9));
    __m256i fours = _mm256_madd_epi16(_mm256_maddubs_epi16(digits, ones), hundreds);
    __m256i eights = _mm256_madd_epi16(_mm256_packus_epi32(fours, fours), myriads);
    uint64_t sizes = (uint64_t)_mm_cvtsi128_si64(_mm256_castsi256_si128(eights));
    uint64_t ticks = (uint64_t)_mm_cvtsi128_si64(_mm256_extracti128_si256(eights, 1)) >> 32;
    if (!_mm256_testz_si256(excess, excess) || ticks == 0) {
        return false;
    }
    ret->price_ticks = (uint16_t)ticks;
    ret->size_lots = (int64_t)((sizes & UINT32_MAX) * 100000000 + (sizes >> 32));
    return true;
}
#else
static inline __attribute__((always_inline)) bool
fast_pair(const char *price, unsigned price_chars, const char *size, unsigned size_chars,
          struct ovr_pm_change *ret)
{
    uint32_t ticks = fast_price(price, price_chars);
    int64_t lots = fast_size(size, size_chars);
    if (ticks == 0 || lots < 0) {
        return false;
    }
    ret->price_ticks = (uint16_t)ticks;
    ret->size_lots = lots;
    return true;
}
#endif

/* Milliseconds of 9 to 16 digits up to their quote; the characters taken with it, 0 for none. */
static inline unsigned fast_time(const char *at, const char *end, uint64_t *ret)
{
    static const uint32_t power[9] = {1, 10, 100, 1000, 10000, 100000, 1000000, 10000000,
                                      100000000};
    if (end - at < 24) {
        return 0;
    }
    unsigned length = (unsigned)__builtin_ctz(in_16(at, '"') | 1u << 16);
    if (length < 9 || at[length] != '"') {
        return 0;
    }
    uint64_t high = load8(at) ^ EVERY_BYTE('0');
    uint64_t low = (load8(at + 8) ^ EVERY_BYTE('0')) << (128 - 8 * length);
    if ((no_digits(high) | no_digits(low)) != 0) {
        return 0;
    }
    *ret = eight_digits(high) * power[length - 8] + eight_digits(low);
    return length + 1;
}

/* One level of a book up to and including its brace; `level` is cleared. */
static inline __attribute__((always_inline)) bool
fast_level(struct cursor *cursor, bool blanks, uint8_t side, struct ovr_pm_change *level)
{
    const char *at = cursor->at;
    const unsigned begin = sizeof "{\"price\":\"" - 1, between = blanks ? 11 : 10;
    if (cursor->end - at < WINDOW) {
        return false;
    }
    uint64_t marks = quotes(at) >> begin;
    unsigned price_chars = lowest(marks);
    if (price_chars > PRICE_CHARS) {
        return false;
    }
    marks >>= price_chars + between;
    unsigned size_chars = lowest(marks);
    const char *price = at + begin;
    const char *middle = price + price_chars;
    const char *size = middle + between;
    if (size_chars > SIZE_CHARS || size[size_chars + 1] != '}' ||
        !same(at, "{\"price\":\"0.", 12) ||
        !(blanks ? same(middle, "\", \"size\":\"", 11) : same(middle, "\",\"size\":\"", 10))) {
        return false;
    }
    level->side = side;
    if (!fast_pair(price, price_chars, size, size_chars, level)) {
        return false;
    }
    cursor->at = size + size_chars + 2;
    return true;
}

/* An entry of a price change behind its asset, up to and including its brace. */
static inline __attribute__((always_inline)) bool fast_entry(struct cursor *cursor,
                                                             struct ovr_pm_change *entry)
{
    const char *at = cursor->at;
    if (cursor->end - at < ENTRY_CHARS) {
        return false;
    }
    const char *price = at + sizeof ", \"price\":\"" - 1;
    uint64_t marks = quotes(price);
    unsigned price_chars = lowest(marks);
    if (price_chars > PRICE_CHARS || !same(at, ", \"price\":\"", 11) ||
        !same(price + price_chars, "\", \"size\":\"", 11)) {
        return false;
    }
    const char *size = price + price_chars + 11;
    unsigned size_chars = lowest(marks >> (price_chars + 11));
    if (!same(price, "0.", 2) || size_chars > SIZE_CHARS ||
        !same(size + size_chars, "\", \"side\":\"", 11) ||
        !fast_pair(price, price_chars, size, size_chars, entry)) {
        return false;
    }
    const char *side = size + size_chars + 11;
    /* Without a branch: which side it is is as good as random. */
    unsigned sell = *side == 'S';
    uint64_t expected = sell ? load8("SELL\", \"") : load8("BUY\", \"h");
    const char *hash = side + 3 + sell;
    if (load8(side) != expected || !same(hash, "\", \"hash\":\"", 11)) {
        return false;
    }
    hash += 11;
    const char *bid = hash + HASH_DIGITS + 15;
    if (!hash_bytes(hash, entry->hash) || !same(hash + HASH_DIGITS, "\", \"best_bid\":\"", 15)) {
        return false;
    }
    marks = quotes(bid);
    unsigned bid_chars = lowest(marks);
    if (bid_chars > PRICE_CHARS || !same(bid + bid_chars, "\", \"best_ask\":\"", 15)) {
        return false;
    }
    const char *ask = bid + bid_chars + 15;
    unsigned ask_chars = lowest(marks >> (bid_chars + 15));
    if (!fast_prices(bid, bid_chars, ask, ask_chars, &entry->bid_ticks, &entry->ask_ticks) ||
        ask[ask_chars + 1] != '}') {
        return false;
    }
    entry->side = (uint8_t)sell;
    entry->flags = OVR_PM_HAS_HASH | OVR_PM_HAS_BID | OVR_PM_HAS_ASK;
    cursor->at = ask + ask_chars + 2;
    return true;
}

#endif
