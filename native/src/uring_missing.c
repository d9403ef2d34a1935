/* The transport of a build without liburing: it says so, and nothing else can be reached. */
#ifndef OVR_LIBURING

#include <errno.h>
#include <stddef.h>

#include "overround/uring_links.h"

struct ovr_uring *ovr_uring_create(const struct ovr_uring_config *config, int *error)
{
    (void)config;
    *error = -ENOSYS;
    return NULL;
}

void ovr_uring_destroy(struct ovr_uring *uring)
{
    (void)uring;
}

int ovr_uring_start(struct ovr_uring *uring)
{
    (void)uring;
    return -ENOSYS;
}

int ovr_uring_run(struct ovr_uring *uring)
{
    (void)uring;
    return -ENOSYS;
}

void ovr_uring_stop(struct ovr_uring *uring)
{
    (void)uring;
}

int ovr_uring_fd(const struct ovr_uring *uring)
{
    (void)uring;
    return -1;
}

void ovr_uring_step(struct ovr_uring *uring)
{
    (void)uring;
}

void ovr_uring_take(struct ovr_uring *uring, struct ovr_uring_summary *ret)
{
    (void)uring;
    *ret = (struct ovr_uring_summary){0};
}

int ovr_uring_news(struct ovr_uring *uring, struct ovr_uring_news *ret)
{
    (void)uring;
    (void)ret;
    return 0;
}

void ovr_uring_counters(struct ovr_uring *uring, struct ovr_uring_counters *ret)
{
    (void)uring;
    *ret = (struct ovr_uring_counters){0};
}

int64_t ovr_uring_open(struct ovr_uring *uring, uint32_t number, int fd,
                       struct ovr_tls_context *context, const char *host, const void *request,
                       size_t length)
{
    (void)uring, (void)number, (void)fd, (void)context, (void)host, (void)request, (void)length;
    return -ENOSYS;
}

int64_t ovr_uring_answer(struct ovr_uring *uring, uint32_t slot, void *out, size_t capacity)
{
    (void)uring, (void)slot, (void)out, (void)capacity;
    return -ENOENT;
}

int ovr_uring_accept(struct ovr_uring *uring, uint32_t slot)
{
    (void)uring, (void)slot;
    return -ENOTCONN;
}

int ovr_uring_send(struct ovr_uring *uring, uint32_t slot, const void *text, size_t length)
{
    (void)uring, (void)slot, (void)text, (void)length;
    return -ENOTCONN;
}

void ovr_uring_end(struct ovr_uring *uring, uint32_t slot, uint32_t code)
{
    (void)uring, (void)slot, (void)code;
}

uint64_t ovr_uring_data_ns(struct ovr_uring *uring, uint32_t slot)
{
    (void)uring, (void)slot;
    return 0;
}

void ovr_uring_lock(struct ovr_uring *uring)
{
    (void)uring;
}

void ovr_uring_unlock(struct ovr_uring *uring)
{
    (void)uring;
}

#else
typedef int ovr_uring_is_built;
#endif
