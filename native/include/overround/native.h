/* Everything the Python module may see. */
#ifndef OVERROUND_NATIVE_H
#define OVERROUND_NATIVE_H

#include "overround/book_hash.h"
#include "overround/broadcast.h"
#include "overround/clock.h"
#include "overround/crc32c.h"
#include "overround/decimal.h"
#include "overround/decode_polymarket.h"
#include "overround/feed.h"
#include "overround/ladder.h"
#include "overround/layout.h"
#include "overround/meters.h"
#include "overround/order_path.h"
#include "overround/permit.h"
#include "overround/place.h"
#include "overround/segment.h"
#include "overround/sleep.h"
#include "overround/slots.h"
#include "overround/spsc.h"
#include "overround/tap.h"
#include "overround/tls_client.h"
#include "overround/uring_links.h"
#include "overround/uring_probe.h"

#endif
