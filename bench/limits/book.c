/* Set one level and read the best bid and ask: a flat book against the runtime's ladder.
 *
 * `book ROUNDS`: random side, prices within 40 ticks of the middle, a quarter of them removals, 64
 * markets in turn; both see the same updates and must agree on every best price. */
#include "bench.h"
#include "book.h"
#include "flat_book.h"

static struct {
    struct flat_book flat[MARKETS];
    struct ovr_ladder ladders[MARKETS];
    struct update updates[UPDATES];
} my;

static uint64_t pass_floor(void)
{
    uint64_t sum = 0;
    for (int i = 0; i < UPDATES; i++) {
        const struct update *u = &my.updates[i];
        struct flat_book *book = &my.flat[u->market];
        flat_set(book, u->side, u->level, u->lots);
        int bid = flat_best(book, 0), ask = flat_best(book, 1);
        sum += (bid < 0 ? 0 : (uint64_t)bid * STEP) + (ask < 0 ? GRID : (uint64_t)ask * STEP);
    }
    return sum;
}

int main(int argc, char **argv)
{
    NEED(argc == 2);
    bench_place(0);
    srand48(7);
    for (int i = 0; i < MARKETS; i++) {
        void *memory = bench_shared(OVR_LADDER_BYTES);
        ovr_ladder_init(&my.ladders[i], memory, STEP);
    }
    for (int i = 0; i < UPDATES; i++) {
        unsigned side = (unsigned)(lrand48() % 2), away = (unsigned)(lrand48() % REACH);
        my.updates[i] = (struct update){
            .market = (uint16_t)(lrand48() % MARKETS), .side = (uint8_t)side,
            .level = (uint16_t)(side ? MIDDLE + 1 + away : MIDDLE - away),
            .lots = lrand48() % 4 == 0 ? 0 : 1 + lrand48() % 1000000000};
    }
    for (int round = -2; round < atoi(argv[1]); round++) {
        uint64_t begun = bench_ns(), sums[2];
        sums[0] = pass_floor();
        uint64_t between = bench_ns();
        sums[1] = pass_ours(my.ladders, my.updates);
        uint64_t ended = bench_ns();
        NEED(sums[0] == sums[1]);
        if (round >= 0) {
            printf("floor %.4f\nsubject %.4f\n", (double)(between - begun) / UPDATES,
                   (double)(ended - between) / UPDATES);
        }
    }
    return 0;
}
