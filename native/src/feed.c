#include "overround/feed.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "feed_internal.h"

enum { TOKEN_YES = 1, TOKEN_NO = 2, CONDITION = 3 };

/* --- identifiers --------------------------------------------------------------------------- */

static uint64_t load8(const char *at)
{
    uint64_t word;
    memcpy(&word, at, sizeof word);
    return word;
}

/* Of an identifier's first, middle and last eight bytes: those of the venue are hashes themselves,
 * so any eighty bits of them tell them apart, and who finds one compares all of it. */
static inline uint64_t hash_id(const char *id, size_t length)
{
    uint64_t hash = length;
    if (length >= 8) {
        hash += load8(id) * UINT64_C(0x9E3779B97F4A7C15);
        hash += load8(id + length / 2 - 4) * UINT64_C(0xC2B2AE3D27D4EB4F);
        hash += load8(id + length - 8) * UINT64_C(0x165667B19E3779F9);
    } else {
        uint64_t word = 0;
        memcpy(&word, id, length);
        hash += word * UINT64_C(0x9E3779B97F4A7C15);
    }
    hash = (hash ^ hash >> 32) * UINT64_C(0xFF51AFD7ED558CCD);
    return (hash ^ hash >> 32) | 1;
}

static inline bool same_id(const char *known, const char *id, size_t length)
{
    return memcmp(known, id, length) == 0;
}

static const char *id_text(const struct ovr_feed *feed, const struct id_entry *entry)
{
    const struct ovr_feed_market *view = &feed->markets[entry->market].view;
    return entry->what == CONDITION ? view->condition_id : view->tokens[entry->what - 1].token;
}

static struct id_entry *find_id(const struct ovr_feed *feed, const char *id, size_t length)
{
    uint64_t hash = hash_id(id, length);
    for (uint64_t at = hash;; at++) {
        struct id_entry *entry = &feed->ids[at & feed->ids_mask];
        if (entry->what == 0) {
            return entry;
        }
        if (entry->hash == hash && entry->length == length &&
            same_id(id_text(feed, entry), id, length)) {
            return entry;
        }
    }
}

struct market *ovr_feed_lookup(struct ovr_feed *feed, const char *id, size_t length,
                               uint32_t *what)
{
    if (length == 0) {
        return NULL;
    }
    const struct id_entry *entry = find_id(feed, id, length);
    *what = entry->what;
    return entry->what == 0 ? NULL : &feed->markets[entry->market];
}

static void enter_id(struct ovr_feed *feed, const char *id, uint32_t market, uint32_t what)
{
    size_t length = strlen(id);
    struct id_entry *entry = find_id(feed, id, length);
    entry->hash = hash_id(id, length);
    entry->market = market;
    entry->what = (uint16_t)what;
    entry->length = (uint16_t)length;
}

/* --- markets ------------------------------------------------------------------------------- */

void ovr_feed_recipe_last(struct market *market, const char *text, size_t length)
{
    struct ovr_recipe *recipe = &market->view.recipe;
    char fresh[sizeof recipe->last] = {0};
    memcpy(fresh, text, length < sizeof fresh ? length : sizeof fresh - 1);
    recipe->last_known = 1;
    if (memcmp(fresh, recipe->last, sizeof fresh) != 0) {
        memcpy(recipe->last_before, recipe->last, sizeof fresh);
        memcpy(recipe->last, fresh, sizeof fresh);
    }
}

static void init_market(struct ovr_feed *feed, uint32_t index, uint32_t tick_ticks)
{
    struct market *market = &feed->markets[index];
    memset(market, 0, sizeof *market);
    market->view.index = index;
    market->view.used = 1;
    market->view.status = 1;
    market->view.cause = OVR_CAUSE_START;
    market->view.recipe.tick_ticks = (uint16_t)tick_ticks;
    market->view.recipe.neg_risk = -1;
    ovr_ladder_init(&market->ladder, (char *)feed->ladders + (size_t)index * OVR_LADDER_BYTES,
                    tick_ticks != 0 ? tick_ticks : OVR_FEED_STEP_DEFAULT);
    ovr_top_fill(market);
    feed->markets_count++;
    if (index >= feed->markets_end) {
        feed->markets_end = index + 1;
    }
}

static bool taken(struct ovr_feed *feed, const char *id)
{
    uint32_t what;
    return ovr_feed_lookup(feed, id, strlen(id), &what) != NULL;
}

