/* Whether this kernel, as it treats this process, can carry the io_uring transport; else why not.
 *
 * Nothing is assumed from version numbers: a ring is made with the flags that will be used, the
 * operations are asked for, and one byte is received the way all later ones will be. */
#ifndef OVERROUND_URING_PROBE_H
#define OVERROUND_URING_PROBE_H

#include <stdint.h>

/* Who drives the ring. */
enum ovr_uring_shape {
    OVR_URING_LOOP = 0, /* a guest of an event loop, which watches the ring's descriptor */
    OVR_URING_WAIT = 1, /* a thread of its own that sleeps in the kernel */
    OVR_URING_SPIN = 2  /* a thread of its own that never sleeps */
};

/* How far the probe came; `error` is the errno it ended with. */
enum ovr_uring_stage {
    OVR_URING_USABLE = 0,
    OVR_URING_NOT_BUILT = 1, /* liburing was not there at build time */
    OVR_URING_SETUP = 2,     /* io_uring_setup refused */
    OVR_URING_OPERATION = 3, /* an operation is missing */
    OVR_URING_BUFFERS = 4,   /* no provided buffer ring */
    OVR_URING_SELF_TEST = 5  /* everything was granted, and the byte did not come */
};

struct ovr_uring_probe {
    int32_t stage;
    int32_t error;
    uint32_t features;    /* as io_uring_setup reports them; 0 when it refused */
    uint32_t opcode_last; /* newest operation the kernel knows; 0 when it refused */
};

/* Version of liburing that was linked, "" without one. */
const char *ovr_uring_library(void);

void ovr_uring_probe(uint32_t shape, struct ovr_uring_probe *ret);

#endif
