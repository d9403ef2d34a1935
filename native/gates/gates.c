/* The hot functions, each run a fixed number of times on fixed input: what scripts/gates counts.
 *
 *   gates NAME N     run one case N times inside gate_run: callgrind counts its instructions
 *   gates calls N    run every case N times where any system call kills: none may make one
 *   gates list       names, one a line
 *
 * The frames are written here in the shape of recorded ones, so that the counts stay comparable
 * when recordings are replaced. */
#define _GNU_SOURCE
#include "../tests/check.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "overround/broadcast.h"
#include "overround/clock.h"
#include "overround/crc32c.h"
#include "overround/decode_polymarket.h"
#include "overround/feed.h"
#include "overround/meters.h"
#include "overround/order_path.h"
#include "overround/slots.h"
#include "overround/spsc.h"
#include "overround/tap.h"
#include "overround/ws_frame.h"

#define MARKET "0xaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define YES "71321045679252212594626385532706912750332728571942532289631379312455583992563"
#define NO "52114319501245915516055106046884209969926127482827954674443846427813813222426"
#define HASH "da39a3ee5e6b4b0d3255bfef95601890afd80709"
#define LEVELS 30
#define FRAMES 64
#define FRAME_BYTES 4096
#define TAP_BYTES (UINT64_C(64) << 20)
#define JOURNAL_BYTES 4096

struct frame {
    char text[FRAME_BYTES];
    size_t length;
};

static struct {
    struct frame changes[FRAMES], snapshot;
    struct ovr_feed *feed;
    struct ovr_feed_result result;
    struct ovr_pm_batch batch;
    struct ovr_pm_event events[8];
    struct ovr_pm_change parsed[256];
    struct ovr_tap tap;
    void *board, *ring, *intents, *meters;
    struct ovr_board slot;
    struct ovr_change record;
    struct ovr_intent intent;
    uint64_t cursor, lost;
    uint8_t journal[JOURNAL_BYTES], payload[1024], message[640];
    size_t message_length;
    uint32_t sum;
    unsigned failures; /* runs that did not do their work: a count of nothing is no count */
} my;

/* As the processes do at their start: from here on nobody sleeps on the region. */
static void own(void *base)
{
    ovr_segment_takeover_begin(base, 1, 2, 3);
    ovr_segment_takeover_end(base);
}

static void write_change(struct frame *frame, unsigned n)
{
    int length = snprintf(
        frame->text, sizeof frame->text,
        "{\"market\":\"" MARKET "\", \"price_changes\":[{\"asset_id\":\"" YES "\", "
        "\"price\":\"0.5%u\", \"size\":\"%u.5\", \"side\":\"BUY\", \"hash\":\"%040x\", "
        "\"best_bid\":\"0.52\", \"best_ask\":\"0.54\"}, {\"asset_id\":\"" NO "\", "
        "\"price\":\"0.%u\", \"size\":\"%u.5\", \"side\":\"SELL\", \"hash\":\"%040x\", "
        "\"best_bid\":\"0.46\", \"best_ask\":\"0.48\"}], \"timestamp\":\"%u\", "
        "\"event_type\":\"price_change\"}",
        n % 3, n % 50 + 1, n, n % 3 == 0 ? 5 : 50 - n % 3, n % 50 + 1, n, 2000 + n);
    frame->length = (size_t)length;
}

static void write_snapshot(struct frame *frame)
{
    size_t at = (size_t)snprintf(frame->text, sizeof frame->text,
                                 "[{\"market\":\"" MARKET "\",\"asset_id\":\"" YES
                                 "\",\"timestamp\":\"1000\",\"hash\":\"" HASH
                                 "\",\"bids\":[");
    for (int side = 0; side < 2; side++) {
        for (int level = LEVELS; level > 0; level--) {
            int price = side == 0 ? 53 - level : 53 + level;
            at += (size_t)snprintf(frame->text + at, sizeof frame->text - at,
                                   "%s{\"price\":\"0.%02d\",\"size\":\"%d.25\"}",
                                   level == LEVELS ? "" : ",", price, 10 * level + 7);
        }
        at += (size_t)snprintf(frame->text + at, sizeof frame->text - at, "%s",
                               side == 0 ? "],\"asks\":[" : "]");
    }
    at += (size_t)snprintf(frame->text + at, sizeof frame->text - at,
                           ",\"tick_size\":\"0.01\",\"event_type\":\"book\","
                           "\"last_trade_price\":\"0.520\"}]\n");
    frame->length = at;
}

