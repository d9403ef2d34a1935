/* One record from one process to another and one back: what does a hop take, what can it carry?
 *
 *   line   two cache lines and nothing else: what the machine needs to move a line
 *   bare   a C ring with the sequence in the record's own line: the floor of a ring
 *   ours   the runtime's broadcast ring, publish and poll as the module has them, between
 *          processes that spin: nobody ever slept on it
 *
 * `hop hop ROUNDS` times single hops: half of each there-and-back. Before each it waits for a time
 * of its own, up to DITHER ticks: answered at once, the two loops fall in step, and whether a look
 * meets the record or the pause behind it (20 to 40 ns) is decided once for thousands of hops; the
 * same two lines then take 22, 38 or 46 ns, a second each. Records in use do not come in step.
 * For comparison, `hop step ROUNDS` measures that, and `hop eager ROUNDS` the same without any
 * pause, where each look takes the line away from the sender.
 *
 * `hop rate ROUNDS` sends records one way, the sender held back by the receiver's position once in
 * a quarter ring; it prints millions a second. `hop alone` compares the loop that one CPU runs
 * alone with the same while the other CPU runs it: near 1 on cores of their own, 1.3 and more on
 * siblings. */
#include "bench.h"

#include <stdatomic.h>

#include "overround/broadcast.h"
#include "overround/layout.h"
#include "overround/segment.h"

enum { CAPACITY = 4096, HOPS = 10240, GROUP = 16, RECORDS = 400000, BATCH = 256, MODES = 3 };
enum { BITE = 16 };     /* records the bare receiver waits for: at the sender's heels both stall */
enum { DITHER = 1024 }; /* ticks, a power of two: several hops and pauses long */
enum mode { LINE, BARE, OURS };
static const char *const names[MODES] = {"line", "bare", "ours"};

struct record {
    _Alignas(64) atomic_ullong sequence;
    ovr_word words[7];
};

struct lines {
    _Alignas(64) atomic_ullong there;
    _Alignas(64) atomic_ullong back;
    _Alignas(64) atomic_ullong mode;
    _Alignas(64) atomic_ullong ready;
    _Alignas(64) atomic_ullong position;
};

static struct {
    struct lines *lines;
    struct record *bare[2];
    void *ours[2];
    uint64_t sent[2][2], got[2][2]; /* per kind of ring and direction, in either process */
    struct ovr_change batch[BATCH];
} my;

static int eager; /* look again without a pause */

static inline void wait_a_little(void)
{
    if (!eager) {
        bench_pause();
    }
}

static void *new_ring(void)
{
    uint64_t size = ovr_segment_size(sizeof(struct ovr_change), CAPACITY);
    void *base = bench_shared(size);
    NEED(ovr_segment_init(base, size, OVR_REGION_CHANGES, sizeof(struct ovr_change), CAPACITY, 7,
                          42, 0) == 0);
    ovr_segment_takeover_begin(base, 1, 2, 3);
    ovr_segment_takeover_end(base);
    return base;
}

/* Word by word, as the sender wrote it: a wide copy of words just written stalls the core. */
static inline void bare_put(struct record *ring, uint64_t number, const uint64_t *words)
{
    struct record *to = &ring[number & (CAPACITY - 1)];
    ovr_words_store(to->words, words, 7);
    atomic_store_explicit(&to->sequence, number + 1, memory_order_release);
}

static inline int bare_there(struct record *ring, uint64_t number)
{
    return atomic_load_explicit(&ring[number & (CAPACITY - 1)].sequence, memory_order_acquire) >
           number;
}

static inline int bare_get(struct record *ring, uint64_t number, uint64_t *words)
{
    struct record *from = &ring[number & (CAPACITY - 1)];
    if (atomic_load_explicit(&from->sequence, memory_order_acquire) != number + 1) {
        return 0;
    }
    ovr_words_load(from->words, words, 7);
    return 1;
}

static inline void put(enum mode mode, int way, const struct ovr_change *record)
{
    if (mode == BARE) {
        bare_put(my.bare[way], my.sent[0][way]++, (const uint64_t *)record + 1);
    } else {
        ovr_broadcast_publish(my.ours[way], record);
    }
}

