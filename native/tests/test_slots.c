#include "check.h"

#include <errno.h>
#include <pthread.h>

#include "overround/slots.h"

#define SLOTS 4
#define STORES 400000

static void loads_what_was_stored(void)
{
    void *base = new_segment(OVR_REGION_BOARD, WIDE_BYTES, SLOTS);
    uint64_t record[WIDE_WORDS] = {0};
    uint64_t copy[WIDE_WORDS];
    CHECK(ovr_slot_load(base, 0, copy) == 0 && copy[0] == 0);
    CHECK(ovr_slot_load(base, SLOTS, copy) == -ERANGE);
    CHECK(ovr_slot_store(base, SLOTS, record) == 0);
    for (uint64_t version = 1; version <= 5; version++) {
        fill(record, WIDE_WORDS, version);
        CHECK(ovr_slot_store(base, 2, record) == 2 * version);
        CHECK(ovr_slot_load(base, 2, copy) == 0);
        CHECK(copy[0] == 2 * version && filled_from(copy, WIDE_WORDS, version));
    }
    CHECK(ovr_segment_cursor(base) == 3); /* high-water mark */
}

static void appends_until_full(void)
{
    void *base = new_segment(OVR_REGION_CATALOG, WIDE_BYTES, SLOTS);
    uint64_t record[WIDE_WORDS] = {0};
    for (int64_t index = 0; index < SLOTS; index++) {
        CHECK(ovr_slot_append(base, record) == index);
    }
    CHECK(ovr_slot_append(base, record) == -ENOSPC);
    CHECK(ovr_segment_cursor(base) == SLOTS);
}

static void stuck_writer_is_reported_not_awaited(void)
{
    void *base = new_segment(OVR_REGION_BOARD, WIDE_BYTES, SLOTS);
    uint64_t record[WIDE_WORDS] = {0};
    uint64_t copies[SLOTS][WIDE_WORDS];
    uint8_t ok[SLOTS];
    fill(record, WIDE_WORDS, 9);
    for (uint64_t index = 0; index < SLOTS; index++) {
        ovr_slot_store(base, index, record);
    }
    atomic_store(ovr_segment_record(base, 1), 3); /* as a writer killed in its second store */
    CHECK(ovr_slot_load(base, 1, copies[0]) == -EAGAIN);
    CHECK(ovr_slot_load_many(base, 0, SLOTS, copies, ok) == SLOTS - 1);
    CHECK(ok[0] && !ok[1] && ok[2] && ok[3]);
    CHECK(copies[1][0] == 0 && copies[1][5] == 0 && filled_from(copies[2], WIDE_WORDS, 9));
    CHECK(ovr_slot_load_many(base, 1, SLOTS, copies, ok) == 0); /* beyond the region */

    CHECK(ovr_segment_repair(base) == 1);
    CHECK(ovr_slot_load(base, 1, copies[0]) == 0);
    CHECK(copies[0][0] == 4 && copies[0][1] == 0); /* blank, and a new version */
    CHECK(ovr_segment_repair(base) == 0);

    atomic_store(ovr_segment_record(base, 1), 5);
    CHECK(ovr_slot_store(base, 1, record) == 6); /* a store mends as well */
    CHECK(ovr_slot_load(base, 1, copies[0]) == 0);
}

static atomic_int stop;

static void store_round_robin(void *base)
{
    uint64_t record[WIDE_WORDS] = {0};
    for (uint64_t version = 1; version <= STORES / SLOTS && !atomic_load(&stop); version++) {
        fill(record, WIDE_WORDS, version);
        for (uint64_t index = 0; index < SLOTS; index++) {
            CHECK(ovr_slot_store(base, index, record) == 2 * version);
        }
    }
}

static void *store_thread(void *base)
{
    store_round_robin(base);
    return NULL;
}

/* Reads until slot 0 has its last version; a stuck writer here is merely descheduled. */
static void read_every_version_whole(void *base)
{
    uint64_t copy[WIDE_WORDS];
    uint64_t last[SLOTS] = {0};
    while (last[0] < STORES / SLOTS) {
        for (uint64_t index = 0; index < SLOTS; index++) {
            if (ovr_slot_load(base, index, copy) != 0 || copy[0] == 0) {
                continue;
            }
            CHECK(filled_from(copy, WIDE_WORDS, copy[0] / 2));
            CHECK(copy[0] / 2 >= last[index]);
            last[index] = copy[0] / 2;
        }
    }
}

