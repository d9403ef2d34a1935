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

/* All but the levels, which feed_top.c keeps. */
static void fill_head(struct market *market)
{
    const struct ovr_feed_market *view = &market->view;
    struct ovr_board *board = &market->board;
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
    board->truncated = left_out(market, OVR_BID) + left_out(market, OVR_ASK);
}

/* Store the image: its head, and of the levels what changed since. */
static uint64_t store(struct ovr_feed *feed, struct market *market)
{
    enum { HEAD_WORDS = offsetof(struct ovr_board, bid_ticks) / 8 };
    fill_head(market);
    market->slot_sequence =
        ovr_slot_update(feed->config.board, market->view.index, &market->board, HEAD_WORDS,
                        market->stale_words, market->slot_sequence);
    market->stale_words = 0;
    return market->slot_sequence;
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
    if (feed->config.board != NULL) {
        store(feed, market);
    }
}

void ovr_publish_book(struct ovr_feed *feed, struct market *market)
{
    const struct ovr_feed_market *view = &market->view;
    uint64_t sequence = 0;
    market->dirty = false;
    if (feed->config.board != NULL) {
        sequence = store(feed, market);
        record_latency(feed, &market->board);
    }
    feed->result->published++;
    ovr_feed_count(feed, OVR_METER_PUBLISHED, 1);
    if (feed->config.changes == NULL) {
        return;
    }
    struct ovr_change change = {
        .recv_ns = view->last_data_ns,
        .market = view->index,
        .version = (uint32_t)(sequence / 2),
        .venue_epoch_ms = view->venue_epoch_ms,
        .bid_ticks = (uint16_t)ovr_top_bid(market),
        .ask_ticks = (uint16_t)ovr_top_ask(market),
        .flags = flags_of(market),
        .bid_lots = market->board.bid_lots[0],
        .ask_lots = market->board.ask_lots[0],
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
