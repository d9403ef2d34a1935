/* Checked messages between two processes through every kind of ring, as many as you like.
 *
 *     test_ring_check                            each kind briefly, and each control
 *     test_ring_check MESSAGES KIND [control]    one line: kind checked lost bad seconds
 *
 * Every word of every message is derived from its number and checked. A control reads in a way
 * that the mechanism forbids and must find bad messages, else the check proves nothing; it stops
 * at the first. Exit status 1 with bad messages.
 *
 *   broadcast  a million records at full speed, which laps the reader, then a million held back
 *              to its position, and so on; what is lost has to be counted, not checked
 *   spsc       nothing may be lost; both ends wait, the consumer asleep
 *   slots      64 boards stored round and round, loaded as often; versions never go back
 *   tap        frames appended to files that roll, followed record by record with their checksums
 */
#define _GNU_SOURCE
#include "check.h"

#include <sched.h>
#include <sys/prctl.h>

#include "overround/broadcast.h"
#include "overround/clock.h"
#include "overround/crc32c.h"
#include "overround/sleep.h"
#include "overround/slots.h"
#include "overround/spsc.h"
#include "overround/tap.h"

enum { RING = 4096, SLOTS = 64, BATCH = 64, LINE = 8, BOARD = 56, PHASE = 1000000 };
enum { TAP_BYTES = 1 << 20, FRAME = 40, FRAME_RECORD = OVR_TAP_RECORD_BYTES + FRAME, FILES = 2 };
enum { SHORT = 20000, SPIN_NS = 2000, SLEEP_NS = 100000000 };

/* Words beside the ring: what the ends tell each other about the check itself. */
struct talk {
    _Alignas(64) ovr_word position; /* the reader: everything below is checked */
    _Alignas(64) ovr_word rolls;    /* the tap's writer: files begun after the first */
    _Alignas(64) ovr_word stop;     /* the reader: enough */
};

static struct {
    struct talk *talk;
    void *ring;
    uint8_t *files[FILES];
    uint64_t messages, checked, lost, bad;
    int control;
} my;

static void *shared(size_t bytes)
{
    void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED);
    return base;
}

static int stopped(void)
{
    return atomic_load_explicit(&my.talk->stop, memory_order_relaxed) != 0;
}

/* Returns whether to go on. */
static int judge(int good)
{
    my.checked++;
    my.bad += !good;
    return my.checked < my.messages && !(my.control && my.bad > 0);
}

/* --- broadcast ----------------------------------------------------------------------------- */

static void broadcast_make(void)
{
    my.ring = new_segment(OVR_REGION_CHANGES, 8 * LINE, RING);
}

static void broadcast_write(void)
{
    uint64_t record[LINE] = {0};
    for (uint64_t number = 0; !stopped(); number++) {
        int held = !my.control && number / PHASE % 2 == 1;
        while (held && !stopped() &&
               number - atomic_load_explicit(&my.talk->position, memory_order_acquire) >=
                   RING * 3 / 4) {
            sched_yield();
        }
        fill(record, LINE, number);
        ovr_broadcast_publish(my.ring, record);
    }
}

static void broadcast_read(void)
{
    uint64_t out[BATCH][LINE], cursor = 0, next = 0;
    for (int go_on = 1; go_on;) {
        uint64_t before = my.lost;
        uint32_t count = ovr_broadcast_poll(my.ring, &cursor, out, BATCH, &my.lost);
        next += my.lost - before;
        for (uint32_t i = 0; i < count && go_on; i++, next++) {
            go_on = judge(out[i][0] == 2 * next + 2 && filled_from(out[i], LINE, next));
        }
        atomic_store_explicit(&my.talk->position, cursor, memory_order_release);
        if (count == 0) {
            ovr_broadcast_wait(my.ring, cursor, SPIN_NS, SLEEP_NS);
        }
    }
}

/* Without the second look at the sequence. */
static void broadcast_read_once(void)
{
    uint64_t copy[LINE];
    for (int go_on = 1; go_on;) {
        uint64_t number = ovr_segment_cursor(my.ring);
        ovr_word *record = ovr_segment_record(my.ring, number & (RING - 1));
        uint64_t sequence = atomic_load_explicit(record, memory_order_acquire);
        if (number > RING && sequence == 2 * (number - RING) + 2) {
            ovr_words_load(record, copy, LINE);
            go_on = judge(filled_from(copy, LINE, number - RING));
        }
    }
}

/* --- bounded ring -------------------------------------------------------------------------- */

