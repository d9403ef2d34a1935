/* The ring and whoever drives it. */
#ifdef OVR_LIBURING

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "overround/clock.h"
#include "overround/feed.h"
#include "overround/tap.h"
#include "overround/words.h"
#include "uring_internal.h"

#define NS_PER_S UINT64_C(1000000000)

enum { OP_RECEIVE = 1, OP_SEND = 2, OP_KICK = 3 };
enum { SPINS_PER_CLOCK = 64, YIELDS_MAX = 64 };

/* --- ring and buffers ---------------------------------------------------------------------- */

/* A guest is woken through the ring's descriptor, which DEFER_TASKRUN never makes readable: only a
 * thread of its own may defer. TASKRUN_FLAG says without a system call that the kernel has work. */
unsigned ovr_uring_flags(uint32_t shape)
{
    unsigned deferred = shape == OVR_URING_LOOP ? IORING_SETUP_COOP_TASKRUN
                                                : IORING_SETUP_DEFER_TASKRUN;
    return IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_TASKRUN_FLAG | deferred;
}

static size_t buffers_ring_bytes(unsigned count)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    return (count * sizeof(struct io_uring_buf) + page - 1) / page * page;
}

static void give_back(struct ovr_uring_buffers *buffers, unsigned id)
{
    io_uring_buf_ring_add(buffers->ring, buffers->pool + (size_t)id * buffers->bytes_each,
                          buffers->bytes_each, (unsigned short)id,
                          io_uring_buf_ring_mask(buffers->count), (int)buffers->back++);
}

int ovr_uring_buffers_init(struct ovr_uring_buffers *buffers, struct io_uring *ring,
                           uint8_t *pool, unsigned count, unsigned bytes_each)
{
    *buffers = (struct ovr_uring_buffers){.pool = pool, .count = count, .bytes_each = bytes_each};
    void *pages = mmap(NULL, buffers_ring_bytes(count), PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED) {
        return -errno;
    }
    buffers->ring = pages;
    struct io_uring_buf_reg reg = {
        .ring_addr = (uintptr_t)pages, .ring_entries = count, .bgid = OVR_URING_GROUP};
    int status = io_uring_register_buf_ring(ring, &reg, 0);
    if (status != 0) {
        ovr_uring_buffers_deinit(buffers);
        return status;
    }
    io_uring_buf_ring_init(buffers->ring);
    for (unsigned id = 0; id < count; id++) {
        give_back(buffers, id);
    }
    io_uring_buf_ring_advance(buffers->ring, (int)buffers->back);
    buffers->back = 0;
    return 0;
}

void ovr_uring_buffers_deinit(struct ovr_uring_buffers *buffers)
{
    if (buffers->ring != NULL) {
        munmap(buffers->ring, buffers_ring_bytes(buffers->count));
        buffers->ring = NULL;
    }
}

/* --- operations ---------------------------------------------------------------------------- */

static uint64_t tag(const struct link *link, unsigned operation)
{
    return (uint64_t)link->slot << 8 | operation;
}

static void submit(struct ovr_uring *uring)
{
    if (io_uring_sq_ready(&uring->ring) != 0) {
        uring->counters.enters++;
        io_uring_submit(&uring->ring);
    }
}

static struct io_uring_sqe *new_operation(struct ovr_uring *uring)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&uring->ring);
    if (sqe == NULL) {
        submit(uring);
        sqe = io_uring_get_sqe(&uring->ring);
    }
    return sqe; /* NULL only if the kernel takes nothing: tried again in the next round */
}

static void arm_receive(struct ovr_uring *uring, struct link *link)
{
    struct io_uring_sqe *sqe = new_operation(uring);
    if (sqe == NULL) {
        uring->dirty = true;
        return;
    }
    if (link->state == LINK_OPEN) {
        io_uring_prep_recv_multishot(sqe, link->fd, NULL, 0, 0);
    } else { /* chunk by chunk: what comes behind the answer stays in the socket until accepted */
        io_uring_prep_recv(sqe, link->fd, NULL, 0, 0);
    }
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = OVR_URING_GROUP;
    io_uring_sqe_set_data64(sqe, tag(link, OP_RECEIVE));
    link->receiving = true;
}

