#define OVR_NODES_MAX ...
int ovr_place_bind(void *base, uint64_t size, uint32_t node);
int ovr_place_prefer(int32_t node);
int64_t ovr_place_count(void *base, uint64_t size, uint64_t *counts);
int ovr_place_here(void);
