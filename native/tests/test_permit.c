/* A permit lets out exactly what it names, journaled before it is sent, or does nothing. */
#include "overround/permit.h"

#include <errno.h>
#include <sys/socket.h>

#include "check.h"
#include "overround/slots.h"

static const char TEXT[] = "<i<im<it<s<sx<S{body}";

struct world {
    void *board;
    struct ovr_permit permit;
    struct ovr_order_head head;
    struct ovr_intent intent;
    struct ovr_permit_use use;
    _Alignas(8) uint8_t journal[1024];
    int pair[2];
};

static struct ovr_board usual_book(void)
{
    struct ovr_board book = {.market = 1, .flags = OVR_BOOK_TRUSTED, .tick_ticks = 100};
    book.bid_levels = book.ask_levels = 2;
    book.bid_ticks[0] = 4800, book.bid_lots[0] = 10;
    book.bid_ticks[1] = 4700, book.bid_lots[1] = 10;
    book.ask_ticks[0] = 5000, book.ask_lots[0] = 10;
    book.ask_ticks[1] = 5100, book.ask_lots[1] = 10;
    return book;
}

static void show(struct world *world, struct ovr_board book)
{
    ovr_slot_store(world->board, 1, &book);
}

static void set_up(struct world *world)
{
    memset(world, 0, sizeof *world);
    world->board = new_segment(OVR_REGION_BOARD, sizeof(struct ovr_board), 4);
    ovr_segment_takeover_begin(world->board, 1, 1, 1);
    ovr_segment_takeover_end(world->board);
    ovr_segment_beat(world->board, 1000);
    show(world, usual_book());
    world->permit = (struct ovr_permit){
        .board = world->board, .lease_ns = 100, .until_ns = 5000, .size_lots = 15, .market = 1,
        .collar_ticks = 50, .price_ticks = 5000, .tick_ticks = 100, .takes = 1,
        .text = (const uint8_t *)TEXT, .intent_bytes = {2, 3, 3}, .signed_bytes = {2, 3},
        .sent_bytes = 2, .body_bytes = 6};
    world->head = (struct ovr_order_head){.head = (const uint8_t *)"H: ", .head_bytes = 3,
                                          .proved = (const uint8_t *)"POST/order",
                                          .proved_bytes = 10};
    ovr_mac_init(&world->head.mac, (const uint8_t *)"k", 1);
    world->intent = (struct ovr_intent){.producer_sequence = 300, .plan = 7, .edge_micro = -200,
                                        .expires_ns = 2000,
                                        .ingress_epoch = ovr_segment_epoch(world->board)};
    world->use.journal = world->journal;
    world->use.journal_bytes = sizeof world->journal;
    world->use.offset = 64;
    world->use.sequence = 9;
    world->use.now_ns = 1050;
    world->use.epoch_ns = UINT64_C(1795345200123000000);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM, 0, world->pair) == 0);
}

static void tear_down(struct world *world)
{
    close(world->pair[0]);
    close(world->pair[1]);
}

static int send_it(struct world *world)
{
    return ovr_permit_send(&world->permit, &world->head, &world->intent, world->pair[0],
                           &world->use);
}

static void what_is_let_out_is_journaled_and_sent_whole(void)
{
    struct world world;
    set_up(&world);
    CHECK(send_it(&world) == 0);
    char seen[512];
    ssize_t size = read(world.pair[1], seen, sizeof seen);
    CHECK(size > 0 && (uint32_t)size == world.use.request_bytes);
    CHECK(world.use.written_bytes == world.use.request_bytes);
    static const char start[] = "H: 1795345200\r\nPOLY_SIGNATURE: ";
    static const char end[] = "\r\nContent-Length: 6\r\n\r\n{body}";
    CHECK(memcmp(seen, start, sizeof start - 1) == 0);
    CHECK((size_t)size == sizeof start - 1 + 44 + sizeof end - 1);
    CHECK(memcmp(seen + sizeof start - 1 + 44, end, sizeof end - 1) == 0);
    /* The numbers stand between the pieces: 300, 7, then -200 and the milliseconds. */
    static const uint8_t intent[] = {'<', 'i', 0xcd, 1,    44,   7,    '<',  'i', 'm', 0xd1, 0xff,
                                     56,  0xcf, 0,   0,    1,    0xa2, 0x02, 0xe9, 0xb3, 0xfb, '<',
                                     'i', 't'};
    CHECK(memcmp(world.journal + 64 + 32, intent, sizeof intent) == 0);
    CHECK(world.use.ends[0] == 64 + 32 + sizeof intent);
    CHECK(memcmp(world.journal + world.use.ends[1] + 32, "<S", 2) == 0);
    tear_down(&world);
}