static void arm_send(struct ovr_uring *uring, struct link *link)
{
    struct io_uring_sqe *sqe = new_operation(uring);
    if (sqe == NULL) {
        uring->dirty = true;
        return;
    }
    io_uring_prep_send(sqe, link->fd, link->flying.bytes + link->flown,
                       link->flying.used - link->flown, MSG_NOSIGNAL | MSG_WAITALL);
    io_uring_sqe_set_data64(sqe, tag(link, OP_SEND));
    link->sending = true;
}

static void arm_kick(struct ovr_uring *uring)
{
    struct io_uring_sqe *sqe = new_operation(uring);
    if (sqe != NULL) {
        io_uring_prep_read(sqe, uring->kick_fd, &uring->kick_word, sizeof uring->kick_word, 0);
        io_uring_sqe_set_data64(sqe, OP_KICK);
    }
}

/* Gives every connection the operations that it wants. Only the driver calls it. */
static void serve_links(struct ovr_uring *uring)
{
    if (!uring->dirty) {
        return;
    }
    uring->dirty = false;
    for (uint32_t slot = 0; slot < uring->links_end; slot++) {
        struct link *link = &uring->links[slot];
        if (!ovr_link_alive(link)) {
            continue;
        }
        if (link->ping_due && !link->sending && link->state == LINK_OPEN) {
            link->ping_due = false;
            (void)ovr_link_send(uring, link, OVR_WS_PONG, link->ping, link->ping_length);
            if (!ovr_link_alive(link)) {
                continue;
            }
        }
        if (!link->receiving && link->state != LINK_ANSWERED) {
            arm_receive(uring, link);
        }
        if (!link->sending && link->queue.used != 0) {
            struct ovr_ws_buffer empty = link->flying;
            link->flying = link->queue;
            link->queue = empty;
            link->queue.used = 0;
            link->flown = 0;
            arm_send(uring, link);
        }
    }
}

/* --- completions --------------------------------------------------------------------------- */

static void on_received(struct ovr_uring *uring, struct link *link, const struct io_uring_cqe *cqe)
{
    if ((cqe->flags & IORING_CQE_F_BUFFER) != 0) {
        unsigned id = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
        if (cqe->res > 0 && ovr_link_alive(link)) {
            uring->counters.receives++;
            ovr_link_received(uring, link,
                              uring->buffers.pool + (size_t)id * uring->buffers.bytes_each,
                              (size_t)cqe->res, ovr_clock_ns());
        }
        give_back(&uring->buffers, id);
    }
    if ((cqe->flags & IORING_CQE_F_MORE) != 0) {
        return;
    }
    link->receiving = false;
    if (cqe->res > 0 || cqe->res == -ENOBUFS || cqe->res == -EAGAIN || cqe->res == -EINTR) {
        uring->counters.starved += cqe->res == -ENOBUFS;
        uring->dirty = true; /* armed again once the buffers are back */
    } else {
        ovr_link_end(uring, link, 0, cqe->res == 0 ? "ended by the peer" : strerror(-cqe->res));
    }
    ovr_link_settle(uring, link);
}

static void on_sent(struct ovr_uring *uring, struct link *link, const struct io_uring_cqe *cqe)
{
    link->sending = false;
    if (cqe->res > 0) {
        link->flown += (size_t)cqe->res;
        if (link->flown < link->flying.used && ovr_link_alive(link)) {
            arm_send(uring, link);
            return;
        }
        uring->dirty |= link->queue.used != 0 || link->ping_due;
    } else {
        ovr_link_end(uring, link, 0, strerror(-cqe->res));
    }
    ovr_link_settle(uring, link);
}

static void on_completion(struct ovr_uring *uring, const struct io_uring_cqe *cqe)
{
    unsigned operation = (unsigned)(cqe->user_data & 0xff);
    struct link *link = &uring->links[cqe->user_data >> 8];
    if (operation == OP_RECEIVE) {
        on_received(uring, link, cqe);
    } else if (operation == OP_SEND) {
        on_sent(uring, link, cqe);
    } else if (operation == OP_KICK) {
        arm_kick(uring);
    }
}

