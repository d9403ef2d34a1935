/* The same frames through Debian's simdjson, on demand: the peer that a scanner has to beat. */
#include <simdjson.h>

#include <cstring>

using namespace simdjson;

static ondemand::parser parser;

static uint64_t decimal(std::string_view text, unsigned places)
{
    uint64_t value = 0;
    unsigned missing = places;
    bool fraction = false;
    for (char c : text) {
        if (c == '.') {
            fraction = true;
            continue;
        }
        value = value * 10 + (uint64_t)(c - '0');
        missing -= fraction;
    }
    while (missing-- > 0) {
        value *= 10;
    }
    return value;
}

static uint64_t price(ondemand::value value)
{
    return decimal(value.get_string(), 4);
}

static uint8_t nibble(char c)
{
    return (uint8_t)(c <= '9' ? c - '0' : c - 'a' + 10);
}

static uint64_t levels(ondemand::array array, uint64_t side)
{
    uint64_t sum = 0;
    for (ondemand::object level : array) {
        uint64_t ticks = price(level.find_field("price"));
        sum += ticks + 3 * decimal(level.find_field("size").get_string(), 6) + 5 * side;
    }
    return sum;
}

static uint64_t change(ondemand::object entry)
{
    volatile size_t asset = std::string_view(entry.find_field("asset_id").get_string()).size();
    (void)asset;
    uint64_t ticks = price(entry.find_field("price"));
    uint64_t lots = decimal(entry.find_field("size").get_string(), 6);
    uint64_t side = std::string_view(entry.find_field("side").get_string()) == "SELL";
    std::string_view hash = entry.find_field("hash").get_string();
    uint8_t bytes[20];
    for (int i = 0; i < 20; i++) {
        bytes[i] = (uint8_t)(nibble(hash[2 * i]) << 4 | nibble(hash[2 * i + 1]));
    }
    uint64_t bid = price(entry.find_field("best_bid")), ask = price(entry.find_field("best_ask"));
    return ticks + 3 * lots + 5 * side + 7 * bid + 11 * ask + bytes[7];
}

extern "C" uint64_t peer_simdjson(const char *text, size_t length, int snapshot)
{
    uint64_t sum = 0;
    ondemand::document document = parser.iterate(text, length, length + SIMDJSON_PADDING);
    if (snapshot) {
        for (ondemand::object book : document.get_array()) {
            sum += decimal(book.find_field("timestamp").get_string(), 0);
            sum += levels(book.find_field("bids"), 0);
            sum += levels(book.find_field("asks"), 1);
        }
        return sum;
    }
    ondemand::object message = document.get_object();
    for (ondemand::object entry : message.find_field("price_changes").get_array()) {
        sum += change(entry);
    }
    return sum + decimal(message.find_field("timestamp").get_string(), 0);
}