static void set_up(void)
{
    void *changes = new_segment(OVR_REGION_CHANGES, sizeof(struct ovr_change), 1024);
    void *trades = new_segment(OVR_REGION_TRADES, sizeof(struct ovr_trade), 1024);
    my.board = new_segment(OVR_REGION_BOARD, sizeof(struct ovr_board), 8);
    my.ring = new_segment(OVR_REGION_CHANGES, sizeof(struct ovr_change), 1024);
    my.intents = new_segment(OVR_REGION_INTENTS, sizeof(struct ovr_intent), 1024);
    own(my.board);
    own(my.ring);
    own(my.intents);
    my.meters = new_segment(OVR_REGION_METERS, sizeof(struct ovr_meters), 1);
    void *file = mmap(NULL, TAP_BYTES, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    CHECK(file != MAP_FAILED && ovr_tap_format(file, TAP_BYTES, 1, 0, 0) == 0);
    my.tap = (struct ovr_tap){.base = file, .size = TAP_BYTES, .used = OVR_TAP_HEADER_BYTES};
    struct ovr_feed_config config = {
        .markets_capacity = 8, .frame_bytes_max = 1 << 22, .burst_ns = 2000000,
        .hash_pending_ns = 250000000, .board = my.board, .changes = changes, .trades = trades,
        .meters = my.meters, .tap = &my.tap};
    my.feed = ovr_feed_create(&config);
    CHECK(my.feed != NULL);
    CHECK(ovr_feed_add_market(my.feed, 3, MARKET, YES, NO, 100, "5", 0, "") == 0);
    for (unsigned n = 0; n < FRAMES; n++) {
        write_change(&my.changes[n], n);
    }
    write_snapshot(&my.snapshot);
    ovr_feed_frame(my.feed, my.snapshot.text, my.snapshot.length, 1, 1, &my.result);
    CHECK(my.result.malformed == 0 && my.result.books == 1);
    CHECK(ovr_slot_load(my.board, 3, &my.slot) == 0);
    my.batch = (struct ovr_pm_batch){
        .events = my.events, .changes = my.parsed,
        .events_capacity = sizeof my.events / sizeof my.events[0],
        .changes_capacity = sizeof my.parsed / sizeof my.parsed[0]};
    uint8_t header[4] = {0x80 | OVR_WS_TEXT, 126, 0, 0};
    header[2] = (uint8_t)(my.changes[0].length >> 8);
    header[3] = (uint8_t)my.changes[0].length;
    memcpy(my.message, header, sizeof header);
    CHECK(my.changes[0].length + sizeof header <= sizeof my.message);
    memcpy(my.message + sizeof header, my.changes[0].text, my.changes[0].length);
    my.message_length = my.changes[0].length + sizeof header;
}

static void frame_change(unsigned n)
{
    my.tap.used = OVR_TAP_HEADER_BYTES;
    const struct frame *frame = &my.changes[n % FRAMES];
    ovr_feed_frame(my.feed, frame->text, frame->length, 1000 + n, 1, &my.result);
    my.failures += my.result.changes != 2;
}

static void decode_change(unsigned n)
{
    const struct frame *frame = &my.changes[n % FRAMES];
    my.failures += ovr_pm_decode(frame->text, frame->length, &my.batch) != OVR_PM_OK ||
                   my.batch.changes_count != 2 || !my.batch.speculated;
}

/* The same change with a blank in front: what the form it does not guess costs. */
static void decode_general(unsigned n)
{
    const struct frame *frame = &my.changes[n % FRAMES];
    static char text[FRAME_BYTES + 1] = " ";
    memcpy(text + 1, frame->text, frame->length);
    my.failures += ovr_pm_decode(text, frame->length + 1, &my.batch) != OVR_PM_OK ||
                   my.batch.changes_count != 2 || my.batch.speculated;
}

static void decode_snapshot(unsigned n)
{
    (void)n;
    my.failures += ovr_pm_decode(my.snapshot.text, my.snapshot.length, &my.batch) != OVR_PM_OK ||
                   my.batch.changes_count != 2 * LEVELS || !my.batch.speculated;
}

static void ws_message(unsigned n)
{
    (void)n;
    static struct ovr_ws_reader reader;
    if (reader.bytes_max == 0) {
        ovr_ws_reader_init(&reader, 1 << 20);
    }
    struct ovr_ws_event event;
    const uint8_t *bytes = my.message;
    size_t length = my.message_length;
    while (ovr_ws_next(&reader, &bytes, &length, &event) != OVR_WS_GOT_NOTHING) {
        my.sum += (uint32_t)event.length;
    }
}

static void slot_store(unsigned n)
{
    my.slot.market = n;
    ovr_slot_store(my.board, 5, &my.slot);
}

static void slot_load(unsigned n)
{
    (void)n;
    my.failures += ovr_slot_load(my.board, 3, &my.slot) != 0;
}

static void ring_publish(unsigned n)
{
    my.record.market = n;
    ovr_broadcast_publish(my.ring, &my.record);
}

static void ring_hop(unsigned n)
{
    my.record.market = n;
    ovr_broadcast_publish(my.ring, &my.record);
    my.failures += ovr_broadcast_poll(my.ring, &my.cursor, &my.record, 1, &my.lost) != 1;
}

static void intent_hop(unsigned n)
{
    my.intent.market = n;
    my.failures += ovr_spsc_try_push(my.intents, &my.intent) != 1;
    uint64_t from = ovr_segment_cursor(my.intents) - 1;
    my.failures += ovr_spsc_poll(my.intents, from, &my.intent, 1) != 1;
    ovr_spsc_advance(my.intents, from + 1);
}

static void tap_append(unsigned n)
{
    my.tap.used = OVR_TAP_HEADER_BYTES;
    const struct frame *frame = &my.changes[n % FRAMES];
    my.failures += ovr_tap_append(&my.tap, 1, n, 1, frame->text, frame->length) != 0;
}

static void journal_put(unsigned n)
{
    my.failures += ovr_journal_put(my.journal, sizeof my.journal, 64, n, n, 2, my.payload,
                                   sizeof my.payload) == 0;
}

static void crc_1k(unsigned n)
{
    my.sum += ovr_crc32c(n, my.payload, sizeof my.payload);
}

static void histogram(unsigned n)
{
    ovr_histogram_record(my.meters, 1, 1000 + 37 * (uint64_t)n);
}

static const struct {
    const char *name;
    void (*once)(unsigned n);
} cases[] = {
    {"frame_change", frame_change}, {"decode_change", decode_change},
    {"decode_general", decode_general},
    {"decode_snapshot", decode_snapshot}, {"ws_message", ws_message},
    {"slot_store", slot_store}, {"slot_load", slot_load}, {"ring_publish", ring_publish},
    {"ring_hop", ring_hop}, {"intent_hop", intent_hop}, {"tap_append", tap_append},
    {"journal_put", journal_put}, {"crc_1k", crc_1k}, {"histogram", histogram},
};
enum { CASES = sizeof cases / sizeof cases[0] };

/* The one function that callgrind is told to look into. */
__attribute__((noinline)) void gate_run(void (*once)(unsigned n), unsigned count);
void gate_run(void (*once)(unsigned n), unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        once(n);
    }
}

