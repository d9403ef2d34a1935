/* Region kinds, shapes and records; see layout.inc. */
#ifndef OVERROUND_LAYOUT_H
#define OVERROUND_LAYOUT_H

#include <stdint.h>

#include "overround/layout.inc"

_Static_assert(sizeof(struct ovr_change) == 64, "one cache line");
_Static_assert(sizeof(struct ovr_board) == 448, "whole cache lines");
_Static_assert(sizeof(struct ovr_trade) == 64, "one cache line");
_Static_assert(sizeof(struct ovr_catalog) == 384, "whole cache lines");
_Static_assert(sizeof(struct ovr_intent) == 192, "whole cache lines");
_Static_assert(sizeof(struct ovr_report) == 128, "whole cache lines");
_Static_assert(sizeof(struct ovr_account) == 128, "whole cache lines");
_Static_assert(sizeof(struct ovr_target) == 64, "one cache line");
_Static_assert(sizeof(struct ovr_roster) == 256, "whole cache lines");

/* Returns the mechanism (enum ovr_region_shape) a region kind uses, 0 for an unknown kind. */
uint32_t ovr_region_shape(uint32_t kind);

#endif
