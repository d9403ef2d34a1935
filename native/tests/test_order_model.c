/* The rings' own sources on a machine whose memory is as weak as C11 allows; see weak_memory.h.
 *
 * Thousands of random runs of small programs must show nothing torn, lost or asleep for ever. Then
 * each memory order in the sources is weakened in turn, and the same programs must show it: what
 * can be weakened unnoticed is listed below with its reason.
 *
 *     test_order_model [RUNS]     runs of each program; the default fits a test */
#define _GNU_SOURCE
#if defined(__SANITIZE_THREAD__)

#include <stdio.h>

int main(void)
{
    fprintf(stderr, "skipped: the model is one thread, and its stacks are unknown to TSan\n");
    return 0;
}

#else

#include "weak_memory.h"

#include "check.h"
#include "overround/crc32c.h"

#include "../src/segment.c"
#include "../src/sleep.c"
#include "../src/slots.c"

#define record_there broadcast_record_there
#include "../src/broadcast.c"
#undef record_there
#define record_there spsc_record_there
#include "../src/spsc.c"
#undef record_there

/* The tap's bytes are plain memory: here they move word by word, and are guarded. */
static void plain_copy(void *to, const void *from, size_t bytes)
{
    for (size_t i = 0; i < bytes / 8; i++) {
        ovr_words_store((ovr_word *)to + i, (const unsigned char *)from + 8 * i, 1);
    }
}
#define memcpy(to, from, bytes) plain_copy(to, from, bytes)
#include "../src/tap.c"
#undef memcpy

uint64_t ovr_clock_ns(void)
{
    return 1;
}

enum { RING = 8, WORDS = 3, BYTES = 8 * WORDS, RUNS = 600, LOOKS = 12, NEVER = 1 << 30 };

static void *const base = weak.arena;

static void fresh(uint32_t kind)
{
    memset(weak.arena, 0, ARENA_BYTES);
    CHECK(ovr_segment_init(base, ARENA_BYTES, kind, BYTES, RING, 7, 42, 0) == 0);
    ovr_segment_takeover_begin(base, 1, 2, 3);
    ovr_segment_takeover_end(base);
    weak.guard_from = weak.guard_to = 0;
}

static void publish(uint64_t number)
{
    uint64_t record[WORDS] = {0};
    fill(record, WORDS, number);
    ovr_broadcast_publish(base, record);
}

static int push(uint64_t number)
{
    uint64_t record[WORDS] = {0};
    int pushed = 0;
    fill(record, WORDS, number);
    for (int i = 0; i < LOOKS && !pushed; i++) {
        pushed = ovr_spsc_try_push(base, record);
    }
    return pushed;
}

/* --- broadcast: the writer overwrites the first records while one reads them, one follows ----- */

static void full_ring(void)
{
    fresh(OVR_REGION_CHANGES);
    for (uint64_t number = 0; number < RING; number++) {
        publish(number);
    }
}

static void publish_two(void)
{
    publish(RING);
    publish(RING + 1);
}

static void read_from(uint64_t number)
{
    uint64_t out[2][WORDS], cursor = number, lost = 0, next = number;
    for (int i = 0; i < LOOKS && cursor < RING + 2; i++) {
        uint64_t before = lost;
        uint32_t count = ovr_broadcast_poll(base, &cursor, out, 2, &lost);
        next += lost - before;
        for (uint32_t k = 0; k < count; k++, next++) {
            EXPECT(out[k][0] == 2 * next + 2);
            EXPECT(filled_from(out[k], WORDS, next));
        }
        EXPECT(cursor == next && cursor <= RING + 2);
    }
}

static void read_the_oldest(void)
{
    read_from(0);
}

static void join_at_the_end(void)
{
    uint64_t out[WORDS], end = ovr_segment_cursor(base), cursor = end - 1, lost = 0;
    EXPECT(ovr_broadcast_poll(base, &cursor, out, 1, &lost) == 1 || lost > 0);
    read_from(end);
}