int ovr_feed_add_market(struct ovr_feed *feed, uint32_t index, const char *condition_id,
                        const char *token_yes, const char *token_no, uint32_t tick_ticks,
                        const char *min_size, int32_t neg_risk, const char *last_price)
{
    if (index >= feed->config.markets_capacity) {
        return -ENOSPC;
    }
    struct ovr_feed_market *view = &feed->markets[index].view;
    if (strlen(condition_id) >= sizeof view->condition_id || condition_id[0] == '\0' ||
        strlen(token_yes) >= sizeof view->tokens[0].token ||
        (token_yes[0] == '\0' && !feed->config.learn) ||
        strlen(token_no) >= sizeof view->tokens[1].token || strlen(min_size) > OVR_PM_TEXT_MAX ||
        strlen(last_price) > OVR_PM_TEXT_MAX ||
        (tick_ticks != 0 && OVR_LADDER_GRID % tick_ticks != 0)) {
        return -EINVAL;
    }
    if (view->used || taken(feed, condition_id) || taken(feed, token_yes) ||
        taken(feed, token_no)) {
        return -EEXIST;
    }
    init_market(feed, index, tick_ticks);
    memcpy(view->condition_id, condition_id, strlen(condition_id));
    memcpy(view->tokens[0].token, token_yes, strlen(token_yes));
    memcpy(view->tokens[1].token, token_no, strlen(token_no));
    memcpy(view->recipe.min_size, min_size, strlen(min_size));
    view->recipe.neg_risk = (int8_t)(neg_risk < 0 ? -1 : neg_risk != 0);
    if (last_price[0] != '\0') {
        ovr_feed_recipe_last(&feed->markets[index], last_price, strlen(last_price));
    }
    enter_id(feed, condition_id, index, CONDITION);
    if (token_yes[0] != '\0') {
        enter_id(feed, token_yes, index, TOKEN_YES);
    }
    if (token_no[0] != '\0') {
        enter_id(feed, token_no, index, TOKEN_NO);
    }
    /* Its slot says from now on that the market is known and not to be trusted. */
    ovr_publish_board(feed, &feed->markets[index]);
    return 0;
}

/* Make sense of an unknown token while replaying: the first of a condition is taken as YES. The
 * two books mirror each other, so the label matters to nobody. */
struct market *ovr_feed_learn(struct ovr_feed *feed, const struct ovr_pm_slice *condition,
                              const struct ovr_pm_slice *token, int *outcome)
{
    char condition_id[72] = {0};
    char token_id[80] = {0};
    uint32_t what;
    if (condition->length >= sizeof condition_id || token->length >= sizeof token_id) {
        return NULL;
    }
    memcpy(condition_id, condition->data, condition->length);
    memcpy(token_id, token->data, token->length);
    struct market *market = ovr_feed_lookup(feed, condition_id, condition->length, &what);
    if (market == NULL) {
        *outcome = 0;
        uint32_t index = feed->markets_end;
        return ovr_feed_add_market(feed, index, condition_id, token_id, "", 0, "", -1, "") == 0
                   ? &feed->markets[index] : NULL;
    }
    if (what != CONDITION || (market->view.tokens[0].token[0] != '\0' &&
                              market->view.tokens[1].token[0] != '\0')) {
        return NULL;
    }
    *outcome = market->view.tokens[0].token[0] != '\0';
    memcpy(market->view.tokens[*outcome].token, token_id, sizeof token_id);
    enter_id(feed, token_id, market->view.index, *outcome == 0 ? TOKEN_YES : TOKEN_NO);
    return market;
}

/* --- life ---------------------------------------------------------------------------------- */