static inline void await(enum mode mode, int way, struct ovr_change *record)
{
    if (mode == BARE) {
        while (!bare_get(my.bare[way], my.got[0][way], (uint64_t *)record + 1)) {
            wait_a_little();
        }
        my.got[0][way]++;
    } else {
        uint64_t lost = 0;
        while (!ovr_broadcast_poll(my.ours[way], &my.got[1][way], record, 1, &lost)) {
            wait_a_little();
        }
        NEED(lost == 0);
    }
}

/* --- hops ---------------------------------------------------------------------------------- */

static void answer(enum mode mode)
{
    struct lines *lines = my.lines;
    struct ovr_change record;
    for (uint64_t hop = 1; hop <= HOPS; hop++) {
        if (mode == LINE) {
            while (atomic_load_explicit(&lines->there, memory_order_acquire) != hop) {
                wait_a_little();
            }
            atomic_store_explicit(&lines->back, hop, memory_order_release);
        } else {
            await(mode, 0, &record);
            put(mode, 1, &record);
        }
    }
}

/* Returns the time at which some ticks have passed, never the same number. */
static uint64_t begin_out_of_step(void)
{
    static uint64_t state = UINT64_C(88172645463325252);
    state ^= state << 13, state ^= state >> 7, state ^= state << 17;
    uint64_t now, end = bench_ticks() + (state & (DITHER - 1));
    while ((now = bench_ticks()) < end) {
    }
    return now;
}

static void ask(enum mode mode, int in_step, uint64_t *samples)
{
    struct lines *lines = my.lines;
    struct ovr_change record = {.market = 1};
    uint64_t before = bench_ticks();
    for (uint64_t hop = 1; hop <= HOPS; hop++) {
        if (!in_step) {
            before = begin_out_of_step();
        }
        if (mode == LINE) {
            atomic_store_explicit(&lines->there, hop, memory_order_release);
            while (atomic_load_explicit(&lines->back, memory_order_acquire) != hop) {
                wait_a_little();
            }
        } else {
            put(mode, 0, &record);
            await(mode, 1, &record);
        }
        uint64_t now = bench_ticks();
        samples[hop - 1] = now - before;
        before = now;
    }
}

/* The middle of groups, because some counters tick in steps of 10 ns; the tail of single hops. */
static void print_hops(const char *name, uint64_t *samples, double half)
{
    static uint64_t groups[HOPS / GROUP];
    for (int i = 0; i < HOPS / GROUP; i++) {
        groups[i] = 0;
        for (int j = 0; j < GROUP; j++) {
            groups[i] += samples[i * GROUP + j];
        }
    }
    qsort(groups, HOPS / GROUP, sizeof *groups, bench_compare);
    qsort(samples, HOPS, sizeof *samples, bench_compare);
    printf("%s %.4f %.4f\n", name, (double)groups[HOPS / GROUP / 2] * half / GROUP,
           (double)samples[HOPS * 99 / 100] * half);
}

/* --- rate ---------------------------------------------------------------------------------- */

static void drain(enum mode mode)
{
    uint64_t *at = &my.got[mode == OURS][0], begun = *at, end = begun + RECORDS, lost = 0, sum = 0;
    while (*at < end) {
        uint64_t before = *at;
        if (mode == OURS) {
            uint32_t count = ovr_broadcast_poll(my.ours[0], at, my.batch, BATCH, &lost);
            for (uint32_t i = 0; i < count; i++) {
                sum += my.batch[i].market;
            }
            NEED(lost == 0);
        } else {
            uint64_t words[7];
            while (*at < end && bare_there(my.bare[0], *at / BITE * BITE + BITE - 1) &&
                   bare_get(my.bare[0], *at, words)) {
                sum += words[1];
                ++*at;
                if (*at % (CAPACITY / 4) == 0) {
                    break;
                }
            }
        }
        if (*at / (CAPACITY / 4) != before / (CAPACITY / 4) || *at == end) {
            atomic_store_explicit(&my.lines->position, *at - begun, memory_order_release);
        } else if (*at == before) {
            bench_pause();
        }
    }
    bench_keep(&sum);
}