/* A writer died between the record and the cursor; the next one repairs and goes on. */
static void uncounted_record(void)
{
    full_ring();
    publish(RING);
    ((struct ovr_segment *)base)->cursor = RING;
}

static void repair_and_publish(void)
{
    ovr_segment_takeover_begin(base, 1, 2, 3);
    ovr_segment_repair(base);
    ovr_segment_takeover_end(base);
    publish(RING + 1);
}

/* --- bounded ring: full, so that each record waits for room ----------------------------------- */

static void full_queue(void)
{
    fresh(OVR_REGION_INTENTS);
    for (uint64_t number = 0; number < RING; number++) {
        push(number);
    }
    weak.guard_from = OVR_HEADER_BYTES;
    weak.guard_to = ARENA_BYTES;
}

static void push_two(void)
{
    if (push(RING)) {
        push(RING + 1);
    }
}

static void consume(void)
{
    uint64_t out[2][WORDS];
    for (uint64_t next = 0, looks = 0; looks < LOOKS; looks++) {
        int64_t count = ovr_spsc_poll(base, next, out, 2);
        EXPECT(count >= 0);
        for (int64_t k = 0; k < count; k++, next++) {
            EXPECT(out[k][0] == 2 * next + 2 && filled_from(out[k], WORDS, next));
        }
        EXPECT(ovr_spsc_advance(base, next) == 0);
    }
}

/* --- slots ------------------------------------------------------------------------------------ */

static void store(uint64_t index, uint64_t version)
{
    uint64_t record[WORDS] = {0};
    fill(record, WORDS, version);
    ovr_slot_store(base, index, record);
}

static void one_slot(void)
{
    fresh(OVR_REGION_BOARD);
    store(0, 1);
}

static void store_and_append(void)
{
    store(0, 2);
    store(1, 1);
    store(0, 3);
}

static void load_slots(void)
{
    uint64_t copy[WORDS];
    for (int i = 0; i < 2; i++) {
        if (ovr_slot_load(base, 0, copy) == 0) {
            EXPECT(filled_from(copy, WORDS, copy[0] / 2));
        }
    }
}

static void count_slots(void)
{
    uint64_t copy[WORDS];
    for (int i = 0; i < LOOKS; i++) {
        if (ovr_segment_cursor(base) == 2) {
            EXPECT(ovr_slot_load(base, 1, copy) != 0 || filled_from(copy, WORDS, 1));
        }
    }
}

/* A writer died in the middle of version 2; nobody may take the blank for version 1's words. */
static void half_a_slot(void)
{
    one_slot();
    ovr_segment_record(base, 0)[0] = 3;
    ovr_segment_record(base, 0)[1] = 99;
}

static void repair_slot(void)
{
    ovr_slot_repair(base);
}

static void load_repaired(void)
{
    uint64_t copy[WORDS];
    if (ovr_slot_load(base, 0, copy) == 0) {
        EXPECT(copy[0] == 4 && copy[1] == 0 && copy[2] == 0);
    }
}

/* --- take-over, beats, states ----------------------------------------------------------------- */

static void set_mode(uint64_t mode)
{
    atomic_store_explicit(&((struct ovr_segment *)base)->mode, mode, memory_order_relaxed);
}

/* Each step is told by a word of its own; what it tells of is a word without any order. */
static void take_over_and_tell(void)
{
    ovr_segment_takeover_begin(base, 4, 5, 6);
    set_mode(6);
    ovr_segment_takeover_end(base);
    set_mode(7);
    ovr_segment_beat(base, 2);
    set_mode(8);
    ovr_segment_set_state(base, 7);
}

/* As readers do: the epoch before and after, and nothing of another owner in between. */
static void read_in_one_epoch(void)
{
    for (int i = 0; i < LOOKS; i++) {
        uint64_t epoch = ovr_segment_epoch(base), mode = ovr_segment_mode(base);
        if ((epoch & 1) == 0 && ovr_segment_epoch(base) == epoch) {
            EXPECT(epoch == 2 ? mode == 0 : mode >= 6);
        }
    }
}

