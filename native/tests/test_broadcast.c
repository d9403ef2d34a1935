#include "check.h"

#include <pthread.h>

#include "overround/broadcast.h"

#define RING 64
#define RECORDS 500000
#define BATCH 16

static void reads_in_order_what_was_published(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, 64, RING);
    uint64_t record[8] = {0};
    uint64_t out[RING][8];
    uint64_t cursor = 0;
    uint64_t lost = 0;
    CHECK(ovr_broadcast_poll(base, &cursor, out, RING, &lost) == 0);
    for (uint64_t number = 0; number < 5; number++) {
        fill(record, 8, number);
        CHECK(ovr_broadcast_publish(base, record) == number);
    }
    CHECK(ovr_broadcast_poll(base, &cursor, out, 3, &lost) == 3 && cursor == 3);
    CHECK(ovr_broadcast_poll(base, &cursor, out + 3, RING - 3, &lost) == 2 && cursor == 5);
    for (uint64_t number = 0; number < 5; number++) {
        CHECK(out[number][0] == 2 * number + 2 && filled_from(out[number], 8, number));
    }
    CHECK(lost == 0 && ovr_segment_cursor(base) == 5);
}

static void lapped_reader_jumps_and_counts(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, 64, RING);
    uint64_t record[8] = {0};
    uint64_t out[RING][8];
    uint64_t cursor = 0;
    uint64_t lost = 0;
    for (uint64_t number = 0; number < RING + 10; number++) {
        ovr_broadcast_publish(base, record);
    }
    uint32_t count = ovr_broadcast_poll(base, &cursor, out, RING, &lost);
    CHECK(lost == 10 + RING / 8); /* a head start of an eighth beyond what was overwritten */
    CHECK(count == RING - RING / 8 && cursor == RING + 10);
    CHECK(out[0][0] == 2 * lost + 2);
}

static void records_before_a_gap_come_without_those_behind_it(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, 64, RING);
    uint64_t record[8] = {0};
    uint64_t out[RING][8];
    uint64_t cursor = 0;
    uint64_t lost = 0;
    for (uint64_t number = 0; number < RING; number++) {
        ovr_broadcast_publish(base, record);
    }
    /* The writer is about to overwrite record 5, as a copy of 0..5 would meet it in a race. */
    atomic_store(ovr_segment_record(base, 5), 2 * (RING + 5) + 1);
    CHECK(ovr_broadcast_poll(base, &cursor, out, RING, &lost) == 5);
    CHECK(cursor == 5 && lost == 0);
    CHECK(ovr_broadcast_poll(base, &cursor, out, RING, &lost) > 0);
    CHECK(lost == RING / 8 && out[0][0] == 2 * (5 + lost) + 2);
}

static void record_being_written_is_not_there_yet(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, 64, RING);
    uint64_t out[8];
    uint64_t cursor = 0;
    uint64_t lost = 0;
    atomic_store(ovr_segment_record(base, 0), 1);
    CHECK(ovr_broadcast_poll(base, &cursor, out, 1, &lost) == 0 && lost == 0 && cursor == 0);
    CHECK(!ovr_broadcast_wait(base, 0, 0, 0));
}

static void take_over_counts_the_record_that_was_whole(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, 64, RING);
    struct ovr_segment *segment = base;
    uint64_t record[8] = {0};
    uint64_t out[RING][8];
    uint64_t cursor = 0;
    uint64_t lost = 0;
    fill(record, 8, 0);
    ovr_broadcast_publish(base, record);
    atomic_store(&segment->cursor, 0); /* died between the sequence and the cursor */
    CHECK(ovr_broadcast_poll(base, &cursor, out, RING, &lost) == 1); /* a reader was that quick */
    CHECK(ovr_segment_repair(base) == 1 && ovr_segment_cursor(base) == 1);
    fill(record, 8, 1);
    ovr_broadcast_publish(base, record);
    CHECK(ovr_broadcast_poll(base, &cursor, out, RING, &lost) == 1);
    CHECK(filled_from(out[0], 8, 1) && lost == 0);

    atomic_store(ovr_segment_record(base, 2), 5); /* died in the middle of record 2 */
    CHECK(ovr_segment_repair(base) == 0);
    fill(record, 8, 2);
    CHECK(ovr_broadcast_publish(base, record) == 2);
    CHECK(ovr_broadcast_poll(base, &cursor, out, RING, &lost) == 1);
    CHECK(filled_from(out[0], 8, 2));
}

