#include "check.h"

static void every_kind_has_a_shape_and_no_other_number_does(void)
{
    for (uint32_t kind = OVR_REGION_ROSTER; kind <= OVR_REGION_KILL; kind++) {
        CHECK(ovr_region_shape(kind) >= OVR_SHAPE_SLOTS);
        CHECK(ovr_region_shape(kind) <= OVR_SHAPE_LATCH);
    }
    CHECK(ovr_region_shape(0) == 0 && ovr_region_shape(OVR_REGION_KILL + 1) == 0);
}

/* Sums of the members: any padding the compiler added would be a hole that numpy does not have. */
static void records_have_no_implicit_padding(void)
{
    CHECK(sizeof(struct ovr_change) == 5 * 8 + 3 * 4 + 2 * 2 + 8);
    CHECK(offsetof(struct ovr_board, spare) == 104 + 4 * 16 + 16 * 16);
    CHECK(offsetof(struct ovr_catalog, spare) == 48 + 66 + 80 + 80 + 96);
    CHECK(offsetof(struct ovr_intent, spare) == 136);
    CHECK(offsetof(struct ovr_report, spare) == 104);
    CHECK(offsetof(struct ovr_account, spare) == 88);
    CHECK(offsetof(struct ovr_roster, spare) == 200);
    CHECK(sizeof(struct ovr_meters) == 8 * 128 + 8 * 16 * 516);
}

int main(void)
{
    RUN(every_kind_has_a_shape_and_no_other_number_does);
    RUN(records_have_no_implicit_padding);
    return 0;
}
