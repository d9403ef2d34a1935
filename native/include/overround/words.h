/* Word-wise access to memory that another process may be writing at this moment.
 *
 * Records move as relaxed atomic 8-byte words: an aligned word cannot tear, so a torn copy is
 * always a mix of whole words, which the sequence then exposes. Plain memcpy would be a data race
 * for the compiler (free to read a word twice) and for the thread sanitizer. */
#ifndef OVERROUND_WORDS_H
#define OVERROUND_WORDS_H

#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef _Atomic(uint64_t) ovr_word;

static inline void ovr_words_store(ovr_word *shared, const void *source, size_t words)
{
    const unsigned char *bytes = source;
    for (size_t i = 0; i < words; i++) {
        uint64_t word;
        memcpy(&word, bytes + 8 * i, 8);
        atomic_store_explicit(&shared[i], word, memory_order_relaxed);
    }
}

static inline void ovr_words_load(ovr_word *shared, void *ret, size_t words)
{
    unsigned char *bytes = ret;
    for (size_t i = 0; i < words; i++) {
        uint64_t word = atomic_load_explicit(&shared[i], memory_order_relaxed);
        memcpy(bytes + 8 * i, &word, 8);
    }
}

static inline void ovr_words_clear(ovr_word *shared, size_t words)
{
    for (size_t i = 0; i < words; i++) {
        atomic_store_explicit(&shared[i], 0, memory_order_relaxed);
    }
}

/* Tells the core that this is a spin: frees the sibling thread, saves the exit penalty. */
static inline void ovr_pause(void)
{
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ __volatile__("yield");
#endif
}

#endif
