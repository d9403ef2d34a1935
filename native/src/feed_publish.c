/* From the engine's books to the shared regions: slot first, then the ring that announces it. */
#include <string.h>

#include "feed_internal.h"
#include "overround/broadcast.h"
#include "overround/clock.h"
#include "overround/slots.h"

enum { BOARD_LEVELS = 16 };

static uint32_t flags_of(const struct market *market)
{
    const struct ovr_feed_market *view = &market->view;
    uint32_t flags = 0;
    bool resolved = view->status == 3;
    flags |= view->trusted && !resolved ? OVR_BOOK_TRUSTED : 0;
    flags |= view->has_snapshot ? OVR_BOOK_SNAPSHOT : 0;
    flags |= ovr_book_crossed(market) ? OVR_BOOK_CROSSED : 0;
    flags |= resolved ? OVR_BOOK_RESOLVED : 0;
    return flags;
}

static uint32_t left_out(const struct market *market, int side)
{
    uint32_t held = market->ladder.sides[side].count;
    return held > BOARD_LEVELS ? held - BOARD_LEVELS : 0;
}

static uint16_t fill_side(const struct market *market, int side, uint16_t *ticks, int64_t *lots)
{
    struct ovr_level levels[BOARD_LEVELS];
    uint32_t count = ovr_ladder_depth(&market->ladder, side, levels, BOARD_LEVELS);
    for (uint32_t i = 0; i < count; i++) {
        ticks[i] = levels[i].price_ticks;
        lots[i] = levels[i].size_lots;
    }
    if (count == 0 && side == OVR_ASK) {
        ticks[0] = OVR_LADDER_GRID;
    }
    return (uint16_t)count;
}

static void fill_board(const struct market *market, struct ovr_board *board)
{
    const struct ovr_feed_market *view = &market->view;
    memset(board, 0, sizeof *board);
    board->market = view->index;
    board->status = view->status;
    board->tick_ticks = view->recipe.tick_ticks;
    board->recv_ns = view->last_data_ns;
    board->publish_ns = ovr_clock_ns();
    board->venue_epoch_ms = view->venue_epoch_ms;
    board->flags = flags_of(market);
    board->proof = view->proof;
    board->cause = view->cause;
    board->proved_sequence = view->proved_sequence;
    board->proved_ns = view->proved_ns;
    board->event_sequence = view->event_sequence;
    board->last_trade_ticks = view->last_trade_ticks;
    board->last_trade_side = view->last_trade_side;
    board->last_trade_lots = view->last_trade_lots;
    board->last_trade_epoch_ms = view->last_trade_epoch_ms;
    board->bid_levels = fill_side(market, OVR_BID, board->bid_ticks, board->bid_lots);
    board->ask_levels = fill_side(market, OVR_ASK, board->ask_ticks, board->ask_lots);
    board->truncated = left_out(market, OVR_BID) + left_out(market, OVR_ASK);
}

/* From the socket to the slot, for the frame at hand; a flush or a lost trust measures nothing. */
static void record_latency(struct ovr_feed *feed, const struct ovr_board *board)
{
    if (feed->config.meters != NULL && board->recv_ns == feed->now_ns &&
        board->publish_ns >= board->recv_ns) {
        ovr_histogram_record(feed->config.meters, OVR_HISTOGRAM_RECV_TO_PUBLISH,
                             board->publish_ns - board->recv_ns);
    }
}

void ovr_publish_board(struct ovr_feed *feed, struct market *market)
{
    struct ovr_board board;
    if (feed->config.board != NULL) {
        fill_board(market, &board);
        ovr_slot_store(feed->config.board, market->view.index, &board);
    }
}

void ovr_publish_book(struct ovr_feed *feed, struct market *market)
{
    const struct ovr_feed_market *view = &market->view;
    struct ovr_board board;
    uint64_t sequence = 0;
    market->dirty = false;
    if (feed->config.board != NULL) {
        fill_board(market, &board);
        sequence = ovr_slot_store(feed->config.board, view->index, &board);
        record_latency(feed, &board);
    }
    feed->result->published++;
    ovr_feed_count(feed, OVR_METER_PUBLISHED, 1);
    if (feed->config.changes == NULL) {
        return;
    }
    uint32_t bid = ovr_ladder_best_bid(&market->ladder);
    uint32_t ask = ovr_ladder_best_ask(&market->ladder);
    struct ovr_change change = {
        .recv_ns = view->last_data_ns,
        .market = view->index,
        .version = (uint32_t)(sequence / 2),
        .venue_epoch_ms = view->venue_epoch_ms,
        .bid_ticks = (uint16_t)bid,
        .ask_ticks = (uint16_t)ask,
        .flags = flags_of(market),
        .bid_lots = ovr_ladder_get(&market->ladder, OVR_BID, bid),
        .ask_lots = ovr_ladder_get(&market->ladder, OVR_ASK, ask),
        .event_sequence = view->event_sequence,
    };
    ovr_broadcast_publish(feed->config.changes, &change);
}

void ovr_publish_trade(struct ovr_feed *feed, const struct ovr_trade *trade)
{
    if (feed->config.trades != NULL) {
        ovr_broadcast_publish(feed->config.trades, trade);
    }
}

void ovr_publish_note(struct ovr_feed *feed, const struct market *market, uint16_t kind,
                      uint16_t cause, uint32_t value, uint64_t venue_epoch_ms)
{
    struct ovr_trade note = {
        .recv_ns = feed->now_ns,
        .market = market == NULL ? OVR_FEED_NO_MARKET : market->view.index,
        .kind = kind,
        .cause = cause,
        .venue_epoch_ms = venue_epoch_ms,
        .value = value,
        .event_sequence = feed->event_sequence,
    };
    ovr_publish_trade(feed, &note);
}
