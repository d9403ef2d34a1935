/* Compiled as the module is, not for this machine: what ships is what is measured. */
#include "book.h"

uint64_t pass_ours(struct ovr_ladder *ladders, const struct update *updates)
{
    uint64_t sum = 0;
    for (int i = 0; i < UPDATES; i++) {
        const struct update *u = &updates[i];
        struct ovr_ladder *ladder = &ladders[u->market];
        ovr_ladder_set(ladder, u->side, u->level * STEP, u->lots);
        sum += ovr_ladder_best_ask(ladder) + ovr_ladder_best_bid(ladder);
    }
    return sum;
}
