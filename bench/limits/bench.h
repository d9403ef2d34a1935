/* What the bench programs share: pinning, real-time class, a cycle clock, quantiles, output.
 *
 * A program prints one line a round and contender, "name p50 [p99]", in the order measured, so
 * that the caller can pair the rounds. Programs that need two CPUs fork; the caller names the
 * CPUs in BENCH_CPUS ("0,1") and asks for SCHED_FIFO with BENCH_FIFO=1. */
#ifndef BENCH_H
#define BENCH_H

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define NEED(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: not true: %s\n", __FILE__, __LINE__, #condition);              \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)

static inline uint64_t bench_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * UINT64_C(1000000000) + (uint64_t)now.tv_nsec;
}

/* A stamp that costs little: the time-stamp counter, or the clock where there is none. */
static inline uint64_t bench_ticks(void)
{
#if defined(__x86_64__)
    return __builtin_ia32_rdtsc();
#else
    return bench_ns();
#endif
}

static inline double bench_ns_per_tick(void)
{
    static double known;
    if (known == 0) {
        uint64_t ns = bench_ns(), ticks = bench_ticks();
        while (bench_ns() - ns < 20000000) {
        }
        known = (double)(bench_ns() - ns) / (double)(bench_ticks() - ticks);
    }
    return known;
}

static inline void bench_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#endif
}

/* Run on the nth of the CPUs named, in FIFO if asked and allowed. */
static inline void bench_place(int nth)
{
    const char *list = getenv("BENCH_CPUS");
    int cpu = -1;
    for (int i = 0; list != NULL && *list != 0; i++) {
        cpu = (int)strtol(list, (char **)(uintptr_t)&list, 10);
        if (i == nth || *list != ',') {
            break;
        }
        list++;
    }
    if (cpu >= 0) {
        cpu_set_t set;
        CPU_ZERO(&set);
        CPU_SET(cpu, &set);
        NEED(sched_setaffinity(0, sizeof set, &set) == 0);
    }
    const char *fifo = getenv("BENCH_FIFO");
    if (fifo != NULL && *fifo == '1') {
        struct sched_param param = {.sched_priority = 1};
        (void)sched_setscheduler(0, SCHED_FIFO, &param); /* the host record says if it was got */
    }
}

/* A child on the second CPU, which dies with its parent; returns its pid, 0 in the child. The
 * parent sleeps until the child has moved: in FIFO it would keep it from ever running. */
static inline pid_t bench_fork(void)
{
    int moved[2];
    char byte = 0;
    NEED(pipe(moved) == 0);
    fflush(stdout);
    pid_t parent = getpid(), child = fork();
    NEED(child >= 0);
    if (child == 0) {
        NEED(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0 && getppid() == parent);
        bench_place(1);
        NEED(write(moved[1], &byte, 1) == 1);
    } else {
        NEED(read(moved[0], &byte, 1) == 1);
    }
    close(moved[0]);
    close(moved[1]);
    return child;
}

static inline void bench_end(pid_t child)
{
    NEED(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
}

static inline void *bench_shared(size_t size)
{
    void *base = mmap(NULL, size, PROT_READ | PROT_WRITE,
                      MAP_SHARED | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    NEED(base != MAP_FAILED);
    return base;
}

static int bench_compare(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Sort samples and print their quantiles in `unit` nanoseconds each. */
static inline void bench_print(const char *name, uint64_t *samples, size_t count, double unit)
{
    qsort(samples, count, sizeof *samples, bench_compare);
    printf("%s %.4f %.4f\n", name, (double)samples[count / 2] * unit,
           (double)samples[count * 99 / 100] * unit);
}

/* Keeps the compiler from dropping or moving work on this value. */
static inline void bench_keep(const void *value)
{
    __asm__ __volatile__("" : : "r"(value) : "memory");
}

#endif