static void payloads_that_are_whole_are_journaled_as_they_are(void)
{
    struct world world;
    set_up(&world);
    world.permit.intent_bytes[0] = 8, world.permit.intent_bytes[1] = 0;
    world.permit.intent_bytes[2] = 0, world.permit.signed_bytes[0] = 5;
    world.permit.signed_bytes[1] = 0;
    CHECK(
        ovr_order_send(&world.permit, &world.head, &world.intent, world.pair[0], &world.use) == 0);
    char seen[512];
    ssize_t size = read(world.pair[1], seen, sizeof seen);
    CHECK(size > 6 && (uint32_t)size == world.use.request_bytes);
    CHECK(memcmp(seen + size - 6, "{body}", 6) == 0);
    CHECK(memcmp(world.journal + 64 + 32, "<i<im<it", 8) == 0 && world.use.ends[0] == 64 + 40);
    CHECK(memcmp(world.journal + world.use.ends[0] + 32, "<s<sx\0\0", 8) == 0);
    CHECK(memcmp(world.journal + world.use.ends[1] + 32, "<S", 2) == 0);
    tear_down(&world);
}

static void refused(struct world *world, int status)
{
    uint8_t before[sizeof world->journal];
    char seen[8];
    memcpy(before, world->journal, sizeof before);
    CHECK(send_it(world) == status);
    CHECK(memcmp(before, world->journal, sizeof before) == 0);
    CHECK(recv(world->pair[1], seen, sizeof seen, MSG_DONTWAIT) < 0);
    tear_down(world);
}

static void what_is_refused_leaves_no_trace(void)
{
    struct world world;
    set_up(&world), world.use.now_ns = 2000, refused(&world, -ETIME);
    set_up(&world), world.permit.until_ns = 1049, refused(&world, -ETIME);
    set_up(&world), world.intent.expiration_s = 1, refused(&world, -ETIME);
    set_up(&world), world.use.now_ns = 1101, refused(&world, -EPROTO);
    set_up(&world), world.intent.ingress_epoch += 2, refused(&world, -EPERM);
    set_up(&world), world.permit.tick_ticks = 10, refused(&world, -EPERM);
    set_up(&world), world.permit.whole = 1, refused(&world, -EPERM);
    set_up(&world), world.permit.price_ticks = 4900, refused(&world, -EPERM);
    set_up(&world), world.permit.price_ticks = 5100, refused(&world, -EPERM);
    set_up(&world), world.use.offset = 1000, refused(&world, -ENOSPC);
    set_up(&world), world.permit.body_bytes = OVR_REQUEST_BYTES, refused(&world, -EMSGSIZE);
    set_up(&world), world.use.offset = 1000;
    CHECK(ovr_order_send(&world.permit, &world.head, &world.intent, world.pair[0], &world.use) ==
          -ENOSPC);
    tear_down(&world);
    set_up(&world), world.permit.sent_bytes = OVR_PERMIT_TEXT_BYTES, refused(&world, -EMSGSIZE);
    struct ovr_board book = usual_book();
    book.flags |= OVR_BOOK_CROSSED;
    set_up(&world), show(&world, book), refused(&world, -EPERM);
    book = usual_book();
    book.ask_levels = 17;
    set_up(&world), show(&world, book), refused(&world, -EPERM);
    book.ask_levels = book.bid_levels = 0;
    set_up(&world), show(&world, book), refused(&world, -EPERM);
}

static void a_socket_that_spoke_or_closed_gets_nothing(void)
{
    struct world world;
    set_up(&world);
    CHECK(write(world.pair[1], "x", 1) == 1);
    refused(&world, -ENOTCONN);
    set_up(&world);
    CHECK(shutdown(world.pair[1], SHUT_WR) == 0);
    refused(&world, -ENOTCONN);
}

static void what_the_socket_does_not_take_is_left_to_the_caller(void)
{
    struct world world;
    set_up(&world);
    char block[4096] = {0};
    while (send(world.pair[0], block, sizeof block, MSG_DONTWAIT) > 0) {
    }
    CHECK(send_it(&world) == 0);
    CHECK(world.use.written_bytes == 0 && world.use.request_bytes > 0 && world.use.ends[2] > 64);
    tear_down(&world);
    set_up(&world);
    CHECK(ovr_permit_send(&world.permit, &world.head, &world.intent, -1, &world.use) == 0);
    CHECK(world.use.written_bytes == 0 && world.use.request_bytes > 0);
    tear_down(&world);
}

int main(void)
{
    RUN(what_is_let_out_is_journaled_and_sent_whole);
    RUN(payloads_that_are_whole_are_journaled_as_they_are);
    RUN(what_is_refused_leaves_no_trace);
    RUN(a_socket_that_spoke_or_closed_gets_nothing);
    RUN(what_the_socket_does_not_take_is_left_to_the_caller);
    return 0;
}
