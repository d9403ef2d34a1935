/* What the C tests share: a check that stays on in every build, a mapping, a recognisable payload.
 * Tests read as claims, one function each, run in order by main. */
#ifndef OVERROUND_CHECK_H
#define OVERROUND_CHECK_H

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "overround/layout.h"
#include "overround/segment.h"

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s: not true: %s\n", __FILE__, __LINE__, __func__,             \
                    #condition);                                                                   \
            _exit(1);                                                                              \
        }                                                                                          \
    } while (0)

#define RUN(test)                                                                                  \
    do {                                                                                           \
        test();                                                                                    \
        fprintf(stderr, "ok %s\n", #test);                                                         \
    } while (0)

/* Bytes of the records below: wide enough that a copy takes a while and can be torn. */
#define WIDE_BYTES 256
#define WIDE_WORDS (WIDE_BYTES / 8)

/* Returns a fresh segment, shared with children made by fork; never freed. */
static inline void *new_segment(uint32_t kind, uint32_t record_size, uint64_t capacity)
{
    uint64_t size = ovr_segment_size(record_size, capacity);
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED);
    CHECK(ovr_segment_init(base, size, kind, record_size, capacity, 7, 42, 0) == 0);
    return base;
}

/* Fills all words but the sequence from one number, each differently. */
static inline void fill(uint64_t *record, size_t words, uint64_t number)
{
    for (size_t i = 1; i < words; i++) {
        record[i] = number * UINT64_C(0x9e3779b97f4a7c15) + i;
    }
}

/* Returns whether every word belongs to that number: 0 means torn or foreign. */
static inline int filled_from(const uint64_t *record, size_t words, uint64_t number)
{
    for (size_t i = 1; i < words; i++) {
        if (record[i] != number * UINT64_C(0x9e3779b97f4a7c15) + i) {
            return 0;
        }
    }
    return 1;
}

/* Returns whether all words belong together, whatever their number. */
static inline int all_of_one(const uint64_t *record, size_t words)
{
    for (size_t i = 2; i < words; i++) {
        if (record[i] - i != record[1] - 1) {
            return 0;
        }
    }
    return 1;
}

/* Runs `writer` in a child until the condition, then kills it in the middle of whatever it does. */
static inline void run_and_kill(void (*writer)(void *), void *base, uint64_t records)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        writer(base);
        _exit(0);
    }
    while (ovr_segment_cursor(base) < records) {
        ovr_pause();
    }
    CHECK(kill(child, SIGKILL) == 0);
    CHECK(waitpid(child, NULL, 0) == child);
}

#endif
