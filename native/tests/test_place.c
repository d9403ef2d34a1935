#include "overround/place.h"

#include <errno.h>

#include "check.h"

#define BYTES (64u * 4096u)

static void *pages(void)
{
    void *base = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(base != MAP_FAILED);
    return base;
}

static int forbidden(int64_t status)
{
    return status == -ENOSYS || status == -EPERM;
}

static void pages_count_once_they_are_there(void)
{
    uint64_t counts[OVR_NODES_MAX];
    unsigned char *base = pages();
    int64_t there = ovr_place_count(base, BYTES, counts);
    if (forbidden(there)) {
        return;
    }
    CHECK(there == 0);
    memset(base, 1, BYTES / 2);
    CHECK(ovr_place_count(base, BYTES, counts) == BYTES / 2 / 4096);
}

static void bound_pages_are_where_they_were_asked_to_be(void)
{
    uint64_t counts[OVR_NODES_MAX];
    unsigned char *base = pages();
    int node = ovr_place_here();
    CHECK(node >= 0);
    int status = ovr_place_bind(base, BYTES, (uint32_t)node);
    if (forbidden(status)) {
        return;
    }
    CHECK(status == 0);
    memset(base, 1, BYTES);
    CHECK(ovr_place_count(base, BYTES, counts) == BYTES / 4096);
    CHECK(counts[node] == BYTES / 4096);
}

static void what_cannot_be_is_refused(void)
{
    CHECK(ovr_place_bind(pages(), BYTES, OVR_NODES_MAX) == -EINVAL);
    CHECK(ovr_place_prefer(OVR_NODES_MAX) == -EINVAL);
    int status = ovr_place_bind(pages(), BYTES, OVR_NODES_MAX - 1);
    CHECK(status == -EINVAL || forbidden(status));
}

static void a_wish_of_the_thread_is_taken_back(void)
{
    int node = ovr_place_here();
    int status = ovr_place_prefer(node);
    CHECK(status == 0 || forbidden(status));
    status = ovr_place_prefer(-1);
    CHECK(status == 0 || forbidden(status));
}

int main(void)
{
    RUN(pages_count_once_they_are_there);
    RUN(bound_pages_are_where_they_were_asked_to_be);
    RUN(what_cannot_be_is_refused);
    RUN(a_wish_of_the_thread_is_taken_back);
    return 0;
}
