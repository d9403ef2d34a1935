/* The seeds of the WebSocket fuzzer, and every cut of them, through the fuzz target. */
#define _GNU_SOURCE
#include "check.h"

#include <dirent.h>
#include <libgen.h>
#include <stdint.h>

#include "fuzz_ws.c"

static unsigned run_file(const char *folder, const char *name)
{
    char path[4096 + 260];
    static uint8_t bytes[1 << 16];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    CHECK(file != NULL);
    size_t length = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    LLVMFuzzerTestOneInput(bytes, length);
    for (size_t cut = 0; cut < length; cut++) {
        LLVMFuzzerTestOneInput(bytes, cut);
    }
    return 1;
}

static void every_seed_and_every_cut_of_it_is_survived(void)
{
    char here[] = __FILE__;
    char folder[4096];
    unsigned count = 0;
    snprintf(folder, sizeof folder, "%s/../../tests/data/ws_frames", dirname(here));
    DIR *seeds = opendir(folder);
    CHECK(seeds != NULL);
    for (struct dirent *entry; (entry = readdir(seeds)) != NULL;) {
        if (strstr(entry->d_name, ".bin") != NULL) {
            count += run_file(folder, entry->d_name);
        }
    }
    closedir(seeds);
    CHECK(count >= 12);
}

int main(void)
{
    RUN(every_seed_and_every_cut_of_it_is_survived);
    return 0;
}
