/* Detector floors as a library: what the same verdicts cost in C with every instruction there is.
 *
 * Each function goes `passes` times over its input and returns nanoseconds. The floors take the
 * columns our kernels take and give the lists they give, hits included; the bench compares them.
 * `_priced` is the plain form beside them: prices as float32 shares of one, a fee of
 * rate * p * (1 - p) on every leg, indices of hits only. */
#include "bench.h"

#include <math.h>

#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)
#include <immintrin.h>

int detect_has_avx512(void)
{
    return 1;
}

static inline __m512 cost_of(__m512 price, __m512 rate)
{
    __m512 spread = _mm512_mul_ps(price, _mm512_sub_ps(_mm512_set1_ps(1.0f), price));
    return _mm512_fmadd_ps(rate, spread, price);
}

static inline __m512 gain_of(__m512 price, __m512 rate)
{
    __m512 spread = _mm512_mul_ps(price, _mm512_sub_ps(_mm512_set1_ps(1.0f), price));
    return _mm512_fnmadd_ps(rate, spread, price);
}

static inline uint32_t store_hits(uint32_t count, __mmask16 hits, uint32_t first, uint32_t *out)
{
    __m512i lane = _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15);
    __m512i index = _mm512_add_epi32(_mm512_set1_epi32((int)first), lane);
    if (hits != 0) {
        _mm512_mask_compressstoreu_epi32(out + count, hits, index);
        count += (uint32_t)__builtin_popcount(hits);
    }
    return count;
}

/* YES and NO of every market: is buying both below one, or selling both above one, fees paid? */
uint64_t detect_sweep_priced(uint32_t markets, const float *yes_ask, const float *no_ask,
                             const float *yes_bid, const float *no_bid, const float *rate,
                             uint32_t *out, uint32_t passes, uint32_t *ret_hits)
{
    uint64_t begun = bench_ns();
    uint32_t count = 0;
    for (uint32_t pass = 0; pass < passes; pass++) {
        count = 0;
        for (uint32_t i = 0; i < markets; i += 16) {
            __m512 fee = _mm512_loadu_ps(rate + i);
            __m512 buy = _mm512_add_ps(cost_of(_mm512_loadu_ps(yes_ask + i), fee),
                                       cost_of(_mm512_loadu_ps(no_ask + i), fee));
            __m512 sell = _mm512_add_ps(gain_of(_mm512_loadu_ps(yes_bid + i), fee),
                                        gain_of(_mm512_loadu_ps(no_bid + i), fee));
            __mmask16 hits = _mm512_cmp_ps_mask(buy, _mm512_set1_ps(1.0f), _CMP_LT_OQ) |
                             _mm512_cmp_ps_mask(sell, _mm512_set1_ps(1.0f), _CMP_GT_OQ);
            count = store_hits(count, hits, i, out);
        }
        bench_keep(out);
    }
    *ret_hits = count;
    return bench_ns() - begun;
}

/* Sets of `legs` markets each: members are gathered, both directions priced. */
uint64_t detect_sets_priced(uint32_t sets, uint32_t legs, const int32_t *members, const float *ask,
                            const float *bid, const float *rate, uint32_t *out, uint32_t passes,
                            uint32_t *ret_hits)
{
    uint64_t begun = bench_ns();
    uint32_t count = 0;
    for (uint32_t pass = 0; pass < passes; pass++) {
        count = 0;
        for (uint32_t i = 0; i < sets; i += 16) {
            __m512 buy = _mm512_setzero_ps(), sell = _mm512_setzero_ps();
            for (uint32_t leg = 0; leg < legs; leg++) {
                __m512i at = _mm512_loadu_si512(members + leg * sets + i);
                __m512 fee = _mm512_i32gather_ps(at, rate, 4);
                buy = _mm512_add_ps(buy, cost_of(_mm512_i32gather_ps(at, ask, 4), fee));
                sell = _mm512_add_ps(sell, gain_of(_mm512_i32gather_ps(at, bid, 4), fee));
            }
            __mmask16 hits = _mm512_cmp_ps_mask(buy, _mm512_set1_ps(1.0f), _CMP_LT_OQ) |
                             _mm512_cmp_ps_mask(sell, _mm512_set1_ps(1.0f), _CMP_GT_OQ);
            count = store_hits(count, hits, i, out);
        }
        bench_keep(out);
    }
    *ret_hits = count;
    return bench_ns() - begun;
}

/* What our sweep is asked: which markets are alive (trusted and not crossed), and which trusted
 * ones are crossed. Sizes are looked at where bid and ask touch. */
uint64_t detect_sweep(uint32_t markets, const uint8_t *trusted, const int32_t *bid_ticks,
                      const int32_t *ask_ticks, const int64_t *bid_lots, const int64_t *ask_lots,
                      uint8_t *alive, uint32_t *out, uint32_t passes, uint32_t *ret_hits)
{
    uint64_t begun = bench_ns();
    uint32_t count = 0;
    for (uint32_t pass = 0; pass < passes; pass++) {
        count = 0;
        for (uint32_t i = 0; i < markets; i += 16) {
            uint32_t touching = _mm512_cmpge_epi32_mask(_mm512_loadu_si512(bid_ticks + i),
                                                        _mm512_loadu_si512(ask_ticks + i));
            _mm_storeu_si128((void *)(alive + i), _mm_loadu_si128((const void *)(trusted + i)));
            for (; touching != 0; touching &= touching - 1) {
                uint32_t market = i + (uint32_t)__builtin_ctz(touching);
                if (bid_lots[market] > 0 && ask_lots[market] > 0) {
                    alive[market] = 0;
                    out[count] = market;
                    count += trusted[market] != 0;
                }
            }
        }
        bench_keep(out);
        bench_keep(alive);
    }
    *ret_hits = count;
    return bench_ns() - begun;
}

