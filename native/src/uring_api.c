/* What callers of the transport may do; see uring_links.h. */
#ifdef OVR_LIBURING

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include "overround/clock.h"
#include "overround/feed.h"
#include "uring_internal.h"

void ovr_uring_lock(struct ovr_uring *uring)
{
    /* SYNC(uring_wanted): only a hint to the driver; the mutex orders everything. */
    atomic_fetch_add_explicit(&uring->wanted, 1, memory_order_relaxed);
    pthread_mutex_lock(&uring->mutex);
    atomic_fetch_sub_explicit(&uring->wanted, 1, memory_order_relaxed);
}

void ovr_uring_unlock(struct ovr_uring *uring)
{
    pthread_mutex_unlock(&uring->mutex);
}

/* --- life ---------------------------------------------------------------------------------- */

static bool take_memory(struct ovr_uring *uring)
{
    size_t pool_bytes = (size_t)uring->config.buffers * OVR_URING_BUFFER_BYTES;
    uring->links = calloc(uring->config.links_max, sizeof *uring->links);
    uring->plain = malloc(OVR_URING_PLAIN_BYTES);
    void *pool = mmap(NULL, pool_bytes, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    uring->buffers.pool = pool == MAP_FAILED ? NULL : pool;
    uring->buffers.count = uring->config.buffers;
    uring->news_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    uring->kick_fd = eventfd(0, EFD_CLOEXEC);
    return uring->links != NULL && uring->plain != NULL && uring->buffers.pool != NULL &&
           uring->news_fd >= 0 && uring->kick_fd >= 0;
}

/* Recursive, because whoever takes a message may answer it on the spot. */
static void init_mutex(struct ovr_uring *uring)
{
    pthread_mutexattr_t attributes;
    pthread_mutexattr_init(&attributes);
    pthread_mutexattr_settype(&attributes, PTHREAD_MUTEX_RECURSIVE);
    pthread_mutex_init(&uring->mutex, &attributes);
    pthread_mutexattr_destroy(&attributes);
}

struct ovr_uring *ovr_uring_create(const struct ovr_uring_config *config, int *error)
{
    struct ovr_uring *uring = calloc(1, sizeof *uring);
    *error = -ENOMEM;
    if (uring == NULL) {
        return NULL;
    }
    uring->config = *config;
    if (uring->config.buffers == 0) {
        uring->config.buffers = OVR_URING_BUFFERS_DEFAULT;
    }
    uring->random_used = sizeof uring->random;
    uring->flush_due_ns = OVR_URING_NEVER_NS;
    uring->news_fd = uring->kick_fd = -1;
    init_mutex(uring);
    if (config->links_max == 0 || (uring->config.buffers & (uring->config.buffers - 1)) != 0 ||
        uring->config.buffers > 32768 || (config->feed == NULL && config->on_text == NULL)) {
        *error = -EINVAL;
    } else if (take_memory(uring)) {
        for (uint32_t slot = 0; slot < config->links_max; slot++) {
            uring->links[slot].slot = slot;
            uring->links[slot].fd = -1;
        }
        *error = 0;
        return uring;
    }
    ovr_uring_destroy(uring);
    return NULL;
}

void ovr_uring_destroy(struct ovr_uring *uring)
{
    if (uring == NULL) {
        return;
    }
    if (uring->started) {
        io_uring_queue_exit(&uring->ring);
        ovr_uring_buffers_deinit(&uring->buffers);
    }
    for (uint32_t slot = 0; slot < uring->links_end; slot++) {
        ovr_link_deinit(&uring->links[slot]);
    }
    if (uring->buffers.pool != NULL) {
        munmap(uring->buffers.pool, (size_t)uring->config.buffers * OVR_URING_BUFFER_BYTES);
    }
    if (uring->news_fd >= 0) {
        close(uring->news_fd);
    }
    if (uring->kick_fd >= 0) {
        close(uring->kick_fd);
    }
    pthread_mutex_destroy(&uring->mutex);
    free(uring->plain);
    free(uring->links);
    free(uring);
}

int ovr_uring_fd(const struct ovr_uring *uring)
{
    if (uring->config.shape != OVR_URING_LOOP) {
        return uring->news_fd;
    }
    return uring->started ? uring->ring.ring_fd : -1;
}

void ovr_uring_stop(struct ovr_uring *uring)
{
    atomic_store(&uring->stopping, true);
    ovr_uring_lock(uring);
    ovr_uring_kick(uring);
    ovr_uring_unlock(uring);
}

/* --- connections --------------------------------------------------------------------------- */

static struct link *free_link(struct ovr_uring *uring)
{
    for (uint32_t slot = 0; slot < uring->config.links_max; slot++) {
        if (uring->links[slot].state == LINK_FREE) {
            return &uring->links[slot];
        }
    }
    return NULL;
}

/* The link in use at a slot, or NULL. */
static struct link *link_at(struct ovr_uring *uring, uint32_t slot)
{
    bool known = slot < uring->links_end && uring->links[slot].state != LINK_FREE;
    return known ? &uring->links[slot] : NULL;
}

static int prepare(struct link *link, struct ovr_tls_context *context, const char *host,
                   const void *request, size_t length)
{
    if (context != NULL && (link->tls = ovr_tls_create(context, host)) == NULL) {
        return -EINVAL;
    }
    return ovr_ws_buffer_add(&link->request, request, length, OVR_URING_HEAD_BYTES_MAX);
}

static int64_t open_locked(struct ovr_uring *uring, uint32_t number, int fd,
                           struct ovr_tls_context *context, const char *host, const void *request,
                           size_t length)
{
    int one = 1;
    struct link *link = free_link(uring);
    if (link == NULL) {
        return -ENOSPC;
    }
    int status = prepare(link, context, host, request, length);
    int flags = status == 0 ? fcntl(fd, F_GETFL) : -1;
    /* The ring waits by itself; on a non-blocking socket it would give up at once instead. */
    if (status != 0 || flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) != 0) {
        ovr_link_deinit(link);
        return status != 0 ? status : -EINVAL;
    }
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    link->fd = fd;
    link->number = number;
    link->news = (struct ovr_uring_news){.number = number, .slot = link->slot};
    if (link->slot >= uring->links_end) {
        uring->links_end = link->slot + 1;
    }
    ovr_link_begin(uring, link);
    return link->slot;
}

