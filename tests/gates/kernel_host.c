/* Calls one of the detector's compiled kernels once, on columns from a file: what scripts/gates
 * counts. Without Python around it the count repeats to the digit.
 *
 *   kernel_host FILE
 *
 * FILE holds 64-bit words: the result expected, how many words the call takes, then for each of
 * them a length and either the word itself (length 0) or so many bytes that it is to point at. All
 * arguments are integers or pointers, so they lie as C passes them; words beyond the kernel's own
 * are not looked at. KERNEL is the symbol of the kernel in the object file linked. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

enum { WORDS_MAX = 136, LINE = 64 };

#define EIGHT(w, i) w[i], w[i + 1], w[i + 2], w[i + 3], w[i + 4], w[i + 5], w[i + 6], w[i + 7]
#define FORTY(w, i)                                                                                \
    EIGHT(w, i), EIGHT(w, i + 8), EIGHT(w, i + 16), EIGHT(w, i + 24), EIGHT(w, i + 32)

int32_t KERNEL(uint64_t *ret, void **ret_error, uint64_t first, ...);

__attribute__((noinline)) int32_t gate_run(uint64_t *ret, void **ret_error, const uint64_t *w)
{
    return KERNEL(ret, ret_error, FORTY(w, 0), FORTY(w, 40), FORTY(w, 80), EIGHT(w, 120),
                  EIGHT(w, 128));
}

static uint64_t word_of(FILE *file)
{
    uint64_t word;
    if (fread(&word, sizeof word, 1, file) != 1) {
        fprintf(stderr, "kernel_host: the file ends too early\n");
        exit(1);
    }
    return word;
}

static uint64_t bytes_of(FILE *file, uint64_t length)
{
    void *bytes = aligned_alloc(LINE, (length + LINE - 1) / LINE * LINE);
    if (bytes == NULL || fread(bytes, 1, length, file) != length) {
        fprintf(stderr, "kernel_host: %llu bytes are not there\n", (unsigned long long)length);
        exit(1);
    }
    return (uint64_t)(uintptr_t)bytes;
}

int main(int argc, char **argv)
{
    FILE *file = argc == 2 ? fopen(argv[1], "rb") : NULL;
    if (file == NULL) {
        fprintf(stderr, "usage: kernel_host FILE\n");
        return 2;
    }
    uint64_t words[WORDS_MAX] = {0}, expected = word_of(file), count = word_of(file), found = 0;
    if (count > WORDS_MAX) {
        fprintf(stderr, "kernel_host: %llu words are too many\n", (unsigned long long)count);
        return 1;
    }
    for (uint64_t i = 0; i < count; i++) {
        uint64_t length = word_of(file);
        words[i] = length == 0 ? word_of(file) : bytes_of(file, length);
    }
    void *error = NULL;
    if (gate_run(&found, &error, words) != 0 || found != expected) {
        fprintf(stderr, "kernel_host: found %llu, expected %llu\n", (unsigned long long)found,
                (unsigned long long)expected);
        return 1;
    }
    return 0;
}