static void two_threads_see_no_torn_slot(void)
{
    void *base = new_segment(OVR_REGION_BOARD, WIDE_BYTES, SLOTS);
    pthread_t writer;
    CHECK(pthread_create(&writer, NULL, store_thread, base) == 0);
    read_every_version_whole(base);
    CHECK(pthread_join(writer, NULL) == 0);
}

static void two_processes_see_no_torn_slot(void)
{
    void *base = new_segment(OVR_REGION_BOARD, WIDE_BYTES, SLOTS);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        store_round_robin(base);
        _exit(0);
    }
    read_every_version_whole(base);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void *store_for_ever(void *base)
{
    uint64_t record[WIDE_WORDS] = {0};
    for (uint64_t version = 1; !atomic_load_explicit(&stop, memory_order_relaxed); version++) {
        fill(record, WIDE_WORDS, version);
        ovr_slot_store(base, 0, record);
    }
    return NULL;
}

/* Negative control: the same copy without looking at the sequence must meet mixed words, else the
 * tests above prove nothing. No limit of its own: it ends with the first torn word. */
static void naive_reader_finds_torn_slots(void)
{
    void *base = new_segment(OVR_REGION_BOARD, WIDE_BYTES, SLOTS);
    pthread_t writer;
    uint64_t copy[WIDE_WORDS];
    CHECK(pthread_create(&writer, NULL, store_for_ever, base) == 0);
    while (ovr_segment_cursor(base) == 0) {
        ovr_pause();
    }
    do {
        ovr_words_load(ovr_segment_record(base, 0), copy, WIDE_WORDS);
    } while (all_of_one(copy, WIDE_WORDS));
    atomic_store(&stop, 1);
    CHECK(pthread_join(writer, NULL) == 0);
    atomic_store(&stop, 0);
}

static void store_all_for_ever(void *base)
{
    uint64_t record[WIDE_WORDS] = {0};
    for (uint64_t version = 1;; version++) {
        fill(record, WIDE_WORDS, version);
        for (uint64_t index = 0; index < SLOTS; index++) {
            ovr_slot_store(base, index, record);
        }
    }
}

/* Kills writers until one is caught mid-write; about every second one is. */
static void take_over_repairs_what_sigkill_left(void)
{
    uint64_t repaired = 0;
    while (repaired == 0) {
        void *base = new_segment(OVR_REGION_BOARD, WIDE_BYTES, SLOTS);
        uint64_t copy[WIDE_WORDS];
        run_and_kill(store_all_for_ever, base, SLOTS);
        int stuck = 0;
        for (uint64_t index = 0; index < SLOTS; index++) {
            stuck += ovr_slot_load(base, index, copy) == -EAGAIN;
        }
        uint64_t epoch = ovr_segment_epoch(base);
        ovr_segment_takeover_begin(base, 1, 2, 3);
        repaired = ovr_segment_repair(base);
        ovr_segment_takeover_end(base);
        CHECK(repaired == (uint64_t)stuck && repaired <= 1);
        CHECK(ovr_segment_epoch(base) > epoch && ovr_segment_epoch(base) % 2 == 0);
        for (uint64_t index = 0; index < SLOTS; index++) {
            CHECK(ovr_slot_load(base, index, copy) == 0);
            CHECK(filled_from(copy, WIDE_WORDS, copy[0] / 2) || copy[1] == 0);
        }
        munmap(base, ovr_segment_size(WIDE_BYTES, SLOTS));
    }
}

int main(void)
{
    RUN(loads_what_was_stored);
    RUN(appends_until_full);
    RUN(stuck_writer_is_reported_not_awaited);
    RUN(two_processes_see_no_torn_slot);
    RUN(take_over_repairs_what_sigkill_left);
    RUN(two_threads_see_no_torn_slot);
    RUN(naive_reader_finds_torn_slots);
    return 0;
}
