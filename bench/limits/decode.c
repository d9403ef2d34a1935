/* Bytes of one frame to integers: the scanner floor, the runtime's decoder, Debian's simdjson.
 *
 * `decode change|snapshot CORPUS ROUNDS`: every round each of them goes once over the corpus, in
 * turn; nanoseconds a frame. "base" is our decoder as processors without AVX2 run it. All give the
 * same checksum first, so all do the work. */
#include "corpus.h"
#include "overround/decode_polymarket.h"
#include "scan_floor.h"

#ifdef WITH_SIMDJSON
/* simdjson.cpp: decode one frame and return its checksum. */
uint64_t peer_simdjson(const char *text, size_t length, int snapshot);
#endif

static struct {
    struct corpus corpus;
    struct floor_frame frame;
    struct ovr_pm_batch batch;
    struct ovr_pm_event events[8];
    struct ovr_pm_change changes[512];
    int snapshot;
    uint64_t sum;
} my;

static inline uint64_t mix(uint64_t ticks, uint64_t lots, uint64_t side, uint64_t bid, uint64_t ask)
{
    return ticks + 3 * lots + 5 * side + 7 * bid + 11 * ask;
}

static void once_floor(uint32_t i)
{
    NEED(my.snapshot ? floor_snapshot(my.corpus.frames[i], &my.frame)
                     : floor_price_change(my.corpus.frames[i], &my.frame));
    bench_keep(&my.frame);
}

static uint64_t sum_floor(void)
{
    uint64_t sum = my.frame.epoch_ms;
    for (uint32_t n = 0; n < my.frame.count; n++) {
        struct floor_change *c = &my.frame.changes[n];
        sum += my.snapshot ? mix(c->ticks, (uint64_t)c->lots, c->side, 0, 0)
                           : mix(c->ticks, (uint64_t)c->lots, c->side, c->bid, c->ask) + c->hash[7];
    }
    return sum;
}

static void once_ours(uint32_t i)
{
    NEED(ovr_pm_decode(my.corpus.frames[i], my.corpus.lengths[i], &my.batch) == OVR_PM_OK);
    bench_keep(&my.batch);
}

static void once_base(uint32_t i)
{
    NEED(ovr_pm_decode_base(my.corpus.frames[i], my.corpus.lengths[i], &my.batch) == OVR_PM_OK);
    bench_keep(&my.batch);
}

static uint64_t sum_ours(void)
{
    NEED(my.batch.speculated && my.batch.events_count == 1);
    uint64_t sum = my.events[0].venue_epoch_ms;
    for (uint32_t n = 0; n < my.batch.changes_count; n++) {
        struct ovr_pm_change *c = &my.changes[n];
        sum += my.snapshot
                   ? mix(c->price_ticks, (uint64_t)c->size_lots, c->side, 0, 0)
                   : mix(c->price_ticks, (uint64_t)c->size_lots, c->side, c->bid_ticks,
                         c->ask_ticks) + c->hash[7];
    }
    return sum;
}

#ifdef WITH_SIMDJSON
static void once_simdjson(uint32_t i)
{
    my.sum = peer_simdjson(my.corpus.frames[i], my.corpus.lengths[i], my.snapshot);
}

static uint64_t sum_simdjson(void)
{
    return my.sum;
}
#endif

static const struct {
    const char *name;
    void (*once)(uint32_t i);
    uint64_t (*sum)(void);
} contenders[] = {
    {"floor", once_floor, sum_floor},
    {"subject", once_ours, sum_ours},
    {"base", once_base, sum_ours},
#ifdef WITH_SIMDJSON
    {"simdjson", once_simdjson, sum_simdjson},
#endif
};
enum { CONTENDERS = sizeof contenders / sizeof contenders[0] };

int main(int argc, char **argv)
{
    NEED(argc == 4);
    bench_place(0);
    my.snapshot = strcmp(argv[1], "snapshot") == 0;
    my.corpus = corpus_load(argv[2]);
    my.batch = (struct ovr_pm_batch){.events = my.events, .changes = my.changes,
                                     .events_capacity = 8, .changes_capacity = 512};
    for (uint32_t i = 0; i < my.corpus.count; i++) {
        uint64_t first = 0;
        for (int c = 0; c < CONTENDERS; c++) {
            contenders[c].once(i);
            uint64_t sum = contenders[c].sum();
            first = c == 0 ? sum : first;
            if (sum != first) {
                fprintf(stderr, "%s reads frame %u otherwise\n", contenders[c].name, i);
                return 1;
            }
        }
    }
    for (int round = -2; round < atoi(argv[3]); round++) {
        for (int c = 0; c < CONTENDERS; c++) {
            uint64_t begun = bench_ns();
            for (uint32_t i = 0; i < my.corpus.count; i++) {
                contenders[c].once(i);
            }
            uint64_t took = bench_ns() - begun;
            if (round >= 0) {
                printf("%s %.4f\n", contenders[c].name, (double)took / my.corpus.count);
            }
        }
    }
    return 0;
}