static void forbid_system_calls(void)
{
    struct sock_filter rules[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_exit_group, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    struct sock_fprog program = {.len = sizeof rules / sizeof rules[0], .filter = rules};
    CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

/* Returns whether a case ran to its end without a single system call. */
static int runs_without_calls(void (*once)(unsigned n), unsigned count)
{
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        gate_run(once, 100); /* what is only done the first time */
        forbid_system_calls();
        gate_run(once, count);
        syscall(SYS_exit_group, my.failures != 0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void makes_a_call(unsigned n)
{
    if (n == 99) { /* the last warm run of 100, and one of those that count */
        (void)syscall(SYS_getppid);
    }
}

int main(int argc, char **argv)
{
    unsigned count = argc > 2 ? (unsigned)strtoul(argv[2], NULL, 10) : 1;
    if (argc > 1 && strcmp(argv[1], "list") == 0) {
        for (int i = 0; i < CASES; i++) {
            puts(cases[i].name);
        }
        return 0;
    }
    set_up();
    if (argc > 1 && strcmp(argv[1], "calls") == 0) {
        CHECK(!runs_without_calls(makes_a_call, 100)); /* the trap works */
        for (int i = 0; i < CASES; i++) {
            int none = runs_without_calls(cases[i].once, count);
            printf("%s %s\n", cases[i].name, none ? "none" : "some");
        }
        return 0;
    }
    for (int i = 0; i < CASES; i++) {
        if (argc > 1 && strcmp(argv[1], cases[i].name) == 0) {
            gate_run(cases[i].once, FRAMES);
            gate_run(cases[i].once, count);
            CHECK(my.failures == 0);
            return 0;
        }
    }
    fprintf(stderr, "gates: no case of that name; gates list tells them\n");
    return 2;
}
