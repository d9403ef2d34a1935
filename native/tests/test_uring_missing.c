/* A build without liburing: it names itself, and refuses. Compiled here, in front of the library's
 * own objects, so that every machine's tests see it. */
#include "check.h"

#undef OVR_LIBURING
#include "../src/uring_missing.c"
#include "../src/uring_probe.c"

int main(void)
{
    struct ovr_uring_config config = {.links_max = 1, .frame_bytes_max = 1};
    struct ovr_uring_probe probe;
    int error = 0;
    CHECK(ovr_uring_create(&config, &error) == NULL && error == -ENOSYS);
    for (uint32_t shape = OVR_URING_LOOP; shape <= OVR_URING_SPIN; shape++) {
        ovr_uring_probe(shape, &probe);
        CHECK(probe.stage == OVR_URING_NOT_BUILT && probe.error == ENOSYS);
    }
    CHECK(ovr_uring_library()[0] == '\0');
    return 0;
}