static void believe(uint64_t (*word)(void *), uint64_t value, uint64_t mode)
{
    for (int i = 0; i < LOOKS; i++) {
        if (word(base) == value) {
            EXPECT(ovr_segment_mode(base) >= mode);
            return;
        }
    }
}

static void believe_the_beat(void)
{
    believe(ovr_segment_heartbeat_ns, 2, 7);
}

static void believe_the_state(void)
{
    believe(ovr_segment_state, 7, 8);
}

static void no_segment(void)
{
    memset(weak.arena, 0, ARENA_BYTES);
    weak.guard_from = weak.guard_to = 0;
}

static void set_up_segment(void)
{
    ovr_segment_init(base, ARENA_BYTES, OVR_REGION_BOARD, BYTES, RING, 7, 42, 9);
}

static void check_segment(void)
{
    if (ovr_segment_check(base, ARENA_BYTES, OVR_REGION_BOARD, 7) == 0) {
        EXPECT(ovr_segment_mode(base) == 9);
    }
}

/* --- sleep: the first sleeps of a region whose writer was spared the fence -------------------- */

static void spared(void)
{
    fresh(OVR_REGION_CHANGES);
    CHECK(((struct ovr_segment *)base)->fence == OVR_FENCE_SPARED);
}

static void fenced(void)
{
    fresh(OVR_REGION_CHANGES);
    ((struct ovr_segment *)base)->fence = OVR_FENCE_ALWAYS;
}

static void publish_first(void)
{
    publish(0);
    publish(1);
}

static void sleep_for_two(void)
{
    for (uint64_t number = 0; number < 2; number++) {
        EXPECT(ovr_broadcast_wait(base, number, 0, NEVER));
    }
}

/* --- tap -------------------------------------------------------------------------------------- */

static struct ovr_tap tap;

static void fresh_tap(void)
{
    memset(weak.arena, 0, ARENA_BYTES);
    CHECK(ovr_tap_format(base, ARENA_BYTES, 42, 0, 1) == 0);
    tap = (struct ovr_tap){.base = base, .size = ARENA_BYTES, .used = OVR_TAP_HEADER_BYTES};
    weak.guard_from = weak.guard_to = 0;
}

static void append_two(void)
{
    tap.used = OVR_TAP_HEADER_BYTES; /* its writer's own count: each run begins anew */
    for (uint64_t number = 1; number <= 2; number++) {
        ovr_tap_append(&tap, OVR_TAP_FRAME_IN, number, 0, &number, sizeof number);
    }
}

static void follow_tap(void)
{
    for (int i = 0; i < 3; i++) {
        uint64_t used = ovr_tap_used(base), number = 1;
        for (uint64_t at = OVR_TAP_HEADER_BYTES; at < used; at += 32, number++) {
            uint64_t record[4];
            ovr_words_load((ovr_word *)(void *)(weak.arena + at), record, 4);
            EXPECT(record[1] == number && record[3] == number);
        }
    }
}

/* --- the programs, and what they must notice -------------------------------------------------- */

static const struct program {
    const char *name;
    void (*setup)(void);
    void (*threads[THREADS + 1])(void);
} programs[] = {
    {"broadcast, lapped", full_ring, {publish_two, read_the_oldest}},
    {"broadcast, followed", full_ring, {publish_two, join_at_the_end}},
    {"broadcast, repaired", uncounted_record, {repair_and_publish, join_at_the_end}},
    {"bounded ring", full_queue, {push_two, consume}},
    {"slots", one_slot, {store_and_append, load_slots}},
    {"slots, counted", one_slot, {store_and_append, count_slots}},
    {"slots, repaired", half_a_slot, {repair_slot, load_repaired}},
    {"take-over", one_slot, {take_over_and_tell, read_in_one_epoch}},
    {"beat", one_slot, {take_over_and_tell, believe_the_beat}},
    {"state", one_slot, {take_over_and_tell, believe_the_state}},
    {"set-up", no_segment, {set_up_segment, check_segment}},
    {"first sleeper", spared, {publish_first, sleep_for_two}},
    {"two first sleepers", spared, {publish_first, sleep_for_two, sleep_for_two}},
    {"two sleepers", fenced, {publish_first, sleep_for_two, sleep_for_two}},
    {"tap", fresh_tap, {append_two, follow_tap}},
};