int64_t ovr_uring_open(struct ovr_uring *uring, uint32_t number, int fd,
                       struct ovr_tls_context *context, const char *host, const void *request,
                       size_t length)
{
    ovr_uring_lock(uring);
    int64_t slot = open_locked(uring, number, fd, context, host, request, length);
    ovr_uring_kick(uring);
    ovr_uring_unlock(uring);
    return slot;
}

int64_t ovr_uring_answer(struct ovr_uring *uring, uint32_t slot, void *out, size_t capacity)
{
    int64_t length = -ENOENT;
    ovr_uring_lock(uring);
    const struct link *link = link_at(uring, slot);
    if (link != NULL && link->state == LINK_ANSWERED && link->head_length <= capacity) {
        length = (int64_t)link->head_length;
        memcpy(out, link->head.bytes, link->head_length);
    }
    ovr_uring_unlock(uring);
    return length;
}

int ovr_uring_accept(struct ovr_uring *uring, uint32_t slot)
{
    ovr_uring_lock(uring);
    struct link *link = link_at(uring, slot);
    bool answered = link != NULL && link->state == LINK_ANSWERED;
    if (answered) {
        ovr_link_accept(uring, link, ovr_clock_ns());
        ovr_uring_kick(uring);
    }
    ovr_uring_unlock(uring);
    return answered ? 0 : -ENOTCONN;
}

int ovr_uring_send(struct ovr_uring *uring, uint32_t slot, const void *text, size_t length)
{
    ovr_uring_lock(uring);
    struct link *link = link_at(uring, slot);
    int status = link == NULL ? -ENOTCONN
                              : ovr_link_send(uring, link, OVR_WS_TEXT, text, length);
    ovr_uring_kick(uring);
    ovr_uring_unlock(uring);
    return status;
}

void ovr_uring_end(struct ovr_uring *uring, uint32_t slot, uint32_t code)
{
    ovr_uring_lock(uring);
    struct link *link = link_at(uring, slot);
    if (link != NULL) {
        ovr_link_end(uring, link, code, "ended by us");
        ovr_uring_kick(uring);
    }
    ovr_uring_unlock(uring);
}

uint64_t ovr_uring_data_ns(struct ovr_uring *uring, uint32_t slot)
{
    ovr_uring_lock(uring);
    const struct link *link = link_at(uring, slot);
    uint64_t data_ns = link == NULL ? 0 : link->data_ns;
    ovr_uring_unlock(uring);
    return data_ns;
}

/* --- news ---------------------------------------------------------------------------------- */

void ovr_uring_take(struct ovr_uring *uring, struct ovr_uring_summary *ret)
{
    ovr_uring_lock(uring);
    uring->total.news = uring->any_news;
    *ret = uring->total;
    uring->total = (struct ovr_uring_summary){0};
    if (uring->signalled) {
        uint64_t ignored;
        uring->signalled = read(uring->news_fd, &ignored, sizeof ignored) < 0;
    }
    ovr_uring_unlock(uring);
}

static void take_news(struct link *link, struct ovr_uring_news *ret)
{
    struct ovr_uring_news *news = &link->news;
    *ret = *news;
    news->bits = news->pongs = news->wrong_type = news->too_large = 0;
    if ((ret->bits & OVR_URING_NEWS_ENDED) != 0) {
        ovr_link_deinit(link);
    }
}

int ovr_uring_news(struct ovr_uring *uring, struct ovr_uring_news *ret)
{
    int found = 0;
    ovr_uring_lock(uring);
    for (uint32_t slot = 0; uring->any_news && slot < uring->links_end; slot++) {
        struct link *link = &uring->links[slot];
        if (link->state != LINK_FREE && link->news.bits != 0) {
            take_news(link, ret);
            found = 1;
            break;
        }
    }
    uring->any_news = found != 0;
    ovr_uring_unlock(uring);
    return found;
}

void ovr_uring_counters(struct ovr_uring *uring, struct ovr_uring_counters *ret)
{
    ovr_uring_lock(uring);
    *ret = uring->counters;
    ovr_uring_unlock(uring);
}

#else
typedef int ovr_uring_api_is_not_built;
#endif