static uint64_t flood(enum mode mode)
{
    struct lines *lines = my.lines;
    struct ovr_change record = {.market = 1};
    uint64_t begun = bench_ns(), seen = 0;
    for (uint64_t n = 0; n < RECORDS; n++) {
        while (n - seen >= CAPACITY * 3 / 4) {
            seen = atomic_load_explicit(&lines->position, memory_order_acquire);
            bench_pause();
        }
        record.market = (uint32_t)n;
        put(mode, 0, &record);
    }
    while (atomic_load_explicit(&lines->position, memory_order_acquire) < RECORDS) {
        bench_pause();
    }
    return bench_ns() - begun;
}

/* --- both ---------------------------------------------------------------------------------- */

static void serve(int rate)
{
    for (uint64_t round = 1;; round++) {
        uint64_t mode;
        while ((mode = atomic_load(&my.lines->mode)) >> 8 != round) {
            bench_pause();
        }
        atomic_store(&my.lines->ready, round);
        (rate ? drain : answer)((enum mode)(mode & 0xff));
    }
}

static void begin(uint64_t round, enum mode mode)
{
    atomic_store(&my.lines->there, 0);
    atomic_store(&my.lines->back, 0);
    atomic_store(&my.lines->position, 0);
    atomic_store(&my.lines->mode, round << 8 | mode);
    while (atomic_load(&my.lines->ready) != round) {
        bench_pause();
    }
}

static uint64_t churn(void)
{
    uint64_t x = 1, y = 2, z = 3, w = 4, begun = bench_ns();
    for (int i = 0; i < 300000; i++) {
        x = x * 5 + 1, y = (y ^ (y << 7)) + x, z = z * 3 + y, w = (w ^ (w >> 9)) + z;
        __asm__ __volatile__("" : "+r"(x), "+r"(y), "+r"(z), "+r"(w));
    }
    return bench_ns() - begun;
}

static int alone(void)
{
    uint64_t best[2] = {UINT64_MAX, UINT64_MAX};
    for (int both = 0; both < 2; both++) {
        pid_t child = both ? bench_fork() : -1;
        while (child == 0) {
            churn();
        }
        for (int i = 0; i < 200; i++) {
            uint64_t took = churn();
            best[both] = took < best[both] ? took : best[both];
        }
        if (both) {
            bench_end(child);
        }
    }
    printf("alone %.4f\n", (double)best[1] / (double)best[0]);
    return 0;
}

int main(int argc, char **argv)
{
    static uint64_t samples[HOPS];
    NEED(argc > 1);
    bench_place(0);
    if (strcmp(argv[1], "alone") == 0) {
        return alone();
    }
    NEED(argc > 2);
    int rate = strcmp(argv[1], "rate") == 0, in_step = strcmp(argv[1], "hop") != 0;
    eager = strcmp(argv[1], "eager") == 0;
    int rounds = atoi(argv[2]);
    double half = bench_ns_per_tick() / 2;
    my.lines = bench_shared(sizeof *my.lines);
    for (int way = 0; way < 2; way++) {
        my.bare[way] = bench_shared(CAPACITY * sizeof *my.bare[way]);
        my.ours[way] = new_ring();
    }
    pid_t child = bench_fork();
    if (child == 0) {
        serve(rate);
    }
    for (uint64_t round = 1, n = 0; n < (uint64_t)rounds + 2; n++) {
        for (int mode = rate ? BARE : LINE; mode < MODES; mode++, round++) {
            begin(round, (enum mode)mode);
            if (rate) {
                uint64_t took = flood((enum mode)mode);
                if (n >= 2) {
                    printf("%s %.4f\n", names[mode], RECORDS * 1e3 / (double)took);
                }
            } else {
                ask((enum mode)mode, in_step, samples);
                if (n >= 2) {
                    print_hops(names[mode], samples, half);
                }
            }
        }
    }
    bench_end(child);
    return 0;
}