/* Completions that the kernel keeps back until it is entered: deferred work, or an overflow. */
static bool kernel_has_more(const struct ovr_uring *uring)
{
    return (IO_URING_READ_ONCE(*uring->ring.sq.kflags) &
            (IORING_SQ_TASKRUN | IORING_SQ_CQ_OVERFLOW)) != 0;
}

static unsigned work_batch(struct ovr_uring *uring)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned count = 0;
    io_uring_for_each_cqe(&uring->ring, head, cqe) {
        on_completion(uring, cqe);
        if (++count == OVR_URING_BATCH) {
            break;
        }
    }
    io_uring_buf_ring_advance(uring->buffers.ring, (int)uring->buffers.back);
    uring->buffers.back = 0;
    io_uring_cq_advance(&uring->ring, count);
    return count;
}

/* One round: what has completed, then what the connections want next. One entry moves at most 20
 * completions of a deferring ring, hence the asking until none is left. */
static void work(struct ovr_uring *uring)
{
    unsigned count = 0;
    uring->counters.rounds++;
    uring->counters.enters += uring->entered;
    uring->entered = 0;
    uring->working = true;
    do {
        count += work_batch(uring);
        serve_links(uring);
        submit(uring);
        if (kernel_has_more(uring)) {
            uring->counters.enters++;
            io_uring_get_events(&uring->ring);
        }
    } while (io_uring_cq_ready(&uring->ring) != 0 && count < OVR_URING_BATCH);
    uring->working = false;
}

void ovr_uring_step(struct ovr_uring *uring)
{
    if (uring->config.shape == OVR_URING_LOOP && uring->started) {
        ovr_uring_lock(uring);
        work(uring);
        ovr_uring_unlock(uring);
    }
}

/* --- a thread of its own ------------------------------------------------------------------- */

void ovr_uring_signal(struct ovr_uring *uring)
{
    bool told = uring->any_news || uring->total.resync != 0 || uring->total.resolved != 0;
    if (told && !uring->signalled && uring->config.shape != OVR_URING_LOOP) {
        uint64_t one = 1;
        uring->signalled = write(uring->news_fd, &one, sizeof one) == sizeof one;
    }
}

/* What a caller asked for is done at once by a guest, and by the thread when it is woken. Inside of
 * the driver's own round there is no need: the round ends with it. */
void ovr_uring_kick(struct ovr_uring *uring)
{
    ovr_uring_signal(uring);
    if (uring->working || !(uring->dirty || atomic_load(&uring->stopping))) {
        return;
    }
    if (uring->config.shape == OVR_URING_LOOP) {
        if (uring->started) {
            serve_links(uring);
            submit(uring);
        }
        return;
    }
    /* SYNC(uring_kick): what was asked for stands before the flag; the mutex orders it for whoever
     * takes it, the flag only says that there is a reason to. */
    atomic_store_explicit(&uring->kicked, true, memory_order_release);
    if (uring->config.shape == OVR_URING_WAIT) {
        uint64_t one = 1;
        ssize_t written = write(uring->kick_fd, &one, sizeof one);
        (void)written; /* full means that it is readable already */
    }
}

/* Ends bursts as the process would: the deadline is that of the first frame that opened one. */
static void flush_when_due(struct ovr_uring *uring)
{
    struct ovr_feed_result result = {0};
    if (uring->config.feed == NULL) {
        return;
    }
    if (uring->total.burst_ns != 0) {
        uint64_t due_ns = uring->total.burst_ns + uring->config.burst_ns;
        uring->flush_due_ns = due_ns < uring->flush_due_ns ? due_ns : uring->flush_due_ns;
        uring->total.burst_ns = 0;
    }
    if (uring->flush_due_ns == OVR_URING_NEVER_NS) {
        return;
    }
    uint64_t now_ns = ovr_clock_ns();
    if (now_ns < uring->flush_due_ns) {
        return;
    }
    if (uring->config.tap != NULL) {
        (void)ovr_tap_append(uring->config.tap, OVR_TAP_TICK, now_ns, 0, NULL, 0);
    }
    ovr_feed_flush(uring->config.feed, now_ns, &result);
    uring->total.resync = result.resync;
    uring->flush_due_ns = ovr_feed_next_deadline(uring->config.feed);
}