enum { PROGRAMS = sizeof programs / sizeof *programs };

#define SINKING "keeps the count before the flag; here no load comes late (test_shm_sleep_model.py)"
#define MADE_UP "the full fence before the next look makes up for it"
/* Orders that may be relaxed without any of the programs noticing, and why they stay. */
static const struct {
    const char *function, *what, *why;
    unsigned above; /* how many of the same stand above it */
} unnoticed[] = {
    {"ovr_tap_format", "store memory_order_release", "a file is named when it is formatted", 0},
    {"ovr_segment_wait", "load memory_order_acquire", SINKING, 0},
    {"ovr_segment_wake_all", "exchange memory_order_acq_rel", SINKING, 0},
    {"ovr_segment_wake_all", "add memory_order_release", SINKING, 0},
    {"take_fence_back", "load memory_order_acquire", MADE_UP, 0},
    {"take_fence_back", "store memory_order_release", MADE_UP, 0},
    {"ovr_broadcast_repair", "store memory_order_release", "a dead writer's record is visible", 0},
    {"ovr_slot_store", "store memory_order_release", "the fence of the slot's own store", 1},
};

static const char *why_unnoticed(const struct weak_site *site)
{
    unsigned above = 0;
    for (const struct weak_site *other = weak.sites; other != NULL; other = other->next) {
        above += strcmp(other->function, site->function) == 0 &&
                 strcmp(other->what, site->what) == 0 && other->line < site->line;
    }
    for (size_t i = 0; i < sizeof unnoticed / sizeof *unnoticed; i++) {
        if (strcmp(site->function, unnoticed[i].function) == 0 &&
            strcmp(site->what, unnoticed[i].what) == 0 && above == unnoticed[i].above) {
            return unnoticed[i].why;
        }
    }
    return NULL;
}

/* Returns the program that broke, NULL if none did within so many runs. */
static const struct program *find_fault(unsigned runs, const char **what, unsigned *ret)
{
    for (unsigned run = 0; run < runs; run++) {
        for (const struct program *program = programs; program < programs + PROGRAMS; program++) {
            program->setup();
            *what = weak_run(program->threads, run * PROGRAMS + (unsigned)(program - programs) + 1);
            if (*what != NULL) {
                *ret = run;
                return program;
            }
        }
    }
    return NULL;
}

static unsigned runs = RUNS;

static void the_sources_hold(void)
{
    const char *what = NULL;
    unsigned run = 0;
    const struct program *broken = find_fault(runs, &what, &run);
    if (broken != NULL) {
        fprintf(stderr, "%s, run %u: %s\n", broken->name, run, what);
    }
    CHECK(broken == NULL);
}

static void each_order_is_needed(void)
{
    unsigned caught = 0, missed = 0;
    weak_order(&weak_kernel, memory_order_seq_cst);
    for (struct weak_site *site = weak.sites; site != NULL; site = site->next) {
        const char *what = NULL;
        unsigned run = 0;
        if (!site->strong) {
            continue;
        }
        site->weak = 1;
        const char *why = why_unnoticed(site);
        const struct program *broken = find_fault(why != NULL ? runs / 8 : runs * 8, &what, &run);
        site->weak = 0;
        caught += broken != NULL;
        missed += broken == NULL && why == NULL;
        fprintf(stderr, "%-26s %-30s line %3d: ", site->function, site->what, site->line);
        if (broken != NULL) {
            fprintf(stderr, "%s, run %u: %s\n", broken->name, run, what);
        } else {
            fprintf(stderr, "unnoticed: %s\n", why != NULL ? why : "NOT EXPLAINED");
        }
    }
    CHECK(missed == 0 && caught > 0);
}

int main(int argc, char **argv)
{
    if (argc > 1) {
        runs = (unsigned)strtoul(argv[1], NULL, 10);
    }
    RUN(the_sources_hold);
    RUN(each_order_is_needed);
    return 0;
}

#endif