struct books {
    const uint8_t *alive;
    const int32_t *bid_ticks, *ask_ticks;
    const int64_t *bid_lots, *ask_lots, *rate_ppm;
};

struct hits {
    int32_t *set, *kind;
    int64_t *edge, *lots;
};

enum { PAR = 10000 };
static const int64_t TICK = INT64_C(10000000000), UNIT = INT64_C(100000000000000);

static inline int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* Price one set exactly, in units of 1e-14, and append its hits; returns the new count. */
static uint32_t price_set(const struct books *on, uint32_t sets, uint32_t legs, uint32_t index,
                          const int32_t *members, int64_t threshold, uint32_t count,
                          const struct hits *to)
{
    int64_t edge[2] = {UNIT, -UNIT}, lots[2] = {INT64_MAX, INT64_MAX};
    for (uint32_t leg = 0; leg < legs; leg++) {
        int32_t market = members[leg * sets + index];
        if (on->alive[market] == 0) {
            return count;
        }
        int64_t ask = on->ask_ticks[market], bid = on->bid_ticks[market];
        int64_t rate = on->rate_ppm[market];
        edge[0] -= ask * TICK + rate * ask * (PAR - ask);
        edge[1] += bid * TICK - rate * bid * (PAR - bid);
        lots[0] = smaller(lots[0], on->ask_lots[market]);
        lots[1] = smaller(lots[1], on->bid_lots[market]);
    }
    for (int side = 0; side < 2; side++) {
        if (edge[side] >= threshold && lots[side] >= 1) {
            to->set[count] = (int32_t)index;
            to->kind[count] = 1 + side;
            to->edge[count] = edge[side];
            to->lots[count] = lots[side];
            count++;
        }
    }
    return count;
}

/* What our scan is asked: the hits of sets of `legs` markets each, with edge and size. Sixteen
 * sets at a time are summed; those whose prices alone could make a hit are priced exactly. */
uint64_t detect_sets(uint32_t sets, uint32_t legs, const int32_t *members, const struct books *on,
                     int64_t threshold, const struct hits *to, uint32_t passes, uint32_t *ret_hits)
{
    uint64_t begun = bench_ns();
    uint32_t count = 0;
    for (uint32_t pass = 0; pass < passes; pass++) {
        count = 0;
        for (uint32_t i = 0; i < sets; i += 16) {
            __m512i asks = _mm512_setzero_si512(), bids = _mm512_setzero_si512();
            for (uint32_t leg = 0; leg < legs; leg++) {
                __m512i at = _mm512_loadu_si512(members + leg * sets + i);
                asks = _mm512_add_epi32(asks, _mm512_i32gather_epi32(at, on->ask_ticks, 4));
                bids = _mm512_add_epi32(bids, _mm512_i32gather_epi32(at, on->bid_ticks, 4));
            }
            uint32_t may = _mm512_cmplt_epi32_mask(asks, _mm512_set1_epi32(PAR)) |
                           _mm512_cmpgt_epi32_mask(bids, _mm512_set1_epi32(PAR));
            for (; may != 0; may &= may - 1) {
                count = price_set(on, sets, legs, i + (uint32_t)__builtin_ctz(may), members,
                                  threshold, count, to);
            }
        }
        bench_keep(to->set);
    }
    *ret_hits = count;
    return bench_ns() - begun;
}

#else

int detect_has_avx512(void)
{
    return 0;
}

uint64_t detect_sweep(void)
{
    return 0;
}

uint64_t detect_sweep_priced(void)
{
    return 0;
}

uint64_t detect_sets(void)
{
    return 0;
}

uint64_t detect_sets_priced(void)
{
    return 0;
}

#endif

enum { WINDOW = 64 };

/* z-score and Bollinger bands over a window, and an EWMA, of each tick in turn. */
uint64_t detect_signal(const int64_t *ticks, uint32_t count, double alpha, double *out,
                       uint32_t passes)
{
    int64_t window[WINDOW] = {0};
    int64_t sum = 0, squares = 0;
    double ewma = 0;
    uint32_t at = 0;
    uint64_t begun = bench_ns();
    for (uint32_t pass = 0; pass < passes; pass++) {
        for (uint32_t i = 0; i < count; i++) {
            int64_t tick = ticks[i], old = window[at];
            window[at] = tick;
            at = (at + 1) % WINDOW;
            sum += tick - old;
            squares += tick * tick - old * old;
            double mean = (double)sum / WINDOW;
            double variance = (double)(squares * WINDOW - sum * sum) / (WINDOW * WINDOW);
            double deviation = sqrt(variance);
            ewma += alpha * ((double)tick - ewma);
            out[0] = deviation > 0 ? ((double)tick - mean) / deviation : 0;
            out[1] = mean - 2 * deviation;
            out[2] = mean + 2 * deviation;
            out[3] = ewma;
            bench_keep(out);
        }
    }
    return bench_ns() - begun;
}
