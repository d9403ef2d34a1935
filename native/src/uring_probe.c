#include "overround/uring_probe.h"

#include <errno.h>

#ifdef OVR_LIBURING

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uring_internal.h"

enum { ENTRIES = 8, BUFFERS = 8, BUFFER_BYTES = 64, SECONDS_MAX = 2 };

const char *ovr_uring_library(void)
{
    return OVR_LIBURING;
}

static int find_operations(struct io_uring *ring, uint32_t *last)
{
    static const int needed[] = {IORING_OP_RECV, IORING_OP_SEND, IORING_OP_READ};
    struct io_uring_probe *probe = io_uring_get_probe_ring(ring);
    if (probe == NULL) {
        return -ENOSYS;
    }
    int status = 0;
    *last = probe->last_op;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!io_uring_opcode_supported(probe, needed[i])) {
            status = -ENOSYS;
        }
    }
    io_uring_free_probe(probe);
    return status;
}

/* Arms the receive, writes the byte, and looks whether it is where it should be. */
static int receive_one(struct io_uring *ring, const int pair[2], const uint8_t *pool)
{
    struct __kernel_timespec patience = {.tv_sec = SECONDS_MAX};
    struct io_uring_cqe *cqe;
    struct io_uring_sqe *sqe = io_uring_get_sqe(ring);
    io_uring_prep_recv_multishot(sqe, pair[0], NULL, 0, 0);
    sqe->flags |= IOSQE_BUFFER_SELECT;
    sqe->buf_group = OVR_URING_GROUP;
    if (io_uring_submit(ring) != 1 || write(pair[1], "o", 1) != 1) {
        return -EIO;
    }
    int status = io_uring_wait_cqe_timeout(ring, &cqe, &patience);
    if (status != 0) {
        return status;
    }
    unsigned buffer = cqe->flags >> IORING_CQE_BUFFER_SHIFT;
    if (cqe->res < 0) {
        return cqe->res;
    }
    bool right = cqe->res == 1 && (cqe->flags & IORING_CQE_F_BUFFER) != 0 &&
                 (cqe->flags & IORING_CQE_F_MORE) != 0 && buffer < BUFFERS &&
                 pool[buffer * BUFFER_BYTES] == 'o';
    io_uring_cqe_seen(ring, cqe);
    return right ? 0 : -EBADMSG;
}

static int self_test(struct io_uring *ring, const uint8_t *pool)
{
    int pair[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
        return -errno;
    }
    int status = receive_one(ring, pair, pool);
    close(pair[0]);
    close(pair[1]);
    return status;
}

static void probe_ring(struct io_uring *ring, struct ovr_uring_buffers *buffers,
                       uint8_t *pool, struct ovr_uring_probe *ret)
{
    ret->stage = OVR_URING_OPERATION;
    ret->error = -find_operations(ring, &ret->opcode_last);
    if (ret->error != 0) {
        return;
    }
    ret->stage = OVR_URING_BUFFERS;
    ret->error = -ovr_uring_buffers_init(buffers, ring, pool, BUFFERS, BUFFER_BYTES);
    if (ret->error != 0) {
        return;
    }
    ret->error = -self_test(ring, pool);
    ret->stage = ret->error == 0 ? OVR_URING_USABLE : OVR_URING_SELF_TEST;
}

void ovr_uring_probe(uint32_t shape, struct ovr_uring_probe *ret)
{
    struct io_uring ring;
    struct ovr_uring_buffers buffers = {0};
    uint8_t pool[BUFFERS * BUFFER_BYTES]; /* outlives the ring */
    struct io_uring_params params = {.flags = ovr_uring_flags(shape)};
    *ret = (struct ovr_uring_probe){.stage = OVR_URING_SETUP};
    ret->error = -io_uring_queue_init_params(ENTRIES, &ring, &params);
    if (ret->error == 0) {
        ret->features = params.features;
        probe_ring(&ring, &buffers, pool, ret);
        io_uring_queue_exit(&ring);
        ovr_uring_buffers_deinit(&buffers);
    }
}

#else

const char *ovr_uring_library(void)
{
    return "";
}

void ovr_uring_probe(uint32_t shape, struct ovr_uring_probe *ret)
{
    (void)shape;
    *ret = (struct ovr_uring_probe){.stage = OVR_URING_NOT_BUILT, .error = ENOSYS};
}

#endif