static void publish_all(void *base)
{
    uint64_t record[WIDE_WORDS] = {0};
    for (uint64_t number = ovr_segment_cursor(base); number < RECORDS; number++) {
        fill(record, WIDE_WORDS, number);
        CHECK(ovr_broadcast_publish(base, record) == number);
    }
}

static void *publish_thread(void *base)
{
    publish_all(base);
    return NULL;
}

/* Follows to the last record: each is whole and in its place, and each missing one is counted. */
static void follow_to_the_end(void *base)
{
    uint64_t out[BATCH][WIDE_WORDS];
    uint64_t cursor = 0;
    uint64_t lost = 0;
    uint64_t seen = 0;
    uint64_t next = 0;
    while (cursor < RECORDS) {
        uint64_t lost_before = lost;
        uint32_t count = ovr_broadcast_poll(base, &cursor, out, BATCH, &lost);
        next += lost - lost_before;
        for (uint32_t i = 0; i < count; i++) {
            CHECK(out[i][0] == 2 * next + 2);
            CHECK(filled_from(out[i], WIDE_WORDS, next));
            next++;
        }
        seen += count;
        if (count == 0) {
            ovr_broadcast_wait(base, cursor, 1000, 1000000);
        }
    }
    CHECK(seen + lost == RECORDS);
}

static void *follow_thread(void *base)
{
    follow_to_the_end(base);
    return NULL;
}

static void two_reading_threads_account_for_every_record(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, WIDE_BYTES, RING);
    pthread_t writer;
    pthread_t reader;
    CHECK(pthread_create(&reader, NULL, follow_thread, base) == 0);
    CHECK(pthread_create(&writer, NULL, publish_thread, base) == 0);
    follow_to_the_end(base);
    CHECK(pthread_join(writer, NULL) == 0);
    CHECK(pthread_join(reader, NULL) == 0);
}

static void reading_process_accounts_for_every_record(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, WIDE_BYTES, RING);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        publish_all(base);
        _exit(0);
    }
    follow_to_the_end(base);
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void reader_follows_through_ten_killed_writers(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, WIDE_BYTES, RING);
    pid_t reader = fork();
    CHECK(reader >= 0);
    if (reader == 0) {
        follow_to_the_end(base);
        _exit(0);
    }
    for (uint64_t writer = 1; writer <= 10; writer++) {
        run_and_kill(publish_all, base, writer * RECORDS / 20);
        ovr_segment_takeover_begin(base, writer, 0, 0);
        ovr_segment_repair(base);
        ovr_segment_takeover_end(base);
    }
    publish_all(base);
    int status = 0;
    CHECK(waitpid(reader, &status, 0) == reader && status == 0);
    CHECK(ovr_segment_generation(base) == 10);
}

static atomic_int stop;

static void *publish_for_ever(void *base)
{
    uint64_t record[WIDE_WORDS] = {0};
    for (uint64_t number = 0; !atomic_load_explicit(&stop, memory_order_relaxed); number++) {
        fill(record, WIDE_WORDS, number);
        ovr_broadcast_publish(base, record);
    }
    return NULL;
}

/* Negative control: a reader that leaves out the second look must keep a mixed copy sooner or
 * later. No limit of its own: it ends with the first one. */
static void reader_without_second_look_finds_torn_records(void)
{
    void *base = new_segment(OVR_REGION_CHANGES, WIDE_BYTES, 8);
    pthread_t writer;
    uint64_t copy[WIDE_WORDS] = {0};
    CHECK(pthread_create(&writer, NULL, publish_for_ever, base) == 0);
    do {
        uint64_t number = ovr_segment_cursor(base);
        if (number == 0) {
            continue;
        }
        ovr_word *shared = ovr_segment_record(base, (number - 1) & 7);
        uint64_t first_look = atomic_load_explicit(&shared[0], memory_order_acquire);
        if (first_look != 2 * number) {
            continue;
        }
        ovr_words_load(shared, copy, WIDE_WORDS);
    } while (all_of_one(copy, WIDE_WORDS) || copy[1] == 0);
    atomic_store(&stop, 1);
    CHECK(pthread_join(writer, NULL) == 0);
}

int main(void)
{
    RUN(reads_in_order_what_was_published);
    RUN(lapped_reader_jumps_and_counts);
    RUN(records_before_a_gap_come_without_those_behind_it);
    RUN(record_being_written_is_not_there_yet);
    RUN(take_over_counts_the_record_that_was_whole);
    RUN(reading_process_accounts_for_every_record);
    RUN(reader_follows_through_ten_killed_writers);
    RUN(two_reading_threads_account_for_every_record);
    RUN(reader_without_second_look_finds_torn_records);
    return 0;
}