static bool take_memory(struct ovr_feed *feed)
{
    size_t capacity = feed->config.markets_capacity;
    uint64_t ids = 8;
    while (ids < capacity * 6) {
        ids *= 2;
    }
    feed->ids_mask = ids - 1;
    feed->ids = calloc(ids, sizeof *feed->ids);
    feed->markets = calloc(capacity, sizeof *feed->markets);
    feed->open = calloc(capacity, sizeof *feed->open);
    feed->resync = calloc(capacity, sizeof *feed->resync);
    feed->touched = calloc(capacity, sizeof *feed->touched);
    feed->scratch = calloc(2 * OVR_LADDER_LEVELS_MAX, sizeof *feed->scratch);
    feed->text = malloc(OVR_BOOK_TEXT_BYTES);
    feed->batch = calloc(1, sizeof *feed->batch);
    feed->ladders_bytes = capacity * OVR_LADDER_BYTES;
    feed->ladders = mmap(NULL, feed->ladders_bytes, PROT_READ | PROT_WRITE,
                         MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (feed->ladders == MAP_FAILED) {
        feed->ladders = NULL;
    }
    if (feed->batch != NULL) {
        feed->batch->events = calloc(OVR_FEED_EVENTS_MAX, sizeof *feed->batch->events);
        feed->batch->changes = calloc(OVR_FEED_CHANGES_MAX, sizeof *feed->batch->changes);
        feed->batch->events_capacity = OVR_FEED_EVENTS_MAX;
        feed->batch->changes_capacity = OVR_FEED_CHANGES_MAX;
    }
    return feed->ids != NULL && feed->markets != NULL && feed->open != NULL &&
           feed->resync != NULL && feed->touched != NULL && feed->scratch != NULL &&
           feed->text != NULL && feed->ladders != NULL && feed->batch != NULL &&
           feed->batch->events != NULL && feed->batch->changes != NULL;
}

struct ovr_feed *ovr_feed_create(const struct ovr_feed_config *config)
{
    struct ovr_feed *feed = calloc(1, sizeof *feed);
    if (feed == NULL || config->markets_capacity == 0) {
        free(feed);
        return NULL;
    }
    feed->config = *config;
    if (!take_memory(feed)) {
        ovr_feed_destroy(feed);
        return NULL;
    }
    return feed;
}

void ovr_feed_destroy(struct ovr_feed *feed)
{
    if (feed == NULL) {
        return;
    }
    if (feed->batch != NULL) {
        free(feed->batch->events);
        free(feed->batch->changes);
    }
    if (feed->ladders != NULL) {
        munmap(feed->ladders, feed->ladders_bytes);
    }
    free(feed->batch);
    free(feed->text);
    free(feed->scratch);
    free(feed->touched);
    free(feed->resync);
    free(feed->open);
    free(feed->markets);
    free(feed->ids);
    free(feed);
}

/* --- from outside -------------------------------------------------------------------------- */

void ovr_feed_untrust(struct ovr_feed *feed, uint32_t index, uint32_t cause, uint64_t now_ns)
{
    struct ovr_feed_result ignored = {0};
    if (index < feed->markets_end && feed->markets[index].view.used) {
        feed->result = &ignored;
        feed->now_ns = now_ns;
        ovr_trust_lose(feed, &feed->markets[index], cause);
    }
}

uint32_t ovr_feed_take_resync(struct ovr_feed *feed, uint32_t *out, uint32_t capacity)
{
    uint32_t taken_count = 0;
    uint32_t kept = 0;
    for (uint32_t i = 0; i < feed->resync_count; i++) {
        struct market *market = &feed->markets[feed->resync[i]];
        if (!market->wants_resync) {
            continue; /* a snapshot came by itself */
        }
        if (taken_count == capacity) {
            feed->resync[kept++] = feed->resync[i];
            continue;
        }
        market->wants_resync = false;
        out[taken_count++] = feed->resync[i];
    }
    feed->resync_count = kept;
    return taken_count;
}

const struct ovr_feed_market *ovr_feed_market_at(const struct ovr_feed *feed, uint32_t index)
{
    bool known = index < feed->markets_end && feed->markets[index].view.used;
    return known ? &feed->markets[index].view : NULL;
}

int64_t ovr_feed_find(const struct ovr_feed *feed, const char *id, size_t length)
{
    const struct id_entry *entry = find_id(feed, id, length);
    return entry->what == 0 ? -1 : (int64_t)entry->market;
}

uint32_t ovr_feed_markets_count(const struct ovr_feed *feed)
{
    return feed->markets_count;
}

uint32_t ovr_feed_trusted_count(const struct ovr_feed *feed)
{
    return feed->trusted_count;
}

uint64_t ovr_feed_counter(const struct ovr_feed *feed, uint32_t meter)
{
    return meter < OVR_FEED_COUNTERS ? feed->counters[meter] : 0;
}

uint32_t ovr_feed_levels(const struct ovr_feed *feed, uint32_t index, int outcome, int side,
                         uint16_t *price_ticks, int64_t *size_lots, uint32_t capacity)
{
    if (ovr_feed_market_at(feed, index) == NULL) {
        return 0;
    }
    int held = outcome == 0 ? side : 1 - side;
    if (capacity > OVR_LADDER_LEVELS_MAX) {
        capacity = OVR_LADDER_LEVELS_MAX;
    }
    uint32_t count =
        ovr_ladder_depth(&feed->markets[index].ladder, held, feed->scratch, capacity);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t ticks = feed->scratch[i].price_ticks;
        price_ticks[i] = outcome == 0 ? ticks : (uint16_t)(OVR_LADDER_GRID - ticks);
        size_lots[i] = feed->scratch[i].size_lots;
    }
    return count;
}

int64_t ovr_feed_book_text(const struct ovr_feed *feed, uint32_t index, int outcome,
                           uint64_t venue_epoch_ms, char *out, size_t capacity)
{
    const struct ovr_feed_market *view = ovr_feed_market_at(feed, index);
    if (view == NULL) {
        return -ENOENT;
    }
    size_t length = ovr_book_text(&feed->markets[index].ladder, view->condition_id,
                                  view->tokens[outcome].token, outcome, venue_epoch_ms,
                                  feed->text);
    length += ovr_recipe_text(&view->recipe, feed->text + length);
    if (length > capacity) {
        return -ENOSPC;
    }
    memcpy(out, feed->text, length);
    return (int64_t)length;
}