/* Returns 0, or a negative errno that waiting again would only repeat. */
static int wait_for_work(struct ovr_uring *uring)
{
    struct io_uring_cqe *cqe;
    struct __kernel_timespec patience = {.tv_sec = 1};
    if (uring->flush_due_ns != OVR_URING_NEVER_NS) {
        uint64_t now_ns = ovr_clock_ns();
        uint64_t left_ns = uring->flush_due_ns > now_ns ? uring->flush_due_ns - now_ns : 0;
        if (left_ns < NS_PER_S) {
            patience = (struct __kernel_timespec){.tv_nsec = (long long)left_ns};
        }
    }
    uring->entered++;
    int status = io_uring_submit_and_wait_timeout(&uring->ring, &cqe, 1, &patience, NULL);
    bool passing = status >= 0 || status == -ETIME || status == -EINTR || status == -EAGAIN ||
                   status == -EBUSY || status == -ENOMEM;
    return passing ? 0 : status;
}

/* Spins in user memory only: the kernel raises a flag when there is something to fetch. */
static void spin_for_work(struct ovr_uring *uring)
{
    for (;;) {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (kernel_has_more(uring)) {
                uring->entered++;
                io_uring_get_events(&uring->ring);
            }
            /* SYNC(uring_kick) */
            if (io_uring_cq_ready(&uring->ring) != 0 ||
                atomic_load_explicit(&uring->kicked, memory_order_acquire)) {
                return;
            }
            ovr_pause();
        }
        if (uring->flush_due_ns != OVR_URING_NEVER_NS && ovr_clock_ns() >= uring->flush_due_ns) {
            return;
        }
    }
}

/* Lets a caller in who has been waiting for the mutex: it is not a fair one. */
static void give_way(struct ovr_uring *uring)
{
    /* SYNC(uring_wanted) */
    for (int i = 0; i < YIELDS_MAX; i++) {
        if (atomic_load_explicit(&uring->wanted, memory_order_relaxed) == 0) {
            break;
        }
        sched_yield();
    }
}

int ovr_uring_start(struct ovr_uring *uring)
{
    struct io_uring_params params = {.flags = ovr_uring_flags(uring->config.shape) |
                                              IORING_SETUP_CQSIZE,
                                     .cq_entries = OVR_URING_COMPLETIONS};
    int status = io_uring_queue_init_params(OVR_URING_ENTRIES, &uring->ring, &params);
    if (status != 0) {
        return status;
    }
    uint8_t *pool = uring->buffers.pool;
    status = ovr_uring_buffers_init(&uring->buffers, &uring->ring, pool, uring->config.buffers,
                                    OVR_URING_BUFFER_BYTES);
    if (status != 0) {
        io_uring_queue_exit(&uring->ring);
        return status;
    }
    uring->started = true;
    return 0;
}

int ovr_uring_run(struct ovr_uring *uring)
{
    if (uring->config.shape == OVR_URING_LOOP) {
        return -EINVAL;
    }
    int status = ovr_uring_start(uring);
    if (status != 0) {
        return status;
    }
    arm_kick(uring);
    submit(uring);
    while (!atomic_load(&uring->stopping)) {
        if (uring->config.shape == OVR_URING_SPIN) {
            spin_for_work(uring);
        } else if ((status = wait_for_work(uring)) != 0) {
            return status;
        }
        atomic_store(&uring->kicked, false);
        pthread_mutex_lock(&uring->mutex);
        work(uring);
        flush_when_due(uring);
        ovr_uring_signal(uring);
        pthread_mutex_unlock(&uring->mutex);
        give_way(uring);
    }
    return 0;
}

#else
typedef int ovr_uring_ring_is_not_built;
#endif