static void spsc_make(void)
{
    my.ring = new_segment(OVR_REGION_INTENTS, 8 * LINE, RING);
}

static void spsc_write(void)
{
    uint64_t record[LINE] = {0};
    for (uint64_t number = 0; !stopped(); number++) {
        fill(record, LINE, number);
        while (!ovr_spsc_try_push(my.ring, record) && !stopped()) {
            sched_yield();
        }
    }
}

static void spsc_read(void)
{
    uint64_t out[BATCH][LINE], next = 0;
    for (int go_on = 1; go_on;) {
        ovr_spsc_wait(my.ring, next, SPIN_NS, SLEEP_NS);
        int64_t count = ovr_spsc_poll(my.ring, next, out, BATCH);
        CHECK(count >= 0);
        for (int64_t i = 0; i < count && go_on; i++, next++) {
            go_on = judge(out[i][0] == 2 * next + 2 && filled_from(out[i], LINE, next));
        }
        CHECK(ovr_spsc_advance(my.ring, next) == 0);
    }
}

/* Gives the room back before it has read what is there, the newest first. */
static void spsc_read_late(void)
{
    uint64_t copy[LINE];
    for (int go_on = 1; go_on;) {
        uint64_t first = ovr_segment_head(my.ring), end = ovr_segment_cursor(my.ring);
        if (end - first < RING) {
            continue; /* only a full ring has a writer waiting for room */
        }
        CHECK(ovr_spsc_advance(my.ring, end) == 0);
        for (uint64_t next = end; next-- > first && go_on;) {
            ovr_words_load(ovr_segment_record(my.ring, next & (RING - 1)), copy, LINE);
            go_on = judge(copy[0] == 2 * next + 2 && filled_from(copy, LINE, next));
        }
    }
}

/* --- slots --------------------------------------------------------------------------------- */

static void slots_make(void)
{
    my.ring = new_segment(OVR_REGION_BOARD, 8 * BOARD, SLOTS);
}

static void slots_write(void)
{
    uint64_t record[BOARD] = {0};
    for (uint64_t number = 0; !stopped(); number++) {
        fill(record, BOARD, number / SLOTS + 1);
        ovr_slot_store(my.ring, number % SLOTS, record);
    }
}

static void slots_read(void)
{
    uint64_t copy[BOARD], last[SLOTS] = {0};
    for (uint64_t index = 0, go_on = 1; go_on; index = (index + 1) % SLOTS) {
        if (ovr_slot_load(my.ring, index, copy) == 0 && copy[0] != 0) {
            uint64_t version = copy[0] / 2;
            go_on = (uint64_t)judge(filled_from(copy, BOARD, version) && version >= last[index]);
            my.lost += version > last[index] ? version - last[index] - 1 : 0;
            last[index] = version;
        }
    }
}

static void slots_read_once(void)
{
    uint64_t copy[BOARD];
    for (int go_on = 1; go_on;) {
        ovr_words_load(ovr_segment_record(my.ring, 0), copy, BOARD);
        go_on = copy[0] == 0 || judge(all_of_one(copy, BOARD));
    }
}

/* --- tap ----------------------------------------------------------------------------------- */

static void tap_make(void)
{
    for (int i = 0; i < FILES; i++) {
        my.files[i] = shared(TAP_BYTES);
        CHECK(ovr_tap_format(my.files[i], TAP_BYTES, 42, (uint64_t)i, 1) == 0);
    }
}

/* The reader's position counts records; a file is used again once all of its are checked. */
static void tap_write(void)
{
    struct ovr_tap tap = {.base = my.files[0], .size = TAP_BYTES, .used = OVR_TAP_HEADER_BYTES,
                          .spare = my.files[1], .spare_size = TAP_BYTES};
    uint64_t frame[FRAME / 8 + 1] = {0};
    for (uint64_t number = 0; !stopped(); number++) {
        fill(frame, FRAME / 8 + 1, number);
        CHECK(ovr_tap_append(&tap, OVR_TAP_FRAME_IN, number, 3, frame + 1, FRAME) == 0);
        if (tap.spare == NULL) {
            atomic_store_explicit(&my.talk->rolls, tap.rolls, memory_order_release);
            while (atomic_load_explicit(&my.talk->position, memory_order_acquire) < number &&
                   !stopped() && !my.control) {
                sched_yield();
            }
            uint64_t begun = (tap.rolls + 1) % FILES;
            CHECK(ovr_tap_format(my.files[begun], TAP_BYTES, 42, begun, 1) == 0);
            tap.spare = my.files[begun];
            tap.spare_size = TAP_BYTES;
        }
    }
}

