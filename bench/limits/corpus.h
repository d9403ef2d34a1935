/* Frames written by the caller: a count, then each frame's length and bytes; little-endian. */
#ifndef BENCH_CORPUS_H
#define BENCH_CORPUS_H

#include "bench.h"

enum { CORPUS_SLACK = 128 }; /* readable bytes behind every frame */

struct corpus {
    uint32_t count;
    uint64_t bytes;
    char **frames;
    uint32_t *lengths;
};

static inline struct corpus corpus_load(const char *path)
{
    struct corpus corpus = {0};
    FILE *file = fopen(path, "rb");
    NEED(file != NULL && fread(&corpus.count, 4, 1, file) == 1);
    corpus.frames = calloc(corpus.count, sizeof *corpus.frames);
    corpus.lengths = calloc(corpus.count, sizeof *corpus.lengths);
    for (uint32_t i = 0; i < corpus.count; i++) {
        NEED(fread(&corpus.lengths[i], 4, 1, file) == 1);
        corpus.frames[i] = calloc(1, corpus.lengths[i] + CORPUS_SLACK);
        NEED(fread(corpus.frames[i], corpus.lengths[i], 1, file) == 1);
        corpus.bytes += corpus.lengths[i];
    }
    fclose(file);
    return corpus;
}

#endif
