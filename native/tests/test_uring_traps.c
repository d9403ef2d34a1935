/* Traps of io_uring, each shown to be one and shown to be avoided. */
#ifndef OVR_LIBURING

#include <stdio.h>

int main(void)
{
    fprintf(stderr, "skipped: built without liburing\n");
    return 0;
}

#else

#include "uring_rig.h"

#include <sys/epoll.h>

/* The descriptor of a deferring ring never becomes readable, so a guest must not defer; and a
 * polling kernel thread (SQPOLL) takes a CPU that nobody gave it. */
static void the_flags_of_each_shape_are_those_that_work(void)
{
    unsigned guest = ovr_uring_flags(OVR_URING_LOOP);
    unsigned own = ovr_uring_flags(OVR_URING_WAIT);
    CHECK((guest & IORING_SETUP_DEFER_TASKRUN) == 0 && (guest & IORING_SETUP_COOP_TASKRUN) != 0);
    CHECK((own & IORING_SETUP_DEFER_TASKRUN) != 0 && (own & IORING_SETUP_COOP_TASKRUN) == 0);
    CHECK(own == ovr_uring_flags(OVR_URING_SPIN));
    CHECK(((guest | own) & (IORING_SETUP_SQPOLL | IORING_SETUP_IOPOLL)) == 0);
}

/* Speaks once the other thread had time to fall asleep; nothing depends on how long that takes. */
static void *speak_later(void *server)
{
    usleep(20000);
    tell_text(*(int *)server, "x");
    return NULL;
}

/* Sleeps as an event loop does, which has watched the descriptor from the beginning. */
static int sleep_until_readable(int fd, int server, int patience_ms)
{
    struct epoll_event event = {.events = EPOLLIN};
    int watch = epoll_create1(EPOLL_CLOEXEC);
    pthread_t thread;
    CHECK(watch >= 0 && epoll_ctl(watch, EPOLL_CTL_ADD, fd, &event) == 0);
    CHECK(pthread_create(&thread, NULL, speak_later, &server) == 0);
    int ready;
    do { /* the kernel's work for a guest interrupts its sleep first; loops know that */
        ready = epoll_wait(watch, &event, 1, patience_ms);
    } while (ready < 0 && errno == EINTR);
    CHECK(pthread_join(thread, NULL) == 0);
    close(watch);
    return ready;
}

/* A guest sleeps in the loop's own poll: the ring's descriptor alone has to wake it. */
static void a_sleeping_guest_is_woken_through_the_descriptor(void)
{
    struct ovr_uring *uring = make(OVR_URING_LOOP, 0);
    uint32_t slot;
    int server = connect_one(uring, 1, &slot);
    for (unsigned i = 1; i <= 5; i++) {
        ovr_uring_step(uring);
        CHECK(sleep_until_readable(ovr_uring_fd(uring), server, PATIENCE_MS) == 1);
        ovr_uring_step(uring);
        CHECK(atomic_load(&seen.messages) == i);
    }
    ovr_uring_destroy(uring);
    close(server);
}

struct bare {
    struct io_uring ring;
    struct ovr_uring_buffers buffers;
    uint8_t pool[128 * 64];
};

static void arm(struct bare *bare, int fd)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&bare->ring);
    CHECK(sqe != NULL);
    io_uring_prep_recv_multishot(sqe, fd, NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = OVR_URING_GROUP;
}

static void bare_init(struct bare *bare)
{
    struct io_uring_params params = {.flags = ovr_uring_flags(OVR_URING_WAIT)};
    CHECK(io_uring_queue_init_params(128, &bare->ring, &params) == 0);
    CHECK(ovr_uring_buffers_init(&bare->buffers, &bare->ring, bare->pool, 128, 64) == 0);
}

static void bare_deinit(struct bare *bare)
{
    io_uring_queue_exit(&bare->ring);
    ovr_uring_buffers_deinit(&bare->buffers);
}

/* Control: why a guest must not defer. What the kernel does is told and not judged; that we get
 * everything all the same is. */
static void a_deferring_ring_shows_nothing_until_it_is_entered(void)
{
    static struct bare bare;
    int pair[2];
    bare_init(&bare);
    CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0);
    arm(&bare, pair[0]);
    CHECK(io_uring_submit(&bare.ring) == 1);
    int ready = sleep_until_readable(bare.ring.ring_fd, pair[1], 200);
    fprintf(stderr, "note: this kernel %s a sleeper on a deferring ring's descriptor\n",
            ready == 0 ? "does not wake" : "wakes");
    CHECK(io_uring_cq_ready(&bare.ring) == 0);
    CHECK(io_uring_get_events(&bare.ring) >= 0 && io_uring_cq_ready(&bare.ring) == 1);
    bare_deinit(&bare);
    close(pair[0]);
    close(pair[1]);
}

/* Control: how many completions one entry moves. test_uring_links.c shows that a round of ours
 * takes all of them. */
static void one_entry_may_move_twenty_completions_only(void)
{
    enum { COUNT = 100 };
    static struct bare bare;
    int pairs[COUNT][2];
    unsigned first = 0;
    bare_init(&bare);
    for (int i = 0; i < COUNT; i++) {
        CHECK(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pairs[i]) == 0);
        arm(&bare, pairs[i][0]);
    }
    CHECK(io_uring_submit(&bare.ring) == COUNT);
    for (int i = 0; i < COUNT; i++) {
        tell_text(pairs[i][1], "x");
    }
    for (int entry = 0; entry < COUNT && io_uring_cq_ready(&bare.ring) < COUNT; entry++) {
        CHECK(io_uring_get_events(&bare.ring) >= 0);
        first = entry == 0 ? io_uring_cq_ready(&bare.ring) : first;
    }
    CHECK(io_uring_cq_ready(&bare.ring) == COUNT);
    fprintf(stderr, "note: the first entry moved %u of %d completions\n", first, COUNT);
    bare_deinit(&bare);
    for (int i = 0; i < COUNT; i++) {
        close(pairs[i][0]);
        close(pairs[i][1]);
    }
}

/* Control: a ring of one issuer refuses every other; ours are asked from any thread. */
static void *submit_from_elsewhere(void *bare)
{
    struct io_uring *ring = &((struct bare *)bare)->ring;
    io_uring_prep_nop(io_uring_get_sqe(ring));
    CHECK(io_uring_submit(ring) == -EEXIST);
    return NULL;
}

static void another_thread_may_not_submit(void)
{
    static struct bare bare;
    pthread_t thread;
    bare_init(&bare);
    io_uring_prep_nop(io_uring_get_sqe(&bare.ring));
    CHECK(io_uring_submit(&bare.ring) == 1);
    CHECK(pthread_create(&thread, NULL, submit_from_elsewhere, &bare) == 0);
    CHECK(pthread_join(thread, NULL) == 0);
    bare_deinit(&bare);
}

static void all(void)
{
    RUN(the_flags_of_each_shape_are_those_that_work);
    RUN(a_sleeping_guest_is_woken_through_the_descriptor);
    RUN(a_deferring_ring_shows_nothing_until_it_is_entered);
    RUN(one_entry_may_move_twenty_completions_only);
    RUN(another_thread_may_not_submit);
}

MAIN_WITH_URING(all)

#endif