static int frame_is_good(const uint8_t *at, uint64_t number)
{
    uint64_t frame[FRAME / 8 + 1] = {0}, recv_ns;
    uint32_t length, crc;
    memcpy(&length, at, sizeof length);
    memcpy(&crc, at + 4, sizeof crc);
    memcpy(&recv_ns, at + 8, sizeof recv_ns);
    memcpy(frame + 1, at + OVR_TAP_RECORD_BYTES, FRAME);
    return length == FRAME && recv_ns == number && filled_from(frame, FRAME / 8 + 1, number) &&
           crc == ovr_crc32c(0, at + 8, FRAME_RECORD - 8);
}

static void tap_read(void)
{
    uint64_t number = 0, at = OVR_TAP_HEADER_BYTES;
    for (uint64_t file = 0, go_on = 1; go_on;) {
        uint64_t rolls = atomic_load_explicit(&my.talk->rolls, memory_order_acquire);
        uint64_t used = ovr_tap_used(my.files[file % FILES]);
        if (at == used && rolls == file) {
            sched_yield();
        }
        for (; at < used && go_on; at += FRAME_RECORD, number++) {
            go_on = (uint64_t)judge(frame_is_good(my.files[file % FILES] + at, number));
        }
        atomic_store_explicit(&my.talk->position, number, memory_order_release);
        if (at == used && rolls > file) { /* seen before the count, so the count was final */
            file++;
            at = OVR_TAP_HEADER_BYTES;
        }
    }
}

/* Takes the next record for whole that the count does not cover yet. */
static void tap_read_ahead(void)
{
    for (int go_on = 1; go_on;) {
        uint64_t used = ovr_tap_used(my.files[0]), number;
        if (used > OVR_TAP_HEADER_BYTES && used + FRAME_RECORD < TAP_BYTES) {
            memcpy(&number, my.files[0] + used - FRAME_RECORD + 8, sizeof number);
            go_on = judge(frame_is_good(my.files[0] + used, number + 1));
        }
    }
}

/* --- all ----------------------------------------------------------------------------------- */

static const struct kind {
    const char *name;
    void (*make)(void);
    void (*write)(void);
    void (*read)(void);
    void (*control)(void);
} kinds[] = {
    {"broadcast", broadcast_make, broadcast_write, broadcast_read, broadcast_read_once},
    {"spsc", spsc_make, spsc_write, spsc_read, spsc_read_late},
    {"slots", slots_make, slots_write, slots_read, slots_read_once},
    {"tap", tap_make, tap_write, tap_read, tap_read_ahead},
};

enum { KINDS = sizeof kinds / sizeof *kinds };

static void run(const struct kind *kind, uint64_t messages, int control)
{
    my.messages = messages;
    my.control = control;
    my.checked = my.lost = my.bad = 0;
    my.talk = shared(sizeof *my.talk);
    kind->make();
    uint64_t begun = ovr_clock_ns();
    fflush(stdout); /* else the child prints it as well */
    pid_t parent = getpid(), writer = fork();
    CHECK(writer >= 0);
    if (writer == 0) {
        CHECK(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent);
        kind->write();
        _exit(0);
    }
    (control ? kind->control : kind->read)();
    atomic_store(&my.talk->stop, 1);
    int status = 0;
    CHECK(waitpid(writer, &status, 0) == writer && status == 0);
    printf("%s %llu %llu %llu %.3f\n", kind->name, (unsigned long long)my.checked,
           (unsigned long long)my.lost, (unsigned long long)my.bad,
           (double)(ovr_clock_ns() - begun) / 1e9);
}

int main(int argc, char **argv)
{
    const struct kind *end = kinds + KINDS;
    if (argc > 2) {
        for (const struct kind *kind = kinds; kind < end; kind++) {
            if (strcmp(kind->name, argv[2]) == 0) {
                run(kind, strtoull(argv[1], NULL, 10), argc > 3);
                return my.bad > 0;
            }
        }
        fprintf(stderr, "no such kind: %s\n", argv[2]);
        return 2;
    }
    for (const struct kind *kind = kinds; kind < end; kind++) {
        run(kind, SHORT, 0);
        CHECK(my.checked == SHORT && my.bad == 0);
#if !defined(__SANITIZE_THREAD__) /* the tap's control is a race of plain bytes */
        run(kind, UINT64_MAX, 1);
        CHECK(my.bad > 0);
#endif
    }
    return 0;
}
